package position

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"onelogin-kafka/producer"
	"onelogin-kafka/schemas"
)

// Editor reads and moves positions in Kafka.
type Editor struct {
	Hand *producer.Hand
	// By, Via and Reason are what the audit topic is told of a change, see
	// schemas.AuditEntry.
	By, Via, Reason string
}

// Read returns the positions of some connectors, by name; of all that have one
// where none are named. shards is the number of partitions of the offsets topic.
// What cannot be read of one connector is in errs, by its name.
func (e *Editor) Read(ctx context.Context, connectors ...string) (states map[string]State, errs map[string]error, shards int32, err error) {
	records, shards, err := e.Hand.Positions(ctx, connectors...)
	if err != nil {
		return nil, nil, 0, err
	}
	states, errs = map[string]State{}, map[string]error{}
	for name := range records {
		if len(connectors) == 0 {
			states[name] = State{}
		}
	}
	for _, name := range connectors {
		states[name] = State{}
	}
	for name := range states {
		st, err := Read(name, records[name])
		if states[name] = st; err != nil {
			errs[name] = err
			delete(states, name)
		}
	}
	return states, errs, shards, nil
}

// Apply makes plans true, those of one shard in one transaction, and returns why
// not, by connector: ErrConflict (wrapped), or what Kafka says. Each connector's
// plan is applied whole or not at all.
func (e *Editor) Apply(ctx context.Context, plans []Plan, shards int32) map[string]error {
	byShard := map[int32][]Plan{}
	for _, p := range plans {
		shard := Shard(p.Before.Connector, shards)
		byShard[shard] = append(byShard[shard], p)
	}
	errs := map[string]error{}
	for shard, list := range byShard {
		slices.SortFunc(list, func(a, b Plan) int { return cmp.Compare(a.Before.Connector, b.Before.Connector) })
		refusals := map[string]error{}
		err := e.Hand.Change(ctx, shard, func(known producer.ShardRecords) ([]schemas.Record, error) {
			clear(refusals)
			return e.records(list, known, shard, refusals)
		})
		for _, p := range list {
			name := p.Before.Connector
			switch {
			case refusals[name] != nil:
				errs[name] = refusals[name]
			case err != nil:
				errs[name] = err
			}
		}
	}
	return errs
}

// records are those of the plans that hold by what is known; why the others do
// not goes to refusals.
func (e *Editor) records(plans []Plan, known producer.ShardRecords, shard int32, refusals map[string]error) ([]schemas.Record, error) {
	var records []schemas.Record
	now := time.Now().UTC().Round(0)
	for i := range plans {
		name := plans[i].Before.Connector
		st, err := Read(name, known[name])
		var p Plan
		if err == nil {
			p, err = plans[i].Renew(&st, now)
		}
		if err != nil {
			refusals[name] = err
			continue
		}
		if p.Nothing() {
			continue
		}
		records = append(records, p.Records(now)...)
		records = append(records, e.audit(&p, shard, now))
	}
	return records, nil
}

// audit is the record of who did what.
func (e *Editor) audit(p *Plan, shard int32, now time.Time) schemas.Record {
	value := func(s *State) json.RawMessage {
		if s.Fresh {
			return nil
		}
		return s.Offset.Marshal()
	}
	return schemas.AuditEntry{
		At: now, By: e.By, Via: e.Via, Action: "offsets." + p.Target.verb(), Connector: p.Before.Connector, Shard: shard,
		Before: value(&p.Before), After: value(&p.After), Reason: e.Reason,
	}.Record()
}

func (t *Target) verb() string {
	switch {
	case t.Reset:
		return "reset"
	case t.Import != nil:
		return "import"
	}
	return "set"
}

// ErrUnknown tells that a connector has no position; wrapped.
var ErrUnknown = errors.New("has no position")

// Plan says what it means to move a connector to target, by what is there now.
// ErrUnknown for a connector without a position, unless one is imported;
// ErrRefused where it must not be moved there.
func (e *Editor) Plan(ctx context.Context, connector string, target Target) (Plan, int32, error) {
	states, errs, shards, err := e.Read(ctx, connector)
	if err == nil {
		err = errs[connector]
	}
	if err != nil {
		return Plan{}, 0, err
	}
	st := states[connector]
	if st.Fresh && target.Import == nil {
		return Plan{}, 0, fmt.Errorf("connector %s %w: it begins at its start_from", connector, ErrUnknown)
	}
	p, err := st.Move(target, time.Now().UTC().Round(0))
	return p, shards, err
}
