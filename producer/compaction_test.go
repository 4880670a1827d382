package producer

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go/compress"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// emptyBatches reads a partition raw and counts what compaction has left of
// batches: shells with no record in them.
func emptyBatches(t testing.TB, cluster *wire.Cluster, p partition) (data, control int) {
	t.Helper()
	node, err := cluster.Leader(patient(t), p.topic, p.index)
	if err != nil {
		t.Fatal(err)
	}
	for offset, end := int64(0), int64(1); offset < end; {
		f := &wire.Fetch{Topic: p.topic, Partition: p.index, Offset: offset, MaxBytes: 1 << 20, MinBytes: 1, MaxWaitMS: 100}
		if err := cluster.Do(patient(t), node, f); err != nil || f.ErrorCode != 0 {
			t.Fatalf("fetching %v at %d: %v, error %d", p, offset, err, f.ErrorCode)
		}
		end = f.HighWatermark
		for rest := f.Records; ; {
			h, _, next, ok, err := nextBatch(rest)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			switch rest = next; {
			case h.count == 0 && h.control():
				control++
			case h.count == 0:
				data++
			}
			offset = h.lastOffset + 1
		}
	}
	return data, control
}

// cleanedLog is an offsets partition whose broker cleans it all the time, with
// what its keys must be folded to.
type cleanedLog struct {
	t       *testing.T
	cluster *wire.Cluster
	p       Protocol
	part    partition
	rng     *rand.Rand
	next    int
	want    map[string]map[string][]byte
}

// records changes a few keys: offsets, minutes, and tombstones of both.
func (l *cleanedLog) records() []*schemas.Record {
	var all []*schemas.Record
	for range 1 + l.rng.IntN(4) {
		key := fmt.Sprintf("connector-%d", l.rng.IntN(4))
		if l.rng.IntN(2) == 0 {
			key += fmt.Sprintf("/2026-11-22T07:%02dZ", l.rng.IntN(6))
		}
		r := &schemas.Record{Topic: schemas.Offsets, Key: []byte(key), Time: time.Now()}
		if l.rng.IntN(4) > 0 {
			l.next++
			r.Value = fmt.Append(nil, l.next)
		}
		all = append(all, r)
	}
	return all
}

func (l *cleanedLog) batches(records []*schemas.Record) map[partition][]recordBatch {
	l.t.Helper()
	b, err := encodeBatches(records, compress.Zstd, within(defaultLimit))
	if err != nil {
		l.t.Fatal(err)
	}
	return map[partition][]recordBatch{l.part: b}
}

func (l *cleanedLog) begin(txn *transactor) {
	l.t.Helper()
	b := l.batches(l.records())
	if err := txn.addPartitions(patient(l.t), maps.Keys(b)); err != nil {
		l.t.Fatal(err)
	}
	if err := txn.produce(patient(l.t), b); err != nil {
		l.t.Fatal(err)
	}
}

func (l *cleanedLog) commit(txn *transactor) {
	l.t.Helper()
	records := l.records()
	if err := txn.write(patient(l.t), l.batches(records)); err != nil {
		l.t.Fatal(err)
	}
	for _, r := range records {
		fold(l.want, r.Key, r.Value)
	}
}

func (l *cleanedLog) abort(txn *transactor) {
	l.t.Helper()
	l.begin(txn)
	l.init(txn)
}

func (l *cleanedLog) init(txn *transactor) {
	l.t.Helper()
	if err := txn.init(patient(l.t)); err != nil {
		l.t.Fatal(err)
	}
}

func (l *cleanedLog) fresh(i int, timeout time.Duration) *transactor {
	l.t.Helper()
	txn := newTransactor(l.cluster, fmt.Sprintf("%s-%d", named(l.t, "id"), i), l.p)
	txn.timeout = timeout
	l.init(txn)
	return txn
}

// check reads the partition with the reader under test.
func (l *cleanedLog) check(when string) {
	l.t.Helper()
	got := map[string]map[string][]byte{}
	log := CommittedLog{Cluster: l.cluster, Topic: l.part.topic, Partition: l.part.index, MaxBytes: 4096}
	last := int64(-1)
	_, err := log.Read(patient(l.t), func(offset int64, r *schemas.Record) error {
		if offset <= last {
			l.t.Errorf("%s: offset %d after %d", when, offset, last)
		}
		last = offset
		fold(got, r.Key, r.Value)
		return nil
	})
	if err != nil {
		l.t.Fatalf("%s: %v", when, err)
	}
	if diff := cmp.Diff(l.want, got); diff != "" {
		l.t.Errorf("%s: state (-want +got):\n%s", when, diff)
	}
}

