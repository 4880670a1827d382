package preflight

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// Kafka is the cluster as the service would use it.
type Kafka struct {
	Cluster *wire.Cluster
	Topics  producer.Topics
	// Group is the consumer group and the prefix of the transactional ids.
	Group string

	patience time.Duration // of the look for open transactions; 0 = openPatience
}

const target = "kafka"

// kafkaTimeout bounds each check.
const kafkaTimeout = 10 * time.Second

// Check tries everything, in the order in which the service does. What cannot
// be tried because something before it failed is left out. Nothing is created,
// and no record is written.
func (k *Kafka) Check(ctx context.Context) []Result {
	var results []Result
	run := func(check string, do func(context.Context) (string, *Failure)) bool {
		cctx, cancel := context.WithTimeout(ctx, kafkaTimeout)
		defer cancel()
		began := time.Now()
		detail, failure := do(cctx)
		results = append(results, Result{Target: target, Check: check, Detail: detail, Took: time.Since(began), Failure: failure})
		return failure == nil
	}
	if !run("reachable", k.reachable) || !run("transactions", k.transactions) {
		return results
	}
	exists := false
	run("topics", func(ctx context.Context) (detail string, f *Failure) {
		detail, exists, f = k.topics(ctx)
		return detail, f
	})
	run("group", k.group)
	if run("rights", func(ctx context.Context) (string, *Failure) { return k.rights(ctx, exists) }) && exists {
		run("open transactions", k.open)
	}
	return results
}

func (k *Kafka) reachable(ctx context.Context) (string, *Failure) {
	var m *metadata.Response
	err := retry(ctx, func() (err error) {
		m, err = k.Cluster.Metadata(ctx)
		return err
	})
	switch {
	case errors.Is(err, wire.ErrAuthentication):
		return "", &Failure{Message: "Kafka refused the credentials", Advice: "Check kafka.sasl.mechanism, username and password_file."}
	case errors.Is(err, wire.ErrCredentials):
		return "", &Failure{Message: "Kafka was not asked: " + oneLine(err), Advice: "Check the files that kafka.tls and kafka.sasl name."}
	case err != nil:
		return "", &Failure{Message: "Kafka cannot be reached: " + oneLine(err), Advice: "Check kafka.brokers, kafka.tls and the network."}
	}
	return fmt.Sprintf("%d brokers", len(m.Brokers)), nil
}

func (k *Kafka) transactions(ctx context.Context) (string, *Failure) {
	var p producer.Protocol
	err := retry(ctx, func() (err error) {
		p, err = producer.DetectProtocol(ctx, k.Cluster)
		return err
	})
	if err != nil {
		return "", fail("the transaction protocol cannot be found out", err)
	}
	return fmt.Sprintf("transaction protocol v%d", p), nil
}

// topics judges the topics that are there. exists tells whether all are.
func (k *Kafka) topics(ctx context.Context) (detail string, exists bool, f *Failure) {
	var missing []schemas.Topic
	err := retry(ctx, func() (err error) {
		missing, err = k.missing(ctx)
		return err
	})
	if err != nil {
		return "", false, fail("the topics cannot be looked at", err)
	}
	t := k.Topics
	t.Create = false
	if len(missing) == 0 || !k.Topics.Create {
		var found producer.Found
		err := retry(ctx, func() (err error) {
			found, err = t.Ensure(ctx, k.Cluster)
			return err
		})
		if err != nil {
			return "", len(missing) == 0, fail("the topics do not fit", err)
		}
		return strings.Join(append([]string{"fit"}, found.Warnings...), "; warning: "), true, nil
	}
	would := make([]string, 0, len(missing))
	absent := map[string]bool{}
	for _, topic := range missing {
		s := t.Specs[topic]
		absent[s.Name] = true
		would = append(would, fmt.Sprintf("%s (%d partitions, replication factor %d)", s.Name, s.Partitions, t.ReplicationFactor))
	}
	if f := k.policies(ctx, absent); f != nil {
		return "", false, f
	}
	if f := k.shards(ctx, absent); f != nil {
		return "", false, f
	}
	if f := k.replicas(ctx); f != nil {
		return "", false, f
	}
	return "would be created: " + strings.Join(would, ", "), false, nil
}

// codeUnknownTopic is the error code of a topic that is not there.
const codeUnknownTopic = 3

