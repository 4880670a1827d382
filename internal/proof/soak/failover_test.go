package soak

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onelogin-kafka/internal/proof/audit"
	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/internal/proof/wait"
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
		Sim: many(r.Uint64(), tenants, rate), Settings: quick, SweepWindow: quickWindow, Shards: 16,
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

// awaitPolls waits until every tenant was polled since before, for so much of the machine's time.
func (w *World) awaitPolls(before map[string]int64, bound time.Duration) {
	w.tb.Helper()
	began := wait.Begin()
	if !wait.Until(bound, func() bool { return len(w.unpolled(before)) == 0 }) {
		w.dump()
		w.tb.Fatalf("after %s not polled: %v", began, w.unpolled(before))
	}
}

// conclude ends an environment and fails the test unless all is there exactly once.
func (w *World) conclude(finish func(time.Duration) *audit.Report) *audit.Report {
	w.tb.Helper()
	w.settle()
	report := finish(60 * time.Second)
	w.tb.Logf("%s", report)
	if !w.well(report) {
		w.dump()
		w.tb.Fatal("the promise is broken")
	}
	return report
}

// TestKilledInstanceIsReplaced: the others own and poll every tenant within
// the session timeout and a little.
func TestKilledInstanceIsReplaced(t *testing.T) {
	t.Parallel()
	w, finish := fleet(t, []string{"a", "b", "c"}, 12, 5)
	if err := w.Instance("a").Kill(); err != nil {
		t.Fatal(err)
	}
	killed := wait.Begin()
	w.awaitPolls(w.polled(), 12*time.Second)
	took := killed.Passed()
	t.Logf("after SIGKILL every tenant is polled again within %s", killed)
	if took > 8*time.Second {
		t.Errorf("failover took %s, want at most 8 s of the machine's time", took)
	}
	w.conclude(finish)
}

// TestTerminatedInstanceHandsOver: the others take over without waiting for a
// timeout.
func TestTerminatedInstanceHandsOver(t *testing.T) {
	t.Parallel()
	w, finish := fleet(t, []string{"a", "b", "c"}, 12, 5)
	if got := w.members(); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Fatalf("members of the group: %v", got)
	}
	terminated := wait.Begin()
	if err := w.Instance("a").Terminate(10 * time.Second); err != nil {
		w.dump()
		t.Fatal(err)
	}
	t.Logf("SIGTERM: ended after %s", terminated)
	if got := w.members(); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("members of the group when it has ended: %v: its session has to end first", got)
	}
	ended := wait.Begin()
	w.awaitPolls(w.polled(), 10*time.Second)
	took := ended.Passed()
	t.Logf("every tenant polled again %s later", ended)
	if took > 3*time.Second {
		t.Errorf("the hand-over waited for a timeout: %s of the machine's time", took)
	}
	w.conclude(finish)
}

// members are the names of the instances that the group's coordinator knows.
func (w *World) members() []string {
	w.tb.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.plan.Cluster.Brokers()...))
	if err != nil {
		w.tb.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := wait.Within(w.tb.Context(), 30*time.Second)
	defer cancel()
	groups, err := kadm.NewClient(client).DescribeGroups(ctx, w.name)
	if err != nil {
		w.tb.Fatalf("asking for the group's members: %v", err)
	}
	var names []string
	for _, m := range groups[w.name].Members {
		if m.InstanceID != nil {
			names = append(names, *m.InstanceID)
		}
	}
	slices.Sort(names)
	return names
}

