package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

// mutations are one mistake each in a right history, and the rule and name by
// which it must be told.
var mutations = []struct {
	name       string
	rule, kind string
	key        string // key strategy
	change     func(t *testing.T, p *plan)
}{
	{"event dropped", "A1", "missing", "", func(t *testing.T, p *plan) {
		x, r := p.of(t, testEvents, "acme", 1)
		x.drop(r)
	}},
	{"event dropped: its position is ahead", "A3", "position-ahead", "", func(t *testing.T, p *plan) {
		x, r := p.of(t, testEvents, "acme", 1)
		x.drop(r)
	}},
	{"event dropped: its minute is ahead", "A3", "ids-ahead", "", func(t *testing.T, p *plan) {
		x, r := p.of(t, testEvents, "acme", 1)
		x.drop(r)
	}},
	{"event duplicated in its transaction", "A1", "duplicate", "", func(t *testing.T, p *plan) {
		x, r := p.of(t, testEvents, "acme", 1)
		x.records = append(x.records, r)
	}},
	{"transaction written twice", "A1", "duplicate", "", func(_ *testing.T, p *plan) {
		p.txns = slices.Insert(p.txns, 1, p.txns[0])
	}},
	{"event duplicated later: its position is behind", "A3", "position-behind", "", func(t *testing.T, p *plan) {
		_, r := p.of(t, testEvents, "acme", 0)
		x, _ := p.of(t, testEvents, "acme", 4)
		x.records = append(x.records, r)
	}},
	{"byte altered", "A1", "altered", "", func(t *testing.T, p *plan) {
		_, r := p.of(t, testEvents, "acme", 1)
		r.value = bytes.Replace(r.value, []byte("<c>"), []byte("<d>"), 1)
	}},
	{"white space altered", "A1", "altered", "", func(t *testing.T, p *plan) {
		_, r := p.of(t, testEvents, "acme", 1)
		r.value = bytes.Replace(r.value, []byte(", "), []byte(","), 1)
	}},
	{"event unknown to the source", "A1", "unknown", "", func(_ *testing.T, p *plan) {
		p.truth["acme"] = p.truth["acme"][1:]
	}},
	{"connector unknown to the source", "A1", "unknown", "", func(_ *testing.T, p *plan) { delete(p.truth, "acme") }},
	{"connector never collected", "A1", "missing", "", func(_ *testing.T, p *plan) {
		p.truth["zebra"] = []Fact{{ID: 1}}
	}},
	{"transaction aborted that should have been committed", "A1", "missing", "", func(_ *testing.T, p *plan) {
		p.txns[2].abort = true
	}},
	{"transaction committed that should have been aborted", "A1", "duplicate", "", func(_ *testing.T, p *plan) {
		p.txns[3].abort = false
	}},

	{"events go back", "A2", "events-back", "", func(t *testing.T, p *plan) {
		_, r := p.of(t, testOffsets, "acme", 3)
		r = positionIn(t, p, r)
		r.edit(t, "events", plus(-4))
	}},
	{"through goes back", "A2", "through-back", "", editPosition("through", later(-10*time.Hour))},
	{"last_id goes back", "A2", "last_id-back", "", editPosition("last_id", plus(-1000))},
	{"window_start goes back", "A2", "window_start-back", "", editPosition("window_start", later(-10*time.Hour))},
	{"domain changes", "A2", "domain-change", "", editPosition("domain", func(any) any { return "other.onelogin.com" })},
	{"account changes", "A2", "account-change", "", editPosition("account_id", plus(1))},
	{"complete_through goes back", "A2", "complete_through-back", "", func(t *testing.T, p *plan) {
		lastPosition(t, p, "acme").edit(t, "complete_through", later(-time.Minute))
	}},
	{"complete_through is withdrawn", "A2", "complete_through-back", "", func(t *testing.T, p *plan) {
		lastPosition(t, p, "acme").edit(t, "complete_through", func(any) any { return nil })
	}},
	{"position deleted", "A2", "position-deleted", "", func(t *testing.T, p *plan) { lastPosition(t, p, "acme").value = nil }},
	{"position of another version", "A2", "position-malformed", "", editPosition("version", plus(1))},
	{"position without a field", "A2", "position-malformed", "", editPosition("last_id", func(any) any { return nil })},
	{"position written twice in the wrong order", "A2", "events-back", "", func(_ *testing.T, p *plan) {
		p.txns = append(p.txns, &txn{producer: "1", records: p.txns[0].records[3:]})
	}},

	{"position ahead of its records", "A3", "position-ahead", "", editPosition("events", plus(1))},
	{"position behind its records", "A3", "position-behind", "", editPosition("events", plus(-1))},
	{"position ahead, events spread over partitions", "A3", "position-ahead", "event", editPosition("events", plus(1))},
	{"position behind, events spread over partitions", "A3", "position-behind", "user", editPosition("events", plus(-1))},
	{"no position with the last events", "A3", "no-position", "", func(t *testing.T, p *plan) { dropOffsets(p.txns[12]) }},
	{"no position with earlier events", "A3", "no-position", "", func(t *testing.T, p *plan) { dropOffsets(p.txns[4]) }},
	{"minutes without a position", "A3", "no-position", "", func(t *testing.T, p *plan) {
		p.txns[12].drop(lastPosition(t, p, "acme"))
	}},
	{"position one transaction before its events", "A3", "position-ahead", "", func(_ *testing.T, p *plan) { split(p, 4, true) }},
	{"position one transaction after its events", "A3", "no-position", "", func(_ *testing.T, p *plan) { split(p, 4, false) }},
	{"shared transaction torn", "A3", "torn", "", tearShared},
	{"shared transaction torn in two epochs", "A3", "no-position", "", tearShared},
	{"position without its events", "A3", "position-ahead", "", func(_ *testing.T, p *plan) {
		x := p.txns[12]
		x.records = slices.DeleteFunc(x.records, func(r *record) bool { return r.topic == testEvents })
	}},
	{"through ahead of the newest event", "A3", "through-ahead", "", editPosition("through", later(time.Second))},
	{"last_id ahead of the highest id", "A3", "last_id-ahead", "", editPosition("last_id", plus(1))},
	{"id left out of its minute", "A3", "ids-behind", "", editMinute(0, func(ids []int64) []int64 { return ids[1:] })},
	{"unpublished id in a minute", "A3", "ids-ahead", "", editMinute(0, func(ids []int64) []int64 { return append(ids, ids[len(ids)-1]+1) })},
	{"minute record not written", "A3", "minute-missing", "", func(t *testing.T, p *plan) {
		x, r := p.of(t, testOffsets, "acme/", 0)
		x.drop(r)
	}},
	{"minute deleted inside the window", "A3", "minute-missing", "", func(t *testing.T, p *plan) {
		_, r := p.of(t, testOffsets, "acme/", 0)
		r.value = nil
	}},
	{"event from before the window", "A3", "before-window", "", func(_ *testing.T, p *plan) {
		m := newModel(p, "acme", "")
		p.txns[12].records = append(p.txns[12].records, m.event(1, start.Add(time.Second), true))
	}},
	{"repair that does not say that it is late", "A3", "before-window", "", func(t *testing.T, p *plan) { repair(t, p, false) }},
	{"repair of what is there", "A1", "duplicate", "", func(t *testing.T, p *plan) {
		repair(t, p, true)
		m := newModel(p, "acme", "")
		p.txns[12].records = append(p.txns[12].records, m.event(1, start.Add(time.Second), true))
	}},
	{"progress of a job that is none", "A5", "job-malformed", "", func(t *testing.T, p *plan) {
		repair(t, p, true)
		_, r := p.of(t, testOffsets, "acme/jobs/", 0)
		r.value = []byte(`{"version":1}`)
	}},

	{"wrong key", "A4", "key", "", editEvent(func(r *record) { r.key = "acme:1"; r.partition = new(homeOf("acme")) })},
	{"key of a user without one", "A4", "key", "user", editEvent(func(r *record) {
		r.value = bytes.Replace(r.value, []byte(`"user_id":`), []byte(`"user_ix":`), 2)
	})},
	{"wrong partition", "A4", "partition", "", editEvent(func(r *record) { r.partition = new((homeOf("acme") + 1) % testPartitions) })},
	{"position in another shard", "A4", "partition", "", func(t *testing.T, p *plan) {
		lastPosition(t, p, "acme").partition = new((homeOf("acme") + 1) % testPartitions)
	}},
	{"wrong timestamp", "A4", "timestamp", "", editEvent(func(r *record) { r.at = r.at.Add(time.Millisecond) })},
	{"value is no event", "A4", "value", "", editEvent(func(r *record) { r.value = []byte(`{"id":"5"}`) })},
	{"value is cut short", "A4", "value", "", editEvent(func(r *record) { r.value = r.value[:len(r.value)-1] })},
	{"header of another event", "A4", "header-ce_id", "", editHeader("ce_id", "7")},
	{"wrong source", "A4", "header-ce_source", "", editHeader("ce_source", "https://other.onelogin.com/api/1/events")},
	{"malformed source", "A4", "header-ce_source", "", editHeader("ce_source", "acme")},
	{"wrong type", "A4", "header-ce_type", "", editHeader("ce_type", "com.onelogin.event.6")},
	{"wrong time", "A4", "header-ce_time", "", editHeader("ce_time", "2026-11-22T07:00:00Z")},
	{"wrong content type", "A4", "header-content-type", "", editHeader("content-type", "text/plain")},
	{"wrong spec version", "A4", "header-ce_specversion", "", editHeader("ce_specversion", "0.3")},
	{"wrong account", "A4", "header-onelogin_account_id", "", editHeader("onelogin_account_id", "1")},
	{"type named in two ways", "A4", "header-onelogin_event_type", "", editHeader("onelogin_event_type", "USER_LOGGED_OUT")},
	{"tenant header of another", "A4", "key", "", editHeader("tenant", "zebra")},
	{"header missing", "A4", "header-tenant", "", editEvent(func(r *record) {
		r.headers = slices.DeleteFunc(r.headers, isHeader("tenant"))
	})},
	{"account header missing", "A4", "header-onelogin_account_id", "", editEvent(func(r *record) {
		r.headers = slices.DeleteFunc(r.headers, isHeader("onelogin_account_id"))
	})},
	{"header twice", "A4", "header-repeated", "", editEvent(func(r *record) { r.headers = append(r.headers, r.headers[0]) })},
	{"header not agreed", "A4", "header-unknown", "", editEvent(func(r *record) {
		h := r.headers[0]
		h.Key = "x-trace"
		r.headers = append(r.headers, h)
	})},
	{"marked late without being", "A4", "header-late", "", editEvent(func(r *record) {
		h := r.headers[0]
		h.Key, h.Value = "late", []byte("true")
		r.headers = append(r.headers, h)
	})},
	{"late without the mark", "A4", "header-late", "", func(t *testing.T, p *plan) {
		x := p.txns[5]
		x.records[0].headers = slices.DeleteFunc(x.records[0].headers, isHeader("late"))
	}},
	{"late with another value", "A4", "header-late", "", func(t *testing.T, p *plan) {
		p.txns[5].records[0].header("late").Value = []byte("yes")
	}},
	{"two connectors of one account", "A4", "identity", "", func(_ *testing.T, p *plan) {
		m := newModel(p, "acme-2", "")
		m.domain = "acme.onelogin.com"
		p.txns = append(p.txns, &txn{producer: "3", records: m.page(0, time.Second)})
	}},

	{"minute key of another minute", "A5", "minute-wrong", "", func(t *testing.T, p *plan) {
		_, r := p.of(t, testOffsets, "acme/", 0)
		r.key = "acme/2026-11-22T07:09Z"
	}},
	{"minute key without a minute", "A5", "offsets-key", "", func(t *testing.T, p *plan) {
		_, r := p.of(t, testOffsets, "acme/", 0)
		r.key = "acme/2026-11-22T7:00Z"
	}},
	{"minute ids not ascending", "A5", "minute-malformed", "", editMinute(0, func(ids []int64) []int64 { return []int64{ids[0], ids[0]} })},
	{"minute count wrong", "A5", "minute-malformed", "", func(t *testing.T, p *plan) {
		_, r := p.of(t, testOffsets, "acme/", 0)
		r.edit(t, "count", plus(1))
	}},
	{"minute of another version", "A5", "minute-malformed", "", func(t *testing.T, p *plan) {
		_, r := p.of(t, testOffsets, "acme/", 0)
		r.edit(t, "version", plus(1))
	}},
	{"partitions of two owners", "A5", "owner", "", func(t *testing.T, p *plan) {
		_, r := p.of(t, testOffsets, ownerKey, 1)
		r.edit(t, "group", func(any) any { return "another" })
	}},
	{"owner counts other partitions", "A5", "owner", "", func(t *testing.T, p *plan) {
		_, r := p.of(t, testOffsets, ownerKey, 0)
		r.edit(t, "partitions", plus(1))
	}},
	{"owner deleted", "A5", "owner", "", func(t *testing.T, p *plan) {
		_, r := p.of(t, testOffsets, ownerKey, 0)
		r.value = nil
	}},
	{"minute not deleted when it left", "A5", "minute-kept", "", func(t *testing.T, p *plan) {
		for _, r := range slices.Clone(p.txns[7].records) {
			if r.topic == testOffsets && r.value == nil {
				p.txns[7].drop(r)
				return
			}
		}
		t.Fatal("no tombstone")
	}},

	{"complete_through before a late event came", "A6", "complete_through-early", "", func(t *testing.T, p *plan) {
		_, r := p.of(t, testOffsets, "acme", 0)
		r = positionIn(t, p, r)
		r.edit(t, "complete_through", func(any) any { return start.Add(time.Hour) })
		r.edit(t, "updated_at", func(any) any { return start.Add(time.Hour) })
	}},
	{"complete_through over a missing event", "A6", "complete_through-early", "", func(t *testing.T, p *plan) {
		x, r := p.of(t, testEvents, "acme", 0)
		x.drop(r)
	}},

	{"record outside a transaction", "A7", "outside-transaction", "", func(_ *testing.T, p *plan) {
		p.txns = append(p.txns, &txn{records: p.txns[6].records[len(p.txns[6].records)-1:]})
	}},

	{"secret in a value", "A8", "secret", "", editEvent(func(r *record) { r.value = bytes.Replace(r.value, []byte("<c>"), []byte(canary), 1) })},
	{"secret in a header", "A8", "secret", "", editHeader("ce_source", "https://"+canary+"@acme.onelogin.com/api/1/events")},
	{"secret in a key", "A8", "secret", "", editEvent(func(r *record) { r.key = "acme:" + canary; r.partition = new(homeOf("acme")) })},
	{"secret in an aborted record", "A8", "secret", "", func(_ *testing.T, p *plan) { p.txns[3].records[0].value = []byte(canary) }},
	{"secret in a dead letter", "A8", "secret", "", func(t *testing.T, p *plan) {
		_, r := p.of(t, testDeadLetter, "", 0)
		r.value = []byte(canary)
	}},
}

