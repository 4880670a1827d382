package benchmark

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

func latency(ctx context.Context, b *bench) ([]Result, error) {
	return b.steady(ctx, "latency", orDefault(b.connectors, 100), 1100*time.Millisecond, 2200*time.Millisecond)
}

func thousand(ctx context.Context, b *bench) ([]Result, error) {
	return b.steady(ctx, "thousand", orDefault(b.connectors, 1000), 0, 2500*time.Millisecond)
}

// steady measures how long events take from visible to readable while
// connectors have one a second each. A p50 of 0 is no target.
func (b *bench) steady(ctx context.Context, name string, connectors int, p50, p99 time.Duration) ([]Result, error) {
	period := orDefault(b.period, 2*time.Minute)
	sim, err := b.simulate(fleet(connectors, 1))
	if err != nil {
		return nil, err
	}
	defer sim.stop()
	in, err := b.serve(ctx, name, sim, settings{connector: "start_from: now\npoll: {min: 2s, max: 30s}"})
	if err != nil {
		return nil, err
	}
	defer b.deleteTopics(ctx, in.topics.all()...)
	defer in.stop()
	reader, err := b.follow(in.topics.events, -1)
	if err != nil {
		return nil, err
	}
	defer reader.close()
	b.say("%d connectors are being started", connectors)
	if err := b.allPolled(ctx, sim, in, connectors); err != nil {
		return nil, err
	}
	if err := rest(ctx, in.process, 30*time.Second); err != nil {
		return nil, err
	}
	b.say("measuring for %s", period)
	before, err := meter(in.process, sim.process)
	if err != nil {
		return nil, err
	}
	from := time.Now()
	if err := rest(ctx, in.process, period); err != nil {
		return nil, err
	}
	after, err := meter(in.process, sim.process)
	if err != nil {
		return nil, err
	}
	until := time.Now()
	now, peak, err := in.memory()
	if err != nil {
		return nil, err
	}
	// What became visible at the end has not been readable yet.
	if err := rest(ctx, in.process, 10*time.Second); err != nil {
		return nil, err
	}
	waits, missing, err := sim.waits(reader, from, until)
	if err != nil {
		return nil, err
	}
	if missing > 0 || reader.duplicates() > 0 {
		return nil, fmt.Errorf("%d of %d events are missing, %d are there twice", missing, len(waits)+missing, reader.duplicates())
	}
	if len(waits) == 0 {
		return nil, errors.New("no events")
	}
	share := func(a, b time.Duration) float64 { return 100 * float64(a-b) / float64(until.Sub(from)) }
	at := func(q float64) float64 { return waits[int(q*float64(len(waits)-1))].Seconds() * 1000 }
	r := Result{Name: name, Title: fmt.Sprintf("Latency: %s connectors, 1 event/s each, poll.min 2 s, %s", thousands(int64(connectors)), period)}
	if p50 > 0 {
		r.add("visible to readable, p50", at(0.5), "ms", fmt.Sprintf("≤ %d", p50.Milliseconds()), at(0.5) <= float64(p50.Milliseconds()))
	} else {
		r.note("visible to readable, p50", at(0.5), "ms")
	}
	r.add("visible to readable, p99", at(0.99), "ms", fmt.Sprintf("≤ %d", p99.Milliseconds()), at(0.99) <= float64(p99.Milliseconds()))
	r.note("visible to readable, most", at(1), "ms")
	cpu := share(after.cpu, before.cpu)
	if connectors <= 100 {
		r.add("CPU of the service", cpu, "% of a core", "< 10", cpu < 10)
	} else {
		r.note("CPU of the service", cpu, "% of a core")
	}
	r.note("CPU of the simulator", share(after.simulator, before.simulator), "% of a core")
	r.note("CPU of the whole machine", share(after.machine, before.machine), "% of a core")
	r.note("resident memory", mib(now), "MiB")
	r.note("peak resident memory", mib(peak), "MiB")
	r.note("events", float64(len(waits)), "")
	return []Result{r}, nil
}

// waits are the times from visible to readable of what became visible between
// two times, ascending.
func (sim *simulation) waits(r *reader, from, until time.Time) (waits []time.Duration, missing int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range sim.truth.Tenants() {
		events, err := sim.truth.Truth(t.Name)
		if err != nil {
			return nil, 0, err
		}
		for e := range events {
			if e.VisibleAt.Before(from) || e.VisibleAt.After(until) {
				continue
			}
			at, ok := r.at[eventKey{e.ID, t.Name}]
			if !ok {
				missing++
				continue
			}
			waits = append(waits, at.Sub(e.VisibleAt))
		}
	}
	slices.Sort(waits)
	return waits, missing, nil
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

func (b *bench) idleOnce(ctx context.Context, connectors int) (r Result, resident int64, err error) {
	period := orDefault(b.period, 2*time.Minute)
	sim, err := b.simulate(fleet(connectors, 0))
	if err != nil {
		return r, 0, err
	}
	defer sim.stop()
	poll := b.poll
	began := time.Now()
	in, err := b.serve(ctx, fmt.Sprintf("idle-%d", connectors), sim, settings{connector: fmt.Sprintf("poll: {min: %s, max: %s}", poll, poll)})
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
	before, err := meter(in.process, sim.process)
	if err != nil {
		return r, 0, err
	}
	from := time.Now()
	if err := rest(ctx, in.process, period); err != nil {
		return r, 0, err
	}
	after, err := meter(in.process, sim.process)
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
	r = idleResult(connectors, poll, start, steady, began, took, after.cpu-before.cpu, resident, peak)
	m, err := in.metrics()
	if err != nil {
		return r, 0, err
	}
	r.note("goroutines", m["go_goroutines"], "")
	r.note("stacks", m["go_memstats_stack_inuse_bytes"]/(1<<20), "MiB")
	r.note("heap after the last collection", m["go_memstats_next_gc_bytes"]/2/(1<<20), "MiB")
	return r, resident, nil
}

func idleResult(connectors int, poll time.Duration, start, steady census, began time.Time, took, cpu time.Duration, resident, peak int64) Result {
	r := Result{Name: fmt.Sprintf("idle-%d", connectors), Title: fmt.Sprintf("Idle: %s connectors, a poll each %s", thousands(int64(connectors)), poll)}
	share := 100 * float64(cpu) / float64(took)
	first := start.Last.Sub(began).Seconds()
	if connectors >= 10_000 {
		r.add("resident memory", mib(resident), "MiB", "≤ 1024", mib(resident) <= 1024)
		r.add("CPU of the service", share, "% of a core", "≤ 100", share <= 100)
		r.add("start of the process to the last first poll", first, "s", "≤ 60", first <= 60)
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
