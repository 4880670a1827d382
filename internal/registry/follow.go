package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"
	kafka "github.com/segmentio/kafka-go"

	"onelogin-kafka/producer"
	"onelogin-kafka/schemas"
)

// Watch has do called for each record that is read, in order, from the start of
// the log on. It must be called before Follow or Read, and do must not block.
func (r *Registry) Watch(do func(Entry)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watchers = append(r.watchers, do)
}

// Changed returns a channel that is closed when the log was read to its end for
// the first time, and at each change after that.
func (r *Registry) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

// Whole tells whether the log was read to its end once.
func (r *Registry) Whole() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.whole
}

// tell tells who waits that there is something new. The caller holds the lock.
func (r *Registry) tell() {
	if !r.whole || r.fresh != nil {
		return
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// Read reads the log to its end. Beside Follow it waits for that to have read as
// far: two that read would have an older record count after a newer one.
func (r *Registry) Read(ctx context.Context) error {
	r.reading.Lock()
	if r.followed {
		r.reading.Unlock()
		return r.CatchUp(ctx)
	}
	defer r.reading.Unlock()
	err := r.read(ctx)
	if errors.Is(err, kafka.OffsetOutOfRange) {
		r.anew()
		err = r.read(ctx)
	}
	return err
}

// read reads the log to its end. The error wraps kafka.OffsetOutOfRange for one
// that does not go on from where it was read to.
func (r *Registry) read(ctx context.Context) error {
	log := r.log()
	from, err := r.from(ctx, log)
	if err != nil {
		return fmt.Errorf("reading topic %s: %w", r.Topic(), err)
	}
	end, err := log.ReadFrom(ctx, from, r.apply)
	if err == nil && end < from {
		err = fmt.Errorf("it ends at %d and was read up to %d: %w", end, from, kafka.OffsetOutOfRange)
	}
	if err != nil {
		return fmt.Errorf("reading topic %s: %w", r.Topic(), err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next, r.whole = end, true
	r.renew()
	r.tell()
	return nil
}

// renew has what was read of a log that was made anew count. The caller holds the
// lock.
func (r *Registry) renew() {
	if r.fresh == nil {
		return
	}
	var gone []string
	for name := range r.connectors {
		if _, there := r.fresh.connectors[name]; !there && r.fresh.broken[name] == nil {
			gone = append(gone, name)
			r.results.Delete(name)
		}
	}
	r.state, r.fresh = r.fresh, nil
	if slices.Sort(gone); len(gone) > 0 {
		r.opts.Log.Error().Str("topic", r.Topic()).Int("connectors", len(gone)).Strs("first", gone[:min(len(gone), 10)]).
			Msg("connectors are gone with the records of the control log that were lost, and are polled no more: add or import them again; their positions are kept")
	}
}

func (r *Registry) log() *producer.CommittedLog {
	return &producer.CommittedLog{Cluster: r.opts.Cluster, Topic: r.Topic()}
}

// from is where reading goes on.
func (r *Registry) from(ctx context.Context, log *producer.CommittedLog) (int64, error) {
	r.mu.Lock()
	next := r.next
	r.mu.Unlock()
	if next >= 0 {
		return next, nil
	}
	return log.Start(ctx)
}

const (
	soonest = 50 * time.Millisecond
	latest  = 5 * time.Second
)

// Follow reads the log from its start and then what comes, until ctx ends. While
// it cannot be read what was read counts.
func (r *Registry) Follow(ctx context.Context) {
	r.setFollowed(true)
	defer r.setFollowed(false)
	wait := backoff.NewExponentialBackOff(backoff.WithInitialInterval(soonest), backoff.WithMaxInterval(latest), backoff.WithMaxElapsedTime(0))
	said := ""
	for ctx.Err() == nil {
		err := r.read(ctx)
		if err == nil {
			wait.Reset()
			said = ""
			err = r.log().Follow(ctx, r.reached(), r.apply)
		}
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, kafka.OffsetOutOfRange) {
			r.anew()
		}
		if text := fmt.Sprint(err); text != said {
			r.opts.Log.Warn().Err(err).Msg("the control log cannot be read; what was read of it counts")
			said = text
		}
		timer := time.NewTimer(wait.NextBackOff())
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

func (r *Registry) setFollowed(followed bool) {
	r.reading.Lock()
	defer r.reading.Unlock()
	r.followed = followed
}

func (r *Registry) reached() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next
}

// anew has a log read from its start that does not go on from where it was read to.
// What was read before counts until it was read whole; not for whoever writes.
func (r *Registry) anew() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opts.Log.Error().Str("topic", r.Topic()).Int64("read_to", r.next).
		Msg("the control log was made anew or cut off: records were lost; it is read again from its start")
	r.fresh, r.next, r.last = newState(), -1, -1
	r.writer = newWriter(r.opts)
}

// apply takes a record over.
func (r *Registry) apply(offset int64, rec *schemas.Record) error {
	key, err := schemas.ParseControlKey(rec.Key)
	if err != nil {
		r.opts.Log.Warn().Err(err).Int64("offset", offset).Str("topic", r.Topic()).Msg("a record of the control log is none of ours")
		r.mu.Lock()
		defer r.mu.Unlock()
		r.next, r.last = offset+1, offset
		r.tell()
		return nil
	}
	e := Entry{Key: key, Value: bytes.Clone(rec.Value), Offset: offset, At: rec.Time}
	for _, do := range r.take(e) {
		do(e) // who is told may ask us
	}
	return nil
}

// take notes what a record says, and returns whom to tell.
func (r *Registry) take(e Entry) []func(Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next, r.last = e.Offset+1, e.Offset
	s := r.state
	if r.fresh != nil {
		s = r.fresh
	}
	switch e.Key.Kind {
	case schemas.ControlConnector:
		s.connector(e)
		if e.Value == nil {
			r.results.Delete(e.Key.Connector)
		}
	case schemas.ControlSealing:
		if err := s.sealing(e); err != nil {
			r.opts.Log.Warn().Err(err).Str("key_id", e.Key.ID).Msg("a public key on the control log cannot be used")
		}
	case schemas.ControlJob:
		s.job(e)
	case schemas.ControlBell:
		if e.Value == nil {
			delete(s.rest, e.Key.String())
		} else {
			s.rest[e.Key.String()] = e
		}
	}
	r.tell()
	return r.watchers
}

// connector takes a connector's record over. The caller holds the lock.
func (s *state) connector(e Entry) {
	name := e.Key.Connector
	delete(s.broken, name)
	delete(s.connectors, name)
	if e.Value == nil {
		return
	}
	c, err := readConnector(name, e.Value)
	if err != nil {
		s.broken[name] = err
		return
	}
	s.connectors[name] = c
}

// readConnector parses the record under a name.
func readConnector(name string, value []byte) (schemas.Connector, error) {
	c, err := schemas.ParseConnector(value)
	if err == nil && c.Name != name {
		err = fmt.Errorf("the record is that of connector %.80s", c.Name)
	}
	return c, err
}

// sealing takes a public key over. The caller holds the lock.
func (s *state) sealing(e Entry) error {
	delete(s.keys, e.Key.ID)
	if e.Value == nil {
		return nil
	}
	k, err := readSealing(e.Key.ID, e.Value)
	if err == nil {
		s.keys[k.ID] = k
	}
	return err
}

// CatchUp waits until everything is read that is committed now.
func (r *Registry) CatchUp(ctx context.Context) error {
	for {
		r.mu.Lock()
		changed, ready, next, of := r.changed, r.whole && r.fresh == nil, r.next, r.state
		r.mu.Unlock()
		var err error
		last, end := int64(-1), next
		if ready {
			end, err = r.log().ReadFrom(ctx, next, func(offset int64, _ *schemas.Record) error { last = offset; return nil })
		}
		switch {
		case !ready, err == nil && end < next, errors.Is(err, kafka.OffsetOutOfRange):
			err = until(ctx, changed) // where it is not the log that was read, Follow finds that out too
		case err != nil:
			err = fmt.Errorf("reading topic %s: %w", r.Topic(), err)
		default:
			var same bool
			if same, err = r.await(ctx, of, last); same {
				return nil
			}
		}
		if err != nil {
			return err
		}
	}
}

// await waits until the record at an offset was read; false = the log was made anew
// meanwhile.
func (r *Registry) await(ctx context.Context, of *state, offset int64) (same bool, err error) {
	for {
		r.mu.Lock()
		changed, last, same := r.changed, r.last, r.state == of && r.fresh == nil
		r.mu.Unlock()
		if !same || last >= offset {
			return same, nil
		}
		if err := until(ctx, changed); err != nil {
			return false, err
		}
	}
}

func until(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
