package service

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"onelogin-kafka/internal/reconcile"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/producer"
	"onelogin-kafka/source"
)

// running is a connector in a session of its shard. Its poller has a goroutine for
// all of that time; what is done now and then has one only while it is done: the
// shard looks after all its connectors, see look. Ten thousand that wait would be
// most of what an instance takes.
type running struct {
	connector *connector
	stop      context.CancelFunc
	tasks     sync.WaitGroup
	report    time.Time // when its status is written though it has not changed
	work      atomic.Pointer[work]
}

// work is a connector's Work, once it is polled.
type work struct {
	*reconcile.Work
	ctx  context.Context // of the run, with which it ends
	busy atomic.Bool     // while it is, the rest is its goroutine's
	due  time.Time
}

// begin begins to poll a connector, until ctx ends or it is stopped.
func (v *serving) begin(ctx context.Context, c *connector) *running {
	ctx, stop := context.WithCancel(ctx)
	r := &running{connector: c, stop: stop, report: time.Now().Add(settle)}
	r.tasks.Go(func() { v.run(ctx, r) })
	return r
}

// look writes the statuses that have changed, or are due, and has done what is asked
// for of the connectors, or due. What the control log asks for is known once it is
// current.
func (v *serving) look(ctx context.Context, current bool) {
	now := time.Now()
	for _, r := range v.runs {
		if r.connector.news.Swap(false) || !now.Before(r.report) {
			v.report(ctx, r, v.session.Note)
		}
		if current {
			r.look(now)
		}
	}
}

// look has the work done that is asked for or due, if none is under way.
func (r *running) look(now time.Time) {
	w := r.work.Load()
	if w == nil || w.busy.Load() {
		return
	}
	select {
	case <-r.connector.asked:
	default:
		if now.Before(w.due) {
			return
		}
	}
	w.busy.Store(true)
	r.tasks.Go(func() {
		w.due = time.Now().Add(w.Run(w.ctx))
		w.busy.Store(false)
	})
}

// run polls one connector for the length of a session, or until ctx ends.
func (v *serving) run(ctx context.Context, r *running) {
	s, c := v.service, r.connector
	if c.config.Paused {
		s.pause(ctx, c, v.session)
		return
	}
	if c.client.Begin(ctx) != nil {
		return
	}
	s.polls(c, 1)
	defer s.polls(c, -1)
	for {
		err := v.poll(ctx, r)
		if ctx.Err() != nil || err == nil {
			return
		}
		c.rest.failed(err)
		c.changed()
		s.opts.Log.Error().Err(err).Str("connector", c.config.Name).Msg("the connector cannot be polled")
		if !sleep(ctx, refusedWait) {
			return
		}
	}
}

// refusedWait is how long a connector whose state cannot be read rests.
const refusedWait = time.Minute

// poll runs the poller from the committed state; nil when the session is over.
func (v *serving) poll(ctx context.Context, r *running) error {
	state, err := v.open(ctx, r)
	if state == nil {
		return err
	}
	_ = r.connector.poller.Run(ctx, state, v.session) // ends with ctx or the session
	<-ctx.Done()
	return nil
}

// open returns what a connector is polled from, and has its work done from then on;
// nil without an error when the session is over.
func (v *serving) open(ctx context.Context, r *running) (*source.State, error) {
	s, c := v.service, r.connector
	state, records, err := s.state(ctx, c.config.Name, v.session)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, nil //nolint:nilerr // the session is over, which is no failure of the connector
	}
	if err := replayed(&c.config, state.Offset.SecretGeneration); err != nil {
		return nil, err
	}
	c.rest.failed(nil)
	w := &work{Work: v.work(c, records), ctx: ctx}
	w.Begin()
	r.work.Store(w)
	return &state, nil
}

// work compares a connector's events with the topic while its poller runs, as it is
// asked to or due.
func (v *serving) work(c *connector, records map[string][]byte) *reconcile.Work {
	s := v.service
	return &reconcile.Work{
		Connector: c.config.Name, Instance: s.settings.instance, Topic: s.topic, Poller: c.poller, Metrics: s.verified, Log: s.opts.Log,
		Reader: &source.Reader{
			Connector: c.config.Name, Client: c.poller.Client, Budget: c.poller.Budget, Memory: s.memory, Metrics: s.metrics, PageSize: c.config.PageSize,
		},
		Jobs:  func() ([]registry.Job, bool) { return s.control.Jobs(c.config.Name) },
		Asked: c.asked, Records: records,
		Every: c.config.Verify.Every, Behind: c.config.Verify.Behind,
	}
}

// pause shows a connector that is not to be polled, until ctx ends.
func (s *Service) pause(ctx context.Context, c *connector, session *producer.Session) {
	state, _, err := s.state(ctx, c.config.Name, session)
	if err != nil {
		s.opts.Log.Error().Err(err).Str("connector", c.config.Name).Msg("the state of a paused connector cannot be read")
	}
	c.rest.at(state.Offset)
	c.changed()
	<-ctx.Done()
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
