package benchmark

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// startLog compares the start of an instance whose connectors are on the control log, their secrets sealed, with one that has the
// same connectors in files.
func startLog(ctx context.Context, b *bench) ([]Result, error) {
	connectors, rounds := orDefault(b.connectors, 10_000), orDefault(b.rounds, 5)
	sim, err := b.simulate(fleet(connectors, 0))
	if err != nil {
		return nil, err
	}
	defer sim.stop()
	lines := fmt.Sprintf("poll: {min: %s, max: %s}", b.poll, b.poll)
	files, err := b.configure("start-files", sim, lines)
	if err != nil {
		return nil, err
	}
	log, imported, err := b.configureLog(ctx, sim, lines)
	if err != nil {
		return nil, err
	}
	starts := []*starting{{name: "files", run: files}, {name: "control log", run: log}}
	for _, s := range starts {
		defer b.deleteTopics(ctx, topicsOf(s.run).all()...)
		// The first start makes the positions that the others find.
		if err := s.once(ctx, b, sim, connectors); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		s.ready, s.cpu = nil, nil
	}
	for round := range rounds {
		b.say("round %d of %d", round+1, rounds)
		for _, s := range starts {
			if err := s.once(ctx, b, sim, 0); err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	r := Result{Name: "start-log", Title: fmt.Sprintf("Start: %s connectors on the control log, secrets sealed, and in files, %d restarts of each", thousands(int64(connectors)), rounds)}
	more := make([]float64, rounds)
	for i := range more {
		more[i] = starts[1].ready[i] - starts[0].ready[i]
	}
	for _, s := range starts {
		r.median("start of the process to /readyz, "+s.name, s.ready, "s", "", nil)
	}
	r.median("to /readyz, control log − files", more, "s", "≤ 3", atMost(3))
	for _, s := range starts {
		r.median("CPU of the service until then, "+s.name, s.cpu, "s", "", nil)
	}
	for _, s := range starts {
		r.note("first start of all to the last first poll, "+s.name, s.polled, "s")
	}
	r.note("connectors import of the folder", imported.Seconds(), "s")
	return []Result{r}, nil
}

// configureLog puts a connector for every tenant of the simulator on a control log, by command, and returns the name of the run
// that it is for and how long that took.
func (b *bench) configureLog(ctx context.Context, sim *simulation, lines string) (name string, took time.Duration, err error) {
	if name, err = b.configure("start-log", sim, lines); err != nil {
		return "", 0, err
	}
	dir := filepath.Join(b.dir, name)
	folder, key := filepath.Join(dir, "imported"), filepath.Join(dir, "key")
	if err := os.Rename(filepath.Join(dir, "connectors"), folder); err != nil {
		return "", 0, fmt.Errorf("putting the connector files aside: %w", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "connectors"), 0o755); err != nil {
		return "", 0, fmt.Errorf("writing the configuration: %w", err)
	}
	b.settings[name] += "secrets: {keys: [{private_key_file: " + key + ", active: true}]}\n"
	if err := b.tool(ctx, "secrets", "keygen", key); err != nil {
		return "", 0, err
	}
	// It makes the topics.
	in, err := b.join(ctx, b.this, name, "one", "start-log")
	if err != nil {
		return "", 0, err
	}
	in.stop()
	b.say("importing")
	began := time.Now()
	err = b.tool(ctx, "connectors", "import", folder, "--yes", "--config", filepath.Join(dir, "one.yaml"))
	return name, time.Since(began), err
}

// tool runs a command of the service to its end.
func (b *bench) tool(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, b.this.program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("running %v: %w: %s", args[:2], err, out[max(0, len(out)-2000):])
	}
	return nil
}

// starting is one of the two that start in turn.
type starting struct {
	name, run  string
	ready, cpu []float64 // of each start, s
	polled     float64   // of the first start, until the last connector was polled, s
}

// once starts an instance, and stops it when it is ready; with connectors, when so many were polled.
func (s *starting) once(ctx context.Context, b *bench, sim *simulation, connectors int) error {
	if err := b.quiet(ctx); err != nil {
		return err
	}
	if err := sim.get("/_bench/forget", nil); err != nil {
		return err
	}
	began := time.Now()
	in, err := b.join(ctx, b.this, s.run, "one", "start-"+s.run)
	if err != nil {
		return err
	}
	defer in.stop()
	s.ready = append(s.ready, time.Since(began).Seconds())
	used, err := in.cpu()
	if err != nil {
		return err
	}
	s.cpu = append(s.cpu, used.Seconds())
	b.say("  %s: ready after %.2f s", s.name, time.Since(began).Seconds())
	if connectors == 0 {
		return nil
	}
	if err := b.allPolled(ctx, sim, in, connectors); err != nil {
		return err
	}
	polled, err := sim.count()
	s.polled = polled.Last.Sub(began).Seconds()
	return err
}
