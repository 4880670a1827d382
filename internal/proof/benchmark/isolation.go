package benchmark

import (
	"context"
	"fmt"
	"slices"
	"time"

	"onelogin-kafka/source/onelogin/simulator"
)

// noisy is the bad tenant that is well, only too much: a page is full at each of
// its polls.
const (
	noisy        = "noisy"
	noisyRate    = 500
	noisyBacklog = 100_000
)

// broken are the other bad tenants: what is done to them, for ever.
var broken = []struct {
	name, is string
	faults   []simulator.FaultSetting
}{
	{"slow", "answers 30 s late", []simulator.FaultSetting{{Name: simulator.SlowHeaders, Delay: simulator.Duration(30 * time.Second)}}},
	{"garbage", "HTML with status 200", []simulator.FaultSetting{{Name: simulator.HTMLOK}}},
	{"revoked", "status 401", []simulator.FaultSetting{{Name: simulator.Unauthorized}, {Name: simulator.Unauthorized, Endpoint: "token"}}},
}

// beset adds the bad tenants to a simulation.
func beset(c simulator.Config) simulator.Config {
	add := func(name string, backlog int64, rate float64) {
		c.Tenants = append(c.Tenants, simulator.Tenant{
			Name: name, Backlog: backlog, BacklogSpan: simulator.Duration(time.Hour), Traffic: simulator.Traffic{Rate: rate},
		})
	}
	add(noisy, noisyBacklog, noisyRate)
	for _, t := range broken {
		add(t.name, 20, 1)
		for _, f := range t.faults {
			f.Tenant, f.Probability = t.name, 1
			c.Faults = append(c.Faults, f)
		}
	}
	return c
}

// isolation measures what bad tenants change for the others of their instance.
// The brokers get faster while they run: the normal ones are alone before and
// after, and the better of both is what the others are compared with.
func isolation(ctx context.Context, b *bench) ([]Result, error) {
	connectors := orDefault(b.connectors, 100)
	normal := fleet(connectors, 1)
	alone, err := b.isolationOnce(ctx, normal, connectors)
	if err != nil {
		return nil, fmt.Errorf("alone: %w", err)
	}
	// The one with the revoked secret has no token to ask for a page with.
	beside, err := b.isolationOnce(ctx, beset(normal), connectors+len(broken))
	if err != nil {
		return nil, fmt.Errorf("beside the bad ones: %w", err)
	}
	again, err := b.isolationOnce(ctx, normal, connectors)
	if err != nil {
		return nil, fmt.Errorf("alone again: %w", err)
	}
	if again.normal.at(0.99) < alone.normal.at(0.99) {
		alone = again
	}
	return []Result{isolationResult(connectors, alone, beside)}, nil
}

func isolationResult(connectors int, alone, beside besetness) Result {
	r := Result{Name: "isolation", Title: fmt.Sprintf("Isolation: %s connectors, 1 event/s each, poll.min 2 s, alone and beside four bad ones, %s each",
		thousands(int64(connectors)), alone.period)}
	r.note("alone, p50", alone.normal.at(0.5), "ms")
	r.note("beside, p50", beside.normal.at(0.5), "ms")
	r.note("alone, p99", alone.normal.at(0.99), "ms")
	r.note("beside, p99", beside.normal.at(0.99), "ms")
	q := beside.normal.at(0.99) / alone.normal.at(0.99)
	r.add("p99 beside / alone", q, "", "< 1.20", q < 1.2)
	r.note("alone, most", alone.normal.at(1), "ms")
	r.note("beside, most", beside.normal.at(1), "ms")
	r.note("events, alone", float64(len(alone.normal)), "")
	r.note("events, beside", float64(len(beside.normal)), "")
	r.note("CPU of the whole machine, alone", alone.share(alone.used.machine), "% of a core")
	r.note("CPU of the whole machine, beside", beside.share(beside.used.machine), "% of a core")
	r.note("events of the noisy one", float64(len(beside.noisy)), "")
	r.note("p99 of the noisy one", beside.noisy.at(0.99), "ms")
	for i, t := range broken {
		r.note("hits: "+t.is, float64(beside.hits[i]), "")
	}
	return r
}

// besetness is steadiness with what the bad tenants did to it.
type besetness struct {
	*steadiness
	normal, noisy waits
	hits          []int64 // of the faults of broken
}

// isolationOnce lets the service poll the tenants of c, of which the first ones
// are normal.
func (b *bench) isolationOnce(ctx context.Context, c simulator.Config, connectors int) (s besetness, err error) {
	sim, err := b.simulate(c)
	if err != nil {
		return s, err
	}
	defer sim.stop()
	if s.steadiness, err = b.steady(ctx, b.this, "isolation", sim, "start_from: 2h\n"+steadyPoll, connectors, orDefault(b.period, time.Minute)); err != nil {
		return s, err
	}
	names := sim.tenants()
	loud := slices.Index(names, noisy)
	if loud < 0 {
		s.normal, err = s.waits(names)
		return s, err
	}
	if s.normal, err = s.waits(names[:loud]); err != nil {
		return s, err
	}
	if s.noisy, err = s.waits(names[loud : loud+1]); err != nil {
		return s, fmt.Errorf("%s: %w", noisy, err)
	}
	if n, want := len(s.noisy), noisyRate*s.period.Seconds(); float64(n) < 0.9*want {
		return s, fmt.Errorf("%s had %d events, want about %.0f", noisy, n, want)
	}
	s.hits, err = sim.hits()
	return s, err
}

// hits returns how often the fault of each broken tenant was hit. Once is the
// least: else there was nothing to be isolated from.
func (sim *simulation) hits() ([]int64, error) {
	var set struct {
		Faults []simulator.FaultState `json:"faults"`
	}
	if err := sim.get("/_sim/faults", &set); err != nil {
		return nil, fmt.Errorf("asking for the faults: %w", err)
	}
	var hits []int64
	for _, t := range broken {
		i := slices.IndexFunc(set.Faults, func(f simulator.FaultState) bool { return f.Tenant == t.name })
		if i < 0 || set.Faults[i].Hits == 0 {
			return nil, fmt.Errorf("the fault of the tenant %s was not hit", t.name)
		}
		hits = append(hits, set.Faults[i].Hits)
	}
	return hits, nil
}
