package producer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/compress"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/internal/proof/wait"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// What the tests need of a real Kafka: clusters, topics, independent readers.

func TestMain(m *testing.M) { goleak.VerifyTestMain(kafkatest.Main(m)) }

// patience bounds waits for what must happen, in the machine's time.
const patience = 90 * time.Second

// kafkas are the clusters by the transaction protocol they speak.
var kafkas = map[Protocol]kafkatest.Options{V2: {}, V1: {Nodes: 1, Version: kafkatest.Version3}}

// onBoth runs a test with each transaction protocol on a real cluster.
func onBoth(t *testing.T, do func(t *testing.T, p Protocol, k *kafkatest.Cluster)) {
	for _, p := range []Protocol{V2, V1} {
		t.Run(fmt.Sprintf("v%d", p), func(t *testing.T) { do(t, p, kafkatest.Shared(t, kafkas[p])) })
	}
}

func patient(t testing.TB) context.Context {
	t.Helper()
	return wait.Context(t, patience)
}

// inBackground runs an instance that is to end without an error, until stop is
// called, the test ends or patience has run out.
func inBackground(t testing.TB, in *Instance) (ctx context.Context, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(patient(t))
	ended := make(chan error, 1)
	go func() { ended <- in.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("ending: %v", err)
		}
	})
	t.Cleanup(stop)
	return ctx, stop
}

func open(t testing.TB, brokers ...string) *wire.Cluster {
	t.Helper()
	c := wire.Open(wire.Config{Brokers: brokers})
	t.Cleanup(c.Close)
	return c
}

// named is the test's name as part of a topic's or group's name.
func named(t testing.TB, suffix string) string {
	return strings.NewReplacer("/", ".", " ", "_", "'", "").Replace(t.Name()) + "." + suffix
}

func admin(t testing.TB, brokers []string) *kadm.Client {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return kadm.NewClient(c)
}

// createTopic creates a topic of the cluster's default replication.
func createTopic(t testing.TB, brokers []string, topic string, partitions int32, configs map[string]string) {
	t.Helper()
	set := map[string]*string{}
	for k, v := range configs {
		set[k] = &v
	}
	if _, err := admin(t, brokers).CreateTopic(patient(t), partitions, -1, set, topic); err != nil {
		t.Fatalf("creating topic %s: %v", topic, err)
	}
}

func testTopics(t testing.TB, shards int32, replicas int16) Topics {
	topics := Topics{Create: true, ReplicationFactor: replicas}
	for i := range topics.Specs {
		topics.Specs[i] = TopicSpec{Name: named(t, schemas.Topic(i).String()), Partitions: 2}
		if alone(schemas.Topic(i)) {
			topics.Specs[i].Partitions = 1
		}
	}
	topics.Specs[schemas.Offsets].Partitions = shards
	return topics
}

func newTransactor(cluster *wire.Cluster, id string, p Protocol) *transactor {
	return &transactor{cluster: cluster, id: id, protocol: p, timeout: transactionTimeout, coordinator: -1, appended: func(string, int64) {}}
}

// batchesOf encodes values as records, in batches of at most limit bytes.
func batchesOf(t testing.TB, limit int, values ...string) []recordBatch {
	t.Helper()
	var records []*schemas.Record
	now := time.Now() // older ones would be subject to the topic's retention
	for _, v := range values {
		records = append(records, &schemas.Record{Key: []byte("key"), Value: []byte(v), Time: now})
	}
	b, err := encodeBatches(records, compress.Zstd, within(limit))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// committed reads a partition with the reader under test.
func committed(t testing.TB, cluster *wire.Cluster, p partition) []string {
	t.Helper()
	var values []string
	log := CommittedLog{Cluster: cluster, Topic: p.topic, Partition: p.index}
	_, err := log.Read(patient(t), func(_ int64, r *schemas.Record) error {
		values = append(values, string(r.Value))
		return nil
	})
	if err != nil {
		t.Fatalf("reading %v: %v", p, err)
	}
	return values
}

// independent reads a whole topic read-committed with franz-go, up to the high
// watermarks of now, and returns its records by partition.
func independent(t testing.TB, brokers []string, topic string) map[int32][]*kgo.Record {
	t.Helper()
	ctx := patient(t)
	ends, err := admin(t, brokers).ListEndOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	records := map[int32][]*kgo.Record{}
	for len(left) > 0 {
		f := c.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("reading %s: the end of partitions %v was not reached", topic, left)
		}
		for _, e := range f.Errors() {
			t.Fatalf("reading %s/%d: %v", e.Topic, e.Partition, e.Err)
		}
		f.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				records[r.Partition] = append(records[r.Partition], r)
			}
			if r.Offset+1 >= left[r.Partition] { // the end of every partition of ours is a marker
				delete(left, r.Partition)
			}
		})
	}
	return records
}

func values(records []*kgo.Record) []string {
	var all []string
	for _, r := range records {
		all = append(all, string(r.Value))
	}
	return all
}

// numbers are the texts of from to below to.
func numbers(from, to int) []string {
	var all []string
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return slices.Clip(all)
}

// waitFor asks again and again until ok, and fails the test if that takes too
// long.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	wait.For(t, what, patience, ok)
}

// within are the bounds of a topic with that max.message.bytes.
func within(limit int) bounds {
	l := new(sizeLimit)
	l.shown(limit, "producer")
	return l.bounds(compress.Zstd)
}
