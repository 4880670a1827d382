package producer

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go/compress"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/internal/proof/wait"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// Brokers as they behave in production: quotas, clean restarts, a network that
// divides them.

// feedPages is a source that offers pages of incompressible events, each when the one
// before is committed.
type feedPages struct {
	records, size int
	committed     atomic.Int64
}

func (p *feedPages) serve(ctx context.Context, s *Session) {
	name := feedName(s.Shard, s.Shards)
	done := make(chan struct{}, 1)
	for ctx.Err() == nil {
		b := &schemas.Batch{Connector: name, Events: p.records, Done: func() { p.committed.Add(1); done <- struct{}{} }}
		for range p.records {
			v := make([]byte, p.size)
			rand.Read(v)
			b.Records = append(b.Records, schemas.Record{Topic: schemas.Events, Key: []byte(name), Value: v, Time: time.Now()})
		}
		b.Records = append(b.Records, schemas.Record{Topic: schemas.Offsets, Key: []byte(name), Value: []byte("x"), Time: time.Now()})
		if s.Offer(ctx, b) != nil {
			return
		}
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
}

// setQuota bounds what a client id may have of each broker.
func setQuota(t *testing.T, k *kafkatest.Cluster, client, key string, rate float64) {
	t.Helper()
	if err := k.SetQuota(patient(t), kafkatest.Quota{key: rate}, client); err != nil {
		t.Fatal(err)
	}
}

// doubts collects from an instance's log why shards were taken over anew.
type doubts struct {
	began time.Time
	watch wait.Watch

	mu     sync.Mutex
	causes []string
}

func watchDoubts() *doubts { return &doubts{began: time.Now(), watch: wait.Begin()} }

// Write takes a line of the log.
func (d *doubts) Write(line []byte) (int, error) {
	var l struct{ Message, Error string }
	if err := json.Unmarshal(line, &l); err != nil {
		return 0, err
	}
	if l.Message == "taking the shard over again" {
		d.mu.Lock()
		d.causes = append(d.causes, l.Error)
		d.mu.Unlock()
	}
	return len(line), nil
}

// atMost fails the test if there were more. Where the machine has not kept up,
// brokers have not answered in time: that is not judged.
func (d *doubts) atMost(t *testing.T, most int) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	behind := time.Since(d.began) - d.watch.Passed()
	n := 0
	for _, cause := range d.causes {
		if behind < writeTimeout/2 || !strings.Contains(cause, context.DeadlineExceeded.Error()) {
			n++
		}
	}
	t.Attr("taken-over-anew", strconv.Itoa(len(d.causes)))
	t.Logf("%d shards taken over anew; the machine is %v behind", len(d.causes), behind.Round(time.Millisecond))
	if n > most {
		t.Errorf("%d shards were taken over anew, want %d at most: %q", n, most, d.causes)
	}
}

// logged is an instance whose log, down to debug, goes to d.
func logged(d *doubts, cluster *wire.Cluster, group string, topics Topics, serve func(context.Context, *Session)) *Instance {
	return &Instance{
		Cluster: cluster, Metrics: NewMetrics(prometheus.NewRegistry()), Log: zerolog.New(d).Level(zerolog.DebugLevel),
		Config: Config{
			Group: group, Instance: "one", Topics: topics, Compression: compress.Zstd,
			CommitInterval: 100 * time.Millisecond, Serve: serve,
		},
	}
}

