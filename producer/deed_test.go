package producer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go/compress"
	"github.com/twmb/franz-go/pkg/kfake"

	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// fakeBroker is an in-process broker with one node.
func fakeBroker(t testing.TB) *kfake.Cluster {
	t.Helper()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	return broker
}

// published is a source of connectors that have one event each, which is
// published by whoever finds no position.
type published struct {
	names []string
	left  atomic.Int32 // not known to be published
}

func newPublished(n int) *published {
	p := &published{}
	for i := range n {
		p.names = append(p.names, fmt.Sprintf("customer-%d", i))
	}
	p.left.Store(int32(n))
	return p
}

// position is a connector's, as the source writes it.
func position(through time.Time) []byte {
	return schemas.Offset{Domain: "acme.onelogin.com", Through: through, WindowStart: through, UpdatedAt: through}.Marshal()
}

func (p *published) serve(ctx context.Context, s *Session) {
	for _, name := range p.names {
		if PartitionFor(schemas.OffsetKey(name), s.Shards) != s.Shard {
			continue
		}
		state, err := s.State(ctx, name)
		if err != nil {
			return
		}
		if len(state) > 0 {
			p.left.Add(-1)
			continue
		}
		b := &schemas.Batch{Connector: name, Events: 1, Done: func() { p.left.Add(-1) }, Records: []schemas.Record{
			{Topic: schemas.Events, Key: []byte(name), Value: []byte("its event"), Time: time.Now()},
			{Topic: schemas.Offsets, Key: schemas.OffsetKey(name), Value: position(time.Now()), Time: time.Now()},
		}}
		if s.Offer(ctx, b) != nil {
			return
		}
	}
	<-ctx.Done()
}

// twice lists the connectors whose event is in the topic more than once, and
// those for which it is not there.
func (p *published) twice(t *testing.T, brokers []string, topics Topics) (twice, missing []string) {
	t.Helper()
	seen := map[string]int{}
	for _, records := range independent(t, brokers, topics.Specs[schemas.Events].Name) {
		for _, r := range records {
			seen[string(r.Key)]++
		}
	}
	for _, name := range p.names {
		switch n := seen[name]; {
		case n == 0:
			missing = append(missing, name)
		case n > 1:
			twice = append(twice, name)
		}
	}
	return twice, missing
}

// publish runs an instance until the events of all connectors are published.
func publish(t *testing.T, broker *kfake.Cluster, topics Topics, group string, p *published) {
	t.Helper()
	p.left.Store(int32(len(p.names)))
	in := start(t, broker.ListenAddrs(), topics, group, p.serve)
	waitFor(t, "all events", func() bool { return p.left.Load() <= 0 })
	if err := in.stop(); err != nil {
		t.Fatal(err)
	}
}

// started is an instance that may end by itself.
type started struct {
	*Instance
	cancel context.CancelFunc
	ended  chan error
}

func start(t *testing.T, brokers []string, topics Topics, group string, serve func(context.Context, *Session)) *started {
	t.Helper()
	cluster := wire.Open(wire.Config{Brokers: brokers})
	ctx, cancel := context.WithCancel(context.Background())
	in := &started{cancel: cancel, ended: make(chan error, 1), Instance: &Instance{
		Cluster: cluster, Config: Config{Group: group, Instance: group + "-one", Topics: topics, Compression: compress.Zstd, CommitInterval: 10 * time.Millisecond, Serve: serve},
	}}
	done := make(chan struct{})
	go func() { defer close(done); in.ended <- in.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done; cluster.Close() })
	return in
}

func (in *started) stop() error {
	in.cancel()
	return <-in.ended
}

// unfit waits for an instance to end by itself with ErrUnfit, for that reason.
func (in *started) unfit(t *testing.T, says ...string) {
	t.Helper()
	select {
	case err := <-in.ended:
		if !errors.Is(err, ErrUnfit) {
			t.Fatalf("ended with %v, want ErrUnfit", err)
		}
		for _, s := range says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%q does not say %q", err, s)
			}
		}
	case <-patient(t).Done():
		t.Fatal("the instance goes on")
	}
}

// grow adds partitions to the offsets topic.
func grow(t *testing.T, broker *kfake.Cluster, topics Topics, to int) {
	t.Helper()
	if _, err := admin(t, broker.ListenAddrs()).UpdatePartitions(patient(t), to, topics.Specs[schemas.Offsets].Name); err != nil {
		t.Fatal(err)
	}
}

// forget takes the owner's records off the offsets topic, as if an earlier
// version had written it.
func forget(t *testing.T, broker *kfake.Cluster, topics Topics) {
	t.Helper()
	cluster := open(t, broker.ListenAddrs()...)
	for shard := range topics.Specs[schemas.Offsets].Partitions {
		writeAs(t, cluster, named(t, "forget"), partition{topics.Specs[schemas.Offsets].Name, shard}, map[string][]byte{schemas.OwnerKey: nil})
	}
}

