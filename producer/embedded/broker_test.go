package embedded

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"onelogin-kafka/internal/proof/wait"
	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, dir string) *Broker {
	t.Helper()
	b, err := Start(Options{Dir: dir, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const topic = "t"

func createTopic(t *testing.T, b *Broker) {
	t.Helper()
	c := client(t, b)
	defer c.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: topic, NumPartitions: 2, ReplicationFactor: 1}}
	res, err := req.RequestWith(t.Context(), c)
	if err != nil || res.Topics[0].ErrorCode != 0 {
		t.Fatal(err, res)
	}
}

func client(t *testing.T, b *Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(b.Addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// writer begins a transaction and writes a value to both partitions.
func writer(t *testing.T, b *Broker, value string) *kgo.Client {
	t.Helper()
	c := client(t, b, kgo.TransactionalID("writer"))
	if err := c.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for p := range int32(2) {
		if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: p, Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func write(t *testing.T, b *Broker, value string) {
	t.Helper()
	c := writer(t, b, value)
	defer c.Close()
	if err := c.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
}

// committed reads both partitions as read_committed, to their ends.
func committed(t *testing.T, b *Broker) [2][]string {
	t.Helper()
	var got [2][]string
	cluster := wire.Open(wire.Config{Brokers: b.Addrs()})
	defer cluster.Close()
	c := client(t, b, kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart(), 1: kgo.NewOffset().AtStart()}}))
	defer c.Close()
	left := 0
	var ends, at [2]int64
	for p := range ends {
		var err error
		if ends[p], err = (&producer.CommittedLog{Cluster: cluster, Topic: topic, Partition: int32(p)}).End(t.Context()); err != nil {
			t.Fatal(err)
		}
		if ends[p] > 0 {
			left++
		}
	}
	ctx, cancel := wait.Within(t.Context(), time.Minute)
	defer cancel()
	for left > 0 {
		f := c.PollFetches(ctx)
		if err := f.Err(); err != nil {
			t.Fatal(err)
		}
		f.EachRecord(func(r *kgo.Record) {
			if at[r.Partition] = r.Offset + 1; at[r.Partition] == ends[r.Partition] {
				left--
			}
			if !r.Attrs.IsControl() {
				got[r.Partition] = append(got[r.Partition], string(r.Value))
			}
		})
	}
	return got
}

// image copies a folder as a kill of the process would leave it.
func image(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestRestartKeepsAddressAndRecords(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir)
	createTopic(t, b)
	write(t, b, "one")
	before := b.Addrs()
	if _, err := Start(Options{Dir: dir, Log: zerolog.Nop()}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second broker on the folder: got %v, want ErrInUse", err)
	}
	if addrs, ok := Running(dir); !ok || !slices.Equal(addrs, before) {
		t.Errorf("Running: got %v %v, want %v", addrs, ok, before)
	}
	b.Close()
	if _, ok := Running(dir); ok {
		t.Error("Running says yes after Close")
	}
	b = start(t, dir)
	defer b.Close()
	if diff := cmp.Diff(before, b.Addrs()); diff != "" {
		t.Errorf("addresses differ: %s", diff)
	}
	write(t, b, "two")
	want := [2][]string{{"one", "two"}, {"one", "two"}}
	if diff := cmp.Diff(want, committed(t, b)); diff != "" {
		t.Error(diff)
	}
}

// TestSpeaksProtocolV2 is what producer.Instance asks before it starts.
func TestSpeaksProtocolV2(t *testing.T) {
	b := start(t, t.TempDir())
	defer b.Close()
	cluster := wire.Open(wire.Config{Brokers: b.Addrs()})
	defer cluster.Close()
	got, err := producer.DetectProtocol(t.Context(), cluster)
	if err != nil || got != producer.V2 {
		t.Errorf("got %v, %v, want V2", got, err)
	}
}

// cutLast takes the last n batches, and their index entries, off a partition.
func cutLast(t *testing.T, dir string, partition, n int) {
	t.Helper()
	base := filepath.Join(dir, "kafka", "partitions", topic+"-"+strconv.Itoa(partition), "0")
	raw, err := os.ReadFile(base + ".dat")
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for rest := raw; len(rest) > 0; {
		b, ok := parseBatch(rest)
		if !ok {
			t.Fatal("not a batch")
		}
		sizes = append(sizes, b.size)
		rest = rest[b.size:]
	}
	keep := 0
	for _, size := range sizes[:len(sizes)-n] {
		keep += size
	}
	if err := errors.Join(os.Truncate(base+".dat", int64(keep)), os.Truncate(base+".idx", int64((len(sizes)-n)*indexSize))); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, path string, less int64) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()-less); err != nil {
		t.Fatal(err)
	}
}