// A quota is used up, and costs no take-over.
func TestAQuotaIsUsedUp(t *testing.T) {
	const rate, shards, forAbout = 256 << 10, 3, 40 * time.Second
	k := kafkatest.Shared(t, kafkas[V1])
	client := named(t, "client")
	setQuota(t, k, client, "producer_byte_rate", rate)
	topics, p := testTopics(t, shards, 1), &feedPages{records: 300, size: 10_000}
	cluster := wire.Open(wire.Config{Brokers: k.Brokers(), ClientID: client})
	t.Cleanup(cluster.Close)
	d := watchDoubts()
	in := logged(d, cluster, named(t, "group"), topics, p.serve)
	registry := prometheus.NewRegistry()
	in.Metrics = NewMetrics(registry)
	_, stop := inBackground(t, in)
	waitFor(t, "a page", func() bool { return p.committed.Load() > 0 })
	began := wait.Begin()
	<-time.After(forAbout)
	got := float64(p.committed.Load()-1) * float64(p.records*p.size) / began.Passed().Seconds()
	t.Logf("%d pages, %.0f KiB/s, %v throttled", p.committed.Load(), got/1024, cluster.Throttle("produce"))
	if got < 0.9*rate {
		t.Errorf("%.0f KiB/s, want 0.9 of %d at least", got/1024, rate>>10)
	}
	d.atMost(t, 0)
	if total(t, registry, "onelogin_kafka_throttled_seconds_total") == 0 {
		t.Error("the metric shows no throttling")
	}
	stopping := wait.Begin()
	stop()
	if took := stopping.Passed(); took > 10*time.Second {
		t.Errorf("stopped after %v, want 10 s at most", took)
	}
}

// A reader whose quota is spent gets on as the quota allows, and no answer of a
// broker that says nothing is taken for the end.
func TestAFetchQuotaIsKeptTo(t *testing.T) {
	const rate, batches, size = 256 << 10, 6, 900 << 10
	k := kafkatest.Shared(t, kafkas[V1])
	client := named(t, "client")
	setQuota(t, k, client, "consumer_byte_rate", rate)
	part := partition{named(t, "events"), 0}
	createTopic(t, k.Brokers(), part.topic, 1, nil)
	txn := newTransactor(open(t, k.Brokers()...), named(t, "id"), V1)
	if err := txn.init(patient(t)); err != nil {
		t.Fatal(err)
	}
	for range batches {
		v := make([]byte, size)
		rand.Read(v)
		if err := txn.write(patient(t), map[partition][]recordBatch{part: batchesOf(t, defaultLimit, string(v))}); err != nil {
			t.Fatal(err)
		}
	}
	cluster := wire.Open(wire.Config{Brokers: k.Brokers(), ClientID: client})
	defer cluster.Close()
	log := CommittedLog{Cluster: cluster, Topic: part.topic}
	read := 0
	if _, err := log.Read(patient(t), func(int64, *schemas.Record) error { read++; return nil }); err != nil {
		t.Error(err)
	}
	if read != batches {
		t.Errorf("%d records read, want %d", read, batches)
	}
	if cluster.Throttle("fetch") == 0 {
		t.Error("nothing was throttled")
	}
}

// With hardly any of the brokers' time to itself an instance is slow, and no
// more than that.
func TestARequestQuotaCostsNoTakeOver(t *testing.T) {
	const shards, percent = 3, 1
	k := kafkatest.Shared(t, kafkas[V1])
	client := named(t, "client")
	setQuota(t, k, client, "request_percentage", percent)
	topics, f := testTopics(t, shards, 1), newFeed(t, 8)
	cluster := wire.Open(wire.Config{Brokers: k.Brokers(), ClientID: client})
	t.Cleanup(cluster.Close)
	d := watchDoubts()
	_, stop := inBackground(t, logged(d, cluster, named(t, "group"), topics, f.serve))
	waitFor(t, "a request that is throttled", func() bool {
		return cluster.Throttle("transaction")+cluster.Throttle("control")+cluster.Throttle("produce") > 0
	})
	f.allProgress(t, 20, shards)
	d.atMost(t, 0)
	stop()
	f.audit(t, k.Brokers(), topics)
}

