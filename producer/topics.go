package producer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// ErrUnfit is returned (wrapped) when the cluster or a topic cannot carry what
// we promise. Its text says what is wrong and what mends it; trying again does
// not.
var ErrUnfit = errors.New("unfit")

// TopicSpec is what a topic must be.
type TopicSpec struct {
	Name string
	// Partitions is the number a new topic is given; 1 or more.
	Partitions int32
}

// Topics says which topics there are to be.
type Topics struct {
	Create            bool  // create what is missing
	ReplicationFactor int16 // of new topics
	Specs             [schemas.NumTopics]TopicSpec
}

// names returns the topics' real names by purpose.
func (t *Topics) names() (names [schemas.NumTopics]string) {
	for i := range t.Specs {
		names[i] = t.Specs[i].Name
	}
	return names
}

// compacted tells which cleanup policy a topic needs.
func compacted(t schemas.Topic) bool { return t == schemas.Offsets || t == schemas.Status }

// settings are the configs of a new topic.
func (t *Topics) settings(topic schemas.Topic) map[string]string {
	s := map[string]string{"cleanup.policy": "delete"}
	if compacted(topic) {
		s = map[string]string{
			"cleanup.policy": "compact",
			// Small segments cleaned often: a take-over reads the partition whole.
			"segment.ms":                "3600000",
			"segment.bytes":             "16777216",
			"min.cleanable.dirty.ratio": "0.1",
		}
	}
	if topic != schemas.Events {
		// What we date ourselves is dated by the broker, so that an instance whose
		// clock is wrong can write.
		s["message.timestamp.type"] = "LogAppendTime"
	}
	if topic == schemas.Offsets {
		// A minute's ids are one record, however many there were.
		s["max.message.bytes"] = "8388608"
	}
	if t.ReplicationFactor > 1 {
		s["min.insync.replicas"] = strconv.Itoa(max(2, int(t.ReplicationFactor)-1))
	}
	return s
}

// Ensure creates the topics that are missing and judges those that are there.
// It returns the number of partitions by topic, each topic's max.message.bytes
// (0 = we may not see it), and warnings, which do not keep us from working.
// ErrUnfit if a topic cannot serve; any other error may pass.
func (t *Topics) Ensure(ctx context.Context, cluster *wire.Cluster) (Found, error) {
	f := Found{}
	missing, err := t.look(ctx, cluster, &f)
	if err != nil {
		return f, err
	}
	if len(missing) > 0 {
		if !t.Create {
			return f, fmt.Errorf("%w: topic %s does not exist and topics.create is false; create it with: %s",
				ErrUnfit, t.Specs[missing[0]].Name, t.createCommand(missing[0]))
		}
		if err := t.create(ctx, cluster, missing); err != nil {
			return f, err
		}
		if err := t.await(ctx, cluster, &f); err != nil {
			return f, err
		}
	}
	return f, t.judge(ctx, cluster, &f)
}

// Found is what there is of our topics.
type Found struct {
	Partitions [schemas.NumTopics]int32
	// MaxMessageBytes is 0 where we may not see it.
	MaxMessageBytes [schemas.NumTopics]int
	// TimestampBefore and TimestampAfter are how far a record's timestamp may
	// lie behind and ahead of the broker's clock, in ms; 0 where we may not see
	// it, or the broker has no such bound.
	TimestampBefore, TimestampAfter [schemas.NumTopics]int64
	Warnings                        []string

	replicas [schemas.NumTopics]int
}

// look fills in what the metadata says and returns the topics that do not
// exist.
func (t *Topics) look(ctx context.Context, cluster *wire.Cluster, f *Found) ([]schemas.Topic, error) {
	names := t.names()
	m, err := cluster.Metadata(ctx, names[:]...)
	if err != nil {
		return nil, err
	}
	byName := map[string]*metadata.ResponseTopic{}
	for i := range m.Topics {
		byName[m.Topics[i].Name] = &m.Topics[i]
	}
	var missing []schemas.Topic
	for i, name := range names {
		found := byName[name]
		switch {
		case found == nil || found.ErrorCode == codeUnknownTopicOrPartition:
			missing = append(missing, schemas.Topic(i))
		case found.ErrorCode == codeTopicNotAllowed:
			right := "Write"
			if schemas.Topic(i) == schemas.Offsets {
				right = "Write and Read"
			}
			return nil, wire.Denied(found.ErrorCode, right, wire.ResourceTopic, name)
		case found.ErrorCode != codeNone:
			return nil, fmt.Errorf("describing topic %s: %w", name, kafka.Error(found.ErrorCode))
		default:
			f.Partitions[i] = int32(len(found.Partitions))
			if len(found.Partitions) > 0 {
				f.replicas[i] = len(found.Partitions[0].ReplicaNodes)
			}
		}
	}
	return missing, nil
}

