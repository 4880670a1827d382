package soak

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"onelogin-kafka/internal/proof/audit"
	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/internal/proof/wait"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source/onelogin/simulator"
)

const (
	// repaired is the tenant whose topic is damaged, backfilled the one of whose past nothing is there.
	repaired, backfilled = "acme", "globex"
	// quietFor is how long nothing has come before the test, to whole minutes, as those of a position are: what came late has all come.
	quietFor, lateBy = 4 * time.Hour, 3 * time.Hour
	pastSpan         = 20 * time.Hour
	// accountCalls is what each account may be asked in an hour; half of it is the connector's, by default.
	accountCalls = 60_000
	// killEvery is how often the owner is killed.
	killEvery = 5 * time.Second
)

// pastOf is a OneLogin with a past of events, of which some hundred came hours late, and nothing since.
func pastOf(seed uint64, events int64) simulator.Config {
	traffic := simulator.Traffic{Late: 200 / float64(events), LateBy: simulator.Duration(lateBy), Jitter: simulator.Duration(2 * time.Second), Ties: 0.1, Spaced: 0.02, UnknownFields: 0.02}
	conf := simulator.Config{Seed: seed, Start: time.Now().Add(-quietFor).Truncate(time.Minute), HourlyLimit: accountCalls}
	for name, n := range map[string]int64{repaired: events, backfilled: events / 4} {
		conf.Tenants = append(conf.Tenants, simulator.Tenant{Name: name, Backlog: n, BacklogSpan: simulator.Duration(pastSpan), Traffic: traffic})
	}
	slices.SortFunc(conf.Tenants, func(a, b simulator.Tenant) int { return -int(b.Backlog - a.Backlog) })
	return conf
}

// repairWorld is a damaged topic, and who repairs it.
type repairWorld struct {
	*World
	t       *testing.T
	damaged *Damaged
	span    []string // the past, as commands are told it
	// kills were done in all, hits while a job was at work, brokers and moves besides.
	kills, hits, brokers, moves int
}

// TestRepair: a topic with holes, altered and repeated events, beside live polls of 50 events a second. `verify` finds each and nothing
// else; `verify --repair` and `backfill` mend it, with the owner killed every 5 s, brokers killed and shards moved: nothing is missing,
// nothing is there twice that was not before. SOAK_EVENTS says how large the past is, SOAK_KILLS how often the owner is killed at least.
func TestRepair(t *testing.T) {
	events, kills := int64(number(t, "SOAK_EVENTS", 12_000)), number(t, "SOAK_KILLS", 3)
	r := rand.New(rand.NewPCG(seed(t), 0))
	page := min(1000, events/100)
	w := &repairWorld{t: t, World: New(t, Plan{
		Seed: r.Uint64(), Cluster: kafkatest.Shared(t, kafkatest.Options{}), Sim: pastOf(r.Uint64(), events), SweepWindow: quickWindow,
		Settings: "poll: {min: 500ms, max: 1s}\nsweep: {every: 3s, window: 2m}\nstart_from: now\npage_size: " + strconv.FormatInt(page, 10),
	})}
	w.begin(Damage{Gaps: 10, Longest: min(5000, events/20), LateBy: quickWindow, Altered: 50, Repeated: 20}, r.Uint64())
	finish := w.Follow(t.Context())
	w.serve()
	w.verify(repaired, int64(len(w.damaged.Missing)))
	began := time.Now()
	w.repair(kills, r)
	took := time.Since(began)
	w.verify(repaired, 0)
	w.verify(backfilled, 0)
	report := w.conclude(finish)
	w.checkShare()
	t.Logf("%d missing, %d of them hours late; mended in %s under %d kills of an owner, %d of them while a job was at work, %d of brokers and %d moves: %d events published",
		len(w.damaged.Missing), w.damaged.Late, took.Round(time.Second), w.kills, w.hits, w.brokers, w.moves, report.Published())
}

// checkShare fails the test if more was asked of an account than is the connector's; all of it came within an hour and some.
func (w *repairWorld) checkShare() {
	w.t.Helper()
	hours := int64(1 + time.Since(w.Sim.Start().Add(quietFor))/time.Hour)
	for _, name := range []string{repaired, backfilled} {
		calls := int64(0)
		for _, n := range w.Sim.Stats()[name].Calls["events"] {
			calls += n
		}
		w.t.Logf("%s: %d calls, of %d in an hour", name, calls, accountCalls/2)
		if calls == 0 || calls > hours*accountCalls/2 {
			w.t.Errorf("%d calls of %s in %d hours", calls, name, hours)
		}
	}
}

