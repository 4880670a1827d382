package soak

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onelogin-kafka/schemas"
	"onelogin-kafka/source/onelogin/simulator"
)

// Damage says in what way a topic is not what it should be.
type Damage struct {
	Gaps    int   // runs of events that are not there, the first of one event
	Longest int64 // and the second of so many
	// LateBy is after how much the events that come later were found too late: every
	// second of them is not there.
	LateBy            time.Duration
	Altered, Repeated int
}

// Damaged is what was done to a topic, by the ids of the events.
type Damaged struct {
	Missing, Altered, Repeated map[int64]bool
	Late                       int   // of the missing, those that came too late
	Written                    int64 // records
	offset                     schemas.Offset
}

// WriteDamaged writes what a service would have published of a tenant that has been quiet since the simulator's start, with damage, and
// the position after it: in one transaction, as the auditor demands. Nobody else may be at work on the topics.
func (w *World) WriteDamaged(tenant string, d Damage, seed uint64) (*Damaged, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(w.plan.Cluster.Brokers()...), kgo.TransactionalID(w.name+"-damage"), kgo.TransactionTimeout(10*time.Minute),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.NoCompression()))
	if err != nil {
		return nil, fmt.Errorf("creating a producer: %w", err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		return nil, fmt.Errorf("beginning a transaction: %w", err)
	}
	first := kgo.AbortingFirstErrPromise(client)
	out := &writing{w: w, produce: func(r schemas.Record) { client.Produce(w.tb.Context(), w.record(r), first.Promise()) }}
	if err := out.write(tenant, d, rand.New(rand.NewPCG(seed, 2))); err != nil {
		return nil, err
	}
	if err := first.Err(); err != nil {
		return nil, fmt.Errorf("writing a damaged topic: %w", err)
	}
	if err := client.EndTransaction(w.tb.Context(), kgo.TryCommit); err != nil {
		return nil, fmt.Errorf("committing a damaged topic: %w", err)
	}
	return &out.Damaged, nil
}

// record is r for franz-go.
func (w *World) record(r schemas.Record) *kgo.Record {
	k := &kgo.Record{Topic: w.topic("events"), Key: r.Key, Value: r.Value, Timestamp: r.Time}
	if r.Topic == schemas.Offsets {
		k.Topic = w.topic("offsets")
	}
	for _, h := range r.Headers {
		k.Headers = append(k.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return k
}

// writing is a damaged topic that is being written.
type writing struct {
	Damaged
	w       *World
	produce func(schemas.Record)
	encoder schemas.Encoder
}

// write writes the events in the order of their ids, and after them those that came late.
func (o *writing) write(tenant string, d Damage, r *rand.Rand) error {
	o.Damaged = Damaged{Missing: map[int64]bool{}, Altered: map[int64]bool{}, Repeated: map[int64]bool{}}
	o.encoder = schemas.Encoder{Tenant: tenant, Domain: tenant + ".onelogin.com", Key: schemas.KeyTenant, Types: schemas.NewTypes()}
	start := o.w.Sim.Start().UTC()
	o.offset = schemas.Offset{Domain: o.encoder.Domain, Through: start, WindowStart: start, UpdatedAt: time.Now().UTC()}
	events, err := o.w.Sim.Truth(tenant)
	if err != nil {
		return err
	}
	n := o.w.Sim.Count(tenant)
	gaps, altered, repeated := d.gaps(n, r), spread(n, d.Altered, r), spread(n, d.Repeated, r)
	var late []schemas.Event
	comeLate, alter, repeat, i := 0, 0, 0, int64(0)
	for e := range events {
		ev, err := parse(e)
		if err != nil {
			return err
		}
		o.offset.AccountID, o.offset.LastID = ev.AccountID, max(o.offset.LastID, ev.ID)
		if altered[i] {
			alter++
		}
		if repeated[i] {
			repeat++
		}
		isLate := e.VisibleAt.Sub(e.CreatedAt) > d.LateBy
		if isLate {
			comeLate++
		}
		switch i++; {
		case gaps[i-1]:
			o.Missing[ev.ID] = true
		case isLate && comeLate%2 == 0:
			o.Missing[ev.ID] = true
			o.Late++
		case isLate:
			late = append(late, ev)
		case alter > 0:
			alter--
			o.Altered[ev.ID] = true
			ev.Raw = append(ev.Raw[:len(ev.Raw)-1], `,"altered":true}`...)
			o.put(ev, false)
		case repeat > 0:
			repeat--
			o.Repeated[ev.ID] = true
			o.put(ev, false)
			late = append(late, ev)
		default:
			o.put(ev, false)
		}
	}
	for _, ev := range late {
		o.put(ev, true)
	}
	o.offset.Events = o.Written
	o.produce(schemas.Record{Topic: schemas.Offsets, Key: schemas.OffsetKey(tenant), Value: o.offset.Marshal(), Time: time.Now()})
	return nil
}

func (o *writing) put(ev schemas.Event, late bool) {
	o.Written++
	o.produce(o.encoder.Event(&ev, late))
}

// gaps are the numbers of the events that are not there: one run in each of so many equal parts.
func (d *Damage) gaps(n int64, r *rand.Rand) map[int64]bool {
	gone := map[int64]bool{}
	part := n / int64(d.Gaps)
	for g := range int64(d.Gaps) {
		length := 1 + r.Int64N(d.Longest)
		switch g {
		case 0:
			length = 1
		case 1:
			length = d.Longest
		}
		first := g*part + r.Int64N(part-d.Longest)
		for i := range length {
			gone[first+i] = true
		}
	}
	return gone
}

// spread draws k different numbers below n, none near the end: what cannot be done to that event is done to the next that it can be
// done to.
func spread(n int64, k int, r *rand.Rand) map[int64]bool {
	drawn := map[int64]bool{}
	for len(drawn) < k {
		drawn[r.Int64N(n*9/10)] = true
	}
	return drawn
}

// parse reads what decides where an event goes. It copies the event's bytes.
func parse(e simulator.Event) (schemas.Event, error) {
	ev := schemas.Event{Raw: append([]byte(nil), e.Raw...), ID: e.ID, CreatedAt: e.CreatedAt}
	var f struct {
		CreatedAt string          `json:"created_at"`
		AccountID int64           `json:"account_id"`
		TypeID    int64           `json:"event_type_id"`
		UserID    json.RawMessage `json:"user_id"`
	}
	if err := json.Unmarshal(e.Raw, &f); err != nil {
		return ev, fmt.Errorf("reading event %d: %w", e.ID, err)
	}
	ev.CreatedAtText, ev.AccountID, ev.TypeID = []byte(f.CreatedAt), f.AccountID, f.TypeID
	if string(f.UserID) != "null" {
		ev.UserID = f.UserID
	}
	return ev, nil
}