// TestKilled kills a broker after "one" was committed and while "two" was being
// written or committed, and then again, and again after "three".
func TestKilled(t *testing.T) {
	partition := func(dir, file string) string { return filepath.Join(dir, "kafka", "partitions", topic+"-0", file) }
	cases := []struct {
		name  string
		ended bool // EndTxn(commit) had begun
		harm  func(t *testing.T, dir string)
		two   bool // whether "two" must be there
	}{
		{"open transaction", false, func(*testing.T, string) {}, false},
		{"before the first marker", true, func(t *testing.T, dir string) { cutLast(t, dir, 0, 1); cutLast(t, dir, 1, 1) }, false},
		{"after the marker of partition 1", true, func(t *testing.T, dir string) { cutLast(t, dir, 0, 1) }, true},
		{"after the marker of partition 0", true, func(t *testing.T, dir string) { cutLast(t, dir, 1, 1) }, true},
		{"after all markers", true, func(*testing.T, string) {}, true},
		{"half a batch", false, func(t *testing.T, dir string) {
			truncate(t, partition(dir, "0.dat"), 3)
			truncate(t, partition(dir, "0.idx"), indexSize)
		}, false},
		{"batch without index", false, func(t *testing.T, dir string) { truncate(t, partition(dir, "0.idx"), indexSize) }, false},
		{"half an index entry", false, func(t *testing.T, dir string) { truncate(t, partition(dir, "0.idx"), 4) }, false},
		{"marker without index", true, func(t *testing.T, dir string) { truncate(t, partition(dir, "0.idx"), indexSize) }, true},
		{"half a marker", true, func(t *testing.T, dir string) {
			truncate(t, partition(dir, "0.dat"), 1)
			truncate(t, partition(dir, "0.idx"), indexSize)
		}, true},
		{"half an entry of the producers", true, func(t *testing.T, dir string) { truncate(t, filepath.Join(dir, "kafka", "pids.log"), 5) }, true},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			b := start(t, dir)
			createTopic(t, b)
			write(t, b, "one")
			c := writer(t, b, "two")
			if tc.ended {
				if err := c.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
					t.Fatal(err)
				}
			}
			killed := image(t, dir)
			c.CloseAllowingRebalance()
			b.Close()
			tc.harm(t, killed)
			want := []string{"one"}
			if tc.two {
				want = append(want, "two")
			}
			for _, more := range []string{"three", "four"} {
				b := start(t, killed)
				if diff := cmp.Diff([2][]string{want, want}, committed(t, b)); diff != "" {
					t.Fatalf("before %s: %s", more, diff)
				}
				write(t, b, more)
				want = append(want, more)
				if diff := cmp.Diff([2][]string{want, want}, committed(t, b)); diff != "" {
					t.Fatalf("after %s: %s", more, diff)
				}
				next := image(t, killed)
				b.Close()
				killed = next
			}
		})
	}
}

// TestAbortedStaysHiddenInLongLogs reads a log in many fetches, each cut off by
// its size.
func TestAbortedStaysHiddenInLongLogs(t *testing.T) {
	b := start(t, t.TempDir())
	defer b.Close()
	createTopic(t, b)
	var want []string
	for i := range 12 {
		value := strconv.Itoa(i) + strings.Repeat(".", 3000)
		c := writer(t, b, value)
		how := kgo.TransactionEndTry(i%3 != 1)
		if err := c.EndTransaction(t.Context(), how); err != nil {
			t.Fatal(err)
		}
		c.Close()
		if how == kgo.TryCommit {
			want = append(want, value)
		}
	}
	cluster := wire.Open(wire.Config{Brokers: b.Addrs()})
	defer cluster.Close()
	for _, size := range []int32{1, 4000, 10_000, 1 << 20} {
		var got []string
		log := &producer.CommittedLog{Cluster: cluster, Topic: topic, MaxBytes: size}
		_, err := log.Read(t.Context(), func(_ int64, r *schemas.Record) error { got = append(got, string(r.Value)); return nil })
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("in fetches of %d bytes: %s", size, diff)
		}
	}
}

// TestCleanStopInMidTransaction: what a stopped client left open is aborted.
func TestCleanStopInMidTransaction(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir)
	createTopic(t, b)
	c := writer(t, b, "open")
	b.Close()
	c.CloseAllowingRebalance()
	b = start(t, dir)
	defer b.Close()
	write(t, b, "one")
	if diff := cmp.Diff([2][]string{{"one"}, {"one"}}, committed(t, b)); diff != "" {
		t.Error(diff)
	}
}

func TestDamageIsTold(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir)
	createTopic(t, b)
	write(t, b, "one")
	b.Close()
	p := filepath.Join(dir, "kafka", "partitions", topic+"-0")
	if err := os.WriteFile(filepath.Join(p, "77.dat"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	truncate(t, filepath.Join(p, "0.dat"), 1)
	if _, err := Start(Options{Dir: dir, Log: zerolog.Nop()}); !errors.Is(err, errDamaged) {
		t.Errorf("got %v, want errDamaged", err)
	}
}

func FuzzParseBatch(f *testing.F) {
	l := &partitionLog{end: 7, epoch: 1}
	f.Add(l.marker(5, 3, true))
	f.Add(l.marker(5, 3, false)[:40])
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, ok := parseBatch(raw)
		if ok && (b.size < batchHeader || b.size > len(raw)) {
			t.Errorf("a batch of %d bytes in %d", b.size, len(raw))
		}
	})
}

func TestMarkerIsABatch(t *testing.T) {
	for _, commit := range []bool{false, true} {
		raw := (&partitionLog{end: 7, epoch: 1}).marker(5, 3, commit)
		got, ok := parseBatch(append(raw, "next"...))
		want := batch{size: len(raw), next: 8, leaderEpoch: 1, producer: 5, epoch: 3, transactional: true, control: true, commit: commit}
		if !ok || got != want {
			t.Errorf("got %+v %v, want %+v", got, ok, want)
		}
		binary.BigEndian.PutUint32(raw[30:], 1)
		if _, ok := parseBatch(raw); ok {
			t.Error("a batch with a wrong checksum is taken")
		}
	}
}
