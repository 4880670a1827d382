package deadletter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"onelogin-kafka/internal/position"
	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// lateAfter is how far behind the position an event counts as late.
const lateAfter = 2 * time.Second

// Account is how a connector's events are written.
type Account struct {
	Connector string
	Key       schemas.KeyStrategy
	Compact   bool
}

// Outcome is what became of a replayed letter.
type Outcome struct {
	Letter *Letter
	// Published tells that its event is in the topic now; Known that it was before.
	Published, Known bool
	// Err is why it is neither: the letter stays as it is.
	Err error
}

// Why a letter is not replayed; wrapped.
var (
	ErrUnreadable = errors.New("is still no event")
	ErrForeign    = errors.New("is an event of another account")
	ErrNobody     = errors.New("has no position, so nobody polls it")
)

// Replay publishes the events of letters of one connector, each once: what is in
// the topic already, or known to the connector's window, is not published
// again. All of them become visible in one transaction of the connector's
// shard, with its position and a record on the audit topic for each. What cannot
// be published goes nowhere.
func (b *Box) Replay(ctx context.Context, account Account, letters []*Letter) ([]Outcome, error) {
	shard, err := b.Hand.Shard(ctx, account.Connector)
	if err != nil {
		return nil, err
	}
	r := &replay{box: b, account: account, shard: shard, topic: inTopic{
		hand: b.Hand, name: b.topic(schemas.Events), tenant: account.Connector, next: map[int32]int64{}, ids: map[int64]bool{},
	}}
	for _, l := range letters {
		o := Outcome{Letter: l}
		ev, reason := l.Event()
		if reason != "" {
			o.Err = fmt.Errorf("%w: %s", ErrUnreadable, reason)
		}
		r.outcomes, r.events = append(r.outcomes, o), append(r.events, ev)
		if reason == "" {
			r.topic.ids[ev.ID] = false
		}
	}
	if len(r.topic.ids) == 0 {
		return r.outcomes, nil
	}
	// Most of the topic is read before anybody is fenced: the rest is quick then. A
	// transaction that is open by then is decided by the fence.
	if err := r.topic.read(ctx); err != nil {
		return nil, err
	}
	if r.wanted() {
		err = b.Hand.Change(ctx, shard, func(known producer.ShardRecords) ([]schemas.Record, error) {
			return r.decide(ctx, known[account.Connector])
		})
		if err != nil {
			return nil, err
		}
	} else {
		for i := range r.outcomes {
			o := &r.outcomes[i]
			o.Known = o.Err == nil
		}
	}
	return r.outcomes, b.known(ctx, r)
}

// replay is one call of Replay.
type replay struct {
	box      *Box
	account  Account
	shard    int32
	topic    inTopic
	outcomes []Outcome
	events   []schemas.Event // of the outcomes
}

// wanted tells whether any of the events is not in the topic.
func (r *replay) wanted() bool {
	for _, found := range r.topic.ids {
		if !found {
			return true
		}
	}
	return false
}

// decide says what is to be written, once nobody else can publish.
func (r *replay) decide(ctx context.Context, known map[string][]byte) ([]schemas.Record, error) {
	if err := r.topic.read(ctx); err != nil {
		return nil, err
	}
	st, err := position.Read(r.account.Connector, known)
	if err != nil {
		return nil, err
	}
	if st.Fresh {
		return nil, fmt.Errorf("connector %s %w", r.account.Connector, ErrNobody)
	}
	now := time.Now().UTC().Round(0)
	after := position.State{Connector: st.Connector, Offset: st.Offset, Minutes: map[time.Time][]int64{}}
	maps.Copy(after.Minutes, st.Minutes)
	enc := schemas.Encoder{Tenant: r.account.Connector, Domain: st.Offset.Domain, Key: r.account.Key, Compact: r.account.Compact, Types: schemas.NewTypes()}
	here := map[int64]bool{} // one event may have come as several letters
	var records []schemas.Record
	for i := range r.outcomes {
		o, ev := &r.outcomes[i], &r.events[i]
		if errors.Is(o.Err, ErrUnreadable) {
			continue
		}
		o.Known, o.Published, o.Err = false, false, nil
		switch {
		case ev.AccountID != 0 && st.Offset.AccountID != 0 && ev.AccountID != st.Offset.AccountID:
			o.Err = fmt.Errorf("%w: %d", ErrForeign, ev.AccountID)
		case r.topic.ids[ev.ID] || here[ev.ID] || knows(&after, ev.ID):
			o.Known = true
		default:
			o.Published, here[ev.ID] = true, true
			records = append(records, enc.Event(ev, ev.CreatedAt.Before(st.Offset.Through.Add(-lateAfter))), r.box.audit(o.Letter, actionReplay, r.shard, ev.ID, now))
			learn(&after, ev)
		}
	}
	if len(records) == 0 {
		return nil, nil
	}
	after.Offset.UpdatedAt = now
	plan := position.Plan{Before: st, After: after}
	return append(records, plan.Records(now)...), nil
}

