package source

import (
	"slices"
	"testing"
	"time"
)

func TestRecentReach(t *testing.T) {
	at := func(sec int64) time.Time { return time.Unix(sec, 0).UTC() }
	r := recent{most: 3}
	if _, full := r.reach(1); full {
		t.Error("reach of nothing is full")
	}
	for _, sec := range []int64{5, 9, 1, 7} {
		r.add(at(sec), sec)
	}
	for n, want := range map[int]int64{1: 9, 2: 7, 3: 5} {
		if got, full := r.reach(n); !full || !got.Equal(at(want)) {
			t.Errorf("reach of %d is %v, %v, want second %d", n, got, full, want)
		}
	}
	r.add(at(2), 2)
	if got, _ := r.reach(3); !got.Equal(at(5)) {
		t.Errorf("an older time moved reach to %v", got)
	}
	r.setMost(1)
	if got, _ := r.reach(1); !got.Equal(at(9)) {
		t.Errorf("reach of one is %v, want the newest", got)
	}
	for sec := range int64(1000) {
		r.add(at(100+sec), sec)
	}
	if got, _ := r.reach(1); !got.Equal(at(1099)) || len(r.pairs) > 2 {
		t.Errorf("reach is %v with %d times held", got, len(r.pairs))
	}
}

func TestRecentAfterRestart(t *testing.T) {
	w := newWindow(time.Unix(0, 0), idSets(map[int64][]int64{1: {1, 2, 3}, 2: {4, 5}, 3: {6, 7}}))
	for _, tc := range []struct {
		most int
		want int64 // seconds
	}{{1, 195}, {2, 180}, {3, 150}, {4, 120}, {5, 100}, {7, 60}, {8, 60}} {
		r := newRecent(tc.most, &w, time.Unix(210, 0))
		if got, ok := r.reach(tc.most); !ok || got.Unix() != tc.want {
			t.Errorf("most %d: reach is %v, %v, want second %d", tc.most, got, ok, tc.want)
		}
	}
}

func TestRecentSince(t *testing.T) {
	at := func(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
	r := recent{most: 6}
	for _, p := range []pair{{at: 30, id: 3}, {at: 10, id: 9}, {at: 20, id: 5}, {at: 20, id: 1}, {at: 20, id: 5}, {at: 30, id: 3}} {
		r.add(at(p.at), p.id)
	}
	want := []pair{{at: 10, id: 9}, {at: 20, id: 1}, {at: 20, id: 5}, {at: 30, id: 3}}
	for ms, from := range map[int64]int{0: 0, 10: 0, 11: 1, 20: 1, 21: 3, 30: 3, 31: 4} {
		if got := r.since(at(ms)); !slices.Equal(got, want[from:]) {
			t.Errorf("since %d: %v, want %v", ms, got, want[from:])
		}
	}
}

// An event that is read again after a restart is known once, at its own time.
func TestRecentReplacesGuesses(t *testing.T) {
	w := newWindow(time.Unix(0, 0), idSets(map[int64][]int64{1: {1, 2, 3}, 2: {4, 5}}))
	r := newRecent(4, &w, time.Unix(180, 0))
	if r.guesses != 4 || !r.pairs[0].guessed {
		t.Fatalf("%d guesses of %+v", r.guesses, r.pairs)
	}
	for id, sec := range map[int64]int64{2: 110, 3: 61, 4: 170, 5: 121, 6: 181} {
		r.add(time.Unix(sec, 0), id)
		r.add(time.Unix(sec, 0), id)
	}
	want := []pair{{at: 61e3, id: 3}, {at: 110e3, id: 2}, {at: 121e3, id: 5}, {at: 170e3, id: 4}, {at: 181e3, id: 6}}
	if got := r.since(time.Unix(0, 0)); r.guesses != 0 || !slices.Equal(got[len(got)-4:], want[1:]) {
		t.Errorf("%d guesses; known are %+v, want %+v", r.guesses, got, want)
	}
	guessed := newRecent(4, &w, time.Unix(180, 0))
	guessed.setMost(2)
	if guessed.guesses != 2 {
		t.Errorf("%d guesses of %+v", guessed.guesses, guessed.pairs)
	}
}
