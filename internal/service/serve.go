package service

import (
	"context"
	"slices"
	"time"

	"onelogin-kafka/internal/reconcile"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/producer"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
)

// serving is one session of a shard: the connectors that run in it.
type serving struct {
	service *Service
	session *producer.Session
	runs    map[string]running
	// removed are those that ran in this session and are configured no more.
	removed map[string]bool
	// told are those without a configuration whose status was written.
	told map[string]bool
	// retired are those without one that are meant to have none.
	retired map[string]bool
	// shown are the statuses of the others without one.
	shown map[string]schemas.ConnectorStatus
	// current is closed when what is known of the control log is no older than the
	// session.
	current <-chan struct{}
}

type running struct {
	connector *connector
	stop      context.CancelFunc
	done      chan struct{}
}

// serve polls the connectors of one shard until ctx ends, and follows changes
// of the configuration meanwhile.
func (s *Service) serve(ctx context.Context, session *producer.Session) {
	v := &serving{service: s, session: session, runs: map[string]running{}, removed: map[string]bool{}, told: map[string]bool{}, retired: map[string]bool{}}
	defer v.end()
	bells, silence := s.bellsOf(session.Shard)
	defer silence()
	caught, wait := s.caughtUp(ctx)
	defer wait()
	v.current = caught
	for current := false; ; {
		connectors, changed := s.ofShard(session.Shard, current)
		v.change(ctx, connectors)
		if current {
			v.missing(ctx, connectors)
		}
		select {
		case name := <-bells:
			v.ring(ctx, name)
		case <-caught:
			current, caught = true, nil
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// change stops what is no longer configured, or not as it was, and starts what
// is new.
func (v *serving) change(ctx context.Context, connectors map[string]*connector) {
	gone := map[string]running{}
	for name, r := range v.runs {
		if connectors[name] != r.connector {
			r.stop()
			gone[name] = r
		}
	}
	for name, r := range gone {
		<-r.done
		delete(v.runs, name)
		v.service.metrics.Delete(name)
		v.service.verified.Delete(name)
		switch {
		case connectors[name] != nil:
		case r.connector.aside != "":
			v.forget(ctx, name)
		default:
			v.removed[name] = true
		}
	}
	for name, c := range connectors {
		if _, ok := v.runs[name]; ok {
			continue
		}
		delete(v.removed, name)
		rctx, stop := context.WithCancel(ctx)
		r := running{connector: c, stop: stop, done: make(chan struct{})}
		v.runs[name] = r
		go func() {
			defer close(r.done)
			v.run(rctx, c)
		}()
	}
}

// forget takes back what the status topic says of a connector that was set
// aside, and maybe never was one: its name may be a guess. One that has a
// position is among the missing.
func (v *serving) forget(ctx context.Context, name string) {
	_ = v.session.Note(ctx, schemas.Record{Topic: schemas.Status, Key: schemas.OffsetKey(name), Time: time.Now()}) // else the session is over
}

// end waits for the runs. A shard that is not ours any more leaves nothing
// behind in the metrics; while we take it over again its connectors' stay, and
// show by their age that something is wrong.
func (v *serving) end() {
	for _, r := range v.runs {
		r.stop()
	}
	for _, r := range v.runs {
		<-r.done
	}
	s, shard := v.service, v.session.Shard
	if s.held(shard).IsZero() {
		for name := range v.runs {
			s.metrics.Delete(name)
			s.verified.Delete(name)
		}
		s.absent.set(shard, nil)
	}
}

// ofShard returns the connectors of a shard and a channel that is closed when
// they may have changed. Those of the control log are among them only where what
// is known of it is current: who takes a shard over must not poll a connector that
// was removed before.
func (s *Service) ofShard(shard int32, current bool) (map[string]*connector, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := map[string]*connector{}
	for name, c := range s.connectors {
		if c.config.Recorded && !current {
			continue
		}
		if producer.PartitionFor(schemas.OffsetKey(name), s.settings.shards) == shard {
			mine[name] = c
		}
	}
	return mine, s.changed
}

// held returns since when a shard is ours; zero if it is not.
func (s *Service) held(shard int32) time.Time {
	shards := s.Shards()
	i := slices.IndexFunc(shards, func(i producer.ShardInfo) bool { return i.Shard == shard })
	if i < 0 {
		return time.Time{}
	}
	return shards[i].Since
}

// run polls one connector for the length of a session, or until ctx ends, and
// writes its status.
func (v *serving) run(ctx context.Context, c *connector) {
	s, session := v.service, v.session
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.report(ctx, c, session)
	}()
	defer func() { <-done }()
	defer cancel()
	if c.config.Paused {
		s.pause(ctx, c, session)
		return
	}
	if c.client.Begin(ctx) != nil {
		return
	}
	s.polls(c, 1)
	defer s.polls(c, -1)
	for {
		err := v.poll(ctx, c)
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
func (v *serving) poll(ctx context.Context, c *connector) error {
	s := v.service
	state, records, err := s.state(ctx, c.config.Name, v.session)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the session is over, which is no failure of the connector
	}
	if err := replayed(&c.config, state.Offset.SecretGeneration); err != nil {
		return err
	}
	c.rest.failed(nil)
	stop := v.work(ctx, c, records)
	_ = c.poller.Run(ctx, state, v.session) // ends with ctx or the session
	stop()
	<-ctx.Done()
	return nil
}

// work compares a connector's events with the topic while its poller runs, as it is
// asked to or due; stop ends that, and waits for it.
func (v *serving) work(ctx context.Context, c *connector, records map[string][]byte) (stop func()) {
	s := v.service
	ctx, cancel := context.WithCancel(ctx)
	w := &reconcile.Work{
		Connector: c.config.Name, Instance: s.settings.instance, Topic: s.topic, Poller: c.poller, Metrics: s.verified, Log: s.opts.Log,
		Reader: &source.Reader{
			Connector: c.config.Name, Client: c.poller.Client, Budget: c.poller.Budget, Memory: s.memory, Metrics: s.metrics, PageSize: c.config.PageSize,
		},
		Jobs:  func() ([]registry.Job, bool) { return s.control.Jobs(c.config.Name) },
		Asked: c.asked, Current: v.current, Records: records,
		Every: c.config.Verify.Every, Behind: c.config.Verify.Behind,
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// state reads what is committed of a connector. When the session is over it
// waits for ctx, which ends then.
func (s *Service) state(ctx context.Context, name string, session *producer.Session) (source.State, map[string][]byte, error) {
	records, err := session.State(ctx, name)
	if err != nil {
		<-ctx.Done()
		return source.State{}, nil, nil //nolint:nilerr // the session is over and says itself why
	}
	state, err := source.ParseState(name, records)
	return state, records, err
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
