package source

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/schemas"
)

// idSets makes the minutes of a State.
func idSets(minutes map[int64][]int64) map[int64]idSet {
	sets := make(map[int64]idSet, len(minutes))
	for m, ids := range minutes {
		sets[m] = newIDSet(ids)
	}
	return sets
}

var compareIDSets = cmp.Comparer(func(a, b idSet) bool { return slices.Equal(a.appendTo(nil), b.appendTo(nil)) })

func TestWindowKnowsAnIDUnderAnyMinute(t *testing.T) {
	w := newWindow(time.Unix(0, 0), idSets(map[int64][]int64{10: {5, 7}, 12: {9}}))
	for _, tc := range []struct {
		minute, id int64
		want       bool
	}{
		{10, 5, false}, {12, 5, false}, {99, 9, false}, {3, 7, false},
		{10, 6, true}, {11, 6, false}, {3, 1, true}, {99, 1000, true}, {10, 1000, false},
	} {
		if got := w.add(tc.minute, tc.id); got != tc.want {
			t.Errorf("add(%d, %d) = %v, want %v", tc.minute, tc.id, got, tc.want)
		}
	}
}

// windowModel is a window beside maps that the same is done to.
type windowModel struct {
	win   window
	ids   map[int64]int64 // id to minute
	old   map[int64]bool
	added map[int64]int64 // by the batch being made
}

func newWindowModel() *windowModel {
	return &windowModel{win: newWindow(time.Unix(0, 0), nil), ids: map[int64]int64{}, old: map[int64]bool{}, added: map[int64]int64{}}
}

func (m *windowModel) knows(id int64) bool {
	_, known := m.ids[id]
	return known || m.old[id]
}

// step does one thing to both.
func (m *windowModel) step(t *testing.T, rnd *rand.Rand, minute, id int64) {
	if got, want := m.win.has(id), m.knows(id); got != want {
		t.Fatalf("has(%d) = %v, want %v", id, got, want)
	}
	switch n := rnd.IntN(100); {
	case n < 80:
		isNew := !m.knows(id)
		if got := m.win.add(minute, id); got != isNew {
			t.Fatalf("add(%d, %d) = %v, want %v", minute, id, got, isNew)
		}
		if isNew {
			m.ids[id], m.added[id] = minute, minute
		}
	case n < 85:
		isNew := !m.knows(id)
		if got := m.win.addOld(id); got != isNew {
			t.Fatalf("addOld(%d) = %v, want %v", id, got, isNew)
		}
		if isNew {
			m.old[id] = true
		}
	case n < 86:
		m.win.clearOld()
		clear(m.old)
	case n < 90: // the batch is refused
		for id, minute := range m.added {
			m.win.remove(minute, id)
			delete(m.ids, id)
		}
		clear(m.added)
		m.win.discardTouched()
	case n < 96: // the batch is taken
		m.settle(m.win.start)
	case n < 97: // another process takes over
		m.settle(m.win.start)
		sets := map[int64]idSet{}
		for _, old := range m.win.minutes {
			sets[old.minute] = newIDSet(old.ids.appendTo(nil))
		}
		m.win = newWindow(m.win.start, sets)
		clear(m.old)
	}
}

func (m *windowModel) settle(start time.Time) {
	m.win.settle(start)
	clear(m.added)
	for id, minute := range m.ids {
		if minute < minuteOf(start) {
			delete(m.ids, id)
		}
	}
}

// check compares all that the two hold.
func (m *windowModel) check(t *testing.T, from, to int64) {
	want, byMinute := []int64{}, map[int64][]int64{}
	for id, minute := range m.ids {
		byMinute[minute] = append(byMinute[minute], id)
	}
	for minute := from; minute < to; minute++ {
		slices.Sort(byMinute[minute])
		want = append(want, byMinute[minute]...)
	}
	if diff := cmp.Diff(want, m.win.ids(from, to, []int64{})); diff != "" {
		t.Fatalf("ids of minutes %d to %d (-want +got):\n%s", from, to, diff)
	}
	if got := m.win.countIn(from, to); got != len(want) {
		t.Fatalf("%d ids counted in minutes %d to %d, want %d", got, from, to, len(want))
	}
	if m.win.count != len(m.ids) {
		t.Fatalf("count is %d, want %d", m.win.count, len(m.ids))
	}
	for id := range m.ids {
		if !m.win.has(id) {
			t.Fatalf("id %d of minute %d is not known", id, m.ids[id])
		}
	}
}

func TestWindowAgreesWithASet(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for name, id := range map[string]func(i, minute int64) int64{
		"few ids":       func(int64, int64) int64 { return rnd.Int64N(400) - 200 },
		"two sequences": func(i, _ int64) int64 { return i%2<<40 + i*3 - rnd.Int64N(20) },
		"anywhere":      func(int64, int64) int64 { return int64(rnd.Uint64()) >> rnd.IntN(60) },
		"descending":    func(i, _ int64) int64 { return -i*1000 + rnd.Int64N(5000) },
	} {
		t.Run(name, func(t *testing.T) {
			for range 10 {
				m := newWindowModel()
				for i := range int64(1500) {
					minute := i/50 + rnd.Int64N(5)
					m.step(t, rnd, minute, id(i, minute))
					if i%150 == 0 && i > 0 {
						from := i/50 - rnd.Int64N(10)
						m.check(t, from, from+rnd.Int64N(12))
						m.settle(minuteTime(i/50 - 5))
						m.check(t, -10, 100)
					}
				}
			}
		})
	}
}

