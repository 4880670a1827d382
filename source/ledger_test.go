package source

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestLedger drives a ledger through readings in any order, of an account whose
// events appear late and of an API that hides some, with crashes in between, and
// holds what it derives against what is true.
func TestLedger(t *testing.T) {
	for seed := range uint64(100) {
		m := ledgerModel{rnd: rand.New(rand.NewPCG(seed, 1)), published: map[int]bool{}, covered: map[int]bool{}}
		m.live(t)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// ledgerModel is the truth: seconds since a start, in place of times.
type ledgerModel struct {
	rnd       *rand.Rand
	events    []modelEvent
	published map[int]bool
	covered   map[int]bool // seconds that a reading was believed of
	now       int
	l         ledger
}

type modelEvent struct{ created, visible int }

const modelWindow = 900 // seconds

func second(s int) time.Time { return time.Unix(int64(s), 0).UTC() }

func (m *ledgerModel) live(t *testing.T) {
	rnd := m.rnd
	for range 200 {
		e := modelEvent{created: 600 + rnd.IntN(20_000)}
		if e.visible = e.created; rnd.IntN(3) == 0 {
			e.visible += rnd.IntN(modelWindow)
		}
		m.events = append(m.events, e)
	}
	start := second(600)
	m.l = ledger{sweepWindow: modelWindow * time.Second, frontier: start, through: start, start: start}
	m.now = 700 + rnd.IntN(20_000)
	for range 300 {
		m.now += rnd.IntN(200)
		before := m.l
		m.read()
		var underWay []time.Time
		if rnd.IntN(3) == 0 {
			underWay = append(underWay, m.l.through.Add(-time.Duration(rnd.IntN(3000))*time.Second))
		}
		m.l.moveStart(false, underWay...)
		m.check(t, before, underWay)
		if rnd.IntN(10) == 0 { // what is persisted is all that is left
			m.l.frontier = m.l.through
		}
	}
}

// read is one reading of anything, truthful or not.
func (m *ledgerModel) read() {
	rnd, l := m.rnd, &m.l
	e := entry{known: l.through, asOf: second(m.now - rnd.IntN(5))}
	switch rnd.IntN(4) {
	case 0: // a poll
		e.from = l.through.Add(-time.Duration(rnd.IntN(100)) * time.Second)
	case 1: // a slice
		e.from = l.frontier
		e.to = earlier(e.from.Add(time.Duration(1+rnd.IntN(3000))*time.Second), second(m.now-60))
	case 2: // a sweep
		e.from = l.swept()
		e.to = earlier(e.from.Add(time.Duration(1+rnd.IntN(3000))*time.Second), l.through)
	default: // anything
		e.from = second(rnd.IntN(m.now))
		e.to = e.from.Add(time.Duration(rnd.IntN(3000)) * time.Second)
	}
	e.from = later(e.from, l.start)
	if !e.to.IsZero() && !e.to.After(e.from) {
		return
	}
	lies, hidden, known := rnd.IntN(3) == 0, false, false
	var shown []int
	for i, ev := range m.events {
		at := second(ev.created)
		if ev.visible > m.now || ev.created > m.now || at.Before(e.from) || !e.to.IsZero() && !at.Before(e.to) {
			continue
		}
		known = known || m.published[i]
		if lies && rnd.IntN(2) == 0 {
			hidden = hidden || m.published[i]
			continue
		}
		shown = append(shown, i)
		e.newest = later(e.newest, at)
	}
	for _, i := range shown { // whatever it is worth
		m.published[i] = true
	}
	if lies && (hidden || !known || len(shown) == 0) {
		return // not believed
	}
	if lies { // what it hides of what was read before nobody can tell: it was never seen
		for i, ev := range m.events {
			if at := second(ev.created); ev.visible <= m.now && !at.Before(e.from) && at.Before(e.known) && (e.to.IsZero() || at.Before(e.to)) {
				m.published[i] = true
			}
		}
	}
	end := e.to
	if end.IsZero() {
		end = e.newest
	}
	for s := e.from.Unix(); s < end.Unix(); s++ {
		m.covered[int(s)] = true
	}
	l.enter(e)
}

func (m *ledgerModel) check(t *testing.T, before ledger, underWay []time.Time) {
	l := m.l
	if l.through.Before(before.through) || l.complete.Before(before.complete) || l.start.Before(before.start) || l.frontier.Before(l.through) {
		t.Errorf("went back from %+v to %+v", before, l)
	}
	newest := second(600)
	for i, e := range m.events {
		at := second(e.created)
		if m.published[i] {
			newest = later(newest, at)
		}
		if at.Before(l.complete) && e.visible-e.created < modelWindow && e.created >= 600 && !m.published[i] {
			t.Errorf("complete through %v, but the event of %v, visible %d s later, was not shown", l.complete, at, e.visible-e.created)
		}
	}
	for s := 600; s < int(l.frontier.Unix()); s++ {
		if !m.covered[s] {
			t.Errorf("the frontier is %v, but %v was never read", l.frontier, second(s))
			return
		}
	}
	if l.through.After(newest) {
		t.Errorf("through is %v, the newest event published %v", l.through, newest)
	}
	if l.start.After(before.start) {
		for _, bound := range append(underWay, l.swept(), l.through.Add(-l.sweepWindow)) {
			if l.start.After(bound) {
				t.Errorf("the window begins at %v, behind %v", l.start, bound)
			}
		}
	}
}