// knows tells whether the window has an id.
func knows(s *position.State, id int64) bool {
	for _, ids := range s.Minutes {
		if _, found := slices.BinarySearch(ids, id); found {
			return true
		}
	}
	return false
}

// learn makes an event known that is published beside the poller, so that it
// never publishes it again: within the window by its id, before it by the
// highest.
func learn(s *position.State, ev *schemas.Event) {
	s.Offset.Events++
	if ev.CreatedAt.Before(s.Offset.WindowStart.Truncate(time.Minute)) {
		s.Offset.LastID = max(s.Offset.LastID, ev.ID)
		return
	}
	minute := ev.CreatedAt.UTC().Truncate(time.Minute)
	ids := slices.Clone(s.Minutes[minute])
	i, _ := slices.BinarySearch(ids, ev.ID)
	s.Minutes[minute] = slices.Insert(ids, i, ev.ID)
}

// audit is the record of what becomes of a letter.
func (b *Box) audit(l *Letter, action string, shard int32, id int64, now time.Time) schemas.Record {
	after, err := json.Marshal(struct {
		ID
		EventID int64 `json:"event_id,omitempty"`
	}{l.ID, id})
	if err != nil {
		panic("deadletter: " + err.Error()) // impossible: numbers only
	}
	return schemas.AuditEntry{
		At: now, By: b.By, Via: "command", Action: action, Connector: l.Connector, Shard: shard, After: after, Reason: b.Reason,
	}.Record()
}

// known notes the letters whose events were in the topic before.
func (b *Box) known(ctx context.Context, r *replay) error {
	now := time.Now().UTC().Round(0)
	var records []schemas.Record
	for i := range r.outcomes {
		if r.outcomes[i].Known {
			records = append(records, b.audit(r.outcomes[i].Letter, actionReplay, -1, r.events[i].ID, now))
		}
	}
	return b.note(ctx, records)
}

// Discard notes that letters are of no use. They stay on the topic for as long as
// it keeps them.
func (b *Box) Discard(ctx context.Context, letters []*Letter) error {
	now := time.Now().UTC().Round(0)
	var records []schemas.Record
	for _, l := range letters {
		records = append(records, b.audit(l, actionDiscard, -1, 0, now))
	}
	return b.note(ctx, records)
}

// note writes on the audit topic alone, which disturbs no shard.
func (b *Box) note(ctx context.Context, records []schemas.Record) error {
	if len(records) == 0 {
		return nil
	}
	w := &producer.ControlWriter{Cluster: b.Hand.Cluster, Topics: b.Hand.Topics, Group: b.Hand.Group}
	return w.Change(ctx, func(map[string][]byte) ([]schemas.Record, error) { return slices.Clone(records), nil })
}

// inTopic tells which of some events of a connector are in the events topic.
type inTopic struct {
	hand   *producer.Hand
	name   string
	tenant string
	next   map[int32]int64 // up to where each partition was read
	ids    map[int64]bool  // those asked about; true: it is there
}

// read reads what is new since the last read; at first the whole topic, as a
// letter may have been replayed at any time, up to where all is decided.
func (t *inTopic) read(ctx context.Context) error {
	n, err := t.hand.Cluster.Partitions(ctx, t.name)
	if errors.Is(err, wire.ErrUnknownTopic) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for topic %s: %w", t.name, err)
	}
	for p := range n {
		log := producer.CommittedLog{Cluster: t.hand.Cluster, Topic: t.name, Partition: p}
		look := func(_ int64, r *schemas.Record) error {
			if header(r, schemas.HeaderTenant) == t.tenant {
				t.found(header(r, schemas.HeaderID))
			}
			return nil
		}
		from, begun := t.next[p]
		var end int64
		if begun {
			end, err = log.ReadFrom(ctx, from, look)
		} else {
			end, err = log.ReadDecided(ctx, look)
		}
		if err != nil {
			return fmt.Errorf("reading topic %s: %w", t.name, err)
		}
		t.next[p] = max(end, from)
	}
	return nil
}

func (t *inTopic) found(text string) {
	var id int64
	if _, err := fmt.Sscan(text, &id); err != nil {
		return
	}
	if _, asked := t.ids[id]; asked {
		t.ids[id] = true
	}
}
