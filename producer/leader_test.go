package producer

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// place creates a topic of one partition whose replicas are on these nodes; the
// first of them leads.
func place(t *testing.T, brokers []string, topic, policy string, replicas ...int32) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, -1, -1
	rt.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Partition: 0, Replicas: replicas}}
	rt.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "cleanup.policy", Value: &policy}}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis, req.Topics = 10_000, append(req.Topics, rt)
	res, err := req.RequestWith(patient(t), client)
	if err == nil {
		err = kerr.ErrorForCode(res.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("creating topic %s: %v", topic, err)
	}
}

// A leader that is gone gives no answer that would say so. A shard whose
// offsets are led by another broker does not notice by reading either: it must
// ask anew who leads.
func TestALeaderThatIsGoneIsLookedForAgain(t *testing.T) {
	k := kafkatest.Shared(t, kafkas[V2])
	topics, f := testTopics(t, 1, 3), newFeed(t, 8)
	topics.Specs[schemas.Events].Partitions = 1
	place(t, k.Brokers(), topics.Specs[schemas.Events].Name, "delete", 3, 1, 2)
	place(t, k.Brokers(), topics.Specs[schemas.Offsets].Name, "compact", 2, 1, 3)
	in := run(t, named(t, "group"), "one", topics, wire.Config{Brokers: k.Brokers()}, f)
	f.progress(t, 3, 0)

	leader := k.Node(3)
	if err := leader.Kill(); err != nil {
		t.Fatal(err)
	}
	defer func() { // for the tests after this one
		if err := leader.Start(); err != nil {
			t.Error(err)
		}
		if err := k.WaitReady(patient(t)); err != nil {
			t.Error(err)
		}
	}()
	f.progress(t, 3, 0)
	in.stop()
	f.audit(t, k.Brokers(), topics)
}
