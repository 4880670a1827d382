package simulator

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A schedule that is changed at random moments never takes back, moves or
// reorders an event that was there.
func TestScheduleOnlyGrows(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		traffic := func() Traffic {
			return Traffic{
				Rate: []float64{0, 0.3, 7, 50, 1000 / 3.0}[r.IntN(5)],
				Ties: []float64{0, 0.5, 1}[r.IntN(3)], TieSize: r.IntN(40),
				Jitter: Duration(r.IntN(3)) * Duration(time.Second),
				Late:   []float64{0, 0.2}[r.IntN(2)], LateBy: Duration(30 * time.Second),
			}
		}
		start := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
		s := newSchedule(seed, &Tenant{
			Backlog: int64(r.IntN(500)), BacklogSpan: Duration(time.Minute), Traffic: traffic(),
		}, start)
		var known []at
		now := start.Add(-time.Minute).UnixNano()
		for range 200 {
			now += r.Int64N(int64(2 * time.Second))
			n := s.count(now)
			if n < int64(len(known)) {
				t.Fatalf("seed %d: count went back from %d to %d", seed, len(known), n)
			}
			for i := range n {
				a := s.at(s.segmentOf(i), i)
				switch {
				case i < int64(len(known)):
					if a != known[i] {
						t.Fatalf("seed %d: event %d was %v, is %v", seed, i, known[i], a)
					}
					continue
				case i > 0 && a.turn < known[i-1].turn:
					t.Fatalf("seed %d: event %d comes before its predecessor", seed, i)
				case a.turn > now || a.created > a.turn || a.visible < a.turn:
					t.Fatalf("seed %d: event %d is out of time at %d: %v", seed, i, now, a)
				case a.created < a.turn-s.maxJitter:
					t.Fatalf("seed %d: event %d is too old: %v", seed, i, a)
				}
				known = append(known, a)
			}
			if r.IntN(5) == 0 {
				var between []segment
				if r.IntN(2) == 0 {
					between = []segment{{count: r.Int64N(30), start: now, traffic: traffic()}}
				}
				s = s.cut(now, between, traffic(), r.IntN(4) == 0)
			}
		}
		if len(known) == 0 {
			t.Logf("seed %d made nothing", seed)
		}
	}
}

// Every event whose created_at passes a bound is found behind the bound's
// place.
func TestScheduleSearch(t *testing.T) {
	start := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	s := newSchedule(3, &Tenant{
		Backlog: 2000, BacklogSpan: Duration(time.Minute),
		Traffic: Traffic{Rate: 40, Ties: 0.3, Jitter: Duration(3 * time.Second)},
	}, start)
	n := s.count(start.Add(time.Minute).UnixNano())
	for bound := start.Add(-2 * time.Minute); bound.Before(start.Add(2 * time.Minute)); bound = bound.Add(777 * time.Millisecond) {
		b := bound.UnixNano()
		first, end := s.search(n, b), s.search(n, b+s.maxJitter)
		for i := range n {
			a := s.at(s.segmentOf(i), i)
			if a.created >= b && i < first {
				t.Fatalf("event %d is at or after %v but lies before place %d", i, bound, first)
			}
			if a.created < b && i >= end {
				t.Fatalf("event %d is before %v but lies behind place %d", i, bound, end)
			}
		}
	}
}

func TestCutBeforeStart(t *testing.T) {
	start := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	s := newSchedule(3, &Tenant{Backlog: 100, BacklogSpan: Duration(100 * time.Second), Traffic: Traffic{Rate: 1}}, start)
	s = s.cut(start.Add(-50*time.Second).UnixNano(), nil, Traffic{Rate: 1}, false)
	if got, want := s.count(start.UnixNano()), int64(50); got != want {
		t.Errorf("got %d events at start, want %d", got, want)
	}
	if got, want := s.count(start.Add(10*time.Second).UnixNano()), int64(60); got != want {
		t.Errorf("got %d events after start, want %d", got, want)
	}
}

func TestIDs(t *testing.T) {
	m := maker{seed: 9, firstID: BigFirstID, gap: 32, users: 1}
	last := int64(0)
	for i := range int64(5000) {
		id := m.id(i)
		if id <= last {
			t.Fatalf("id %d of event %d does not follow %d", id, i, last)
		}
		if got := m.after(0, last); got != i {
			t.Fatalf("after(%d) is %d, want %d", last, got, i)
		}
		if got := m.after(0, id-1); got != i {
			t.Fatalf("after(%d) is %d, want %d", id-1, got, i)
		}
		if got, ok := m.index(id); !ok || got != i {
			t.Fatalf("index(%d) is %d, %t, want %d", id, got, ok, i)
		}
		if _, ok := m.index(id + 1); ok && m.id(i+1) != id+1 {
			t.Fatalf("%d is not an id", id+1)
		}
		last = id
	}
}

func FuzzCursor(f *testing.F) {
	f.Add(encodeCursor(232548, 45192198208, 0))
	f.Add(encodeCursor(232548, 0, 3))
	f.Add("YWNjb3VudF9pZDo6OjEtLSMjaWQ6Ojo=")
	f.Fuzz(func(t *testing.T, cursor string) {
		id, ok := decodeCursor(cursor, 232548)
		if !ok {
			return
		}
		if back, ok := decodeCursor(encodeCursor(232548, id, 0), 232548); !ok || back != id {
			t.Fatalf("%q holds %d, which does not survive", cursor, id)
		}
	})
}
