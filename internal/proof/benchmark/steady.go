package benchmark

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// steadyPoll is the pace of connectors with an event a second.
const steadyPoll = "poll: {min: 2s, max: 30s}"

func latency(ctx context.Context, b *bench) ([]Result, error) {
	return b.latencyOf(ctx, "latency", orDefault(b.connectors, 100), 1100*time.Millisecond, 2200*time.Millisecond)
}

func thousand(ctx context.Context, b *bench) ([]Result, error) {
	return b.latencyOf(ctx, "thousand", orDefault(b.connectors, 1000), 0, 2500*time.Millisecond)
}

// latencyOf measures how long events take from visible to readable while
// connectors have one a second each. A p50 of 0 is no target.
func (b *bench) latencyOf(ctx context.Context, name string, connectors int, p50, p99 time.Duration) ([]Result, error) {
	sim, err := b.simulate(fleet(connectors, 1))
	if err != nil {
		return nil, err
	}
	defer sim.stop()
	s, err := b.steady(ctx, b.this, name, sim, "start_from: now\n"+steadyPoll, connectors, orDefault(b.period, 2*time.Minute))
	if err != nil {
		return nil, err
	}
	w, err := s.waits(sim.tenants())
	if err != nil {
		return nil, err
	}
	r := Result{Name: name, Title: fmt.Sprintf("Latency: %s connectors, 1 event/s each, poll.min 2 s, %s", thousands(int64(connectors)), s.period)}
	if p50 > 0 {
		r.add("visible to readable, p50", w.at(0.5), "ms", fmt.Sprintf("≤ %d", p50.Milliseconds()), w.at(0.5) <= float64(p50.Milliseconds()))
	} else {
		r.note("visible to readable, p50", w.at(0.5), "ms")
	}
	r.add("visible to readable, p99", w.at(0.99), "ms", fmt.Sprintf("≤ %d", p99.Milliseconds()), w.at(0.99) <= float64(p99.Milliseconds()))
	r.note("visible to readable, most", w.at(1), "ms")
	if cpu := s.share(s.used.cpu); connectors <= 100 {
		r.add("CPU of the service", cpu, "% of a core", "< 10", cpu < 10)
	} else {
		r.note("CPU of the service", cpu, "% of a core")
	}
	r.note("CPU of the simulator", s.share(s.used.simulator), "% of a core")
	r.note("CPU of the whole machine", s.share(s.used.machine), "% of a core")
	r.note("resident memory", mib(s.resident), "MiB")
	r.note("peak resident memory", mib(s.peak), "MiB")
	r.note("events", float64(len(w)), "")
	return []Result{r}, nil
}

// steadiness is what a period of steady polling showed.
type steadiness struct {
	sim            *simulation
	reader         *reader
	period         time.Duration
	from, until    time.Time
	used           sample // processor times
	requests       int64  // pages and tokens asked for
	resident, peak int64  // memory of the service, bytes
}

// share is a processor time in percent of a core.
func (s *steadiness) share(d time.Duration) float64 {
	return 100 * float64(d) / float64(s.until.Sub(s.from))
}

// steady lets the service poll every tenant for a while and has a reader note
// when their events became readable. polled is how many tenants get as far as
// being asked for a page.
func (b *bench) steady(ctx context.Context, of build, what string, sim *simulation, lines string, polled int, period time.Duration) (*steadiness, error) {
	in, err := b.serve(ctx, of, what, sim, lines)
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
	b.say("%d connectors are being started", polled)
	if err := b.allPolled(ctx, sim, in, polled); err != nil {
		return nil, err
	}
	if err := rest(ctx, in.process, 30*time.Second); err != nil {
		return nil, err
	}
	if err := sim.get("/_bench/forget", nil); err != nil {
		return nil, err
	}
	s := &steadiness{sim: sim, reader: reader, period: period}
	b.say("measuring for %s", s.period)
	s.from = time.Now()
	if s.used, err = metered(in.process, sim.process, func() error { return rest(ctx, in.process, s.period) }); err != nil {
		return nil, err
	}
	s.until = time.Now()
	asked, err := sim.count()
	if err != nil {
		return nil, err
	}
	s.requests = asked.Requests
	if s.resident, s.peak, err = in.memory(); err != nil {
		return nil, err
	}
	// What became visible at the end has not been readable yet.
	if err := rest(ctx, in.process, 10*time.Second); err != nil {
		return nil, err
	}
	if n := reader.duplicates(); n > 0 {
		return nil, fmt.Errorf("%d events are there twice", n)
	}
	return s, nil
}

// tenants are the names of all tenants.
func (sim *simulation) tenants() []string {
	var names []string
	for _, t := range sim.truth.Tenants() {
		names = append(names, t.Name)
	}
	return names
}

// waits are times from visible to readable, ascending.
type waits []time.Duration

// at is a quantile in ms.
func (w waits) at(q float64) float64 { return w[int(q*float64(len(w)-1))].Seconds() * 1000 }

// waits are those of what became visible of the named tenants in the period.
func (s *steadiness) waits(names []string) (waits, error) {
	s.reader.mu.Lock()
	defer s.reader.mu.Unlock()
	var w waits
	missing := 0
	for _, name := range names {
		events, err := s.sim.truth.Truth(name)
		if err != nil {
			return nil, err
		}
		for e := range events {
			if e.VisibleAt.Before(s.from) || e.VisibleAt.After(s.until) {
				continue
			}
			if at, ok := s.reader.at[eventKey{e.ID, name}]; ok {
				w = append(w, at.Sub(e.VisibleAt))
			} else {
				missing++
			}
		}
	}
	if missing > 0 {
		return nil, fmt.Errorf("%d of %d events are missing", missing, len(w)+missing)
	}
	if len(w) == 0 {
		return nil, errors.New("no events")
	}
	slices.Sort(w)
	return w, nil
}
