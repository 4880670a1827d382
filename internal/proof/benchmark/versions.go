package benchmark

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"onelogin-kafka/internal/proof/history"
)

// older is the version of -last, built.
type older struct {
	service   build
	benchmark string // the program that measured it in its day
}

// earlier builds the version of -last, once.
func (b *bench) earlier(ctx context.Context) (*older, error) {
	if b.older != nil {
		return b.older, nil
	}
	b.say("building version %s", b.last)
	v, err := history.Extract(ctx, b.last, b.dir)
	if err != nil {
		return nil, err
	}
	o := &older{service: build{older: !v.Has("internal/registry")}}
	if o.service.program, err = v.Build(ctx, "cmd/onelogin-kafka"); err != nil {
		return nil, err
	}
	measures := "internal/proof/benchmark/cmd"
	if !v.Has(measures) {
		measures = "internal/benchmark/cmd"
	}
	if o.benchmark, err = v.Build(ctx, measures); err != nil {
		return nil, err
	}
	b.older = o
	return o, nil
}

// side is one of two versions that are measured in turn, with a sample of each round.
type side[T any] struct {
	name    string
	samples []T
}

// inTurn measures this version (0) and the earlier one (1) in each round, and
// changes who comes first: what happens around them happens to both. Rounds
// below 0 are not counted.
func inTurn[T any](b *bench, first, rounds int, once func(which int) (T, error)) (sides [2]side[T], err error) {
	sides[0].name, sides[1].name = "this version", "version "+b.last
	for round := first; round < rounds; round++ {
		order := []int{0, 1}
		if round&1 != 0 {
			slices.Reverse(order)
		}
		for _, which := range order {
			s, err := once(which)
			if err != nil {
				return sides, fmt.Errorf("%s: %w", sides[which].name, err)
			}
			if round >= 0 {
				sides[which].samples = append(sides[which].samples, s)
			}
		}
		b.say("round %d of %d", round+1, rounds)
	}
	return sides, nil
}

// compare adds a figure of both versions, and the median of the rounds' ratios.
// A target of 0 is none; below 1 the ratio may not be less, else not more.
func compare[T any](r *Result, sides [2]side[T], figure, unit string, target float64, of func(T) float64) {
	values := [2][]float64{each1(sides[0].samples, of), each1(sides[1].samples, of)}
	for i, s := range sides {
		r.median(figure+", "+s.name, values[i], unit, "", nil)
	}
	ratios := make([]float64, len(values[0]))
	for i := range ratios {
		ratios[i] = values[0][i] / values[1][i]
	}
	text, met := "", func(float64) bool { return false }
	switch {
	case target > 0 && target < 1:
		text, met = fmt.Sprintf("≥ %g", target), atLeast(target)
	case target > 0:
		text, met = fmt.Sprintf("≤ %g", target), atMost(target)
	}
	r.median(figure+", ratio", ratios, "", text, met)
}

// What this version may need beside the earlier one, and what it may reach.
const (
	mayReach = 0.95
	mayNeed  = 1.05
)

func versionsCatchUp(ctx context.Context, b *bench) ([]Result, error) {
	events, rounds := orDefault(b.events, 100_000), orDefault(b.rounds, 11)
	pages, err := b.pageSizes()
	if err != nil {
		return nil, err
	}
	last, err := b.earlier(ctx)
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
		sides, err := inTurn(b, -min(warmUp, rounds), rounds, func(which int) (sample, error) {
			of := []build{b.this, last.service}[which]
			s, err := b.serviceOnce(ctx, of, sim, fmt.Sprintf("catchup-%d", page), page, events)
			if err == nil {
				b.say("  page %d, %s: %.0f/s, %.2f µs/event", page, []string{"this", b.last}[which], rate(s, events), perEvent(s.cpu, events))
			}
			return s, err
		})
		if err != nil {
			return nil, err
		}
		r := Result{
			Name: fmt.Sprintf("versions-catchup-%d", page),
			Title: fmt.Sprintf("Beside version %s: catch-up of %s events of one connector, page %s, %d rounds", b.last, thousands(events), thousands(int64(page)),
				len(sides[0].samples)),
		}
		compare(&r, sides, "catch-up", "events/s", mayReach, func(s sample) float64 { return rate(s, events) })
		compare(&r, sides, "CPU", "µs/event", mayNeed, func(s sample) float64 { return perEvent(s.cpu, events) })
		compare(&r, sides, "calls", "", mayNeed, func(s sample) float64 { return float64(s.requests) })
		compare(&r, sides, "transactions", "", 0, func(s sample) float64 { return s.transactions })
		compare(&r, sides, "peak resident memory", "MiB", 0, func(s sample) float64 { return mib(s.peak) })
		results = append(results, r)
	}
	return results, nil
}