func (t *Topics) create(ctx context.Context, cluster *wire.Cluster, missing []schemas.Topic) error {
	m, err := cluster.Metadata(ctx)
	if err != nil {
		return err
	}
	req := &createtopics.Request{TimeoutMs: 10_000}
	for _, topic := range missing {
		rt := createtopics.RequestTopic{Name: t.Specs[topic].Name, NumPartitions: t.Specs[topic].Partitions, ReplicationFactor: t.ReplicationFactor}
		for k, v := range t.settings(topic) {
			rt.Configs = append(rt.Configs, createtopics.RequestConfig{Name: k, Value: v})
		}
		req.Topics = append(req.Topics, rt)
	}
	res, err := cluster.Exchange(ctx, m.ControllerID, req)
	if err != nil {
		return fmt.Errorf("creating topics: %w", err)
	}
	for i, r := range res.(*createtopics.Response).Topics {
		switch kafka.Error(r.ErrorCode) {
		case codeNone, kafka.TopicAlreadyExists: // several instances may start at once
		case kafka.InvalidReplicationFactor:
			return fmt.Errorf("%w: creating topic %s: replication factor %d is more than there are brokers (%d); set topics.replication_factor",
				ErrUnfit, r.Name, t.ReplicationFactor, len(m.Brokers))
		case kafka.TopicAuthorizationFailed, kafka.ClusterAuthorizationFailed:
			return fmt.Errorf("%w: creating topic %s is not allowed to us; create it with: %s", ErrUnfit, r.Name, t.createCommand(missing[min(i, len(missing)-1)]))
		default:
			return fmt.Errorf("creating topic %s: %w", r.Name, kafka.Error(r.ErrorCode))
		}
	}
	return nil
}

// await waits until every broker that answers knows the new topics.
func (t *Topics) await(ctx context.Context, cluster *wire.Cluster, f *Found) error {
	wait := newBackoff(20*time.Millisecond, 500*time.Millisecond)
	for {
		missing, err := t.look(ctx, cluster, f)
		if err != nil || len(missing) == 0 {
			return err
		}
		if err := pause(ctx, wait.NextBackOff()); err != nil {
			return fmt.Errorf("waiting for topic %s: %w", t.Specs[missing[0]].Name, err)
		}
	}
}

// FitsOffsets returns ErrUnfit (wrapped) for an offsets topic with so few
// partitions.
func (t *Topics) FitsOffsets(partitions int32) error {
	s := t.Specs[schemas.Offsets]
	if partitions < s.Partitions {
		return fmt.Errorf("%w: topic %s has %d partitions, fewer than the %d of topics.offsets.partitions; set that to %d (the topic must never grow: connectors would change their shard)",
			ErrUnfit, s.Name, partitions, s.Partitions, partitions)
	}
	return nil
}