// TestRestartUnderTheSameName: a killed instance that starts again is back
// without a rebalance, whatever transaction was open; nobody else notices.
func TestRestartUnderTheSameName(t *testing.T) {
	t.Parallel()
	w, finish := fleet(t, []string{"a", "b"}, 8, 20)
	other := w.Instance("b")
	shards, err := other.Shards()
	if err != nil {
		t.Fatal(err)
	}
	rebalances := other.rebalances(t)
	for range 5 {
		if err := w.Instance("a").Kill(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := wait.Within(t.Context(), 20*time.Second)
		news, err := w.News(ctx)
		if err != nil {
			t.Fatal(err)
		}
		before, started := w.polled(), wait.Begin()
		w.Start("a")
		w.awaitPolls(before, 10*time.Second)
		polled := started.String()
		err = news.Await(ctx, ofAll)
		took := started.Passed()
		news.Close()
		cancel()
		if err != nil {
			w.dump()
			t.Fatal(err)
		}
		t.Logf("restarted: every tenant polled again %s after the start, its events readable after %s", polled, started)
		if took > 5*time.Second {
			t.Errorf("the restart waited for the session timeout: %s of the machine's time", took)
		}
		after, err := other.Shards()
		if err != nil || len(after) != len(shards) {
			t.Errorf("the other instance had shards %v and now has %v (error %v)", shards, after, err)
		}
	}
	if got := other.rebalances(t); got != rebalances {
		t.Errorf("the other instance took part in %v rebalances", got-rebalances)
	}
	w.conclude(finish)
}

var rebalancesPattern = regexp.MustCompile(`(?m)^onelogin_rebalances_total (\d+)$`)

// rebalances is how many assignments the instance has received.
func (in *Instance) rebalances(tb testing.TB) int {
	tb.Helper()
	text, err := in.metrics()
	if err != nil {
		tb.Fatal(err)
	}
	m := rebalancesPattern.FindSubmatch(text)
	if m == nil {
		tb.Fatalf("no onelogin_rebalances_total in the metrics:\n%s", text)
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// TestTwoInstancesWithOneName: the older ends with a clear error, exit 1.
func TestTwoInstancesWithOneName(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	w, finish := fleet(t, []string{"a", "b"}, 8, 50)
	for round := range 2 {
		zombie := w.Instance("a")
		if err := zombie.Pause(); err != nil {
			t.Fatal(err)
		}
		paused, watch := time.Now(), wait.Begin()
		w.awaitPolls(w.polled(), 12*time.Second)
		t.Logf("round %d: taken over within %s", round, watch)
		time.Sleep(time.Until(paused.Add(14 * time.Second)))
		asleep := w.judgement(t).Counts
		if err := zombie.Resume(); err != nil {
			t.Fatal(err)
		}
		w.Await("the zombie to hold shards again", 20*time.Second, func() bool {
			shards, err := zombie.Shards()
			return err == nil && len(shards) > 0 && zombie.Ready() && w.owned() == 16
		})
		t.Logf("round %d: aborted records %d before and %d after waking", round, asleep.Aborted, w.judgement(t).Counts.Aborted)
	}
	w.conclude(finish)
}

// TestRollingRestart: each instance in turn; no connector falls behind.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	w, finish := fleet(t, []string{"a", "b", "c"}, 12, 5)
	g := watchGaps(t, w)
	for _, name := range []string{"a", "b", "c"} {
		if err := w.Instance(name).Terminate(10 * time.Second); err != nil {
			w.dump()
			t.Fatal(err)
		}
		if err := w.AwaitProgress(10 * time.Second); err != nil {
			w.dump()
			t.Fatalf("without %s: %v", name, err)
		}
		w.Start(name)
		w.Await("all shards owned", 20*time.Second, func() bool { return w.owned() == 16 })
	}
	g.stop()
	longest := g.take()
	if len(longest) != 12 {
		t.Errorf("%d connectors were watched, want 12", len(longest))
	}
	for name, gap := range longest {
		if gap > 5*time.Second {
			t.Errorf("%s was not polled for %s of the machine's time in a rolling restart", name, gap)
		}
	}
	report := w.conclude(finish)
	t.Logf("the longest from visible to readable, as the auditor came to see it: %s", report.Latency.Max.Round(10*time.Millisecond))
}