// steadyRound is what one period showed of one version.
type steadyRound struct{ p50, p99, cpu, requests float64 }

func versionsSteady(ctx context.Context, b *bench) ([]Result, error) {
	connectors, period := orDefault(b.connectors, 100), orDefault(b.period, time.Minute)
	last, err := b.earlier(ctx)
	if err != nil {
		return nil, err
	}
	sides, err := inTurn(b, 0, orDefault(b.rounds, 3), func(which int) (s steadyRound, err error) {
		// Each has a OneLogin of its own: an account's calls are counted by the hour.
		sim, err := b.simulate(fleet(connectors, 1))
		if err != nil {
			return s, err
		}
		defer sim.stop()
		st, err := b.steady(ctx, []build{b.this, last.service}[which], "versions-steady", sim, "start_from: now\n"+steadyPoll, connectors, period)
		if err != nil {
			return s, err
		}
		w, err := st.waits(sim.tenants())
		if err != nil {
			return s, err
		}
		n := int64(len(w))
		return steadyRound{p50: w.at(0.5), p99: w.at(0.99), cpu: perEvent(st.used.cpu, n), requests: float64(st.requests) / float64(n)}, nil
	})
	if err != nil {
		return nil, err
	}
	r := Result{
		Name: "versions-steady",
		Title: fmt.Sprintf("Beside version %s: %s connectors, 1 event/s each, poll.min 2 s, %d rounds of %s each", b.last, thousands(int64(connectors)),
			len(sides[0].samples), period),
	}
	compare(&r, sides, "visible to readable, p50", "ms", mayNeed, func(s steadyRound) float64 { return s.p50 })
	compare(&r, sides, "visible to readable, p99", "ms", mayNeed, func(s steadyRound) float64 { return s.p99 })
	compare(&r, sides, "CPU", "µs/event", mayNeed, func(s steadyRound) float64 { return s.cpu })
	compare(&r, sides, "calls", "1/event", mayNeed, func(s steadyRound) float64 { return s.requests })
	return []Result{r}, nil
}

// ofEach is how many transactions each of the versions' programs measures in a
// round, after as many that warm it up.
const ofEach = 200

// transactionRound is what a version's own program measured, in ms.
type transactionRound struct{ p50, p99 float64 }

func versionsTransaction(ctx context.Context, b *bench) ([]Result, error) {
	last, err := b.earlier(ctx)
	if err != nil {
		return nil, err
	}
	sides, err := inTurn(b, 0, orDefault(b.rounds, 5), func(which int) (transactionRound, error) {
		return b.transactionsBy(ctx, []string{b.self, last.benchmark}[which], []build{b.this, last.service}[which])
	})
	if err != nil {
		return nil, err
	}
	r := Result{
		Name: "versions-transaction",
		Title: fmt.Sprintf("Beside version %s: transaction of %s events and their offsets, %d rounds of %d of each", b.last, thousands(perTransaction),
			len(sides[0].samples), ofEach),
	}
	compare(&r, sides, "p50", "ms", mayNeed, func(t transactionRound) float64 { return t.p50 })
	compare(&r, sides, "p99", "ms", 0, func(t transactionRound) float64 { return t.p99 })
	return []Result{r}, nil
}

// transactionsBy has a version's own benchmark measure its transactions on our
// brokers.
func (b *bench) transactionsBy(ctx context.Context, program string, of build) (t transactionRound, err error) {
	into := filepath.Join(b.dir, b.name("transactions"))
	p, err := start("benchmark", program, "-brokers", strings.Join(b.addrs, ","), "-service", of.program, "-record", into, "-rounds", strconv.Itoa(ofEach), "transaction")
	if err != nil {
		return t, err
	}
	defer p.stop()
	go func() { // the figures come by the file
		for range p.lines {
		}
	}()
	select {
	case <-p.done:
		if p.err != nil {
			return t, fmt.Errorf("measuring transactions: %w\n%s", p.err, p.tail())
		}
	case <-ctx.Done():
		return t, ctx.Err()
	}
	text, err := os.ReadFile(filepath.Join(into, "benchmarks.json"))
	if err != nil {
		return t, fmt.Errorf("reading what was measured: %w", err)
	}
	var recorded []Result
	if err := json.Unmarshal(text, &recorded); err != nil {
		return t, fmt.Errorf("reading what was measured: %w", err)
	}
	for _, r := range recorded {
		for _, f := range r.Figures {
			switch f.Name {
			case "service, p50":
				t.p50 = f.Value
			case "service, p99":
				t.p99 = f.Value
			}
		}
	}
	if t.p50 == 0 || t.p99 == 0 {
		return t, errors.New("reading what was measured: no figure of the service")
	}
	return t, nil
}
