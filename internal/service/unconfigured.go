package service

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"onelogin-kafka/producer"
	"onelogin-kafka/schemas"
)

// absentees are the connectors of our shards that we have no configuration for,
// by shard.
type absentees struct {
	mu     sync.Mutex
	shards map[int32]map[string]schemas.ConnectorStatus
	kick   chan struct{}
}

func newAbsentees() absentees {
	return absentees{shards: map[int32]map[string]schemas.ConnectorStatus{}, kick: make(chan struct{}, 1)}
}

func (a *absentees) set(shard int32, list map[string]schemas.ConnectorStatus) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if maps.Equal(a.shards[shard], list) {
		return
	}
	if a.shards[shard] = list; len(list) == 0 {
		delete(a.shards, shard)
	}
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

func (a *absentees) of(shard int32) map[string]schemas.ConnectorStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.shards[shard]
}

func (a *absentees) all() []schemas.ConnectorStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []schemas.ConnectorStatus
	for _, list := range a.shards {
		all = slices.AppendSeq(all, maps.Values(list))
	}
	return all
}

// missing shows the connectors of the shard that the topic has a position of,
// or that ran here, and that this instance has no configuration for: others may
// have, but only the owner can poll them.
func (v *serving) missing(ctx context.Context, connectors map[string]*connector) {
	s := v.service
	names, err := v.session.Connectors(ctx)
	if err != nil {
		return // the session is over
	}
	before := s.absent.of(v.session.Shard)
	now := map[string]schemas.ConnectorStatus{}
	for _, name := range slices.AppendSeq(names, maps.Keys(v.removed)) {
		if _, ok := connectors[name]; ok || !schemas.ValidConnector(name) {
			delete(v.told, name)
			delete(v.retired, name)
			continue
		}
		if v.retired[name] {
			continue
		}
		st, ok := v.shown[name]
		if !ok {
			var retired bool
			if st, retired, ok = s.unconfigured(ctx, name, v.session); !ok {
				return
			}
			if retired {
				v.retired[name] = true
				continue
			}
			if b, was := before[name]; was {
				st.Since = b.Since
			}
		}
		now[name] = st
		if v.told[name] {
			continue
		}
		r := schemas.Record{Topic: schemas.Status, Key: schemas.OffsetKey(name), Value: st.Marshal(), Time: st.UpdatedAt}
		if v.session.Note(ctx, r) != nil {
			return
		}
		v.told[name] = true
	}
	v.shown = now
	s.absent.set(v.session.Shard, now)
}

// unconfigured is the status of a connector that we own and cannot poll, and
// whether it is meant not to be polled; ok is false when the session is over.
func (s *Service) unconfigured(ctx context.Context, name string, session *producer.Session) (st schemas.ConnectorStatus, retired, ok bool) {
	now := time.Now().UTC()
	st = schemas.ConnectorStatus{
		Connector: name, State: schemas.StateInactive, LagSeconds: -1,
		Message:  fmt.Sprintf("instance %s owns its shard but has no configuration for it", s.settings.instance),
		Advice:   adviceAbsent,
		Instance: s.settings.instance, Console: s.console(), Shard: int(session.Shard), Since: now, UpdatedAt: now,
	}
	state, _, err := s.state(ctx, name, session)
	if ctx.Err() != nil {
		return st, false, false
	}
	if err == nil {
		st.Domain = state.Offset.Domain
		position(&st, state.Offset)
	}
	return st, err == nil && !state.Offset.RetiredAt.IsZero(), true
}

const (
	// gathering is how long changes are gathered into one line.
	gathering = time.Second
	// namesTold is how many names a line has at most.
	namesTold = 20
)

// tellAbsent logs each connector that appears among the absentees once, until
// it is configured again.
func (s *Service) tellAbsent(ctx context.Context) {
	told := map[string]bool{}
	for {
		select {
		case <-s.absent.kick:
		case <-ctx.Done():
			return
		}
		if !sleep(ctx, gathering) {
			return
		}
		configured := s.snapshot()
		maps.DeleteFunc(told, func(name string, _ bool) bool { return configured[name] != nil })
		var names []string
		for _, st := range s.absent.all() {
			if !told[st.Connector] {
				told[st.Connector] = true
				names = append(names, st.Connector)
			}
		}
		if len(names) == 0 {
			continue
		}
		slices.Sort(names)
		s.opts.Log.Warn().Strs("connectors", names[:min(len(names), namesTold)]).Int("count", len(names)).Str("instance", s.settings.instance).
			Msg("this instance owns the shards of connectors that it has no configuration for: nobody polls them")
	}
}
