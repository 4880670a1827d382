package reconcile

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"onelogin-kafka/internal/proof/wait"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// TestWhatWasDeletedBeforeABackfill: where the topic begins with old events that were
// written late, the newer ones that were deleted before them are not taken for kept.
func TestWhatWasDeletedBeforeABackfill(t *testing.T) {
	t.Parallel()
	ctx := wait.Context(t, time.Minute)
	forever := "-1"
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.ListenAddrs()...), kgo.TransactionalID("test"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(ctx, 1, 1, map[string]*string{"retention.ms": &forever}, "events"); err != nil {
		t.Fatal(err)
	}
	cluster := wire.Open(wire.Config{Brokers: broker.ListenAddrs()})
	defer cluster.Close()
	log := &KafkaLog{Cluster: cluster, Topic: "events"}

	now, id := time.Now(), int64(0)
	e := &schemas.Encoder{Tenant: "acme", Domain: "acme.onelogin.com"}
	write := func(n int, from time.Time, late bool) {
		t.Helper()
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			id++
			ev := event(id, from.Add(time.Duration(i)*time.Second))
			r := e.Event(&ev, late)
			rec := &kgo.Record{Topic: "events", Key: r.Key, Value: r.Value, Timestamp: r.Time}
			for _, h := range r.Headers {
				rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
			}
			if err := client.ProduceSync(ctx, rec).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	}
	since := func(from time.Time) (kept time.Time, records int) {
		t.Helper()
		kept, err := log.Since(ctx, from, func(*schemas.Record) { records++ })
		if err != nil {
			t.Fatal(err)
		}
		return kept, records
	}
	live := now.Add(-50 * time.Hour)
	write(5, live, false)
	write(5, now.Add(-30*24*time.Hour), true)
	write(5, now.Add(-time.Hour), false)
	if kept, n := since(live); !kept.IsZero() || n < 10 {
		t.Fatalf("with all of it there: %d records, kept from %v", n, kept)
	}
	deleted := kadm.Offsets{}
	deleted.AddOffset("events", 0, 6, -1) // the first transaction and its marker
	if _, err := admin.DeleteRecords(ctx, deleted); err != nil {
		t.Fatal(err)
	}
	if kept, n := since(live); kept.Before(live.Add(5*time.Second)) || n != 5 {
		t.Errorf("with the live ones deleted: %d records, kept from %v ago, they were created %v ago", n, now.Sub(kept), now.Sub(live))
	}
	deleted = kadm.Offsets{}
	deleted.AddOffset("events", 0, -1, -1)
	if _, err := admin.DeleteRecords(ctx, deleted); err != nil {
		t.Fatal(err)
	}
	if kept, n := since(live); kept.Before(now) || n != 0 {
		t.Errorf("with all deleted: %d records, kept from %v", n, kept)
	}
}
