package service

import (
	"context"
	"slices"
	"time"

	"onelogin-kafka/producer"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
)

// serving is one session of a shard: the connectors that run in it.
type serving struct {
	service *Service
	session *producer.Session
	runs    map[string]*running
	// removed are those that ran in this session and are configured no more.
	removed map[string]bool
	// told are those without a configuration whose status was written.
	told map[string]bool
	// retired are those without one that are meant to have none.
	retired map[string]bool
	// shown are the statuses of the others without one.
	shown map[string]schemas.ConnectorStatus
}

// serve polls the connectors of one shard until ctx ends, and follows changes
// of the configuration meanwhile.
func (s *Service) serve(ctx context.Context, session *producer.Session) {
	v := &serving{service: s, session: session, runs: map[string]*running{}, removed: map[string]bool{}, told: map[string]bool{}, retired: map[string]bool{}}
	defer v.end()
	bells, silence := s.bellsOf(session.Shard)
	defer silence()
	caught, wait := s.caughtUp(ctx)
	defer wait()
	tick := time.NewTicker(settle)
	defer tick.Stop()
	current := false // what is known of the control log is no older than the session
	changed := v.follow(ctx, current)
	for {
		select {
		case <-tick.C:
			v.look(ctx, current)
			continue
		case name := <-bells:
			v.ring(ctx, name)
		case <-caught:
			current, caught = true, nil
		case <-changed:
		case <-ctx.Done():
			return
		}
		changed = v.follow(ctx, current)
	}
}

// follow takes over which connectors the shard has, and returns a channel that is
// closed when they may have changed.
func (v *serving) follow(ctx context.Context, current bool) (changed <-chan struct{}) {
	connectors, changed := v.service.ofShard(v.session.Shard, current)
	v.change(ctx, connectors)
	if current {
		v.missing(ctx, connectors)
	}
	return changed
}

// change stops what is no longer configured, or not as it was, and starts what
// is new.
func (v *serving) change(ctx context.Context, connectors map[string]*connector) {
	gone := map[string]*running{}
	for name, r := range v.runs {
		if connectors[name] != r.connector {
			r.stop()
			gone[name] = r
		}
	}
	for name, r := range gone {
		r.tasks.Wait()
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
		v.runs[name] = v.begin(ctx, c)
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
		r.tasks.Wait()
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
