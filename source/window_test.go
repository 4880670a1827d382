package source

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWindowKnowsAnIDUnderAnyMinute(t *testing.T) {
	w := newWindow(time.Unix(0, 0), map[int64][]int64{10: {5, 7}, 12: {9}})
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

func TestWindowAgreesWithASet(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		w := newWindow(time.Unix(0, 0), nil)
		set := map[int64]bool{}
		byMinute := map[int64][]int64{}
		for range 300 {
			m, id := rnd.Int64N(8), rnd.Int64N(400)
			if got, want := w.add(m, id), !set[id]; got != want {
				t.Fatalf("add(%d, %d) = %v, want %v", m, id, got, want)
			}
			if !set[id] {
				set[id] = true
				byMinute[m] = append(byMinute[m], id)
			}
		}
		got := map[int64][]int64{}
		for _, m := range w.minutes {
			got[m.minute] = m.ids
		}
		for m := range byMinute {
			slices.Sort(byMinute[m])
		}
		if diff := cmp.Diff(byMinute, got); diff != "" {
			t.Fatalf("minutes (-want +got):\n%s", diff)
		}
		if w.count != len(set) {
			t.Errorf("count is %d, want %d", w.count, len(set))
		}
		w.settle(minuteTime(4))
		for _, m := range w.minutes {
			if m.minute < 4 || !m.written || m.touched {
				t.Errorf("after settling: %+v", m)
			}
		}
	}
}

func TestWindowTakesBackARefusedBatch(t *testing.T) {
	w := newWindow(time.Unix(0, 0), map[int64][]int64{10: {5, 7}})
	for _, id := range []int64{6, 8, 20} {
		w.add(id, id)
	}
	w.add(10, 30)
	for _, id := range []int64{6, 8, 20} {
		w.remove(id, id)
	}
	w.remove(10, 30)
	w.discardTouched()
	if len(w.minutes) != 1 || w.count != 2 || w.minutes[0].touched || !slices.Equal(w.minutes[0].ids, []int64{5, 7}) {
		t.Errorf("window is %+v", w)
	}
	if !w.add(20, 20) {
		t.Error("an id taken back is still known")
	}
}

// A million ids must stay well under 20 MB, however they arrive.
func TestWindowIsSmall(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	w := newWindow(time.Unix(0, 0), nil)
	for i := range int64(1_000_000) {
		w.add(i/66_000+rnd.Int64N(2), i*3+rnd.Int64N(3))
	}
	size := cap(w.minutes) * 48
	for _, m := range w.minutes {
		size += 8 * cap(m.ids)
	}
	if size > 11<<20 {
		t.Errorf("%d ids take %d bytes", w.count, size)
	}
}

func TestRecentReach(t *testing.T) {
	at := func(sec int64) time.Time { return time.Unix(sec, 0).UTC() }
	r := recent{most: 3}
	if _, full := r.reach(1); full {
		t.Error("reach of nothing is full")
	}
	for _, sec := range []int64{5, 9, 1, 7} {
		r.add(at(sec))
	}
	for n, want := range map[int]int64{1: 9, 2: 7, 3: 5} {
		if got, full := r.reach(n); !full || !got.Equal(at(want)) {
			t.Errorf("reach of %d is %v, %v, want second %d", n, got, full, want)
		}
	}
	r.add(at(2))
	if got, _ := r.reach(3); !got.Equal(at(5)) {
		t.Errorf("an older time moved reach to %v", got)
	}
	r.setMost(1)
	if got, _ := r.reach(1); !got.Equal(at(9)) {
		t.Errorf("reach of one is %v, want the newest", got)
	}
	for sec := range int64(1000) {
		r.add(at(100 + sec))
	}
	if got, _ := r.reach(1); !got.Equal(at(1099)) || len(r.times) > 2 {
		t.Errorf("reach is %v with %d times held", got, len(r.times))
	}
}

func TestRecentAfterRestart(t *testing.T) {
	w := newWindow(time.Unix(0, 0), map[int64][]int64{1: {1, 2, 3}, 2: {4, 5}, 3: {6, 7}})
	for _, tc := range []struct {
		most int
		want int64 // seconds; 0 = all is known
	}{{1, 195}, {2, 180}, {3, 150}, {4, 120}, {5, 100}, {7, 60}, {8, 0}} {
		r := newRecent(tc.most, &w, time.Unix(210, 0))
		got, full := r.reach(tc.most)
		if full != (tc.want != 0) || full && got.Unix() != tc.want {
			t.Errorf("most %d: reach is %v, %v, want second %d", tc.most, got, full, tc.want)
		}
	}
}

func TestHashSetForgetsTheOldest(t *testing.T) {
	s := hashSet{most: 3}
	for _, h := range []uint64{1, 2, 3, 2, 4} {
		s.add(h)
	}
	for h, want := range map[uint64]bool{1: false, 2: true, 3: true, 4: true} {
		if got := s.has(h); got != want {
			t.Errorf("has(%d) = %v, want %v", h, got, want)
		}
	}
	if len(s.known) != 3 {
		t.Errorf("%d remembered, want 3", len(s.known))
	}
}