// writeAs writes to a partition under a transactional id of its own.
func writeAs(t *testing.T, cluster *wire.Cluster, id string, part partition, values map[string][]byte) {
	t.Helper()
	txn := newTransactor(cluster, id, V2)
	if err := txn.init(patient(t)); err != nil {
		t.Fatal(err)
	}
	var records []*schemas.Record
	for key, value := range values {
		records = append(records, &schemas.Record{Topic: schemas.Offsets, Key: []byte(key), Value: value, Time: time.Now()})
	}
	batches, err := encodeBatches(records, 0, within(defaultLimit))
	if err != nil {
		t.Fatal(err)
	}
	if err := txn.write(patient(t), map[partition][]recordBatch{part: batches}); err != nil {
		t.Fatal(err)
	}
}

// With more partitions connectors belong to others, where they have no position:
// their events would be published again. Nothing is served then, and the way
// back keeps every position.
func TestAGrownOffsetsTopicIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		earlier bool // it does not say how many partitions it had
		says    string
	}{
		"as it says itself":                   {says: "had 4 partitions and has 8"},
		"as the connectors on it say it does": {earlier: true, says: "has 8 partitions, of which connector customer-"},
	} {
		t.Run(name, func(t *testing.T) {
			broker, topics, p := fakeBroker(t), testTopics(t, 4, 1), newPublished(20)
			group := named(t, "group")
			publish(t, broker, topics, group, p)
			publish(t, broker, topics, group, p)
			if c.earlier {
				forget(t, broker, topics)
			}
			grow(t, broker, topics, 8)
			start(t, broker.ListenAddrs(), topics, group, p.serve).unfit(t, topics.Specs[schemas.Offsets].Name, c.says, "docs/positions.md")

			hand := &Hand{Cluster: open(t, broker.ListenAddrs()...), Topics: topics, Group: group}
			to := TopicSpec{Name: named(t, "copy"), Partitions: 3}
			copied, err := hand.CopyOffsets(patient(t), to)
			if diff := cmp.Diff(Copied{Connectors: 20}, copied); err != nil || diff != "" {
				t.Fatalf("copying: %v (-want +got):\n%s", err, diff)
			}
			topics.Specs[schemas.Offsets] = to
			publish(t, broker, topics, group, p)
			if twice, missing := p.twice(t, broker.ListenAddrs(), topics); len(twice)+len(missing) > 0 {
				t.Errorf("published twice: %v, not at all: %v", twice, missing)
			}
			if _, err := hand.CopyOffsets(patient(t), to); !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), "not empty") {
				t.Errorf("copying to it again: %v", err)
			}
		})
	}
}

// A topic that grows while an instance is at work ends it.
func TestAnOffsetsTopicThatGrowsEndsTheInstance(t *testing.T) {
	t.Parallel()
	broker, topics, p := fakeBroker(t), testTopics(t, 4, 1), newPublished(20)
	in := start(t, broker.ListenAddrs(), topics, named(t, "group"), p.serve)
	waitFor(t, "all events", func() bool { return p.left.Load() == 0 })
	grow(t, broker, topics, 5)
	in.unfit(t, "had 4 partitions and has 5")
}

