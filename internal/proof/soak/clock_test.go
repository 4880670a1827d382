package soak

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestClockIsSet: clocks that are set by an hour, a day or a month, forward and
// back, stop nothing, move no shard and date no record; nor does starting with
// a clock that is wrong.
func TestClockIsSet(t *testing.T) {
	t.Parallel()
	w, finish := fleet(t, []string{"a", "b"}, 8, 20, (*World).giveClocks)
	before := w.allShards()
	logins := w.logins()
	const day = 24 * time.Hour
	for _, s := range []struct{ a, b time.Duration }{
		{time.Hour, 0}, {time.Hour, -time.Hour}, {-time.Hour, time.Hour}, {2 * time.Hour, -25 * time.Hour}, {30 * day, -30 * day}, {0, 0},
	} {
		w.SetClock("a", s.a)
		w.SetClock("b", s.b)
		if err := w.AwaitProgress(15 * time.Second); err != nil {
			w.dump()
			t.Fatalf("clocks ahead by %s and %s: %v", s.a, s.b, err)
		}
		if now := w.allShards(); !slices.Equal(now, before) {
			t.Errorf("clocks ahead by %s and %s: shards moved\n%s\n%s", s.a, s.b, before, now)
		}
	}
	if n := w.logins() - logins; n > 0 {
		t.Errorf("setting the clock took %d tokens", n)
	}
	for _, ahead := range []time.Duration{2 * time.Hour, -2 * time.Hour} {
		if err := w.Instance("a").Kill(); err != nil {
			t.Fatal(err)
		}
		w.SetClock("a", ahead)
		w.Start("a")
		if err := w.AwaitProgress(15 * time.Second); err != nil {
			w.dump()
			t.Fatalf("started with a clock ahead by %s: %v", ahead, err)
		}
		if got, err := w.Instance("a").clock(); err != nil || (got-ahead).Abs() > 5*time.Second {
			t.Errorf("its clock was ahead by %s (error %v), want %s: no data", got, err, ahead)
		}
	}
	w.conclude(finish)
}

// allShards says who owns what.
func (w *World) allShards() []string {
	var all []string
	for _, in := range w.all() {
		shards, err := in.Shards()
		slices.Sort(shards)
		all = append(all, fmt.Sprintf("%s: %v (error %v)", in.Name, shards, err))
	}
	slices.Sort(all)
	return all
}

// logins counts the requests for a token.
func (w *World) logins() int64 {
	n := int64(0)
	for _, s := range w.Sim.Stats() {
		for _, calls := range s.Calls["token"] {
			n += calls
		}
	}
	return n
}
