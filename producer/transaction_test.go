package producer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// fetchRaw reads a partition from its start once, without any filter of ours.
func fetchRaw(t testing.TB, cluster *wire.Cluster, p partition, readCommitted bool) *wire.Fetch {
	t.Helper()
	node, err := cluster.Leader(patient(t), p.topic, p.index)
	if err != nil {
		t.Fatal(err)
	}
	f := &wire.Fetch{Topic: p.topic, Partition: p.index, MaxBytes: 16 << 20, ReadCommitted: readCommitted}
	if err := cluster.Do(patient(t), node, f); err != nil || f.ErrorCode != 0 {
		t.Fatalf("fetching %v: %v, error %d", p, err, f.ErrorCode)
	}
	return f
}

func TestDetectProtocol(t *testing.T) {
	onBoth(t, func(t *testing.T, want Protocol, k *kafkatest.Cluster) {
		got, err := DetectProtocol(patient(t), open(t, k.Brokers()...))
		if err != nil || got != want {
			t.Errorf("Kafka %s: got protocol %d, %v, want %d", k.Version(), got, err, want)
		}
	})
}

// A commit makes the records of all its partitions visible, and nothing does
// before.
func TestCommitIsVisibleAsAWhole(t *testing.T) {
	onBoth(t, func(t *testing.T, p Protocol, k *kafkatest.Cluster) {
		events, offsets := named(t, "events"), named(t, "offsets")
		createTopic(t, k.Brokers(), events, 2, nil)
		createTopic(t, k.Brokers(), offsets, 1, map[string]string{"cleanup.policy": "compact"})
		cluster, ctx := open(t, k.Brokers()...), patient(t)
		txn := newTransactor(cluster, named(t, "id"), p)
		if err := txn.init(ctx); err != nil {
			t.Fatal(err)
		}
		parts := []partition{{events, 0}, {events, 1}, {offsets, 0}}
		batches := map[partition][]recordBatch{}
		for _, part := range parts {
			batches[part] = batchesOf(t, defaultLimit, numbers(0, 20)...)
		}
		if err := txn.addPartitions(ctx, maps.Keys(batches)); err != nil {
			t.Fatal(err)
		}
		if err := txn.produce(ctx, batches); err != nil {
			t.Fatal(err)
		}
		read := make(chan error, 1)
		var early []string
		go func() {
			log := CommittedLog{Cluster: cluster, Topic: events}
			_, err := log.Read(ctx, func(_ int64, r *schemas.Record) error { early = append(early, string(r.Value)); return nil })
			read <- err
		}()
		for _, part := range parts {
			if f := fetchRaw(t, cluster, part, false); len(f.Records) == 0 || f.HighWatermark != 20 {
				t.Fatalf("%v holds %d bytes to high watermark %d, want the records", part, len(f.Records), f.HighWatermark)
			}
			if f := fetchRaw(t, cluster, part, true); len(f.Records) != 0 || f.LastStableOffset != 0 {
				t.Errorf("%v shows %d bytes before the commit, last stable offset %d", part, len(f.Records), f.LastStableOffset)
			}
		}
		select {
		case err := <-read:
			t.Fatalf("the reader ended (%v) while a transaction below the high watermark was open", err)
		default:
		}
		if err := txn.commit(ctx); err != nil {
			t.Fatal(err)
		}
		if err := <-read; err != nil {
			t.Fatal(err)
		}
		for _, part := range parts {
			if diff := cmp.Diff(numbers(0, 20), committed(t, cluster, part)); diff != "" {
				t.Errorf("%v after the commit (-want +got):\n%s", part, diff)
			}
		}
		if diff := cmp.Diff(numbers(0, 20), early); diff != "" {
			t.Errorf("what the reader that waited saw (-want +got):\n%s", diff)
		}
	})
}