func (k *Kafka) missing(ctx context.Context) ([]schemas.Topic, error) {
	names := make([]string, 0, schemas.NumTopics)
	for _, s := range k.Topics.Specs {
		names = append(names, s.Name)
	}
	m, err := k.Cluster.Metadata(ctx, names...)
	if err != nil {
		return nil, err
	}
	found := map[string]*metadata.ResponseTopic{}
	for i := range m.Topics {
		found[m.Topics[i].Name] = &m.Topics[i]
	}
	var missing []schemas.Topic
	for i, name := range names {
		switch t := found[name]; {
		case t == nil || t.ErrorCode == codeUnknownTopic:
			missing = append(missing, schemas.Topic(i))
		case t.ErrorCode != 0:
			return nil, fmt.Errorf("describing topic %s: %w", name, kafka.Error(t.ErrorCode))
		}
	}
	return missing, nil
}

func (k *Kafka) replicas(ctx context.Context) *Failure {
	m, err := k.Cluster.Metadata(ctx)
	if err != nil {
		return fail("the brokers cannot be counted", err)
	}
	if rf := int(k.Topics.ReplicationFactor); rf > len(m.Brokers) {
		return &Failure{
			Message: fmt.Sprintf("the topics cannot be created: replication factor %d, but %d brokers", rf, len(m.Brokers)),
			Advice:  "Set topics.replication_factor, or start the other brokers.",
		}
	}
	return nil
}

// shards judges the offsets topic's partitions where it exists while others do
// not.
func (k *Kafka) shards(ctx context.Context, absent map[string]bool) *Failure {
	name := k.Topics.Specs[schemas.Offsets].Name
	if absent[name] {
		return nil
	}
	n, err := k.Cluster.Partitions(ctx, name)
	if err == nil {
		err = k.Topics.FitsOffsets(n)
	}
	if err != nil {
		return fail("the topics do not fit", err)
	}
	return nil
}

// resourceTopic is the resource type of DescribeConfigs.
const resourceTopic = 2

// policies judges the cleanup policy of those topics that exist while others do
// not, which producer.Topics judges only together.
func (k *Kafka) policies(ctx context.Context, absent map[string]bool) *Failure {
	req := &describeconfigs.Request{}
	want := map[string]string{}
	for i, s := range k.Topics.Specs {
		if absent[s.Name] {
			continue
		}
		want[s.Name] = "delete"
		if topic := schemas.Topic(i); topic == schemas.Offsets || topic == schemas.Status {
			want[s.Name] = "compact"
		}
		req.Resources = append(req.Resources, describeconfigs.RequestResource{
			ResourceType: resourceTopic, ResourceName: s.Name, ConfigNames: []string{"cleanup.policy"},
		})
	}
	if len(req.Resources) == 0 {
		return nil
	}
	res, err := k.Cluster.ExchangeAny(ctx, req)
	if err != nil {
		return fail("the topics' settings cannot be read", err)
	}
	for _, r := range res.(*describeconfigs.Response).Resources {
		for _, e := range r.ConfigEntries {
			if e.ConfigName == "cleanup.policy" && e.ConfigValue != want[r.ResourceName] {
				return &Failure{
					Message: fmt.Sprintf("topic %s has cleanup.policy=%s, not %s", r.ResourceName, e.ConfigValue, want[r.ResourceName]),
					Advice: fmt.Sprintf("Run: kafka-configs.sh --bootstrap-server … --alter --topic %s --add-config cleanup.policy=%s",
						r.ResourceName, want[r.ResourceName]),
				}
			}
		}
	}
	return nil
}

func (k *Kafka) group(ctx context.Context) (string, *Failure) {
	err := retry(ctx, func() error {
		_, err := coordinator(ctx, k.Cluster, wire.GroupCoordinator, k.Group)
		return err
	})
	if err != nil {
		return "", fail("consumer group "+k.Group+" is not open to us", err)
	}
	return "consumer group " + k.Group, nil
}

func fail(what string, err error) *Failure {
	return &Failure{Message: what + ": " + oneLine(err), Advice: advice(err)}
}

// Kafka's error codes for what is not allowed (Kafka's protocol, "Error
// Codes").
var advices = map[kafka.Error]string{
	kafka.TopicAuthorizationFailed:           "Allow Read, Write and Describe on the topics, and Create where topics.create is true.",
	kafka.GroupAuthorizationFailed:           "Allow Read on the consumer group.",
	kafka.ClusterAuthorizationFailed:         "Allow Create on the cluster or the topics, where topics.create is true.",
	kafka.TransactionalIDAuthorizationFailed: "Allow Write and Describe on the transactional ids that begin with the group's name and a dash.",
}

func advice(err error) string {
	if errors.Is(err, producer.ErrUnfit) {
		return "" // the text says what to run
	}
	if code, ok := errors.AsType[kafka.Error](err); ok && advices[code] != "" {
		return advices[code]
	}
	return "See the brokers' logs."
}

// oneLine is an error's text where several errors were joined.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
