package producer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	kafka "github.com/segmentio/kafka-go"
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

// shared are the topics that shards write besides their partition of the offsets
// topic.
func (t *Topics) shared() []string {
	return []string{t.Specs[schemas.Events].Name, t.Specs[schemas.DeadLetter].Name, t.Specs[schemas.Status].Name}
}

// compacted tells which cleanup policy a topic needs.
func compacted(t schemas.Topic) bool {
	return t == schemas.Offsets || t == schemas.Status || t == schemas.Connectors
}

// alone tells whether a topic must have one partition: all that is on it has one
// order.
func alone(t schemas.Topic) bool { return t == schemas.Connectors || t == schemas.Audit }

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
		// A minute that leaves the window leaves a tombstone, which stays for both
		// of these: a take-over reads them all.
		s["segment.ms"], s["delete.retention.ms"] = offsetsSegment, offsetsRetention
	}
	if topic == schemas.Connectors {
		// A sealed secret that was replaced goes within a day: it is what an old key
		// still opens.
		s["min.cleanable.dirty.ratio"], s["max.compaction.lag.ms"] = "0.01", connectorsLag
		s["delete.retention.ms"] = "3600000"
	}
	if topic == schemas.Audit {
		s["retention.ms"] = auditRetention
	}
	if t.ReplicationFactor > 1 {
		s["min.insync.replicas"] = strconv.Itoa(max(2, int(t.ReplicationFactor)-1))
		s["unclean.leader.election.enable"] = "false"
	}
	return s
}

// Ten minutes: longer than any read from the start takes, during which a
// tombstone must not go.
const (
	offsetsSegment   = "600000"
	offsetsRetention = "600000"
)

const (
	// A day: how long the control log may keep what was replaced.
	connectorsLag = "86400000"
	// A year: changes are few, and asked about late.
	auditRetention = "31536000000"
)

// UnfitError says everything that keeps the topics from serving. It is an
// ErrUnfit.
type UnfitError struct{ Problems []string }

// Error implements error.
func (e *UnfitError) Error() string { return ErrUnfit.Error() + ": " + strings.Join(e.Problems, "; ") }

// Is implements the interface of errors.Is.
func (e *UnfitError) Is(target error) bool { return target == ErrUnfit }

func unfit(problems []string) error {
	if len(problems) == 0 {
		return nil
	}
	return &UnfitError{problems}
}

// Found is what there is of our topics.
type Found struct {
	Partitions [schemas.NumTopics]int32
	// MaxMessageBytes is 0 where we may not see it.
	MaxMessageBytes [schemas.NumTopics]int
	// Compression is the topics' compression.type; empty where we may not see it.
	Compression [schemas.NumTopics]string
	// TimestampBefore and TimestampAfter are how far a record's timestamp may
	// lie behind and ahead of the broker's clock, in ms; 0 where we may not see
	// it, or the broker has no such bound.
	TimestampBefore, TimestampAfter [schemas.NumTopics]int64
	// Warnings do not keep us from working.
	Warnings []string

	replicas [schemas.NumTopics]int
}

func (f *Found) warn(format string, args ...any) {
	f.Warnings = append(f.Warnings, fmt.Sprintf(format, args...))
}

// Ensure creates the topics that are missing and judges those that are there.
// ErrUnfit, with all there is to mend, if they cannot serve; any other error may
// pass.
func (t *Topics) Ensure(ctx context.Context, cluster *wire.Cluster) (Found, error) {
	f, missing, problems, err := t.plan(ctx, cluster)
	if err != nil {
		return f, err
	}
	if len(missing) > 0 && len(problems) == 0 {
		if problems, err = t.create(ctx, cluster, missing, &f, false); err != nil {
			return f, err
		}
		if len(problems) == 0 {
			if err := t.await(ctx, cluster, &f); err != nil {
				return f, err
			}
			missing = nil
		}
	}
	more, err := t.judge(ctx, cluster, &f, missing)
	if err != nil {
		return f, err
	}
	return f, unfit(append(problems, more...))
}

// Check is Ensure without creating anything: the brokers are asked whether they
// would. It returns the topics that are missing.
func (t *Topics) Check(ctx context.Context, cluster *wire.Cluster) (Found, []TopicSpec, error) {
	f, missing, problems, err := t.plan(ctx, cluster)
	if err != nil {
		return f, nil, err
	}
	if len(missing) > 0 && len(problems) == 0 {
		if problems, err = t.create(ctx, cluster, missing, &f, true); err != nil {
			return f, nil, err
		}
	}
	more, err := t.judge(ctx, cluster, &f, missing)
	if err != nil {
		return f, nil, err
	}
	specs := make([]TopicSpec, 0, len(missing))
	for _, topic := range missing {
		specs = append(specs, t.Specs[topic])
	}
	return f, specs, unfit(append(problems, more...))
}

// plan looks what is missing, and what of it is not to be created.
func (t *Topics) plan(ctx context.Context, cluster *wire.Cluster) (f Found, missing []schemas.Topic, problems []string, err error) {
	if missing, err = t.look(ctx, cluster, &f); err != nil || t.Create {
		return f, missing, nil, err
	}
	for _, topic := range missing {
		problems = append(problems, fmt.Sprintf("topic %s does not exist and topics.create is false; create it with: %s", t.Specs[topic].Name, t.createCommand(topic)))
	}
	return f, missing, problems, nil
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
	var denied error
	for i, name := range names {
		found := byName[name]
		switch {
		case found == nil || found.ErrorCode == codeUnknownTopicOrPartition:
			missing = append(missing, schemas.Topic(i))
		case found.ErrorCode == codeTopicNotAllowed && schemas.Topic(i) == schemas.Audit:
			// Only who changes something writes here.
			f.warn("topic %s is not shown to us (Describe): nothing can be changed from here", name)
		case found.ErrorCode == codeTopicNotAllowed:
			right := "Write"
			switch schemas.Topic(i) {
			case schemas.Offsets:
				right = "Write and Read"
			case schemas.Connectors:
				right = "Read"
			}
			if err := wire.Denied(found.ErrorCode, right, wire.ResourceTopic, name); denied == nil {
				denied = err
			} else {
				denied = fmt.Errorf("%w; %w", denied, err)
			}
		case found.ErrorCode != codeNone:
			return nil, fmt.Errorf("describing topic %s: %w", name, kafka.Error(found.ErrorCode))
		default:
			f.Partitions[i] = int32(len(found.Partitions))
			if len(found.Partitions) > 0 {
				f.replicas[i] = len(found.Partitions[0].ReplicaNodes)
			}
		}
	}
	return missing, denied
}