// total adds up the values of a counter.
func total(t *testing.T, registry *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// A broker is restarted cleanly and gets its partitions again: all of that is
// told by answers, so hardly an outcome is unknown.
func TestABrokerComesBack(t *testing.T) {
	const shards, most = 32, 2
	k := kafkatest.Shared(t, kafkas[V2])
	topics, f := testTopics(t, shards, 3), newFeed(t, 8)
	topics.Specs[schemas.Events].Partitions = 6
	cluster := wire.Open(wire.Config{Brokers: k.Brokers()})
	t.Cleanup(cluster.Close)
	d := watchDoubts()
	_, stop := inBackground(t, logged(d, cluster, named(t, "group"), topics, f.serve))
	f.allProgress(t, 10, shards)
	node := k.Node(3)
	if err := node.Stop(); err != nil {
		t.Fatal(err)
	}
	f.allProgress(t, 10, shards)
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	if err := k.WaitReady(patient(t)); err != nil {
		t.Fatal(err)
	}
	f.allProgress(t, 10, shards)
	elect(t, k)
	f.allProgress(t, 10, shards)
	d.atMost(t, most)
	stop()
	f.audit(t, k.Brokers(), topics)
}

// allProgress waits until each of the shards has committed more batches than now.
func (f *feed) allProgress(t *testing.T, more int, shards int32) {
	t.Helper()
	from := map[int32]int{}
	for s := range shards {
		from[s] = f.get(f.commits, s)
	}
	for s := range shards {
		waitFor(t, fmt.Sprintf("%d more batches of shard %d", more, s), func() bool { return f.get(f.commits, s) >= from[s]+more })
	}
}

// leads says how many partitions node leads, by what another one knows.
func leads(t *testing.T, asked, node *kafkatest.Node) (n int) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(asked.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	req := kmsg.NewPtrMetadataRequest()
	for _, b := range c.SeedBrokers() {
		res, err := req.RequestWith(patient(t), b)
		if err != nil {
			t.Fatal(err)
		}
		for _, topic := range res.Topics {
			for _, p := range topic.Partitions {
				if p.Leader == int32(node.ID) {
					n++
				}
			}
		}
	}
	return n
}

// elect gives every partition back to its first replica, once all are in sync.
func elect(t *testing.T, k *kafkatest.Cluster) {
	t.Helper()
	adm := admin(t, k.Brokers())
	waitFor(t, "all replicas in sync and their first the leader", func() bool {
		if _, err := adm.ElectLeaders(patient(t), kadm.ElectPreferredReplica, nil); err != nil {
			t.Fatal(fmt.Errorf("electing leaders: %w", err))
		}
		m, err := adm.Metadata(patient(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, topic := range m.Topics {
			for _, p := range topic.Partitions {
				if len(p.ISR) < len(p.Replicas) || p.Leader != p.Replicas[0] {
					return false
				}
			}
		}
		return true
	})
}

// A broker that is cut off from its peers answers with what it knew, takes no
// more records, and does not know that others lead its partitions. Every shard
// gets on all the same.
func TestABrokerCutOffFromItsPeers(t *testing.T) {
	const shards, longest = int32(12), 15 * time.Second
	// A coordinator waits so long for a leader that hangs to take a marker, and no
	// client can begin the next transaction before: 30 s unless set.
	k := kafkatest.Shared(t, kafkatest.Options{Divisible: true, Extra: map[string]string{"request.timeout.ms": "3000"}})
	topics, f, group := testTopics(t, shards, 3), newFeed(t, 8), named(t, "group")
	topics.Specs[schemas.Events].Partitions = 6
	in := run(t, group, "one", topics, wire.Config{Brokers: k.Brokers()}, f)
	f.allProgress(t, 5, shards)
	node, err := k.GroupCoordinator(patient(t), group)
	if err != nil {
		t.Fatal(err)
	}
	was := leads(t, node, node)
	heal := node.CutOff(t)
	began, watch := time.Now(), wait.Begin()
	commits, at, gap := map[int32]int{}, map[int32]time.Duration{}, map[int32]time.Duration{}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for time.Since(began) < 2*longest {
		<-tick.C
		now := watch.Passed()
		for s := range shards {
			if n := f.get(f.commits, s); n != commits[s] {
				commits[s], at[s] = n, now
			}
			gap[s] = max(gap[s], now-at[s])
		}
	}
	for s := range shards {
		if gap[s] > longest {
			t.Errorf("shard %d committed nothing for %v", s, gap[s].Round(time.Millisecond))
		}
	}
	t.Attr("longest-gap-seconds", fmt.Sprintf("%.2f", slices.Max(slices.Collect(maps.Values(gap))).Seconds()))
	t.Logf("longest gaps in %s: %v", watch, gap)
	if still := leads(t, k.Node(node.ID%len(k.Nodes())+1), node); was == 0 || still > 0 {
		t.Errorf("of the %d partitions that the broker led it leads %d yet: it was not cut off", was, still)
	}
	heal()
	f.allProgress(t, 5, shards)
	in.stop()
	f.audit(t, k.Brokers(), topics)
}
