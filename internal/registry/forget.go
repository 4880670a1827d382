package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"onelogin-kafka/producer"
	"onelogin-kafka/schemas"
)

// ErrConfigured is returned (wrapped) for a connector that is on the control log:
// its position is in use.
var ErrConfigured = errors.New("is on the control log; remove it first")

// Forget takes back what a connector that is not configured any more has left:
// the requests of its jobs; then its position, its minutes, how far its jobs were and
// its status, in one transaction of its shard with the audit record, so that the
// shard's owner can not write them once more. It returns how many records of the
// offsets topic there were. The caller knows that no file has the connector either:
// who polls it again begins at start_from, and publishes again what lies behind that.
func (r *Registry) Forget(ctx context.Context, name string, who Who) (records int, err error) {
	err = r.leave(ctx, name, "connector.forget", who, forgotten, func(own map[string][]byte, now time.Time) []schemas.Record {
		if len(own) == 0 && records > 0 {
			return nil // a try before this one has done it after all
		}
		records = len(own)
		var all []schemas.Record
		for _, key := range slices.Sorted(maps.Keys(own)) {
			all = append(all, schemas.Record{Topic: schemas.Offsets, Key: []byte(key), Time: now})
		}
		return append(all, schemas.Record{Topic: schemas.Status, Key: schemas.OffsetKey(name), Time: now})
	})
	if err != nil {
		return 0, fmt.Errorf("forgetting connector %s: %w", name, err)
	}
	return records, nil
}

// Retire notes with the position of a connector that is not configured any more
// that this is meant, takes its status back, so that nobody is alerted, and cancels
// its jobs. The position stays, and who polls the connector again goes on from it. It returns
// false where there is no position.
func (r *Registry) Retire(ctx context.Context, name string, who Who) (found bool, err error) {
	err = r.leave(ctx, name, "connector.retire", who, cancelled, func(own map[string][]byte, now time.Time) []schemas.Record {
		o, err := schemas.ParseOffset(own[name])
		if found = err == nil; !found {
			return nil // what we cannot read is not ours to write
		}
		o.RetiredAt, o.UpdatedAt = now, now
		return []schemas.Record{
			{Topic: schemas.Offsets, Key: schemas.OffsetKey(name), Value: o.Marshal(), Time: now},
			{Topic: schemas.Status, Key: schemas.OffsetKey(name), Time: now},
		}
	})
	if err != nil {
		return false, fmt.Errorf("retiring connector %s: %w", name, err)
	}
	return found, nil
}

// Left tells whether a connector has anything on the offsets topic.
func (r *Registry) Left(ctx context.Context, name string) (bool, error) {
	hand := producer.Hand{Cluster: r.opts.Cluster, Topics: r.opts.Topics, Group: r.opts.Group}
	known, _, err := hand.Positions(ctx, name)
	if err != nil {
		return false, fmt.Errorf("looking for the position of connector %s: %w", name, err)
	}
	return len(known[name]) > 0, nil
}

// removed returns ErrConfigured for a connector that is on the control log now.
func (r *Registry) removed(ctx context.Context, name string) error {
	if err := r.Read(ctx); err != nil {
		return err
	}
	if _, err := r.Get(name); !errors.Is(err, ErrNotFound) {
		return ErrConfigured
	}
	return nil
}

// ending returns what ends the jobs of a connector on the control log.
type ending func(known map[string][]byte, name string, who Who, now time.Time) []schemas.Record

// leave ends a connector's jobs, and writes what decide makes of what it has left on
// the offsets topic, if anything, in one transaction of its shard with the audit
// record.
func (r *Registry) leave(ctx context.Context, name, action string, who Who, jobs ending, decide func(own map[string][]byte, now time.Time) []schemas.Record) error {
	if !schemas.ValidConnector(name) {
		return fmt.Errorf("%.80q is no name of one", name)
	}
	if err := r.removed(ctx, name); err != nil {
		return err
	}
	if err := r.Write(ctx, func(all map[string][]byte) ([]schemas.Record, error) {
		return jobs(all, name, who, time.Now().UTC()), nil
	}); err != nil {
		return fmt.Errorf("ending its jobs: %w", err)
	}
	hand := producer.Hand{Cluster: r.opts.Cluster, Topics: r.opts.Topics, Group: r.opts.Group}
	shard, err := hand.Shard(ctx, name)
	if err != nil {
		return err
	}
	wrote := false
	err = hand.Change(ctx, shard, func(known producer.ShardRecords) ([]schemas.Record, error) {
		// Whoever has put it back meanwhile has its position in use, and cannot use it
		// any more while we look.
		if err := r.removed(ctx, name); err != nil {
			return nil, err
		}
		now := time.Now().UTC()
		all := decide(known[name], now)
		if wrote = len(all) > 0; !wrote {
			return nil, nil
		}
		entry := who.Entry(action, now)
		entry.Connector, entry.Shard = name, shard
		if value := known[name][name]; value != nil {
			entry.Before = value
		}
		return append(all, entry.Record()), nil
	})
	if err != nil || !wrote {
		return err
	}
	// The owner is to notice that it was fenced; a bell that leaves nothing rings too.
	bell := schemas.ControlKey{Kind: schemas.ControlBell, Connector: name}
	return r.Write(ctx, func(map[string][]byte) ([]schemas.Record, error) {
		return []schemas.Record{{Topic: schemas.Connectors, Key: []byte(bell.String()), Time: time.Now()}}, nil
	})
}