// A second owner of a transactional id ends the first's open transaction, and
// the first can do nothing any more, at whatever step it was.
func TestFencing(t *testing.T) {
	steps := map[string]func(ctx context.Context, old *transactor, b map[partition][]recordBatch) error{
		"at a new transaction": func(ctx context.Context, old *transactor, b map[partition][]recordBatch) error {
			return old.write(ctx, b)
		},
		"at its first batch": func(ctx context.Context, old *transactor, b map[partition][]recordBatch) error {
			return old.produce(ctx, b)
		},
		"at the commit": func(ctx context.Context, old *transactor, _ map[partition][]recordBatch) error {
			return old.commit(ctx)
		},
		"at a batch while one is out": func(ctx context.Context, old *transactor, b map[partition][]recordBatch) error {
			return old.produce(ctx, b)
		},
	}
	onBoth(t, func(t *testing.T, p Protocol, k *kafkatest.Cluster) {
		for name, step := range steps {
			t.Run(name, func(t *testing.T) {
				topic := named(t, "events")
				createTopic(t, k.Brokers(), topic, 1, nil)
				part := partition{topic, 0}
				cluster, ctx := open(t, k.Brokers()...), patient(t)
				old, owner := newTransactor(cluster, named(t, "id"), p), newTransactor(cluster, named(t, "id"), p)
				if err := old.init(ctx); err != nil {
					t.Fatal(err)
				}
				if err := old.write(ctx, map[partition][]recordBatch{part: batchesOf(t, defaultLimit, "before")}); err != nil {
					t.Fatal(err)
				}
				open := map[partition][]recordBatch{part: batchesOf(t, defaultLimit, "open")}
				if name != "at a new transaction" {
					if err := old.addPartitions(ctx, maps.Keys(open)); err != nil {
						t.Fatal(err)
					}
				}
				if strings.Contains(name, "out") || strings.Contains(name, "commit") {
					if err := old.produce(ctx, open); err != nil {
						t.Fatal(err)
					}
				}
				if err := owner.init(ctx); err != nil {
					t.Fatal(err)
				}
				late := map[partition][]recordBatch{part: batchesOf(t, defaultLimit, "late")}
				if err := step(ctx, old, late); !errors.Is(err, ErrFenced) {
					t.Errorf("the fenced producer: got %v, want ErrFenced", err)
				}
				if err := owner.write(ctx, map[partition][]recordBatch{part: batchesOf(t, defaultLimit, "owner's")}); err != nil {
					t.Fatalf("the owner: %v", err)
				}
				if err := step(ctx, old, late); !errors.Is(err, ErrFenced) {
					t.Errorf("the fenced producer, again: got %v, want ErrFenced", err)
				}
				if diff := cmp.Diff([]string{"before", "owner's"}, committed(t, cluster, part)); diff != "" {
					t.Errorf("committed (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff([]string{"before", "owner's"}, values(independent(t, k.Brokers(), topic)[0])); diff != "" {
					t.Errorf("as franz-go reads it (-want +got):\n%s", diff)
				}
			})
		}
	})
}

// Under protocol v1 sequence numbers go on from transaction to transaction,
// under v2 they begin again with each epoch; partitions come and go, and some
// need several batches.
func TestManyTransactions(t *testing.T) {
	onBoth(t, func(t *testing.T, p Protocol, k *kafkatest.Cluster) {
		const parts, transactions = 3, 120
		topic := named(t, "events")
		createTopic(t, k.Brokers(), topic, parts, nil)
		cluster, ctx := open(t, k.Brokers()...), patient(t)
		txn := newTransactor(cluster, named(t, "id"), p)
		if err := txn.init(ctx); err != nil {
			t.Fatal(err)
		}
		first := txn.identity
		want := map[int32][]string{}
		several := 0
		for i := range transactions {
			batches := map[partition][]recordBatch{}
			for part := range int32(parts) {
				if (i+int(part))%parts == 0 && i%7 != 0 {
					continue
				}
				n := len(want[part])
				more := numbers(n, n+1+i%50)
				limit := defaultLimit
				if i%10 == 0 {
					limit = 150
				}
				b := batchesOf(t, limit, more...)
				if len(b) > 1 {
					several++
				}
				want[part] = append(want[part], more...)
				batches[partition{topic, part}] = b
			}
			if err := txn.write(ctx, batches); err != nil {
				t.Fatalf("transaction %d: %v", i, err)
			}
		}
		if several == 0 {
			t.Error("no partition needed several batches")
		}
		if raised := txn.identity != first; raised != (p == V2) {
			t.Errorf("identity went from %v to %v under protocol v%d", first, txn.identity, p)
		}
		got := independent(t, k.Brokers(), topic)
		for part := range int32(parts) {
			if diff := cmp.Diff(want[part], committed(t, cluster, partition{topic, part})); diff != "" {
				t.Errorf("partition %d (-want +got):\n%s", part, diff)
			}
			if diff := cmp.Diff(want[part], values(got[part])); diff != "" {
				t.Errorf("partition %d as franz-go reads it (-want +got):\n%s", part, diff)
			}
		}
	})
}

// The same bytes sent again, as after an answer that said "not now", are not
// written again.
func TestABatchSentAgainIsWrittenOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, p Protocol, k *kafkatest.Cluster) {
		topic := named(t, "events")
		createTopic(t, k.Brokers(), topic, 1, nil)
		part := partition{topic, 0}
		cluster, ctx := open(t, k.Brokers()...), patient(t)
		txn := newTransactor(cluster, named(t, "id"), p)
		if err := txn.init(ctx); err != nil {
			t.Fatal(err)
		}
		batches := map[partition][]recordBatch{part: batchesOf(t, 150, numbers(0, 40)...)}
		if err := txn.addPartitions(ctx, maps.Keys(batches)); err != nil {
			t.Fatal(err)
		}
		if err := txn.addPartitions(ctx, maps.Keys(batches)); err != nil {
			t.Fatalf("adding the partitions again: %v", err)
		}
		for range 2 {
			clear(txn.sequences)
			if err := txn.produce(ctx, map[partition][]recordBatch{part: batches[part][:2]}); err != nil {
				t.Fatal(err)
			}
		}
		if err := txn.produce(ctx, map[partition][]recordBatch{part: batches[part][2:]}); err != nil {
			t.Fatal(err)
		}
		if err := txn.commit(ctx); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(numbers(0, 40), committed(t, cluster, part)); diff != "" {
			t.Errorf("committed (-want +got):\n%s", diff)
		}
	})
}

