package benchmark

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"onelogin-kafka/source/onelogin/simulator"
)

// backfillRate is how many events a second come beside a backfill.
const backfillRate = 50

// backfillLimit is the account's calls an hour: with the usual 5,000 a job is paced by what its priority leaves to others, and
// not by what it takes.
const backfillLimit = 60_000

// backfill has a job publish a past of a million events beside live polls, and compares it with a catch-up of as many; and what
// becomes visible meanwhile with what does without the job.
func backfill(ctx context.Context, b *bench) ([]Result, error) {
	events := orDefault(b.events, 1_000_000)
	caughtUp, err := b.caughtUp(ctx, events)
	if err != nil {
		return nil, err
	}
	conf := backlog(events)
	conf.HourlyLimit = backfillLimit
	conf.Tenants[0].Traffic = simulator.Traffic{Rate: backfillRate}
	sim, err := b.simulate(conf)
	if err != nil {
		return nil, err
	}
	defer sim.stop()
	in, err := b.serve(ctx, b.this, "backfill", sim, "page_size: 1000\nstart_from: now\n"+steadyPoll)
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
	if err := b.allPolled(ctx, sim, in, 1); err != nil {
		return nil, err
	}
	if err := rest(ctx, in.process, 30*time.Second); err != nil {
		return nil, err
	}
	alone := &steadiness{sim: sim, reader: reader, from: time.Now()}
	if err := rest(ctx, in.process, orDefault(b.period, time.Minute)); err != nil {
		return nil, err
	}
	alone.until = time.Now()
	beside := &steadiness{sim: sim, reader: reader, from: time.Now()}
	took, used, err := b.job(ctx, sim, in, events)
	if err != nil {
		return nil, err
	}
	beside.until = time.Now()
	if err := rest(ctx, in.process, 10*time.Second); err != nil {
		return nil, err
	}
	if n := reader.duplicates(); n > 0 {
		return nil, fmt.Errorf("%d events are there twice", n)
	}
	_, peak, err := in.memory()
	if err != nil {
		return nil, err
	}
	before, err := alone.waits(sim.tenants())
	if err != nil {
		return nil, err
	}
	meanwhile, err := beside.waits(sim.tenants())
	if err != nil {
		return nil, err
	}
	r := Result{Name: "backfill", Title: fmt.Sprintf("Backfill of %s events of one connector, page 1,000, beside %d live events/s, %s calls an hour", thousands(events), backfillRate, thousands(backfillLimit))}
	quick := float64(events) / took.Seconds()
	r.note("backfill", quick, "events/s")
	r.note("catch-up", rate(caughtUp, events), "events/s")
	ratio := quick / rate(caughtUp, events)
	r.add("backfill / catch-up", ratio, "", "≥ 0.5", ratio >= 0.5)
	r.add("peak resident memory", mib(peak), "MiB", "< 150", mib(peak) < 150)
	r.note("CPU of the service", perEvent(used.cpu, events), "µs/event")
	for _, of := range []struct {
		name string
		waits
	}{{"alone", before}, {"beside", meanwhile}} {
		r.note("visible to readable, "+of.name+", p50", of.at(0.5), "ms")
		r.note("visible to readable, "+of.name+", p99", of.at(0.99), "ms")
	}
	lag := meanwhile.at(0.99) / before.at(0.99)
	r.add("beside / alone, p99", lag, "", "≤ 1.2", lag <= 1.2)
	return []Result{r}, nil
}

// caughtUp is a catch-up of so many events.
func (b *bench) caughtUp(ctx context.Context, events int64) (sample, error) {
	conf := backlog(events)
	conf.HourlyLimit = backfillLimit
	sim, err := b.simulate(conf)
	if err != nil {
		return sample{}, err
	}
	defer sim.stop()
	return b.serviceOnce(ctx, b.this, sim, "backfill-catchup", 1000, events)
}

// job has the service backfill so many events, and returns how long that took by the job's own word, and the processor times meanwhile.
func (b *bench) job(ctx context.Context, sim *simulation, in *instance, events int64) (took time.Duration, used sample, err error) {
	var j struct {
		State   string `json:"state"`
		Request struct {
			AskedAt time.Time `json:"asked_at"`
		} `json:"request"`
		Progress struct {
			Repaired  int64     `json:"repaired"`
			UpdatedAt time.Time `json:"updated_at"`
		} `json:"progress"`
	}
	used, err = metered(in.process, sim.process, func() error {
		cmd := exec.CommandContext(ctx, b.this.program, "backfill", tenant, "--from", "48h", "--yes", "--json", "--config", filepath.Join(b.dir, in.topics.run(), "one.yaml"))
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("backfilling: %w: %s", err, out)
		}
		return json.Unmarshal(out, &j)
	})
	if err == nil && (j.State != "done" || j.Progress.Repaired < events) {
		err = fmt.Errorf("the job is %s and has published %d of %d events", j.State, j.Progress.Repaired, events)
	}
	return j.Progress.UpdatedAt.Sub(j.Request.AskedAt), used, err
}