// begin writes the damaged topic, where nobody is at work.
func (w *repairWorld) begin(d Damage, seed uint64) {
	w.t.Helper()
	for _, name := range []string{repaired, backfilled} {
		w.WriteConnector(name, "paused: true")
	}
	in := w.Start("a")
	w.Await("the topics", 40*time.Second, func() bool { return in.Ready() })
	if err := in.Terminate(15 * time.Second); err != nil {
		w.t.Fatal(err)
	}
	var err error
	if w.damaged, err = w.WriteDamaged(repaired, d, seed); err != nil {
		w.t.Fatal(err)
	}
	if w.damaged.Late == 0 || len(w.damaged.Altered) != d.Altered || len(w.damaged.Repeated) != d.Repeated {
		w.t.Fatalf("%d late, %d altered, %d repeated: no data", w.damaged.Late, len(w.damaged.Altered), len(w.damaged.Repeated))
	}
	start := w.Sim.Start().UTC()
	w.damagedTo, w.well = start, w.asDamaged
	w.span = []string{"--from", start.Add(-pastSpan - time.Hour).Format(time.RFC3339), "--to", start.Format(time.RFC3339), "--json"}
}

// asDamaged tells whether nothing is wrong but what was: altered and repeated events stay.
func (w *repairWorld) asDamaged(r *audit.Report) bool {
	want := map[string]int64{"altered": int64(len(w.damaged.Altered)), "duplicate": int64(len(w.damaged.Repeated))}
	for _, v := range r.Violations {
		if v.Rule != "A1" || v.Connector != repaired || v.Count != want[v.Name] {
			return false
		}
	}
	return true
}