// onlyUnder names the protocol of mistakes that are told (so) under one only.
var onlyUnder = map[string]string{
	"position one transaction before its events": "v2",
	"position one transaction after its events":  "v2",
	"shared transaction torn":                    "v1",
	"shared transaction torn in two epochs":      "v2",
}

func TestEveryMistakeIsTold(t *testing.T) {
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			for protocol, v := range map[string]*kversion.Versions{"v1": kversion.V3_9_0(), "v2": nil} {
				if only := onlyUnder[m.name]; only != "" && only != protocol {
					continue
				}
				p := rightPlan(m.key)
				m.change(t, p)
				r := judgePlan(t, p, v, Rules{Key: m.key, Canaries: []string{canary}})
				if r.OK() || !r.Has(m.rule, m.kind) {
					t.Errorf("got no %s %s under protocol %s:\n%s", m.rule, m.kind, protocol, r)
				}
				if !strings.Contains(r.String(), "VIOLATED") {
					t.Errorf("the text does not say so:\n%s", r)
				}
			}
		})
	}
}

// repair has a job publish an event of acme, from before the window, that no position
// has known.
func repair(t *testing.T, p *plan, late bool) {
	t.Helper()
	m := newModel(p, "acme", "")
	r := m.event(1, start.Add(time.Second), late)
	p.truth["acme"] = slices.Insert(p.truth["acme"], 0, Fact{ID: 1, Created: micros(r.at), Visible: micros(r.at), Sum: sum(r.value)})
	job := m.offset("acme/jobs/20261122-070511-k3x9a", []byte(`{"version":1,"id":"20261122-070511-k3x9a","state":"running"}`))
	p.txns[12].records = slices.Insert(p.txns[12].records, 0, r, job)
	lastPosition(t, p, "acme").edit(t, "events", plus(1))
}

