package producer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"

	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// judge looks at the topics that are there. problems are what would break a
// promise, with what mends it.
func (t *Topics) judge(ctx context.Context, cluster *wire.Cluster, f *Found, missing []schemas.Topic) (problems []string, err error) {
	if s, n := t.Specs[schemas.Offsets], f.Partitions[schemas.Offsets]; n < s.Partitions && !slices.Contains(missing, schemas.Offsets) {
		problems = append(problems, fmt.Sprintf("topic %s has %d partitions, fewer than the %d of topics.offsets.partitions; set that to %d (the topic must never grow: connectors would change their shard)",
			s.Name, n, s.Partitions, n))
	}
	for i, n := range f.Partitions {
		if alone(schemas.Topic(i)) && n > 1 {
			problems = append(problems, fmt.Sprintf("topic %s has %d partitions and must have one, for what is on it to have one order; delete it and create it with: %s",
				t.Specs[i].Name, n, t.createCommand(schemas.Topic(i))))
		}
	}
	configs, err := t.describe(ctx, cluster, missing)
	if err != nil {
		return nil, err
	}
	for i := range t.Specs {
		topic, name := schemas.Topic(i), t.Specs[i].Name
		if slices.Contains(missing, topic) {
			continue
		}
		c := configs[i]
		if c == nil && topic == schemas.Audit && f.Partitions[i] == 0 {
			continue // nor is the topic itself, which is said
		}
		if c == nil {
			f.warn("the settings of topic %s are not shown to us (DescribeConfigs): they are taken on trust", name)
			continue
		}
		if problem := policyProblem(topic, name, c["cleanup.policy"]); problem != "" {
			problems = append(problems, problem)
		}
		f.limits(topic, c)
		f.safety(topic, name, c)
	}
	return problems, nil
}

func alter(topic, setting string) string {
	return fmt.Sprintf("run: kafka-configs.sh --bootstrap-server … --alter --topic %s --add-config %s", topic, setting)
}

func policyProblem(topic schemas.Topic, name, policy string) string {
	switch {
	case compacted(topic) && policy != "compact":
		return fmt.Sprintf("topic %s has cleanup.policy=%s, which would forget positions; %s", name, policy, alter(name, "cleanup.policy=compact"))
	case !compacted(topic) && strings.Contains(policy, "compact"):
		return fmt.Sprintf("topic %s has cleanup.policy=%s, which would drop events that share a key; %s", name, policy, alter(name, "cleanup.policy=delete"))
	}
	return ""
}

// limits notes what a topic takes.
func (f *Found) limits(i schemas.Topic, c map[string]string) {
	f.Compression[i] = c["compression.type"]
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
}

// longest is how long the offsets topic may keep a tombstone, and a segment open,
// without a warning.
const longest = time.Hour

// longestReplaced is how long the control log may keep what was replaced, without
// a warning.
const longestReplaced = 7 * 24 * time.Hour

// safety warns of what can lose records, and of what makes a take-over slow.
func (f *Found) safety(i schemas.Topic, name string, c map[string]string) {
	if f.replicas[i] > 1 && c["min.insync.replicas"] == "1" {
		f.warn("topic %s has %d replicas but min.insync.replicas=1: a lost broker can lose committed records", name, f.replicas[i])
	}
	if f.replicas[i] > 1 && c["unclean.leader.election.enable"] == "true" {
		f.warn("topic %s has unclean.leader.election.enable=true: a leader can be elected that lacks committed records; %s", name, alter(name, "unclean.leader.election.enable=false"))
	}
	if i == schemas.Connectors {
		if lag := time.Duration(bound(c["max.compaction.lag.ms"])) * time.Millisecond; c["max.compaction.lag.ms"] != "" && lag > longestReplaced {
			f.warn("topic %s keeps a sealed secret that was replaced for longer than %v (max.compaction.lag.ms); %s", name, longestReplaced, alter(name, "max.compaction.lag.ms="+connectorsLag))
		}
		return
	}
	if i != schemas.Offsets {
		return
	}
	for _, s := range []struct{ setting, good, does string }{
		{"delete.retention.ms", offsetsRetention, "keeps the tombstone of each minute of each connector for"},
		{"segment.ms", offsetsSegment, "is not cleaned before a segment is closed, by time after"},
	} {
		if kept := time.Duration(bound(c[s.setting])) * time.Millisecond; c[s.setting] != "" && kept > longest {
			f.warn("topic %s %s %v (%s), and a take-over reads all of it; %s", name, s.does, kept, s.setting, alter(name, s.setting+"="+s.good))
		}
	}
}

const resourceTopic = 2

// judged are the settings that are looked at.
var judged = []string{
	"cleanup.policy", "max.message.bytes", "min.insync.replicas", "unclean.leader.election.enable", "compression.type",
	"delete.retention.ms", "segment.ms", "max.compaction.lag.ms", timestampBefore, timestampAfter, timestampEither,
}

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
func (t *Topics) describe(ctx context.Context, cluster *wire.Cluster, missing []schemas.Topic) ([schemas.NumTopics]map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, spreadTimeout)
	defer cancel()
	wait := newBackoff(20*time.Millisecond, 500*time.Millisecond)
	for {
		configs, err := t.describeOnce(ctx, cluster, missing)
		if !errors.Is(err, kafka.UnknownTopicOrPartition) || pause(ctx, wait.NextBackOff()) != nil {
			return configs, err
		}
	}
}

// spreadTimeout bounds the wait until every broker knows a new topic.
const spreadTimeout = 10 * time.Second

func (t *Topics) describeOnce(ctx context.Context, cluster *wire.Cluster, missing []schemas.Topic) (configs [schemas.NumTopics]map[string]string, err error) {
	req := &describeconfigs.Request{}
	for i, s := range t.Specs {
		if slices.Contains(missing, schemas.Topic(i)) {
			continue
		}
		req.Resources = append(req.Resources, describeconfigs.RequestResource{ResourceType: resourceTopic, ResourceName: s.Name, ConfigNames: judged})
	}
	if len(req.Resources) == 0 {
		return configs, nil
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
