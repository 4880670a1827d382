package producer

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/schemas"
)

// quiet writes one position for a connector and never again.
func quiet(ctx context.Context, s *Session, written chan<- string) {
	const name = "quiet"
	state, err := s.State(ctx, name)
	if err != nil {
		return
	}
	if len(state) > 0 {
		written <- string(state[name])
		return
	}
	b := &schemas.Batch{Connector: name, Done: func() { written <- "" }, Records: []schemas.Record{
		{Topic: schemas.Offsets, Key: schemas.OffsetKey(name), Value: []byte("its position"), Time: time.Now()},
	}}
	_ = s.Offer(ctx, b)
}

// anew deletes the offsets topic and makes it again.
func anew(t *testing.T, brokers []string, topics Topics) {
	t.Helper()
	name := topics.Specs[schemas.Offsets].Name
	adm := admin(t, brokers)
	if _, err := adm.DeleteTopic(patient(t), name); err != nil {
		t.Fatal(err)
	}
	settings := map[string]*string{}
	for k, v := range topics.settings(schemas.Offsets) {
		settings[k] = &v
	}
	waitFor(t, "the topic to be made anew", func() bool {
		_, err := adm.CreateTopic(patient(t), topics.Specs[schemas.Offsets].Partitions, topics.ReplicationFactor, settings, name)
		return err == nil
	})
}

// An offsets topic that is made anew under an instance has lost its positions.
// The instance has them still: it writes them again, those of connectors with
// nothing new too, and publishes nothing twice.
func TestPositionsThatKafkaHasLostAreWrittenAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, _ Protocol, k *kafkatest.Cluster) {
		topics := testTopics(t, 1, int16(min(3, len(k.Nodes()))))
		lostPositions(t, k.Brokers(), topics)
	})
	t.Run("embedded", func(t *testing.T) {
		lostPositions(t, fakeBroker(t).ListenAddrs(), testTopics(t, 1, 1))
	})
}

func lostPositions(t *testing.T, brokers []string, topics Topics) {
	f, written := newFeed(t, 41), make(chan string, 100)
	in := start(t, brokers, topics, named(t, "group"), func(ctx context.Context, s *Session) {
		quiet(ctx, s, written)
		f.serve(ctx, s)
	})
	if got := <-written; got != "" {
		t.Fatalf("there is a position: %s", got)
	}
	f.progress(t, 3, 0)
	anew(t, brokers, topics)
	if got := <-written; got != "its position" {
		t.Errorf("after the loss a session found %q", got)
	}
	f.progress(t, 3, 0)
	if err := in.stop(); err != nil {
		t.Error(err)
	}
	f.audit(t, brokers, topics)
	log := CommittedLog{Cluster: open(t, brokers...), Topic: topics.Specs[schemas.Offsets].Name}
	found, err := log.decided(patient(t))
	if err != nil || string(found["quiet"]) != "its position" || found[schemas.OwnerKey] == nil {
		t.Errorf("in the topic: %q and %q (%v)", found["quiet"], found[schemas.OwnerKey], err)
	}
}

// A topic that is made anew and not as it has to be ends the instance.
func TestALostTopicThatIsUnfit(t *testing.T) {
	broker, topics, f := fakeBroker(t), testTopics(t, 1, 1), newFeed(t, 42)
	in := start(t, broker.ListenAddrs(), topics, named(t, "group"), f.serve)
	f.progress(t, 3, 0)
	adm, name := admin(t, broker.ListenAddrs()), topics.Specs[schemas.Offsets].Name
	if _, err := adm.DeleteTopic(patient(t), name); err != nil {
		t.Fatal(err)
	}
	if _, err := adm.CreateTopic(patient(t), 1, 1, nil, name); err != nil { // as brokers do by themselves
		t.Fatal(err)
	}
	in.unfit(t, name, "cleanup.policy=compact")
}

// A partition that was made anew and lacks nothing of what we know ends long
// before what we have read. What is written to it after that is read all the same.
func TestWhatFollowsACutOffIsRead(t *testing.T) {
	broker, topics := fakeBroker(t), testTopics(t, 1, 1)
	cluster, part := open(t, broker.ListenAddrs()...), partition{topics.Specs[schemas.Offsets].Name, 0}
	d := &deed{topic: part.topic, group: named(t, "group"), partitions: 1}
	write := func(position string) {
		values := map[string][]byte{"acme": []byte(position)}
		for _, r := range d.batch(time.Unix(1, 0)).Records {
			values[string(r.Key)] = r.Value
		}
		writeAs(t, cluster, named(t, "another"), part, values)
	}
	known := positions{cluster: cluster, part: part}
	read := func(want string) {
		t.Helper()
		if _, err := known.read(patient(t)); err != nil {
			t.Fatal(err)
		}
		if debts := known.debts(d); len(debts) > 0 {
			t.Errorf("%d batches to write again, want none", len(debts))
		}
		if diff := cmp.Diff(want, string(known.records["acme"]["acme"])); diff != "" {
			t.Errorf("position (-want +got):\n%s", diff)
		}
	}
	createTopic(t, broker.ListenAddrs(), part.topic, 1, nil)
	for range 10 {
		write("first")
	}
	read("first")
	if _, err := admin(t, broker.ListenAddrs()).DeleteTopics(patient(t), part.topic); err != nil {
		t.Fatal(err)
	}
	createTopic(t, broker.ListenAddrs(), part.topic, 1, nil)
	write("first")
	known.lost = true
	read("first")
	write("second")
	read("second")
}