// judge refuses topics that would break a promise.
func (t *Topics) judge(ctx context.Context, cluster *wire.Cluster, f *Found) error {
	if err := t.FitsOffsets(f.Partitions[schemas.Offsets]); err != nil {
		return err
	}
	configs, err := t.describe(ctx, cluster)
	if err != nil {
		return err
	}
	for i := range t.Specs {
		topic, c := schemas.Topic(i), configs[i]
		name := t.Specs[i].Name
		if c == nil {
			f.Warnings = append(f.Warnings, fmt.Sprintf("the settings of topic %s are not shown to us (DescribeConfigs): they are taken on trust", name))
			continue
		}
		policy := c["cleanup.policy"]
		isCompacted := strings.Contains(policy, "compact")
		switch {
		case compacted(topic) && policy != "compact":
			return fmt.Errorf("%w: topic %s has cleanup.policy=%s, which would forget positions; run: kafka-configs.sh --bootstrap-server … --alter --topic %s --add-config cleanup.policy=compact",
				ErrUnfit, name, policy, name)
		case !compacted(topic) && isCompacted:
			return fmt.Errorf("%w: topic %s has cleanup.policy=%s, which would drop events that share a key; run: kafka-configs.sh --bootstrap-server … --alter --topic %s --add-config cleanup.policy=delete",
				ErrUnfit, name, policy, name)
		}
		if n, err := strconv.Atoi(c["max.message.bytes"]); err == nil {
			f.MaxMessageBytes[i] = n
		}
		if text, ok := c[timestampBefore]; ok {
			f.TimestampBefore[i] = bound(text)
		}
		if text, ok := c[timestampAfter]; ok {
			f.TimestampAfter[i] = bound(text)
		}
		if text, ok := c[timestampEither]; ok {
			f.TimestampBefore[i] = tighter(f.TimestampBefore[i], bound(text))
			f.TimestampAfter[i] = tighter(f.TimestampAfter[i], bound(text))
		}
		if f.replicas[i] > 1 && c["min.insync.replicas"] == "1" {
			f.Warnings = append(f.Warnings, fmt.Sprintf("topic %s has %d replicas but min.insync.replicas=1: a lost broker can lose committed records", name, f.replicas[i]))
		}
	}
	return nil
}

const resourceTopic = 2

// The first two are there since Kafka 3.6, the third until 3.9.
const (
	timestampBefore = "message.timestamp.before.max.ms"
	timestampAfter  = "message.timestamp.after.max.ms"
	timestampEither = "message.timestamp.difference.max.ms"
)

// tighter returns the smaller of two bounds; 0 is not known.
func tighter(a, b int64) int64 {
	if a == 0 {
		return b
	}
	return min(a, b)
}

// bound reads a timestamp bound of a topic; what is beyond a time.Duration is
// none.
func bound(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > int64(math.MaxInt64/time.Millisecond) {
		return int64(math.MaxInt64 / time.Millisecond)
	}
	return n
}

// describe returns the topics' settings; nil for a topic whose settings we may
// not see. A broker may not know a topic yet that another has just shown us.
func (t *Topics) describe(ctx context.Context, cluster *wire.Cluster) ([schemas.NumTopics]map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, spreadTimeout)
	defer cancel()
	wait := newBackoff(20*time.Millisecond, 500*time.Millisecond)
	for {
		configs, err := t.describeOnce(ctx, cluster)
		if !errors.Is(err, kafka.UnknownTopicOrPartition) || pause(ctx, wait.NextBackOff()) != nil {
			return configs, err
		}
	}
}

// spreadTimeout bounds the wait until every broker knows a new topic.
const spreadTimeout = 10 * time.Second

func (t *Topics) describeOnce(ctx context.Context, cluster *wire.Cluster) (configs [schemas.NumTopics]map[string]string, err error) {
	req := &describeconfigs.Request{}
	for _, s := range t.Specs {
		req.Resources = append(req.Resources, describeconfigs.RequestResource{
			ResourceType: resourceTopic, ResourceName: s.Name,
			ConfigNames: []string{"cleanup.policy", "max.message.bytes", "min.insync.replicas", timestampBefore, timestampAfter, timestampEither},
		})
	}
	var res protocol.Message
	if res, err = cluster.ExchangeAny(ctx, req); err != nil {
		return configs, fmt.Errorf("asking for the topics' settings: %w", err)
	}
	for _, r := range res.(*describeconfigs.Response).Resources {
		switch kafka.Error(r.ErrorCode) {
		case codeNone:
		case kafka.TopicAuthorizationFailed:
			continue
		default:
			return configs, fmt.Errorf("asking for the settings of topic %s: %w", r.ResourceName, kafka.Error(r.ErrorCode))
		}
		for i := range t.Specs {
			if t.Specs[i].Name != r.ResourceName {
				continue
			}
			configs[i] = map[string]string{}
			for _, e := range r.ConfigEntries {
				configs[i][e.ConfigName] = e.ConfigValue
			}
		}
	}
	return configs, nil
}

func (t *Topics) createCommand(topic schemas.Topic) string {
	s := t.Specs[topic]
	cmd := fmt.Sprintf("kafka-topics.sh --bootstrap-server … --create --topic %s --partitions %d --replication-factor %d", s.Name, s.Partitions, t.ReplicationFactor)
	for k, v := range t.settings(topic) {
		cmd += " --config " + k + "=" + v
	}
	return cmd
}