// The state of an offsets partition is read right while the broker's cleaner
// works on it: past the empty batches it leaves, aborted transactions,
// tombstones, and transactions that are still open.
func TestStateOfAPartitionThatIsCleaned(t *testing.T) {
	onBoth(t, func(t *testing.T, p Protocol, k *kafkatest.Cluster) {
		l := &cleanedLog{
			t: t, p: p, cluster: open(t, k.Brokers()...), part: partition{named(t, "offsets"), 0},
			rng: rand.New(rand.NewPCG(11, uint64(p))), want: map[string]map[string][]byte{},
		}
		createTopic(t, k.Brokers(), l.part.topic, 1, map[string]string{
			"cleanup.policy": "compact", "segment.ms": "200", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "500",
		})
		// Producers come and go: of each the last batch outlives its records.
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		i, late := 0, patient(t).Done()
		var txn *transactor
		for data, control := 0, 0; data+control < 5; i++ { // v2 leaves batches of data, v1 markers
			select {
			case <-tick.C:
			case <-late:
				t.Fatalf("the cleaner left %d empty batches and %d empty markers, want 5", data, control)
			}
			if i%10 == 0 {
				txn = l.fresh(i, transactionTimeout)
				data, control = emptyBatches(t, l.cluster, l.part)
				l.check(fmt.Sprintf("with %d empty batches, %d empty markers", data, control))
			}
			if i%4 == 0 {
				l.abort(txn)
			}
			l.commit(txn)
		}
		l.abort(txn)
		l.check("with an aborted transaction at its end")
		// One stays open until its timeout; others commit and abort behind it.
		hanging := l.fresh(i+1, 2*time.Second)
		l.begin(hanging)
		l.commit(txn)
		l.abort(txn)
		if f := fetchRaw(t, l.cluster, l.part, true); f.LastStableOffset >= f.HighWatermark {
			t.Errorf("no transaction is open: last stable offset %d, high watermark %d", f.LastStableOffset, f.HighWatermark)
		}
		l.check("with an open transaction at its end")
		data, control := emptyBatches(t, l.cluster, l.part)
		t.Logf("%d transactions, %d empty batches, %d empty markers", i, data, control)
	})
}

// What the reader holds in memory does not grow with the log.
func TestReadingKeepsLittleInMemory(t *testing.T) {
	k := kafkatest.Shared(t, kafkas[V2])
	topic := named(t, "offsets")
	createTopic(t, k.Brokers(), topic, 1, nil)
	cluster, ctx := open(t, k.Brokers()...), patient(t)
	txn := newTransactor(cluster, named(t, "id"), V2)
	if err := txn.init(ctx); err != nil {
		t.Fatal(err)
	}
	const transactions, records, size = 60, 10, 64 << 10 // 38 MiB
	for range transactions {
		var all []*schemas.Record
		for range records {
			all = append(all, &schemas.Record{Key: []byte("k"), Value: incompressible(size), Time: time.Now()})
		}
		b, err := encodeBatches(all, compress.None, within(defaultLimit))
		if err != nil {
			t.Fatal(err)
		}
		if err := txn.write(ctx, map[partition][]recordBatch{{topic, 0}: b}); err != nil {
			t.Fatal(err)
		}
	}
	live := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most, n := live(), uint64(0), 0
	log := CommittedLog{Cluster: cluster, Topic: topic}
	if _, err := log.Read(ctx, func(int64, *schemas.Record) error {
		if n++; n%25 == 0 {
			most = max(most, live())
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n != transactions*records {
		t.Errorf("records: got %d, want %d", n, transactions*records)
	}
	if most > before+6<<20 {
		t.Errorf("%d bytes held while reading, want less than 6 MiB", most-before)
	}
}

// An answer that is cut off where it is full tells what was aborted all the same:
// kfake leaves that out where the bound is that of the whole answer.
func TestAnAnswerThatIsFullTellsWhatWasAborted(t *testing.T) {
	broker := fake(t)
	cluster := open(t, broker.ListenAddrs()...)
	txn, part := opened(t, broker, cluster, V2)
	if err := txn.init(patient(t)); err != nil { // aborts
		t.Fatal(err)
	}
	for _, value := range []string{"two", "three"} {
		if err := txn.write(patient(t), map[partition][]recordBatch{part: batchesOf(t, defaultLimit, value)}); err != nil {
			t.Fatal(err)
		}
	}
	log, got := CommittedLog{Cluster: cluster, Topic: part.topic, MaxBytes: 100}, []string(nil)
	if _, err := log.Read(patient(t), func(_ int64, r *schemas.Record) error { got = append(got, string(r.Value)); return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"two", "three"}, got); diff != "" {
		t.Errorf("committed (-want +got):\n%s", diff)
	}
}
