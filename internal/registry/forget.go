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
// its position, its minutes and its status, in one transaction of its shard with
// the audit record, so that the shard's owner can not write them once more. It
// returns how many records of the offsets topic there were. The caller knows that
// no file has the connector either: who polls it again begins at start_from, and
// publishes again what lies behind that.
func (r *Registry) Forget(ctx context.Context, name string, who Who) (records int, err error) {
	if !schemas.ValidConnector(name) {
		return 0, fmt.Errorf("connector %.80q is no name of one", name)
	}
	if err := r.Read(ctx); err != nil {
		return 0, err
	}
	if _, err := r.Get(name); !errors.Is(err, ErrNotFound) {
		return 0, fmt.Errorf("connector %s %w", name, ErrConfigured)
	}
	hand := producer.Hand{Cluster: r.opts.Cluster, Topics: r.opts.Topics, Group: r.opts.Group}
	shard, err := hand.Shard(ctx, name)
	if err != nil {
		return 0, err
	}
	err = hand.Change(ctx, shard, func(known producer.ShardRecords) ([]schemas.Record, error) {
		own := slices.Sorted(maps.Keys(known[name]))
		if len(own) == 0 && records > 0 {
			return nil, nil // a try before this one has done it after all
		}
		records = len(own)
		now := time.Now().UTC()
		var all []schemas.Record
		for _, key := range own {
			all = append(all, schemas.Record{Topic: schemas.Offsets, Key: []byte(key), Time: now})
		}
		all = append(all, schemas.Record{Topic: schemas.Status, Key: schemas.OffsetKey(name), Time: now})
		entry := schemas.AuditEntry{At: now, By: who.By, Via: who.Via, Action: "connector.forget", Connector: name, Shard: shard, Reason: who.Reason}
		if value := known[name][name]; value != nil {
			entry.Before = value
		}
		return append(all, entry.Record()), nil
	})
	if err != nil {
		return 0, fmt.Errorf("forgetting connector %s: %w", name, err)
	}
	// The owner is to notice that it was fenced; a bell that leaves nothing rings too.
	bell := schemas.ControlKey{Kind: schemas.ControlBell, Connector: name}
	return records, r.Write(ctx, func(map[string][]byte) ([]schemas.Record, error) {
		return []schemas.Record{{Topic: schemas.Connectors, Key: []byte(bell.String()), Time: time.Now()}}, nil
	})
}
