package service

import (
	"testing"
	"time"

	"onelogin-kafka/internal/jobs"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source/onelogin/simulator"
)

// BenchmarkBackfill is how many events of a past a second are published by catching
// up and by a backfill, one after the other on the same broker and simulator in this
// process: a backfill is meant to have at least half the rate.
func BenchmarkBackfill(b *testing.B) {
	const backlog = 50_000
	tenant := func(name string) simulator.Tenant {
		return simulator.Tenant{Name: name, Backlog: backlog, BacklogSpan: simulator.Duration(20 * time.Hour)}
	}
	var caught, filled time.Duration
	for b.Loop() {
		w := newWorld(b, simulator.Config{Seed: 7, HourlyLimit: 100_000_000, Tenants: []simulator.Tenant{tenant("acme"), tenant("globex")}})
		w.connector("acme", "start_from: now")
		w.connector("globex", "start_from: 24h")
		path := w.main("one", "")
		began := time.Now()
		in := w.start("one")
		w.await("catch-up", func() bool { return w.position("globex").Events >= backlog })
		caught += time.Since(began)
		w.await("a position", func() bool { return !w.position("acme").UpdatedAt.IsZero() })
		board, registry, _ := w.board(path)
		if err := registry.Read(b.Context()); err != nil {
			b.Fatal(err)
		}
		began = time.Now()
		job, err := board.Ask(b.Context(), jobs.Wish{Kind: schemas.JobBackfill, Connector: "acme", From: began.Add(-24 * time.Hour)}, operator)
		if err != nil {
			b.Fatal(err)
		}
		if err := registry.Read(b.Context()); err != nil {
			b.Fatal(err)
		}
		w.await("the backfill", func() bool {
			if job, err = board.Get(b.Context(), job.ID); err != nil {
				b.Fatal(err)
			}
			return job.State.Ended()
		})
		filled += time.Since(began)
		if !job.Whole() || job.Progress.Report.Repaired < backlog*9/10 {
			b.Fatalf("the backfill came to %+v", job.Progress)
		}
		in.stop()
	}
	n := float64(backlog * b.N)
	b.ReportMetric(n/caught.Seconds(), "caught-up/s")
	b.ReportMetric(n/filled.Seconds(), "backfilled/s")
}