// The coordinator ends a transaction that is never committed, and its producer
// is fenced.
func TestTransactionTimeout(t *testing.T) {
	onBoth(t, func(t *testing.T, p Protocol, k *kafkatest.Cluster) {
		topic := named(t, "events")
		createTopic(t, k.Brokers(), topic, 1, nil)
		part := partition{topic, 0}
		cluster, ctx := open(t, k.Brokers()...), patient(t)
		txn := newTransactor(cluster, named(t, "id"), p)
		txn.timeout = time.Second
		if err := txn.init(ctx); err != nil {
			t.Fatal(err)
		}
		batches := map[partition][]recordBatch{part: batchesOf(t, defaultLimit, "never")}
		if err := txn.addPartitions(ctx, maps.Keys(batches)); err != nil {
			t.Fatal(err)
		}
		if err := txn.produce(ctx, batches); err != nil {
			t.Fatal(err)
		}
		if got := committed(t, cluster, part); len(got) != 0 { // waits for the end of the transaction
			t.Errorf("committed: got %q, want nothing", got)
		}
		if err := txn.commit(ctx); !errors.Is(err, ErrFenced) {
			t.Errorf("commit after the timeout: got %v, want ErrFenced", err)
		}
		if err := txn.init(ctx); err != nil {
			t.Fatal(err)
		}
		if err := txn.write(ctx, map[partition][]recordBatch{part: batchesOf(t, defaultLimit, "after")}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"after"}, committed(t, cluster, part)); diff != "" {
			t.Errorf("committed (-want +got):\n%s", diff)
		}
	})
}

// A record over the topic's max.message.bytes is refused by us as by the broker.
func TestARecordOverMaxMessageBytes(t *testing.T) {
	onBoth(t, func(t *testing.T, p Protocol, k *kafkatest.Cluster) {
		topics := testTopics(t, 2, int16(min(3, len(k.Nodes()))))
		createTopic(t, k.Brokers(), topics.Specs[schemas.Events].Name, 2, map[string]string{"max.message.bytes": "3000"})
		cluster, ctx := open(t, k.Brokers()...), patient(t)
		found, err := topics.Ensure(ctx, cluster)
		if err != nil {
			t.Fatal(err)
		}
		if got := found.MaxMessageBytes[schemas.Events]; got != 3000 {
			t.Fatalf("max.message.bytes as found: got %d, want 3000", got)
		}
		in := &Instance{writer: &writer{cluster: cluster, topics: topics.names(), codec: compress.Zstd}}
		in.limits(found)
		s := newSession(ctx, 0, compress.Zstd, in.writer.limit)
		big := schemas.Record{Topic: schemas.Events, Key: []byte("acme"), Value: incompressible(3100), Time: time.Now()}
		if err := s.Offer(ctx, &schemas.Batch{Connector: "acme", Records: []schemas.Record{big}}); !errors.Is(err, ErrTooLarge) {
			t.Errorf("offered: got %v, want ErrTooLarge", err)
		}
		fits := big
		fits.Value = slices.Concat([]byte(strings.Repeat("zip", 1000)), incompressible(2500))
		if err := s.fits(&fits); err != nil {
			t.Errorf("a record of %d bytes that compresses: %v", fits.Size(), err)
		}
		txn := newTransactor(cluster, named(t, "id"), p)
		if err := txn.init(ctx); err != nil {
			t.Fatal(err)
		}
		if err := writeRecords(ctx, in.writer, txn, []*schemas.Record{&fits}); err != nil {
			t.Errorf("written: %v", err)
		}
		// With a limit that is out of date the broker has the last word.
		in.writer.limits[schemas.Events].shown(1<<20, "producer")
		if err := writeRecords(ctx, in.writer, txn, []*schemas.Record{&big}); !errors.Is(err, kafka.MessageSizeTooLarge) {
			t.Errorf("written under an old limit: got %v, want the broker's MESSAGE_TOO_LARGE", err)
		}
		if got := len(slices.Concat(committed(t, cluster, partition{topics.Specs[schemas.Events].Name, 0}), committed(t, cluster, partition{topics.Specs[schemas.Events].Name, 1}))); got != 1 {
			t.Errorf("committed: got %d records, want 1", got)
		}
	})
}

func TestTakingOverAnIDThatIsNotAllowed(t *testing.T) {
	k := kafkatest.Shared(t, kafkas[V2])
	txn := newTransactor(open(t, k.Brokers()...), named(t, "id"), V2)
	txn.timeout = time.Hour // over the broker's transaction.max.timeout.ms
	err := txn.init(patient(t))
	if want := kafka.InvalidTransactionTimeout; !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, fmt.Sprint(want))
	}
}

// writeRecords writes records in one transaction of shard 0.
func writeRecords(ctx context.Context, w *writer, txn *transactor, records []*schemas.Record) error {
	groups, err := w.group(ctx, 0, records)
	if err != nil {
		return err
	}
	batches, err := w.encode(groups)
	if err != nil {
		return err
	}
	return txn.write(ctx, batches)
}
