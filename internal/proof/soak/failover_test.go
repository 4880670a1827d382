package soak

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"onelogin-kafka/internal/proof/audit"
	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/source/onelogin/simulator"
)

// many is a OneLogin with n tenants of which each can be told apart by shard.
func many(seed uint64, n int, rate float64) simulator.Config {
	conf := simulator.Default(n)
	conf.Seed = seed
	conf.HourlyLimit = 100_000_000
	for i := range conf.Tenants {
		t := &conf.Tenants[i]
		t.Backlog = 50
		t.Traffic.Rate = rate
		t.Traffic.LateBy = simulator.Duration(3 * time.Second)
	}
	return conf
}

// fleet starts an environment of n instances that share the shards, and waits until all
// tenants are at work. prepare is called before the first instance starts.
func fleet(t *testing.T, names []string, tenants int, rate float64, prepare ...func(*World)) (*World, func(time.Duration) *audit.Report) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed(t), 0))
	w := New(t, Plan{
		Seed: r.Uint64(), Cluster: kafkatest.Shared(t, kafkatest.Options{}),
		Sim: many(r.Uint64(), tenants, rate), Settings: quick, Shards: 16,
	})
	for _, do := range prepare {
		do(w)
	}
	finish := w.Follow(t.Context())
	for _, name := range names {
		w.Start(name)
	}
	w.Await("all shards owned", 40*time.Second, func() bool { return w.owned() == 16 })
	if err := w.AwaitProgress(cold); err != nil {
		w.dump()
		t.Fatal(err)
	}
	return w, finish
}

// owned counts the shards that running instances say they own, and serve.
func (w *World) owned() int {
	n := 0
	for _, in := range w.all() {
		if in.Ended() || !in.Ready() {
			continue
		}
		if shards, err := in.Shards(); err == nil {
			n += len(shards)
		}
	}
	return n
}

// polled returns each tenant's number of answered page requests.
func (w *World) polled() map[string]int64 {
	calls := map[string]int64{}
	for name, s := range w.Sim.Stats() {
		if name == "" { // calls nobody is known for
			continue
		}
		calls[name] = s.Calls["events"][200]
	}
	return calls
}