// TestRepair: what a job publishes from before the window breaks no rule, but that
// complete_through had vouched for it; unless the topic is known to be damaged.
func TestRepair(t *testing.T) {
	for damaged, want := range map[time.Time]bool{{}: false, start.Add(2 * time.Second): true} {
		p := rightPlan("tenant")
		repair(t, p, true)
		r := judgePlan(t, p, nil, Rules{Damaged: damaged})
		if r.OK() != want || !want && !r.Has("A6", "complete_through-early") {
			t.Errorf("damaged until %s:\n%s", damaged, r)
		}
	}
	p := rightPlan("tenant")
	p.truth["acme"] = slices.Insert(p.truth["acme"], 0, Fact{ID: 1, Created: micros(start), Visible: micros(start)})
	if r := judgePlan(t, p, nil, Rules{Damaged: start.Add(time.Hour)}); !r.Has("A1", "missing") {
		t.Errorf("not repaired:\n%s", r)
	}
}

// TestMovedByHand: a position that says that an operator has moved it may go
// back, and may nothing else.
func TestMovedByHand(t *testing.T) {
	for kind, change := range map[string]func(*testing.T, *plan){
		"through-back": editPosition("through", later(-10*time.Hour)), "window_start-back": editPosition("window_start", later(-10*time.Hour)),
		"account-change": editPosition("account_id", plus(1)), "last_id-back": editPosition("last_id", plus(-1000)),
	} {
		p := rightPlan("tenant")
		change(t, p)
		r := lastPosition(t, p, "acme")
		r.headers = append(r.headers, kgo.RecordHeader{Key: "change", Value: []byte("by hand")})
		found := judgePlan(t, p, nil, Rules{}).Has("A2", kind)
		if want := kind == "account-change" || kind == "last_id-back"; found != want {
			t.Errorf("%s: found %v, want %v", kind, found, want)
		}
	}
}

