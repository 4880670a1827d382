package service

import (
	"errors"
	"testing"
	"time"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/jobs"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/producer"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source/onelogin/simulator"
)

// board is a command's or a console's view of the jobs.
func (w *world) board(path string) (*jobs.Board, *registry.Registry, *producer.Hand) {
	w.tb.Helper()
	cfg, err := config.Load(path, noEnvironment)
	if err != nil {
		w.tb.Fatal(err)
	}
	cluster, err := Cluster(cfg)
	if err != nil {
		w.tb.Fatal(err)
	}
	w.tb.Cleanup(cluster.Close)
	r, h := w.control(path), &producer.Hand{Cluster: cluster, Topics: Topics(cfg), Group: cfg.Group}
	return &jobs.Board{Registry: r, Hand: h}, r, h
}

// TestBackfillBesideLivePolls: with the owner fenced again and again and the job
// handed from instance to instance, what lies before the start is published once, and
// so is what comes meanwhile.
func TestBackfillBesideLivePolls(t *testing.T) {
	t.Parallel()
	const backlog = 20_000
	w := newWorld(t, simulator.Config{Seed: 7, HourlyLimit: 100_000_000, Tenants: []simulator.Tenant{{
		Name: "acme", Backlog: backlog, BacklogSpan: simulator.Duration(20 * time.Hour), Traffic: simulator.Traffic{Rate: 20},
	}}})
	w.connector("acme", "start_from: now\npage_size: 50")
	path := w.main("one", "")
	in := w.start("one")
	w.await("a position", func() bool { return !w.position("acme").UpdatedAt.IsZero() })
	b, r, h := w.board(path)
	ctx := t.Context()
	if err := r.Read(ctx); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	from, to := began.Add(-24*time.Hour), began.Add(-time.Minute)
	job, err := b.Ask(ctx, jobs.Wish{Kind: schemas.JobBackfill, Connector: "acme", From: from, To: to}, operator)
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.Ask(ctx, jobs.Wish{Kind: schemas.JobRepair, Connector: "acme", From: from, To: to}, operator)
	if err != nil || second.ID <= job.ID {
		t.Fatalf("asked for %s after %s, %v", second.ID, job.ID, err)
	}
	if err := r.Read(ctx); err != nil {
		t.Fatal(err)
	}
	shard := producer.PartitionFor(schemas.OffsetKey("acme"), 4)
	fenced, halfway, moved := 0, 0, false
	w.await("both jobs to end", func() bool {
		if p, err := b.Get(ctx, job.ID); err != nil {
			t.Fatal(err)
		} else if p.State == jobs.Running && p.Progress.Report.Repaired > 0 {
			halfway++
			if !moved {
				in.stop()
				in, moved = w.start("two"), true
			}
		}
		p, err := b.Get(ctx, second.ID)
		if err != nil {
			t.Fatal(err)
		}
		if !p.State.Ended() && fenced < 40 {
			if err := h.Change(ctx, shard, func(producer.ShardRecords) ([]schemas.Record, error) {
				return []schemas.Record{schemas.AuditEntry{At: time.Now(), By: "ann", Via: "command", Action: "test", Shard: shard}.Record()}, nil
			}); err != nil {
				t.Fatal(err)
			}
			fenced++
		}
		return p.State.Ended()
	})
	first, err := b.Get(ctx, job.ID)
	if err != nil {
		t.Fatal(err)
	}
	last, err := b.Get(ctx, second.ID)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Whole() || first.Progress.Report.Repaired < backlog*9/10 || !last.Whole() || last.Progress.Report.Missing != 0 {
		t.Errorf("the jobs came to %+v and %+v", first.Progress, last.Progress)
	}
	if fenced == 0 || halfway == 0 || !moved {
		t.Errorf("fenced %d times, seen at work %d times, moved %v", fenced, halfway, moved)
	}
	truth, err := w.sim.Truth("acme")
	if err != nil {
		t.Fatal(err)
	}
	var past []int64
	for e := range truth {
		if !e.CreatedAt.Before(from) && e.CreatedAt.Before(to) {
			past = append(past, e.ID)
		}
	}
	got := w.published()["acme"]
	for _, id := range past {
		if got[id] != 1 {
			t.Fatalf("event %d is there %d times", id, got[id])
		}
	}
	for id, n := range got {
		if n > 1 {
			t.Fatalf("event %d is there %d times", id, n)
		}
	}
	if len(past) < backlog*9/10 || len(got) <= len(past) {
		t.Errorf("%d events of the past, %d in all", len(past), len(got))
	}
	t.Logf("%d events in %v, fenced %d times, at work when looked at %d times", len(past), time.Since(began), fenced, halfway)
}

// TestJobsOfARemovedConnector: they are cancelled with it, and forgotten with its
// position; a job of a later version is left alone and cannot be cancelled.
func TestJobsOfARemovedConnector(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tenants(0, "acme"))
	w.remove("acme")
	path := w.keyed("one")
	w.start("one")
	b, r, _ := w.board(path)
	ctx := t.Context()
	made, err := r.Put(ctx, w.draft("acme"), 0, operator)
	if err != nil {
		t.Fatal(err)
	}
	w.awaitAll("acme")
	if made, err = r.Pause(ctx, "acme", true, made.Generation, operator); err != nil {
		t.Fatal(err)
	}
	if err := r.Read(ctx); err != nil {
		t.Fatal(err)
	}
	job, err := b.Ask(ctx, jobs.Wish{Kind: schemas.JobRepair, Connector: "acme", From: time.Now().Add(-48 * time.Hour)}, operator)
	if err != nil {
		t.Fatal(err)
	}
	later := schemas.Record{Topic: schemas.Connectors, Key: schemas.JobKey("acme", "0"), Value: []byte(`{"version":9}`), Time: time.Now()}
	if err := r.Write(ctx, func(map[string][]byte) ([]schemas.Record, error) { return []schemas.Record{later}, nil }); err != nil {
		t.Fatal(err)
	}
	if err := r.Remove(ctx, "acme", made.Generation, operator); err != nil {
		t.Fatal(err)
	}
	if err := r.Read(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Get(ctx, job.ID); err != nil || got.State != jobs.Cancelled || got.Request.CancelledBy != operator.By {
		t.Errorf("the job of a removed connector is %+v, %v", got, err)
	}
	if got, err := b.Get(ctx, "0"); err != nil || got.State != jobs.Unreadable || !errors.Is(got.Err, schemas.ErrVersion) {
		t.Errorf("a job of a later version is %+v, %v", got, err)
	}
	if _, err := b.Cancel(ctx, "0", operator); !errors.Is(err, schemas.ErrVersion) {
		t.Errorf("cancelling a job of a later version: %v", err)
	}
	if _, err := r.Forget(ctx, "acme", operator); err != nil {
		t.Fatal(err)
	}
	if err := r.Read(ctx); err != nil {
		t.Fatal(err)
	}
	if list, err := b.List(ctx); err != nil || len(list) != 0 {
		t.Errorf("left are %+v, %v", list, err)
	}
}
