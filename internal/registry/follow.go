package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
	if !r.whole {
		return
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// Read reads the log to its end, for who follows it no further.
func (r *Registry) Read(ctx context.Context) error {
	log := r.log()
	from, err := r.from(ctx, log)
	if err != nil {
		return fmt.Errorf("reading topic %s: %w", r.Topic(), err)
	}
	end, err := log.ReadFrom(ctx, from, r.apply)
	if err != nil {
		return fmt.Errorf("reading topic %s: %w", r.Topic(), err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next, r.whole, r.again = end, true, false
	r.tell()
	return nil
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
	wait := backoff.NewExponentialBackOff(backoff.WithInitialInterval(soonest), backoff.WithMaxInterval(latest), backoff.WithMaxElapsedTime(0))
	said := ""
	for ctx.Err() == nil {
		err := r.Read(ctx)
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

func (r *Registry) reached() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next
}

// anew forgets what was read of a log that does not go on from there.
func (r *Registry) anew() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget()
	r.again = true
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
	switch e.Key.Kind {
	case schemas.ControlConnector:
		r.connector(e)
	case schemas.ControlSealing:
		r.sealing(e)
	case schemas.ControlJob:
		r.job(e)
	case schemas.ControlBell:
		if e.Value == nil {
			delete(r.rest, e.Key.String())
		} else {
			r.rest[e.Key.String()] = e
		}
	}
	r.tell()
	return r.watchers
}

// connector takes a connector's record over. The caller holds the lock.
func (r *Registry) connector(e Entry) {
	name := e.Key.Connector
	delete(r.broken, name)
	delete(r.connectors, name)
	if e.Value == nil {
		r.results.Delete(name)
		return
	}
	c, err := readConnector(name, e.Value)
	if err != nil {
		r.broken[name] = err
		return
	}
	r.connectors[name] = c
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
func (r *Registry) sealing(e Entry) {
	delete(r.keys, e.Key.ID)
	if e.Value == nil {
		return
	}
	if k, err := readSealing(e.Key.ID, e.Value); err == nil {
		r.keys[k.ID] = k
	} else {
		r.opts.Log.Warn().Err(err).Str("key_id", e.Key.ID).Msg("a public key on the control log cannot be used")
	}
}

// CatchUp waits until everything is read that is committed now.
func (r *Registry) CatchUp(ctx context.Context) error {
	for {
		r.mu.Lock()
		changed, whole, next := r.changed, r.whole, r.next
		r.mu.Unlock()
		if !whole {
			if err := until(ctx, changed); err != nil {
				return err
			}
			continue
		}
		last := int64(-1)
		if _, err := r.log().ReadFrom(ctx, next, func(offset int64, _ *schemas.Record) error { last = offset; return nil }); err != nil {
			return fmt.Errorf("reading topic %s: %w", r.Topic(), err)
		}
		return r.await(ctx, last)
	}
}

// await waits until the record at an offset was read.
func (r *Registry) await(ctx context.Context, offset int64) error {
	for {
		r.mu.Lock()
		changed, last := r.changed, r.last
		r.mu.Unlock()
		if last >= offset {
			return nil
		}
		if err := until(ctx, changed); err != nil {
			return err
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