// entryMutations are mistakes that no broker can be made to write: in what
// readers are shown.
var entryMutations = []struct {
	name       string
	rule, kind string
	change     func(t *testing.T, h []Entry) []Entry
}{
	{"aborted record visible", "A7", "aborted-visible", func(t *testing.T, h []Entry) []Entry {
		h[index(t, h, func(e Entry) bool { return e.Aborted })].Aborted = false
		return h
	}},
	{"committed record hidden", "A7", "committed-hidden", func(t *testing.T, h []Entry) []Entry {
		h[index(t, h, func(e Entry) bool { return e.Kind == Events && !e.Control && !e.Aborted })].Aborted = true
		return h
	}},
	{"marker turned to commit", "A7", "committed-hidden", func(t *testing.T, h []Entry) []Entry {
		h[index(t, h, func(e Entry) bool { return e.Kind == Events && e.Control && !e.Commit })].Commit = true
		return h
	}},
	{"marker turned to abort", "A7", "aborted-visible", func(t *testing.T, h []Entry) []Entry {
		h[index(t, h, func(e Entry) bool { return e.Kind == Events && e.Control && e.Commit })].Commit = false
		return h
	}},
	{"marker lost", "A7", "epoch-change", func(t *testing.T, h []Entry) []Entry {
		i := index(t, h, func(e Entry) bool { return e.Kind == Events && e.Control && e.Commit })
		return slices.Delete(h, i, i+1)
	}},
	{"log read twice", "A0", "offset-order", func(_ *testing.T, h []Entry) []Entry { return append(h, h...) }},
	{"record lost in the log", "A0", "history-gap", func(t *testing.T, h []Entry) []Entry {
		i := index(t, h, func(e Entry) bool { return e.Kind == Events && e.Offset == 1 })
		return slices.Delete(h, i, i+1)
	}},
}

