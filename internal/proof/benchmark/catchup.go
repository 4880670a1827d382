package benchmark

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"onelogin-kafka/source/onelogin/simulator"
)

const tenant = "acme"

// warmUp is how many rounds of each page size are not counted. The brokers have
// just started: until what a round calls of them is compiled, that takes more
// time than what is measured. After so many the figures climbed no more; fewer
// rounds are a trial, and warm up as often only.
const warmUp = 5

// sample is one party's way through the backlog.
type sample struct {
	took      time.Duration // from the first page to the last event
	cpu       time.Duration // of the party
	simulator time.Duration
	reader    time.Duration
	machine   time.Duration
	peak      int64 // most memory ever resident, bytes
	// requests of the service, its transactions, and the time in them
	requests      int64
	transactions  float64
	inTransaction time.Duration
}

func backlog(events int64) simulator.Config {
	return simulator.Config{Seed: 1, Tenants: []simulator.Tenant{{Name: tenant, Backlog: events}}}
}

// pageSizes are those of -pages.
func (b *bench) pageSizes() (sizes []int, err error) {
	for text := range strings.SplitSeq(b.pages, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("reading -pages: %w", err)
		}
		sizes = append(sizes, n)
	}
	return sizes, nil
}

func catchUp(ctx context.Context, b *bench) ([]Result, error) {
	events := orDefault(b.events, 100_000)
	rounds := orDefault(b.rounds, 5)
	pages, err := b.pageSizes()
	if err != nil {
		return nil, err
	}
	sim, err := b.simulate(backlog(events))
	if err != nil {
		return nil, err
	}
	defer sim.stop()
	var results []Result
	for _, page := range pages {
		var r catchUpRounds
		for round := -min(warmUp, rounds); round < rounds; round++ {
			b.say("page %d, round %d of %d", page, round+1, rounds)
			into := &r
			if round < 0 {
				into = new(catchUpRounds)
			}
			if err := b.catchUpRound(ctx, sim, page, events, into); err != nil {
				return nil, err
			}
		}
		results = append(results, catchUpResult(page, events, r))
	}
	return results, nil
}

// catchUpRounds are the samples of all rounds, by party.
type catchUpRounds struct{ bare, unchecked, loose, ours []sample }

func (b *bench) catchUpRound(ctx context.Context, sim *simulation, page int, events int64, r *catchUpRounds) error {
	said := make([]string, 0, 4)
	for _, party := range []struct {
		name    string
		samples *[]sample
		run     func() (sample, error)
	}{
		{"bare client", &r.bare, func() (sample, error) { return b.bareOnce(ctx, sim, "bare", page, events) }},
		{"bare client, unchecked", &r.unchecked, func() (sample, error) { return b.bareOnce(ctx, sim, "bare-unchecked", page, events) }},
		{"at-least-once poller", &r.loose, func() (sample, error) { return b.looseOnce(ctx, sim, page, events) }},
		{"service", &r.ours, func() (sample, error) {
			return b.serviceOnce(ctx, b.this, sim, fmt.Sprintf("catchup-%d", page), page, events)
		}},
	} {
		s, err := party.run()
		if err != nil {
			return fmt.Errorf("%s: %w", party.name, err)
		}
		*party.samples = append(*party.samples, s)
		said = append(said, fmt.Sprintf("%s %.0f/s", party.name, rate(s, events)))
	}
	b.say("  %s", strings.Join(said, ", "))
	return nil
}

func rate(s sample, events int64) float64 { return float64(events) / s.took.Seconds() }

func perEvent(d time.Duration, events int64) float64 {
	return float64(d.Nanoseconds()) / 1000 / float64(events)
}

func (sim *simulation) task(page int) task {
	id, secret := sim.truth.Credentials(tenant)
	return task{URL: sim.url, ClientID: id, ClientSecret: secret, Limit: page, Since: sim.truth.Start().Add(-48 * time.Hour).UTC().Format("2006-01-02T15:04:05.000Z")}
}

// meter reads the processor times of all parties.
func meter(party, sim *process) (s sample, err error) {
	if s.cpu, err = party.cpu(); err != nil {
		return s, err
	}
	if s.simulator, err = sim.cpu(); err != nil {
		return s, err
	}
	s.reader, s.machine = selfCPU(), machineCPU()
	return s, nil
}

// metered returns the processor times that went by during do.
func metered(party, sim *process, do func() error) (sample, error) {
	before, err := meter(party, sim)
	if err != nil {
		return before, err
	}
	if err := do(); err != nil {
		return before, err
	}
	s, err := meter(party, sim)
	s.cpu -= before.cpu
	s.simulator -= before.simulator
	s.reader -= before.reader
	s.machine -= before.machine
	return s, err
}

