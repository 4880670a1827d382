package soak

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/source/onelogin/simulator"
)

func TestMain(m *testing.M) {
	defer cleanBinary()
	goleak.VerifyTestMain(kafkatest.Main(m))
}

// number reads a bound of a long run from the environment, as `make soak` sets
// it.
func number(tb testing.TB, name string, otherwise int) int {
	tb.Helper()
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		tb.Fatalf("%s=%s: %v", name, v, err)
	}
	return n
}

// duration reads a length of time from the environment, as number does.
func duration(tb testing.TB, name string, otherwise time.Duration) time.Duration {
	tb.Helper()
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		tb.Fatalf("%s=%s: %v", name, v, err)
	}
	return d
}

// seed is printed, and can be given again.
func seed(tb testing.TB) uint64 {
	tb.Helper()
	s := uint64(number(tb, "SOAK_SEED", int(time.Now().UnixNano()%1_000_000)))
	tb.Logf("SOAK_SEED=%d", s)
	return s
}

// three is a OneLogin with three tenants as the kill test wants them.
func three(seed uint64, rate float64) simulator.Config {
	conf := simulator.Default(3)
	conf.Seed = seed
	conf.HourlyLimit = 100_000_000
	for i := range conf.Tenants {
		t := &conf.Tenants[i]
		t.Backlog = 2000
		t.Traffic.Rate = rate
		t.Traffic.Jitter = simulator.Duration(2 * time.Second)
		t.Traffic.Late, t.Traffic.LateBy = 0.02, simulator.Duration(30*time.Second)
		t.Traffic.Ties = 0.1
		t.Traffic.UnknownFields, t.Traffic.UnknownTypes, t.Traffic.Nulls, t.Traffic.Spaced = 0.02, 0.02, 0.02, 0.02
	}
	return conf
}

// quick are connector settings for tests: the same machinery, in less time.
const quick = `poll: {min: 200ms, max: 1s}
sweep: {every: 3s, window: 2m}
rate_limit: {share: 1}`

// quickWindow is the sweep window of them.
const quickWindow = 2 * time.Minute

// apiFaults happen to a call with this probability each.
var apiFaults = []string{
	simulator.TokenRevoked, simulator.Unauthorized, simulator.SecretRotated, simulator.Forbidden, simulator.NotFound, simulator.Conflict,
	simulator.ThrottledHTML, simulator.ThrottledSeconds, simulator.ThrottledDate, simulator.RateLimitExceeded,
	simulator.ServerError, simulator.BadGateway, simulator.Unavailable, simulator.HTMLOK, simulator.ErrorOK, simulator.FlatError,
	simulator.ErrorObject, simulator.Redirect, simulator.ConnectionReset, simulator.SlowHeaders, simulator.SlowBody, simulator.TruncatedBody,
	simulator.ConnectionCut, simulator.WrongContentType, simulator.NullBody, simulator.RepeatedPage,
	simulator.RepeatedCursor, simulator.EndlessCursor, simulator.EmptyPage, simulator.DataNull, simulator.DataMissing,
	simulator.MalformedElement, simulator.MissingID, simulator.BadTime,
}

func (w *World) setFaults(probability float64) {
	w.tb.Helper()
	for _, name := range apiFaults {
		f := simulator.FaultSetting{Name: name, Probability: probability, Delay: simulator.Duration(time.Second)}
		if err := w.Sim.SetFault(f); err != nil {
			w.tb.Fatal(err)
		}
	}
}

// settle ends faults and traffic and waits until everything is visible.
func (w *World) settle() {
	w.tb.Helper()
	w.Sim.ClearFaults()
	w.Sim.Freeze()
	time.Sleep(time.Until(w.Sim.SettledAt()))
}

// TestKill is the main proof: whatever instruction an instance dies at, nothing
// is missing, nothing is there twice, no byte is changed, and every position
// covers exactly what is committed with it.
func TestKill(t *testing.T) {
	// No other test here has the older one: it ends with this.
	for version, start := range map[string]func(testing.TB, kafkatest.Options) *kafkatest.Cluster{
		kafkatest.DefaultVersion: kafkatest.Shared, kafkatest.Version3: kafkatest.Start,
	} {
		t.Run(version, func(t *testing.T) {
			kills := number(t, "SOAK_KILLS", 10)
			r := rand.New(rand.NewPCG(seed(t), 0))
			w := New(t, Plan{
				Seed: r.Uint64(), Cluster: start(t, kafkatest.Options{Version: version}),
				Sim: three(r.Uint64(), 50), Settings: quick, SweepWindow: quickWindow,
			})
			w.setFaults(0.002)
			finish := w.Follow(t.Context())
			// Under quotas from the first moment on, with a backlog to read: they are hit, whatever the machine gives.
			w.must(w.quotas(true, "one"))
			in := w.Start("one")
			w.Await("the first events", 30*time.Second+held, func() bool { return w.judgement(t).Published() > 0 })
			w.Await("a quota to hold the instance back", held, w.throttled)
			began := time.Now()
			throttled, stood, bound := 0, w.positions(t), time.Duration(0)
			for k := range kills {
				// What is published while a position stands still is published once, and yet the tenant falls behind.
				if k%20 == 19 {
					now := w.positions(t)
					for name, through := range now {
						if !through.After(stood[name]) {
							w.dump()
							t.Fatalf("the position of %s stood at %v for 20 kills", name, through)
						}
					}
					stood = now
				}
				// Half of the kills happen under quotas, in blocks: brokers remember seconds of use.
				if k%10 == 0 {
					quotas := k%20 == 10 || kills <= 10
					if bound = 15 * time.Second; quotas {
						bound += held
					}
					w.must(w.quotas(quotas, "one"))
				}
				time.Sleep(time.Duration(200+r.IntN(2500)) * time.Millisecond)
				if err := in.Kill(); err != nil {
					w.dump()
					t.Fatal(err)
				}
				time.Sleep(time.Duration(r.IntN(400)) * time.Millisecond)
				in = w.Start("one")
				if err := w.awaitNews(bound, w.ofAny()); err != nil {
					w.dump()
					t.Fatalf("going on after a kill: %v", err)
				}
				w.judgement(t)
				if w.throttled() {
					throttled++
				}
			}
			took := time.Since(began)
			w.must(w.quotas(false, "one"))
			hits := w.hits()
			w.settle()
			report := finish(60 * time.Second)
			t.Logf("%d kills in %s, %d of them throttled, %d API faults hit\n%s", kills, took.Round(time.Second), throttled, hits, report)
			if !report.OK() {
				w.dump()
				t.Fatal("the promise is broken")
			}
			if hits == 0 {
				t.Error("no API fault was hit: no data")
			}
			if err := in.Terminate(10 * time.Second); err != nil {
				t.Error(err)
			}
		})
	}
}

// positions are how far each tenant has been read, by the last position that was judged.
func (w *World) positions(t *testing.T) map[string]time.Time {
	through := map[string]time.Time{}
	for _, c := range w.judgement(t).Connectors {
		through[c.Name] = c.Through
	}
	return through
}

func (w *World) hits() int64 {
	n := int64(0)
	for _, name := range apiFaults {
		n += w.Sim.Hits(name, "")
	}
	return n
}