func TestEveryMistakeOfTheLogIsTold(t *testing.T) {
	p := rightPlan("tenant")
	brokers := cluster(t, nil)
	write(t, brokers, p.txns)
	var kept keeper
	if _, err := reader(t, brokers).Snapshot(context.Background(), &kept); err != nil {
		t.Fatal(err)
	}
	partitions := map[Kind]int32{Events: testPartitions, Offsets: testPartitions}
	if r := Check(Rules{}, partitions, slices.Values(kept.entries), p.truth); !r.OK() {
		t.Fatalf("the right history is refused:\n%s", r)
	}
	for _, m := range entryMutations {
		t.Run(m.name, func(t *testing.T) {
			h := m.change(t, slices.Clone(kept.entries))
			if r := Check(Rules{}, partitions, slices.Values(h), p.truth); !r.Has(m.rule, m.kind) {
				t.Errorf("got no %s %s:\n%s", m.rule, m.kind, r)
			}
		})
	}
}

// keeper keeps what a Reader reads.
type keeper struct{ entries []Entry }

func (k *keeper) SetPartitions(Kind, int32) {}
func (k *keeper) Add(e Entry)               { k.entries = append(k.entries, e) }
func (k *keeper) Settle(Cut)                {}

func index(t *testing.T, h []Entry, is func(Entry) bool) int {
	t.Helper()
	i := slices.IndexFunc(h, is)
	if i < 0 {
		t.Fatal("the history has no such entry")
	}
	return i
}

