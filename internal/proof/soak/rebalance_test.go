package soak

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/internal/proof/wait"
)

// owners says which running instance polls each tenant.
func (w *World) owners() map[string]string {
	served := map[int]string{}
	for _, in := range w.all() {
		if in.Ended() {
			continue
		}
		shards, err := in.Shards()
		if err != nil {
			continue
		}
		for _, s := range shards {
			served[s] = in.Name
		}
	}
	owners := map[string]string{}
	for _, c := range w.statuses() {
		if in := served[c.Shard]; in != "" {
			owners[c.Connector] = in
		}
	}
	return owners
}

// gaps measures how much of the machine's time each tenant goes without a
// successful poll.
type gaps struct {
	stop    func()
	mu      sync.Mutex
	count   map[string]int64
	last    map[string]wait.Watch
	longest map[string]time.Duration
}

// watchGaps samples the simulator's counts until the returned gaps are stopped,
// or the test ends.
func watchGaps(t *testing.T, w *World) *gaps {
	t.Helper()
	g := &gaps{count: map[string]int64{}, last: map[string]wait.Watch{}, longest: map[string]time.Duration{}}
	g.sample(w.polled())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				g.sample(w.polled())
			case <-ctx.Done():
				return
			}
		}
	}()
	g.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(g.stop)
	return g
}

func (g *gaps) sample(polled map[string]int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := wait.Begin()
	for name, n := range polled {
		if n != g.count[name] {
			g.count[name], g.last[name] = n, now
		}
		g.longest[name] = max(g.longest[name], g.last[name].Passed())
	}
}

// take returns the longest gaps since the last take.
func (g *gaps) take() map[string]time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	longest := g.longest
	g.longest = map[string]time.Duration{}
	return longest
}

// TestRebalanceDoesNotStopTheWork: while instances come and go, connectors whose
// shard stays where it is are polled on as if nothing happened.
func TestRebalanceDoesNotStopTheWork(t *testing.T) {
	t.Parallel()
	const interval = time.Second
	r := rand.New(rand.NewPCG(seed(t), 0))
	w := New(t, Plan{
		Seed: r.Uint64(), Cluster: kafkatest.Shared(t, kafkatest.Options{}), Sim: many(r.Uint64(), 24, 2), Shards: 16,
		Settings: "poll: {min: 1s, max: 1s}\nsweep: {every: 1m, window: 2m}\nrate_limit: {share: 1}", SweepWindow: 2 * time.Minute,
	})
	finish := w.Follow(t.Context())
	w.Start("a")
	w.Start("b")
	served := func() bool { return w.owned() == 16 && len(w.owners()) == 24 }
	w.Await("all shards owned", 40*time.Second, served)
	first := w.polled()
	w.Await("every tenant polled", 20*time.Second, func() bool { return len(w.unpolled(first)) == 0 })
	g := watchGaps(t, w)
	unaffected, moved := 0, 0
	var worst []time.Duration
	step := func(what string, change func(), settled func() bool) {
		before := w.owners()
		time.Sleep(2 * interval)
		g.take()
		change()
		w.Await(what, 20*time.Second, func() bool { return settled() && served() })
		time.Sleep(2 * interval)
		after := w.owners()
		for name, gap := range g.take() {
			if before[name] != after[name] {
				moved++
				continue
			}
			unaffected++
			worst = append(worst, gap)
			if gap > 2*interval {
				t.Errorf("%s: %s stayed with %s and was not polled for %s of the machine's time", what, name, after[name], gap)
			}
		}
	}
	for range 5 {
		step("c joins", func() { w.Start("c") }, func() bool { s, err := w.Instance("c").Shards(); return err == nil && len(s) > 0 })
		step("c leaves", func() {
			if err := w.Instance("c").Terminate(10 * time.Second); err != nil {
				t.Error(err)
			}
		}, func() bool { return true })
	}
	g.stop()
	if unaffected == 0 || moved == 0 {
		t.Errorf("%d connectors stayed and %d moved: no data", unaffected, moved)
	}
	t.Logf("10 rebalances: %d connectors stayed, the longest without a poll %s; %d moved", unaffected, slices.Max(worst), moved)
	w.conclude(finish)
}
