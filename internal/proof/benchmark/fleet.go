package benchmark

import (
	"context"
	"fmt"
	"time"

	"onelogin-kafka/source/onelogin/simulator"
)

// fleet is a simulator with n tenants: rate events a second each, some of them
// late and out of order. None are tied: a group of five at once would be
// followed by five seconds without any, which is another rate.
func fleet(n int, rate float64) simulator.Config {
	c := simulator.Config{Seed: 1}
	for i := range n {
		c.Tenants = append(c.Tenants, simulator.Tenant{
			Name: fmt.Sprintf("tenant-%05d", i+1), Backlog: 20, BacklogSpan: simulator.Duration(10 * time.Minute),
			Traffic: simulator.Traffic{
				Rate: rate, Jitter: simulator.Duration(800 * time.Millisecond),
				Late: 0.02, LateBy: simulator.Duration(30 * time.Second),
			},
		})
	}
	return c
}

// allPolled waits until every connector has been polled.
func (b *bench) allPolled(ctx context.Context, sim *simulation, in *instance, connectors int) error {
	return await(ctx, "polling every connector", 3*time.Minute, in.process, func() (bool, error) {
		c, err := sim.count()
		if err == nil {
			err = fmt.Errorf("%d of %d were polled", c.Polled, connectors)
		}
		return c.Polled == connectors, err
	})
}

// rest waits while p lives.
func rest(ctx context.Context, p *process, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-p.done:
		return fmt.Errorf("%s has ended: %w\n%s", p.name, orEnd(p.err), p.tail())
	case <-ctx.Done():
		return ctx.Err()
	}
}

// idle measures what connectors need that have no events.
func idle(ctx context.Context, b *bench) ([]Result, error) {
	counts := []int{1, 1000, 10_000}
	if b.connectors > 0 {
		counts = []int{1, b.connectors}
	}
	var results []Result
	var one int64
	for _, n := range counts {
		r, resident, err := b.idleOnce(ctx, n)
		if err != nil {
			return nil, fmt.Errorf("%d connectors: %w", n, err)
		}
		if n == 1 {
			one = resident
		} else {
			r.note("resident memory of a further connector", float64(resident-one)/1024/float64(n-1), "KiB")
		}
		results = append(results, r)
	}
	return results, nil
}

// farAway is the time of a request and its answer to the hosts of "far".
const farAway = 100 * time.Millisecond

// far measures idle connectors as they are in production: a host each, far away.
func far(ctx context.Context, b *bench) ([]Result, error) {
	n := orDefault(b.connectors, 10_000)
	sim, err := b.simulateFar(fleet(n, 0), farAway)
	if err != nil {
		return nil, err
	}
	defer sim.stop()
	r, _, err := b.idleOf(ctx, sim, n, idleTargets{memory: 800, cpu: 35, start: 45})
	r.Name, r.Title = "far", r.Title+fmt.Sprintf(", over TLS, a host each, %s away", farAway)
	return []Result{r}, err
}

// idleTargets are what 10,000 connectors may take: MiB, percent of a core, and
// seconds until each has been polled.
type idleTargets struct{ memory, cpu, start float64 }

func (b *bench) idleOnce(ctx context.Context, connectors int) (r Result, resident int64, err error) {
	sim, err := b.simulate(fleet(connectors, 0))
	if err != nil {
		return r, 0, err
	}
	defer sim.stop()
	return b.idleOf(ctx, sim, connectors, idleTargets{memory: 1024, cpu: 100, start: 60})
}

func (b *bench) idleOf(ctx context.Context, sim *simulation, connectors int, most idleTargets) (r Result, resident int64, err error) {
	period := orDefault(b.period, 2*time.Minute)
	poll := b.poll
	began := time.Now()
	in, err := b.serve(ctx, b.this, fmt.Sprintf("idle-%d", connectors), sim, fmt.Sprintf("poll: {min: %s, max: %s}", poll, poll))
	if err != nil {
		return r, 0, err
	}
	defer b.deleteTopics(ctx, in.topics.all()...)
	defer in.stop()
	b.say("%d connectors are being started", connectors)
	if err := b.allPolled(ctx, sim, in, connectors); err != nil {
		return r, 0, err
	}
	start, err := sim.count()
	if err != nil {
		return r, 0, err
	}
	// Steady once everybody has been polled twice more.
	if err := rest(ctx, in.process, 2*poll); err != nil {
		return r, 0, err
	}
	if err := sim.get("/_bench/forget", nil); err != nil {
		return r, 0, err
	}
	b.say("measuring for %s", period)
	from := time.Now()
	used, err := metered(in.process, sim.process, func() error { return rest(ctx, in.process, period) })
	if err != nil {
		return r, 0, err
	}
	took := time.Since(from)
	steady, err := sim.count()
	if err != nil {
		return r, 0, err
	}
	resident, peak, err := in.memory()
	if err != nil {
		return r, 0, err
	}
	r = idleResult(most, connectors, poll, start, steady, began, took, used.cpu, resident, peak)
	m, err := in.metrics()
	if err != nil {
		return r, 0, err
	}
	r.note("goroutines", m["go_goroutines"], "")
	r.note("stacks", m["go_memstats_stack_inuse_bytes"]/(1<<20), "MiB")
	r.note("heap after the last collection", m["go_memstats_next_gc_bytes"]/(1+m["go_gc_gogc_percent"]/100)/(1<<20), "MiB")
	return r, resident, nil
}

func idleResult(limit idleTargets, connectors int, poll time.Duration, start, steady census, began time.Time, took, cpu time.Duration, resident, peak int64) Result {
	r := Result{Name: fmt.Sprintf("idle-%d", connectors), Title: fmt.Sprintf("Idle: %s connectors, a poll each %s", thousands(int64(connectors)), poll)}
	share := 100 * float64(cpu) / float64(took)
	first := start.Last.Sub(began).Seconds()
	if connectors >= 10_000 {
		within := func(name string, value float64, unit string, most float64) {
			r.add(name, value, unit, fmt.Sprintf("≤ %g", most), value <= most)
		}
		within("resident memory", mib(resident), "MiB", limit.memory)
		within("CPU of the service", share, "% of a core", limit.cpu)
		within("start of the process to the last first poll", first, "s", limit.start)
	} else {
		r.note("resident memory", mib(resident), "MiB")
		r.note("CPU of the service", share, "% of a core")
		r.note("start of the process to the last first poll", first, "s")
	}
	r.note("peak resident memory", mib(peak), "MiB")
	r.note("most pages under way at once, start", float64(start.MostPages), "")
	r.note("most tokens under way at once, start", float64(start.MostTokens), "")
	r.note("most pages under way at once, steady", float64(steady.MostPages), "")
	r.note("polls, steady", float64(steady.Requests)/took.Seconds(), "1/s")
	return r
}