func homeOf(name string) int32 { return partitionOf([]byte(name), testPartitions) }

// lastPosition is the last position of the connector in the plan.
func lastPosition(t *testing.T, p *plan, connector string) *record {
	t.Helper()
	var last *record
	for _, x := range p.txns {
		for _, r := range x.records {
			if !x.abort && r.topic == testOffsets && r.key == connector {
				last = r
			}
		}
	}
	if last == nil {
		t.Fatal("no position")
	}
	return last
}

// positionIn is the position of the transaction that holds r.
func positionIn(t *testing.T, p *plan, r *record) *record {
	t.Helper()
	for _, x := range p.txns {
		if !slices.Contains(x.records, r) {
			continue
		}
		for _, o := range x.records {
			if o.topic == testOffsets && !strings.Contains(o.key, "/") && strings.HasPrefix(r.key, o.key) {
				return o
			}
		}
	}
	t.Fatal("no position")
	return nil
}

// editPosition changes the last position of acme.
func editPosition(field string, change func(any) any) func(*testing.T, *plan) {
	return func(t *testing.T, p *plan) { lastPosition(t, p, "acme").edit(t, field, change) }
}

// editEvent changes the second event of acme.
func editEvent(change func(*record)) func(*testing.T, *plan) {
	return func(t *testing.T, p *plan) {
		_, r := p.of(t, testEvents, "acme", 1)
		change(r)
	}
}

func editHeader(key, value string) func(*testing.T, *plan) {
	return editEvent(func(r *record) { r.header(key).Value = []byte(value) })
}

func editMinute(n int, change func([]int64) []int64) func(*testing.T, *plan) {
	return func(t *testing.T, p *plan) {
		_, r := p.of(t, testOffsets, "acme/", n)
		var v struct{ IDs string }
		if err := json.Unmarshal(r.value, &v); err != nil {
			t.Fatal(err)
		}
		ids, err := parseMinute(r.value)
		if err != nil {
			t.Fatal(err)
		}
		r.value = encodeMinute(change(ids))
	}
}

func dropOffsets(x *txn) {
	x.records = slices.DeleteFunc(x.records, func(r *record) bool { return r.topic == testOffsets })
}

// split writes the offsets of the n-th transaction in one of their own.
func split(p *plan, n int, first bool) {
	x := p.txns[n]
	own := &txn{producer: x.producer}
	for _, r := range slices.Clone(x.records) {
		if r.topic == testOffsets {
			x.drop(r)
			own.records = append(own.records, r)
		}
	}
	if !first {
		n++
	}
	p.txns = slices.Insert(p.txns, n, own)
}

// tearShared writes the position of one of two connectors in a later
// transaction.
func tearShared(_ *testing.T, p *plan) {
	x := p.txns[2]
	tail := &txn{producer: "1"}
	for _, r := range slices.Clone(x.records) {
		if r.topic == testOffsets && strings.HasPrefix(r.key, "beta") {
			x.drop(r)
			tail.records = append(tail.records, r)
		}
	}
	p.txns = slices.Insert(p.txns, 3, tail)
}
