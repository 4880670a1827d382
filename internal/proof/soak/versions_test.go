package soak

import (
	"math/rand/v2"
	"testing"
	"time"

	"onelogin-kafka/internal/proof/kafkatest"
)

// TestTwoVersions: a rolling upgrade, and back. Instances of the last version and
// of this one share the shards, hand them to each other in both directions, and
// live through a schedule of faults in which every start may be of either.
// SOAK_MINUTES says for how long.
func TestTwoVersions(t *testing.T) {
	minutes := number(t, "SOAK_MINUTES", 1)
	s := seed(t)
	r := rand.New(rand.NewPCG(s, 0))
	cluster := kafkatest.Start(t, kafkatest.Options{Divisible: true})
	proxy := cluster.Proxied(t)
	w := New(t, Plan{
		Seed: s, Cluster: cluster, Brokers: proxy.Bootstrap(), Sim: many(r.Uint64(), 9, 5), Settings: quick, SweepWindow: quickWindow, Shards: 16,
	})
	last := map[string]bool{"i1": true, "i2": false}
	w.mixVersions(func(name string) bool { return last[name] })
	finish := w.Follow(t.Context())
	all := func(what string) {
		t.Helper()
		w.Await(what+": all shards owned", 60*time.Second, func() bool { return w.owned() == 16 })
		if err := w.AwaitProgress(cold); err != nil {
			w.dump()
			t.Fatalf("%s: %v", what, err)
		}
	}
	w.Start("i1")
	all("the last version alone")
	w.Start("i2")
	w.Await("both versions at work", 60*time.Second, func() bool { return w.shares("i1") && w.shares("i2") && w.owned() == 16 })
	for round := range 2 {
		for _, name := range []string{"i1", "i2"} {
			if err := w.Instance(name).Terminate(15 * time.Second); err != nil {
				w.dump()
				t.Fatal(err)
			}
			all("without " + name)
			last[name] = !last[name] // both come back as the other version
			w.Start(name)
			w.Await(name+" at work again", 60*time.Second, func() bool { return w.shares(name) && w.owned() == 16 })
		}
		if j := w.Judged(); !j.OK() {
			w.dump()
			t.Fatalf("in round %d:\n%s", round, j)
		}
	}

	started := map[bool]int{}
	w.mixVersions(func(string) bool {
		old := r.IntN(2) == 0
		started[old]++
		return old
	})
	sched := NewSchedule(w, s, proxy, []string{"i1", "i2"})
	for deadline := time.Now().Add(time.Duration(minutes) * time.Minute); time.Now().Before(deadline); {
		if err := sched.Step(); err != nil {
			w.dump()
			t.Fatal(err)
		}
		if err := sched.AwaitProgress(); err != nil {
			w.dump()
			t.Fatal(err)
		}
		if j := w.Judged(); !j.OK() {
			w.dump()
			t.Fatalf("while it ran:\n%s", j)
		}
	}
	w.conclude(finish)
	t.Logf("faults: %v; started %d of the last version, %d of this one", sched.Hits, started[true], started[false])
}

// shares tells whether an instance serves some of the shards, and not all.
func (w *World) shares(name string) bool {
	in := w.Instance(name)
	if in.Ended() || !in.Ready() {
		return false
	}
	shards, err := in.Shards()
	return err == nil && len(shards) > 0 && len(shards) < 16
}
