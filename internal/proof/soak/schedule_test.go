package soak

import (
	"math/rand/v2"
	"testing"
	"time"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/internal/proof/wait"
)

// TestSchedule lets faults of every kind happen to a fleet in a random order
// that the seed decides: each event once, positions never back, every tenant
// gets on again after each fault. SOAK_MINUTES says for how long.
func TestSchedule(t *testing.T) {
	minutes := number(t, "SOAK_MINUTES", 3)
	s := seed(t)
	r := rand.New(rand.NewPCG(s, 0))
	cluster := kafkatest.Start(t, kafkatest.Options{Divisible: true})
	proxy := cluster.Proxied(t)
	conf := three(r.Uint64(), 10)
	conf.Tenants = append(conf.Tenants, many(r.Uint64(), 9, 3).Tenants[3:]...)
	w := New(t, Plan{
		Seed: s, Cluster: cluster, Brokers: proxy.Bootstrap(), Sim: conf, Settings: quick, SweepWindow: quickWindow, Shards: 16,
	})
	w.setFaults(0.001)
	finish := w.Follow(t.Context())
	names := []string{"i1", "i2", "i3"}
	for _, name := range names {
		w.Start(name)
	}
	w.Await("all shards owned", 60*time.Second, func() bool { return w.owned() == 16 })
	sched := NewSchedule(w, s, proxy, names)
	deadline := time.Now().Add(time.Duration(minutes) * time.Minute)
	slowest := time.Duration(0)
	for time.Now().Before(deadline) {
		if err := sched.Step(); err != nil {
			w.dump()
			t.Fatal(err)
		}
		healed := wait.Begin()
		if err := sched.AwaitProgress(); err != nil {
			w.dump()
			t.Fatal(err)
		}
		slowest = max(slowest, healed.Passed())
		w.judgement(t)
		sched.rest(200*time.Millisecond, 3*time.Second)
	}
	hits := w.hits()
	report := w.conclude(finish)
	t.Logf("faults: %v, %d API faults hit; slowest to get on again: %s of the machine's time", sched.Hits, hits, slowest.Round(100*time.Millisecond))
	if len(sched.Hits) == 0 || hits == 0 || report.Published() == 0 {
		t.Error("no fault was hit: no data")
	}
	// Whether a quota is felt hangs on who has to catch up: in minutes by chance (TestKill sees to it), in an hour for sure.
	if minutes >= 30 && sched.Hits["throttled"] == 0 {
		t.Error("no quota was felt: no data")
	}
}