// After growing under an earlier version a connector has two positions. The copy
// takes the one that is further on, and refuses to guess.
func TestCopyTakesThePositionThatIsFurtherOn(t *testing.T) {
	broker, topics := fakeBroker(t), testTopics(t, 2, 1)
	cluster := open(t, broker.ListenAddrs()...)
	if _, err := topics.Ensure(patient(t), cluster); err != nil {
		t.Fatal(err)
	}
	early, late := position(time.Unix(1000, 0)), position(time.Unix(2000, 0))
	name := topics.Specs[schemas.Offsets].Name
	writeAs(t, cluster, "a", partition{name, 0}, map[string][]byte{"acme": late, "globex": early})
	writeAs(t, cluster, "b", partition{name, 1}, map[string][]byte{"acme": early, "globex": late})
	hand := &Hand{Cluster: cluster, Topics: topics, Group: "group"}
	to := TopicSpec{Name: named(t, "copy"), Partitions: 1}
	copied, err := hand.CopyOffsets(patient(t), to)
	slices.Sort(copied.Twice)
	if diff := cmp.Diff(Copied{Connectors: 2, Twice: []string{"acme", "globex"}}, copied); err != nil || diff != "" {
		t.Fatalf("copying: %v (-want +got):\n%s", err, diff)
	}
	log := CommittedLog{Cluster: cluster, Topic: to.Name}
	found, err := log.decided(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	delete(found, schemas.OwnerKey)
	if diff := cmp.Diff(map[string][]byte{"acme": late, "globex": late}, found); diff != "" {
		t.Errorf("copied (-want +got):\n%s", diff)
	}
	writeAs(t, cluster, "b", partition{name, 1}, map[string][]byte{"acme": []byte("of another version")})
	if _, err := hand.CopyOffsets(patient(t), TopicSpec{Name: named(t, "again"), Partitions: 1}); err == nil {
		t.Error("a position that cannot be read was taken or left")
	}
}

// Half a copy is nobody's.
func TestHalfACopyIsRefused(t *testing.T) {
	broker, topics := fakeBroker(t), testTopics(t, 1, 1)
	cluster := open(t, broker.ListenAddrs()...)
	if _, err := topics.Ensure(patient(t), cluster); err != nil {
		t.Fatal(err)
	}
	group := named(t, "group")
	half := (&deed{group: group + copying, partitions: 1}).batch(time.Now()).Records[0]
	writeAs(t, cluster, "a", partition{topics.Specs[schemas.Offsets].Name, 0}, map[string][]byte{schemas.OwnerKey: half.Value})
	start(t, broker.ListenAddrs(), topics, group, newPublished(1).serve).unfit(t, "not whole")
	hand := &Hand{Cluster: cluster, Topics: topics, Group: group}
	owners, err := hand.Owners(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := hand.TakeOver(patient(t), owners); !errors.Is(err, ErrUnfit) {
		t.Errorf("taking it over: got %v, want ErrUnfit", err)
	}
}

// Two deployments on one set of topics would both publish every event. The second
// is refused, by name, until an operator hands the topic over; then the first
// ends.
func TestTheOffsetsTopicHasOneOwner(t *testing.T) {
	broker, topics := fakeBroker(t), testTopics(t, 4, 1)
	blue, green := named(t, "blue"), named(t, "green")
	older, newer := newFeed(t, 32), newFeed(t, 33)
	first := start(t, broker.ListenAddrs(), topics, blue, older.serve)
	older.progress(t, 2, allShards(4)...)
	start(t, broker.ListenAddrs(), topics, green, newer.serve).unfit(t, blue, green, topics.Specs[schemas.Offsets].Name, "offsets take-over")

	hand := &Hand{Cluster: open(t, broker.ListenAddrs()...), Topics: topics, Group: green}
	owners, err := hand.Owners(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range owners {
		if o == nil || o.Group != blue || o.Partitions != 4 {
			t.Errorf("partition %d belongs to %+v, want %s", i, o, blue)
		}
	}
	if err := hand.TakeOver(patient(t), owners); err != nil {
		t.Fatal(err)
	}
	first.unfit(t, blue, green)
	if err := hand.TakeOver(patient(t), owners); err == nil {
		t.Error("taken over again by what was seen before")
	}
	second := start(t, broker.ListenAddrs(), topics, green, newer.serve)
	newer.progress(t, 2, allShards(4)...)
	if err := second.stop(); err != nil {
		t.Error(err)
	}
	newer.audit(t, broker.ListenAddrs(), topics)
}

// Of two deployments that start on new topics at once no event is published
// twice, whoever of them gets which partition.
func TestTwoDeploymentsThatStartAtOnce(t *testing.T) {
	broker, topics := fakeBroker(t), testTopics(t, 4, 1)
	if _, err := topics.Ensure(patient(t), open(t, broker.ListenAddrs()...)); err != nil {
		t.Fatal(err)
	}
	p := newPublished(40)
	both := []*started{start(t, broker.ListenAddrs(), topics, named(t, "blue"), p.serve), start(t, broker.ListenAddrs(), topics, named(t, "green"), p.serve)}
	var over error
	select {
	case over = <-both[0].ended:
	case over = <-both[1].ended:
	case <-patient(t).Done():
		t.Fatal("both go on")
	}
	if !errors.Is(over, ErrUnfit) {
		t.Errorf("one ended with %v, want ErrUnfit", over)
	}
	for _, in := range both {
		in.cancel()
	}
	if twice, _ := p.twice(t, broker.ListenAddrs(), topics); len(twice) > 0 {
		t.Errorf("published twice: %v", twice)
	}
}

// An earlier version of another deployment knows nothing of owners. What it
// writes is seen, whenever it is written, and gone on from.
func TestAnotherWriterIsSeen(t *testing.T) {
	broker, topics := fakeBroker(t), testTopics(t, 1, 1)
	f := newFeed(t, 31)
	in := run(t, named(t, "group"), "one", topics, wire.Config{Brokers: broker.ListenAddrs()}, f)
	f.progress(t, 3, 0)
	before := f.get(f.sessions, 0)
	cluster, part := open(t, broker.ListenAddrs()...), partition{topics.Specs[schemas.Offsets].Name, 0}
	writeAs(t, cluster, "another", part, map[string][]byte{"another": []byte("its position")})
	waitFor(t, "a new session", func() bool { return f.get(f.sessions, 0) > before })
	f.progress(t, 3, 0)
	in.stop()
	log := CommittedLog{Cluster: cluster, Topic: part.topic}
	found, err := log.decided(patient(t))
	if err != nil || string(found["another"]) != "its position" {
		t.Errorf("the other's position is %q, %v", found["another"], err)
	}
}
