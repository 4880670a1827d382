package jobs

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"onelogin-kafka/internal/proof/wait"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func patient(t testing.TB) context.Context {
	t.Helper()
	return wait.Context(t, time.Minute)
}

var ann = registry.Who{By: "ann", Via: "command", Reason: "a test"}

// rig is a broker with the topics, and an owner that writes what it is told.
type rig struct {
	addr   string
	topics producer.Topics
	admin  *kadm.Client
}

func newRig(t *testing.T) *rig {
	t.Helper()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	g := &rig{addr: broker.ListenAddrs()[0], topics: producer.Topics{Create: true, ReplicationFactor: 1}}
	for i := range g.topics.Specs {
		g.topics.Specs[i] = producer.TopicSpec{Name: "t." + schemas.Topic(i).String(), Partitions: 1}
	}
	g.topics.Specs[schemas.Offsets].Partitions = 2
	client, err := kgo.NewClient(kgo.SeedBrokers(g.addr), kgo.MetadataMinAge(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	g.admin = kadm.NewClient(client)
	g.ensure(t)
	return g
}

func (g *rig) ensure(t *testing.T) {
	t.Helper()
	if _, err := g.topics.Ensure(patient(t), g.cluster(t)); err != nil {
		t.Fatal(err)
	}
}

func (g *rig) cluster(t *testing.T) *wire.Cluster {
	t.Helper()
	c := wire.Open(wire.Config{Brokers: []string{g.addr}})
	t.Cleanup(c.Close)
	return c
}

func (g *rig) hand(t *testing.T) *producer.Hand {
	return &producer.Hand{Cluster: g.cluster(t), Topics: g.topics, Group: "g"}
}

// board is what a surface has.
func (g *rig) board(t *testing.T) *Board {
	t.Helper()
	b := &Board{
		Registry: registry.New(registry.Options{Cluster: g.cluster(t), Topics: g.topics, Group: "g", Log: zerolog.Nop()}),
		Hand:     g.hand(t),
	}
	read(t, b)
	return b
}

func read(t *testing.T, b *Board) {
	t.Helper()
	if err := b.Registry.Read(patient(t)); err != nil {
		t.Fatal(err)
	}
}

// owns writes records of a connector's shard, as its owner does.
func (g *rig) owns(t *testing.T, connector string, records ...schemas.Record) {
	t.Helper()
	h := g.hand(t)
	shard, err := h.Shard(patient(t), connector)
	if err != nil {
		t.Fatal(err)
	}
	note := schemas.AuditEntry{At: time.Now(), By: "owner", Via: "service", Action: "test", Connector: connector, Shard: shard}.Record()
	if err := h.Change(patient(t), shard, func(producer.ShardRecords) ([]schemas.Record, error) {
		return append(records, note), nil
	}); err != nil {
		t.Fatal(err)
	}
}

// polled is the position of a connector whose window starts some time ago.
func polled(connector string, ago time.Duration) schemas.Record {
	now := time.Now().UTC().Truncate(time.Second)
	o := schemas.Offset{
		Domain: connector + ".onelogin.com", AccountID: 1, Through: now, LastID: 9, WindowStart: now.Add(-ago), UpdatedAt: now,
	}
	return schemas.Record{Topic: schemas.Offsets, Key: schemas.OffsetKey(connector), Value: o.Marshal(), Time: now}
}

// progress is how far a job is that was asked for of two hours.
func progress(connector, id string, state schemas.JobState, done time.Duration) schemas.Record {
	now := time.Now().UTC().Truncate(time.Second)
	from := now.Add(-3 * time.Hour)
	p := schemas.JobProgress{
		ID: id, Kind: schemas.JobRepair, State: state, Instance: "one", StartedAt: now, UpdatedAt: now,
		Report: schemas.Report{From: from, To: from.Add(2 * time.Hour), Through: from.Add(done)},
	}
	return schemas.Record{Topic: schemas.Offsets, Key: schemas.JobKey(connector, id), Value: p.Marshal(), Time: now}
}

// requested writes requests as they are, whatever they say.
func requested(t *testing.T, b *Board, records ...schemas.Record) {
	t.Helper()
	if err := b.Registry.Write(patient(t), func(map[string][]byte) ([]schemas.Record, error) { return records, nil }); err != nil {
		t.Fatal(err)
	}
	read(t, b)
}

func request(connector, id string, asked time.Time) schemas.JobRequest {
	return schemas.JobRequest{ID: id, Kind: schemas.JobRepair, Connector: connector, From: asked.Add(-time.Hour), AskedBy: "ann", AskedAt: asked}
}