func TestWindowSettles(t *testing.T) {
	w := newWindow(time.Unix(0, 0), nil)
	for m := range int64(8) {
		w.add(m, m)
	}
	w.settle(minuteTime(4).Add(30 * time.Second))
	if got := w.ids(0, 100, nil); !slices.Equal(got, []int64{4, 5, 6, 7}) || w.count != 4 {
		t.Errorf("%d ids after settling: %v", w.count, got)
	}
	for _, m := range w.minutes {
		if !m.written || m.touched {
			t.Errorf("after settling: %+v", m)
		}
	}
	if w.has(3) || len(w.where.of(3)) > 1 {
		t.Error("an id of a minute that left is still known")
	}
}

func TestWindowValue(t *testing.T) {
	w := newWindow(time.Unix(0, 0), nil)
	var want []int64
	for id := range int64(1000) {
		w.add(1, id*7)
		w.add(2, id*7+1)
		want = append(want, id*7+1)
	}
	got, err := schemas.ParseMinute(w.value(1))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
}

// twoSequences is a window of a day of an account whose ids come from two
// sequences in turn, and tells the ids after it.
func twoSequences(perMinute int64) (w window, next func() (minute, id int64)) {
	sets := make(map[int64]idSet)
	i := int64(0)
	next = func() (int64, int64) {
		id := i/2*7 + i%2<<40
		i++
		return (i - 1) / perMinute, id
	}
	for range 1440 {
		var ids []int64
		var m, id int64
		for range perMinute {
			m, id = next()
			ids = append(ids, id)
		}
		slices.Sort(ids)
		sets[m] = newIDSet(ids)
	}
	return newWindow(time.Unix(0, 0), sets), next
}

// Ids of two sequences make every minute reach from one to the other. A lookup
// must not look into all minutes all the same.
func TestWindowLooksIntoFewMinutes(t *testing.T) {
	for _, perMinute := range []int64{100, 2000} {
		w, next := twoSequences(perMinute)
		most := 0
		for range 2 * perMinute {
			m, id := next()
			most = max(most, len(w.where.of(id)))
			if w.has(id) || !w.add(m, id) || !w.has(id) || w.add(m+1, id) {
				t.Fatalf("id %d of minute %d is not told right", id, m)
			}
		}
		for m := range int64(1440) {
			for _, id := range w.ids(m, m+1, nil) {
				most = max(most, len(w.where.of(id)))
			}
		}
		if most > 16 {
			t.Errorf("%d a minute: a lookup looks into %d minutes", perMinute, most)
		}
		if got := len(w.where.minutes); got > mostPlaces {
			t.Errorf("%d ranges", got)
		}
	}
}

func TestWindowOldIDs(t *testing.T) {
	w := newWindow(minuteTime(100), nil)
	w.add(100, 50)
	if w.addOld(50) || !w.addOld(7) || w.addOld(7) || !w.addOld(90) {
		t.Error("addOld does not tell new from known")
	}
	if !w.has(7) || w.add(100, 7) || w.add(101, 90) || w.count != 1 {
		t.Errorf("an old id is not known; %d counted", w.count)
	}
	w.removeOld(7)
	if w.has(7) || !w.has(90) {
		t.Error("removeOld took the wrong one")
	}
	w.clearOld()
	if w.has(90) || !w.has(50) || !w.add(101, 90) {
		t.Error("clearOld does not forget")
	}
}

func TestWindowTakesBackARefusedBatch(t *testing.T) {
	w := newWindow(time.Unix(0, 0), idSets(map[int64][]int64{10: {5, 7}}))
	for _, id := range []int64{6, 8, 20} {
		w.add(id, id)
	}
	w.add(10, 30)
	for _, id := range []int64{6, 8, 20} {
		w.remove(id, id)
	}
	w.remove(10, 30)
	w.discardTouched()
	if len(w.minutes) != 1 || w.count != 2 || w.minutes[0].touched || !slices.Equal(w.ids(10, 11, nil), []int64{5, 7}) {
		t.Errorf("window is %+v", w)
	}
	if !w.add(20, 20) {
		t.Error("an id taken back is still known")
	}
}

// A million ids must stay well under 4 MiB, however they arrive.
func TestWindowIsSmall(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	w := newWindow(time.Unix(0, 0), nil)
	for i := range int64(1_000_000) {
		w.add(i/66_000+rnd.Int64N(2), i*3+rnd.Int64N(3))
		if i%1000 == 0 {
			w.settle(time.Unix(0, 0))
		}
	}
	if size := w.size(); size > 3<<20 || w.count < 990_000 {
		t.Errorf("%d ids take %d bytes", w.count, size)
	}
	few := newWindow(time.Unix(0, 0), nil)
	for i := range int64(60) {
		few.add(i/4, i*1000)
	}
	if size := few.size(); size > 10<<10 {
		t.Errorf("%d ids take %d bytes", few.count, size)
	}
}

func BenchmarkWindow(b *testing.B) {
	w, next := twoSequences(30_000)
	b.Logf("%d ids take %.2f bytes each", w.count, float64(w.size())/float64(w.count))
	ids := w.ids(700, 710, nil)
	page := slices.Clone(ids[:1000])
	b.Run("known", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if w.add(700, page[i%len(page)]) {
				b.Fatal("a known id is new")
			}
		}
	})
	b.Run("has", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if !w.has(page[i%len(page)]) {
				b.Fatal("a known id is not known")
			}
		}
	})
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if m, id := next(); !w.add(m, id) {
				b.Fatal("a new id is known")
			}
		}
	})
}
