package preflight

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(kafkatest.Main(m)) }

type clientFunc func(context.Context) error

func (f clientFunc) Check(ctx context.Context, _ func(string)) error { return f(ctx) }

func TestConnector(t *testing.T) {
	api := &source.APIError{Stage: "Authentication", Message: "Credentials error", Advice: "Check it.", RequestID: "r1", Err: errors.New("cause")}
	cases := map[string]struct {
		client clientFunc
		want   string
	}{
		"well":     {func(context.Context) error { return nil }, ""},
		"refused":  {func(context.Context) error { return fmt.Errorf("asking: %w", api) }, `Authentication Stage: Credentials error - Check it. (cause) (request id "r1")`},
		"stalls":   {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, "Validation Stage: Request Timeout - OneLogin did not answer in time; try again later."},
		"anything": {func(context.Context) error { return errors.New("odd") }, "Validation Stage: Unknown Error - The check ended early: odd."},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := Connector(t.Context(), "acme", tc.client)
				got := ""
				if r.Failure != nil {
					got = r.Failure.String()
				}
				if diff := cmp.Diff(tc.want, got); diff != "" || r.Target != "acme" {
					t.Errorf("%s: %s", r.Target, diff)
				}
			})
		})
	}
}

// clusterAndCheck is a broker and what is to be checked on it.
func clusterAndCheck(t *testing.T) (*kfake.Cluster, *Kafka) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	cluster := wire.Open(wire.Config{Brokers: c.ListenAddrs()})
	t.Cleanup(cluster.Close)
	k := &Kafka{Cluster: cluster, Group: "g", Topics: producer.Topics{Create: true, ReplicationFactor: 1}}
	for i, name := range []string{schemas.Events: "events", schemas.DeadLetter: "dead", schemas.Offsets: "offsets", schemas.Status: "status", schemas.Connectors: "connectors", schemas.Audit: "audit"} {
		k.Topics.Specs[i] = producer.TopicSpec{Name: name, Partitions: 2}
		if schemas.Topic(i) >= schemas.Connectors {
			k.Topics.Specs[i].Partitions = 1
		}
	}
	return c, k
}

func create(t *testing.T, c *kfake.Cluster, policies map[string]string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	for name, policy := range policies {
		partitions := int32(2)
		if name == "connectors" || name == "audit" {
			partitions = 1
		}
		req.Topics = append(req.Topics, kmsg.CreateTopicsRequestTopic{
			Topic: name, NumPartitions: partitions, ReplicationFactor: 1,
			Configs: []kmsg.CreateTopicsRequestTopicConfig{{Name: "cleanup.policy", Value: &policy}},
		})
	}
	if len(req.Topics) == 0 {
		return
	}
	if _, err := req.RequestWith(t.Context(), client); err != nil {
		t.Fatal(err)
	}
}