// race opens the gate once the party waits before it and all else is quiet, and
// measures until end says that it has arrived.
func (b *bench) race(ctx context.Context, sim *simulation, party *process, end func() (time.Time, error)) (sample, error) {
	if err := sim.waiting(ctx, party); err != nil {
		return sample{}, err
	}
	if err := b.quiet(ctx); err != nil {
		return sample{}, err
	}
	// Whoever was held back for too long has given up, and asks again.
	if err := sim.waiting(ctx, party); err != nil {
		return sample{}, err
	}
	var began, at time.Time
	s, err := metered(party, sim.process, func() (err error) {
		began = time.Now()
		if err := sim.gate(true); err != nil {
			return fmt.Errorf("opening the gate: %w", err)
		}
		at, err = end()
		return err
	})
	if err != nil {
		return s, err
	}
	s.took = at.Sub(began)
	_, s.peak, err = party.memory()
	return s, err
}

// waiting waits until the party stands before the gate.
func (sim *simulation) waiting(ctx context.Context, party *process) error {
	return await(ctx, "waiting for the first request", time.Minute, party, func() (bool, error) {
		c, err := sim.count()
		return c.Waiting > 0, err
	})
}

// bareOnce and its fellows take one party through the backlog.
func (b *bench) bareOnce(ctx context.Context, sim *simulation, role string, page int, events int64) (sample, error) {
	if err := sim.gate(false); err != nil {
		return sample{}, err
	}
	p, err := b.role(role, sim.task(page))
	if err != nil {
		return sample{}, err
	}
	defer p.stop()
	return b.race(ctx, sim, p, func() (time.Time, error) { return finished(p, events) })
}

// finished waits for a role's last line; the role itself lives on until it is
// stopped.
func finished(p *process, events int64) (time.Time, error) {
	line, err := p.line(10 * time.Minute)
	at := time.Now()
	if err == nil && !strings.Contains(line, fmt.Sprintf(`"events":%d,`, events)) {
		err = fmt.Errorf("%s read %s, want %d events", p.name, line, events)
	}
	return at, err
}

func (b *bench) looseOnce(ctx context.Context, sim *simulation, page int, events int64) (sample, error) {
	if err := sim.gate(false); err != nil {
		return sample{}, err
	}
	t := sim.task(page)
	t.Brokers, t.Topic, t.Key = b.addrs, b.name("loose")+".events", tenant
	if err := b.createTopic(ctx, t.Topic, 12); err != nil {
		return sample{}, err
	}
	defer b.deleteTopics(ctx, t.Topic)
	r, err := b.follow(t.Topic, events)
	if err != nil {
		return sample{}, err
	}
	defer r.close()
	p, err := b.role("at-least-once", t)
	if err != nil {
		return sample{}, err
	}
	defer p.stop()
	return b.race(ctx, sim, p, func() (time.Time, error) { return r.wait(ctx, 10*time.Minute, p) })
}

func (b *bench) serviceOnce(ctx context.Context, of build, sim *simulation, what string, page int, events int64) (sample, error) {
	if err := sim.gate(false); err != nil {
		return sample{}, err
	}
	in, err := b.serve(ctx, of, what, sim, fmt.Sprintf("page_size: %d\nstart_from: 48h", page))
	if err != nil {
		return sample{}, err
	}
	defer b.deleteTopics(ctx, in.topics.all()...)
	defer in.stop()
	r, err := b.follow(in.topics.events, events)
	if err != nil {
		return sample{}, err
	}
	defer r.close()
	if err := sim.get("/_bench/forget", nil); err != nil {
		return sample{}, err
	}
	n, spent, err := in.transactions()
	if err != nil {
		return sample{}, err
	}
	s, err := b.race(ctx, sim, in.process, func() (time.Time, error) { return r.wait(ctx, 10*time.Minute, in.process) })
	if err != nil {
		return s, err
	}
	if s.transactions, s.inTransaction, err = in.transactions(); err != nil {
		return s, err
	}
	s.transactions -= n
	s.inTransaction -= spent
	asked, err := sim.count()
	s.requests = asked.Requests
	return s, err
}

// memory catches up with a backlog of a million.
func memory(ctx context.Context, b *bench) ([]Result, error) {
	events := orDefault(b.events, 1_000_000)
	sim, err := b.simulate(backlog(events))
	if err != nil {
		return nil, err
	}
	defer sim.stop()
	s, err := b.serviceOnce(ctx, b.this, sim, "memory", 1000, events)
	if err != nil {
		return nil, err
	}
	r := Result{Name: "memory", Title: fmt.Sprintf("Memory: catch-up of %s events of one connector, page 1,000", thousands(events))}
	r.add("peak resident memory", mib(s.peak), "MiB", "< 150", mib(s.peak) < 150)
	r.note("events/s", rate(s, events), "1/s")
	r.note("CPU of the service", perEvent(s.cpu, events), "µs/event")
	return []Result{r}, nil
}