// unpolled names the tenants that were not polled since before.
func (w *World) unpolled(before map[string]int64) []string {
	var names []string
	for name, n := range w.polled() {
		if n <= before[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// awaitPolls waits until every tenant was polled since before.
func (w *World) awaitPolls(before map[string]int64, patience time.Duration) time.Duration {
	w.tb.Helper()
	deadline := time.Now().Add(patience)
	return w.Await("every tenant polled again", patience+time.Second, func() bool {
		names := w.unpolled(before)
		if len(names) > 0 && time.Now().After(deadline) {
			w.dump()
			w.tb.Fatalf("after %s not polled: %v", patience, names)
		}
		return len(names) == 0
	})
}

// conclude ends an environment and fails the test unless all is there exactly once.
func (w *World) conclude(finish func(time.Duration) *audit.Report) *audit.Report {
	w.tb.Helper()
	w.settle()
	report := finish(60 * time.Second)
	w.tb.Logf("%s", report)
	if !report.OK() {
		w.dump()
		w.tb.Fatal("the promise is broken")
	}
	return report
}

// TestKilledInstanceIsReplaced: the others own and poll every tenant within
// the session timeout and a little.
func TestKilledInstanceIsReplaced(t *testing.T) {
	w, finish := fleet(t, []string{"a", "b", "c"}, 12, 5)
	if err := w.Instance("a").Kill(); err != nil {
		t.Fatal(err)
	}
	before := w.polled()
	took := w.awaitPolls(before, 12*time.Second)
	t.Logf("after SIGKILL every tenant is polled again within %s", took.Round(10*time.Millisecond))
	if took > 8*time.Second {
		t.Errorf("failover took %s, want at most 8 s", took)
	}
	w.conclude(finish)
}

// TestTerminatedInstanceHandsOver: the others take over without waiting for a
// timeout.
func TestTerminatedInstanceHandsOver(t *testing.T) {
	w, finish := fleet(t, []string{"a", "b", "c"}, 12, 5)
	ending, err := w.Instance("a").Terminate(10 * time.Second)
	if err != nil {
		w.dump()
		t.Fatal(err)
	}
	before := w.polled()
	took := w.awaitPolls(before, 10*time.Second)
	t.Logf("SIGTERM: ended after %s, every tenant polled again %s later", ending.Round(time.Millisecond), took.Round(10*time.Millisecond))
	if took > 3*time.Second {
		t.Errorf("the hand-over waited for a timeout: %s", took)
	}
	w.conclude(finish)
}

// TestRestartUnderTheSameName: a killed instance that starts again is back
// without a rebalance, whatever transaction was open; nobody else notices.
func TestRestartUnderTheSameName(t *testing.T) {
	w, finish := fleet(t, []string{"a", "b"}, 8, 20)
	other := w.Instance("b")
	shards, err := other.Shards()
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := w.Instance("a").Kill(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond) // for the auditor to see what was committed before
		before, seen := w.polled(), published(w.Judged())
		started := time.Now()
		w.Start("a")
		w.awaitPolls(before, 10*time.Second)
		polled := time.Since(started)
		w.Await("every tenant's events readable again", 10*time.Second, func() bool { return w.stuck(seen, w.Judged()) == "" })
		took := time.Since(started)
		t.Logf("restarted: every tenant polled again %s after the start, its events readable after %s", polled.Round(10*time.Millisecond), took.Round(10*time.Millisecond))
		if took > 5*time.Second {
			t.Errorf("the restart waited for the session timeout: %s", took)
		}
		after, err := other.Shards()
		if err != nil || len(after) != len(shards) {
			t.Errorf("the other instance had shards %v and now has %v (error %v)", shards, after, err)
		}
	}
	w.conclude(finish)
}

// TestTwoInstancesWithOneName: the older ends with a clear error, exit 1.
func TestTwoInstancesWithOneName(t *testing.T) {
	w, finish := fleet(t, []string{"a"}, 4, 5)
	older := w.Instance("a")
	w.Start("a")
	w.Await("the older to end", 15*time.Second, older.Ended)
	if code := older.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if last := older.log.String(); !containsAll(last, "same instance name", `\"a\"`) && !containsAll(last, "same instance name", `"a"`) {
		t.Errorf("its last words do not say why:\n%s", last)
	}
	w.conclude(finish)
}

// TestZombie: an instance that sleeps past the session and the transaction
// timeout while another takes over adds nothing when it wakes, and comes back.
func TestZombie(t *testing.T) {
	w, finish := fleet(t, []string{"a", "b"}, 8, 50)
	for round := range 2 {
		zombie := w.Instance("a")
		if err := zombie.Pause(); err != nil {
			t.Fatal(err)
		}
		before := w.polled()
		took := w.awaitPolls(before, 12*time.Second)
		t.Logf("round %d: taken over within %s", round, took.Round(10*time.Millisecond))
		time.Sleep(14*time.Second - took)
		asleep := w.Judged().Counts
		if err := zombie.Resume(); err != nil {
			t.Fatal(err)
		}
		w.Await("the zombie to hold shards again", 20*time.Second, func() bool {
			shards, err := zombie.Shards()
			return err == nil && len(shards) > 0 && zombie.Ready() && w.owned() == 16
		})
		if j := w.Judged(); !j.OK() {
			t.Fatalf("after waking:\n%s", j)
		}
		t.Logf("round %d: aborted records %d before and %d after waking", round, asleep.Aborted, w.Judged().Counts.Aborted)
	}
	w.conclude(finish)
}

// TestRollingRestart: each instance in turn; no connector falls behind.
func TestRollingRestart(t *testing.T) {
	w, finish := fleet(t, []string{"a", "b", "c"}, 12, 5)
	for _, name := range []string{"a", "b", "c"} {
		if _, err := w.Instance(name).Terminate(10 * time.Second); err != nil {
			w.dump()
			t.Fatal(err)
		}
		w.Start(name)
		w.Await("all shards owned", 20*time.Second, func() bool { return w.owned() == 16 })
	}
	report := w.conclude(finish)
	t.Logf("the longest from visible to readable: %s", report.Latency.Max.Round(10*time.Millisecond))
	if report.Latency.Max > 5*time.Second {
		t.Errorf("an event took %s from visible to readable in a rolling restart", report.Latency.Max)
	}
}