// leaveOpen has somebody begin a transaction on the offsets topic and not end it.
func leaveOpen(t *testing.T) func(c *kfake.Cluster) {
	return func(c *kfake.Cluster) {
		client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.TransactionalID("somebody"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "offsets", Partition: 1, Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

var whole = map[string]string{"events": "delete", "dead": "delete", "offsets": "compact", "status": "compact", "connectors": "compact", "audit": "delete"}

// TestKafka breaks one thing at a time.
func TestKafka(t *testing.T) {
	deny := func(key kmsg.Key, answer func(kmsg.Request, kmsg.Response)) func(*kfake.Cluster) {
		return func(c *kfake.Cluster) {
			c.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				res := req.ResponseKind()
				answer(req, res)
				return res, nil, true
			})
		}
	}
	own := func(o schemas.Owner) func(*kfake.Cluster) {
		return func(c *kfake.Cluster) {
			client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			r := &kgo.Record{Topic: "offsets", Key: []byte(schemas.OwnerKey), Value: o.Marshal()}
			if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	cases := map[string]struct {
		topics map[string]string
		change func(k *Kafka)
		fault  func(c *kfake.Cluster)
		failed string // the check that fails; empty if none
		says   string
	}{
		"all there":          {topics: whole, says: "may write transactions and read positions"},
		"none there":         {says: "would be created: events (2 partitions, replication factor 1), dead (2"},
		"none there, rights": {says: "may write transactions and read positions"},
		"some there":         {topics: map[string]string{"offsets": "compact", "events": "delete"}, says: "would be created: dead (2"},
		"one of some unfit":  {topics: map[string]string{"offsets": "delete"}, failed: "topics", says: "topic offsets has cleanup.policy=delete, which would forget positions"},
		"events compacted":   {topics: map[string]string{"events": "compact"}, failed: "topics", says: "--topic events --add-config cleanup.policy=delete"},
		"one of all unfit":   {topics: map[string]string{"events": "delete", "dead": "delete", "offsets": "delete", "status": "compact", "connectors": "compact", "audit": "delete"}, failed: "topics", says: "cleanup.policy=delete"},
		"one of some refused": {topics: map[string]string{"events": "delete"}, fault: deny(kmsg.CreateTopics, func(req kmsg.Request, res kmsg.Response) {
			for _, rt := range req.(*kmsg.CreateTopicsRequest).Topics {
				ct := kmsg.NewCreateTopicsResponseTopic()
				if ct.Topic = rt.Topic; rt.Topic != "status" {
					ct.ErrorCode = 29
				}
				res.(*kmsg.CreateTopicsResponse).Topics = append([]kmsg.CreateTopicsResponseTopic{ct}, res.(*kmsg.CreateTopicsResponse).Topics...)
			}
		}), failed: "topics", says: "creating topic dead: it is not allowed to us; create it with: kafka-topics.sh --bootstrap-server … --create --topic dead "},
		"another's": {topics: whole, fault: own(schemas.Owner{Group: "blue", Partitions: 2}), failed: "owner",
			says: `topic offsets belongs to group "blue", and this deployment is group "g"`},
		"grown":             {topics: whole, fault: own(schemas.Owner{Group: "g", Partitions: 1}), failed: "owner", says: "topic offsets had 1 partitions and has 2"},
		"not to be created": {change: func(k *Kafka) { k.Topics.Create = false }, failed: "topics", says: "topics.create is false"},
		"too many replicas": {change: func(k *Kafka) { k.Topics.ReplicationFactor = 3 }, failed: "topics", says: "replication factor 3, but 1 brokers"},
		"too few partitions": {topics: whole, change: func(k *Kafka) { k.Topics.Specs[schemas.Offsets].Partitions = 9 }, failed: "topics",
			says: "has 2 partitions"},
		"somebody's open transaction": {topics: whole, change: func(k *Kafka) { k.patience = 100 * time.Millisecond }, fault: leaveOpen(t),
			failed: "open transactions", says: "open on offsets/1 at offset 0 for more than"},
		"no right to transactions": {topics: whole, fault: deny(kmsg.InitProducerID, func(_ kmsg.Request, res kmsg.Response) {
			res.(*kmsg.InitProducerIDResponse).ErrorCode = 53
		}), failed: "rights", says: "Allow Write on the transactional ids that begin with g-; all"},
		"no right to write": {topics: whole, fault: deny(kmsg.AddPartitionsToTxn, func(req kmsg.Request, res kmsg.Response) {
			topic := req.(*kmsg.AddPartitionsToTxnRequest).Topics[0].Topic
			res.(*kmsg.AddPartitionsToTxnResponse).Topics = []kmsg.AddPartitionsToTxnResponseTopic{{
				Topic: topic, Partitions: []kmsg.AddPartitionsToTxnResponseTopicPartition{{ErrorCode: 29}},
			}}
		}), failed: "rights", says: "Allow Write on topic events; all"},
		"no right to change connectors": {topics: whole, fault: deny(kmsg.AddPartitionsToTxn, func(req kmsg.Request, res kmsg.Response) {
			topic := req.(*kmsg.AddPartitionsToTxnRequest).Topics[0].Topic
			p := kmsg.AddPartitionsToTxnResponseTopicPartition{}
			if topic == "audit" {
				p.ErrorCode = 29
			}
			res.(*kmsg.AddPartitionsToTxnResponse).Topics = []kmsg.AddPartitionsToTxnResponseTopic{{Topic: topic, Partitions: []kmsg.AddPartitionsToTxnResponseTopicPartition{p}}}
		}), says: "connectors cannot be changed from here, for lack of Write on topic audit"},
		"no right to read": {topics: whole, fault: deny(kmsg.Fetch, func(req kmsg.Request, res kmsg.Response) {
			topic := req.(*kmsg.FetchRequest).Topics[0].Topic
			res.(*kmsg.FetchResponse).Topics = []kmsg.FetchResponseTopic{{
				Topic: topic, Partitions: []kmsg.FetchResponseTopicPartition{{ErrorCode: 29}},
			}}
		}), failed: "rights", says: "Allow Read on topic offsets; all"},
		// Topics that can be created are of no use to who may not write to them.
		"no right to write to what is to be created": {fault: deny(kmsg.AddPartitionsToTxn, func(req kmsg.Request, res kmsg.Response) {
			topic := req.(*kmsg.AddPartitionsToTxnRequest).Topics[0].Topic
			p := kmsg.AddPartitionsToTxnResponseTopicPartition{ErrorCode: 3}
			if topic == "status" {
				p.ErrorCode = 29
			}
			res.(*kmsg.AddPartitionsToTxnResponse).Topics = []kmsg.AddPartitionsToTxnResponseTopic{{Topic: topic, Partitions: []kmsg.AddPartitionsToTxnResponseTopicPartition{p}}}
		}), failed: "rights", says: "Allow Write on topic status; all"},
		"no right to read what is to be created": {fault: deny(kmsg.Fetch, func(req kmsg.Request, res kmsg.Response) {
			topic := req.(*kmsg.FetchRequest).Topics[0].Topic
			res.(*kmsg.FetchResponse).Topics = []kmsg.FetchResponseTopic{{
				Topic: topic, Partitions: []kmsg.FetchResponseTopicPartition{{ErrorCode: 29}},
			}}
		}), failed: "rights", says: "Allow Read on topic offsets; all"},
		"gone": {fault: func(c *kfake.Cluster) { c.Close() }, failed: "reachable", says: "Kafka cannot be reached"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c, k := clusterAndCheck(t)
			create(t, c, tc.topics)
			if tc.change != nil {
				tc.change(k)
			}
			if tc.fault != nil {
				tc.fault(c)
			}
			failed, text := "", ""
			for _, r := range k.Check(t.Context()) {
				text += r.Detail + "\n"
				if r.Failure != nil {
					failed += r.Check
					text += r.Failure.String() + "\n"
				}
			}
			if failed != tc.failed || !strings.Contains(text, tc.says) {
				t.Errorf("got %q failed, want %q:\n%s", failed, tc.failed, text)
			}
		})
	}
}

// TestBusyCoordinator: what is only not yet possible is tried again.
func TestBusyCoordinator(t *testing.T) {
	c, k := clusterAndCheck(t)
	create(t, c, whole)
	hits := 0
	for key, fail := range map[kmsg.Key]func(kmsg.Response){
		kmsg.InitProducerID: func(r kmsg.Response) { r.(*kmsg.InitProducerIDResponse).ErrorCode = 14 },
		kmsg.EndTxn:         func(r kmsg.Response) { r.(*kmsg.EndTxnResponse).ErrorCode = 51 },
	} {
		c.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
			hits++
			res := req.ResponseKind()
			fail(res)
			return res, nil, true
		})
	}
	for _, r := range k.Check(t.Context()) {
		if r.Failure != nil {
			t.Errorf("%s: %s", r.Check, r.Failure)
		}
	}
	if hits != 2 {
		t.Errorf("got %d faults, want 2", hits)
	}
}