// serve starts the instances, and then the traffic.
func (w *repairWorld) serve() {
	w.t.Helper()
	for _, name := range []string{repaired, backfilled} {
		w.WriteConnector(name, "")
	}
	w.Start("a")
	w.Start("b")
	w.Await("both tenants served", 60*time.Second, func() bool { return w.state(repaired) == "ACTIVE" && w.state(backfilled) == "ACTIVE" })
	for _, name := range []string{repaired, backfilled} {
		if err := w.Sim.SetTraffic(name, func(t *simulator.Traffic) {
			*t = simulator.Traffic{Rate: 50, Ties: 0.1, Jitter: simulator.Duration(time.Second), Late: 0.02, LateBy: simulator.Duration(5 * time.Second)}
		}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// verify compares a tenant's past with the topic, which lacks so many events.
func (w *repairWorld) verify(tenant string, missing int64) {
	w.t.Helper()
	began := time.Now()
	said, err := w.command(w.t.Context(), "a", append([]string{"verify", tenant}, w.span...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Logf("verify %s: %s", tenant, time.Since(began).Round(100*time.Millisecond))
	w.check(tenant, said, missing, false)
}

// check judges what a comparison has found.
func (w *repairWorld) check(tenant string, said *Said, missing int64, published bool) {
	w.t.Helper()
	var f found
	if published {
		var j job
		w.read(said, &j)
		f = j.Progress
		if j.State != "done" || f.Repaired != missing {
			w.t.Errorf("the job of %s is %s, and %d events of %d were published\n%s", tenant, j.State, f.Repaired, missing, said)
		}
	} else {
		w.read(said, &f)
	}
	altered, repeated, code := int64(0), int64(0), 0
	if tenant == repaired {
		altered, repeated, code = int64(len(w.damaged.Altered)), int64(len(w.damaged.Repeated)), 1
	}
	if said.Code != code || f.Missing != missing || f.Altered != altered || f.Duplicate != repeated || f.Unshown != 0 {
		w.t.Errorf("%s lacks %d events, %d are altered and %d there twice, and it says\n%s", tenant, missing, altered, repeated, said)
	}
	if tenant != repaired {
		return
	}
	ids := map[string]map[int64]bool{schemas.Missing: w.damaged.Missing, schemas.Altered: w.damaged.Altered, schemas.Duplicate: w.damaged.Repeated}
	for _, x := range f.Findings {
		if !ids[x.Kind][x.ID] {
			w.t.Errorf("event %d of %s is not %s", x.ID, tenant, x.Kind)
		}
	}
}

func (w *repairWorld) read(said *Said, v any) {
	w.t.Helper()
	if err := json.Unmarshal([]byte(said.Out), v); err != nil {
		w.t.Fatalf("%v: %s", err, said)
	}
}

// ended is what a command came to that asked for a job.
type ended struct {
	said *Said
	err  error
}

// ask asks for a job and waits for its end beside the test.
func (w *repairWorld) ask(ctx context.Context, args ...string) <-chan ended {
	end := make(chan ended, 1)
	go func() {
		said, err := w.command(ctx, "a", append(args, w.span...)...)
		end <- ended{said, err}
	}()
	return end
}

// repair has both tenants mended, under kills.
func (w *repairWorld) repair(kills int, r *rand.Rand) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	// A job has a hundred pages and more: it is still at work when it is time to kill, whatever the machine.
	if err := w.Sim.SetFault(simulator.FaultSetting{Name: simulator.SlowHeaders, Probability: 1, Delay: simulator.Duration(time.Second)}); err != nil {
		w.t.Fatal(err)
	}
	mended := w.ask(ctx, "verify", repaired, "--repair", "--reason", "holes")
	filled := w.ask(ctx, "backfill", backfilled, "--yes", "--reason", "from before the start")
	w.Await("both jobs", 30*time.Second, func() bool { open, _ := w.underway(ctx); return len(open) == 2 })
	for w.kills < kills {
		w.strike(ctx, r)
	}
	w.Sim.ClearFaults()
	for open, known := w.underway(ctx); !known || len(open) > 0; open, known = w.underway(ctx) {
		w.strike(ctx, r)
	}
	for tenant, end := range map[string]<-chan ended{repaired: mended, backfilled: filled} {
		e := <-end
		if e.err != nil {
			w.t.Fatal(e.err)
		}
		missing := int64(len(w.damaged.Missing))
		if tenant == backfilled {
			missing = w.past(backfilled)
		}
		w.check(tenant, e.said, missing, true)
	}
	if w.hits < 2 || w.brokers == 0 || w.moves == 0 {
		w.t.Errorf("%d kills while a job was at work, %d brokers killed, %d moves of shards: no data", w.hits, w.brokers, w.moves)
	}
}

// underway are the tenants whose job has not ended, if that is known: brokers may be away.
func (w *repairWorld) underway(ctx context.Context) (names []string, known bool) {
	list, err := w.jobs(ctx, "a")
	if err != nil {
		w.t.Logf("asking for the jobs: %v", err)
		return nil, false
	}
	for _, j := range list {
		if j.State == "running" || j.State == "waiting" {
			names = append(names, j.Connector)
		}
	}
	return names, true
}

// strike kills the owner of a tenant whose job is at work, each third time when a broker has just been killed, and each third time when
// another instance has just come or gone.
func (w *repairWorld) strike(ctx context.Context, r *rand.Rand) {
	w.t.Helper()
	time.Sleep(killEvery)
	victim := repaired
	open, _ := w.underway(ctx)
	if len(open) > 0 {
		victim = open[r.IntN(len(open))]
	}
	restart := func() error { return nil }
	switch w.kills % 3 {
	case 1:
		nodes := w.plan.Cluster.Nodes()
		n := nodes[r.IntN(len(nodes))]
		w.must(n.Kill())
		restart = n.Start
		w.brokers++
	case 2:
		if c := w.Instance("c"); c == nil || c.Ended() {
			w.Start("c")
		} else {
			w.must(c.Terminate(15 * time.Second))
		}
		w.moves++
	}
	var owner *Instance
	w.Await("an owner", 60*time.Second, func() bool {
		owner = w.Instance(w.owners()[victim])
		return owner != nil
	})
	w.must(owner.Kill())
	w.kills++
	if len(open) > 0 {
		w.hits++
	}
	w.Start(owner.Name)
	w.must(restart())
	bound := 15 * time.Second
	if w.kills%3 == 2 {
		bound = cold
	}
	began := wait.Begin()
	if err := w.AwaitProgress(bound); err != nil {
		w.dump()
		w.t.Fatalf("after the kill of %s, in %s: %v", owner.Name, began, err)
	}
	if j := w.Judged(); !w.well(j) {
		w.dump()
		w.t.Fatalf("while it ran:\n%s", j)
	}
}

// past is how many events a tenant has from before the simulator's start.
func (w *repairWorld) past(tenant string) int64 {
	w.t.Helper()
	events, err := w.Sim.Truth(tenant)
	if err != nil {
		w.t.Fatal(err)
	}
	n := int64(0)
	for e := range events {
		if e.CreatedAt.Before(w.Sim.Start()) {
			n++
		}
	}
	return n
}
