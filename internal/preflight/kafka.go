package preflight

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	kafka "github.com/segmentio/kafka-go"
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

// kafkaTimeout bounds each check but that of the owner, which may read the offsets
// topic whole.
const (
	kafkaTimeout = 10 * time.Second
	ownerTimeout = 2 * time.Minute
)

// Check tries everything, in the order in which the service does. What cannot
// be tried because something before it failed is left out. Nothing is created,
// and no record is written.
func (k *Kafka) Check(ctx context.Context) []Result {
	var results []Result
	timeout := kafkaTimeout
	run := func(check string, do func(context.Context) (string, *Failure)) bool {
		cctx, cancel := context.WithTimeout(ctx, timeout)
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
	if exists {
		timeout = ownerTimeout
		run("owner", k.owner)
		timeout = kafkaTimeout
	}
	run("group", k.group)
	if run("rights", func(ctx context.Context) (string, *Failure) { return k.rights(ctx, exists) }) && exists {
		run("open transactions", k.open)
	}
	return results
}

func (k *Kafka) reachable(ctx context.Context) (string, *Failure) {
	n, failure := Reachable(ctx, k.Cluster)
	if failure != nil {
		return "", failure
	}
	return fmt.Sprintf("%d brokers", n), nil
}

// Reachable asks a cluster for its brokers, and returns their number.
func Reachable(ctx context.Context, cluster *wire.Cluster) (int, *Failure) {
	var m *metadata.Response
	err := retry(ctx, func() (err error) {
		m, err = cluster.Metadata(ctx)
		return err
	})
	switch {
	case errors.Is(err, wire.ErrAuthentication):
		return 0, &Failure{Message: "Kafka refused the credentials", Advice: "Check kafka.sasl.mechanism, username and password_file."}
	case errors.Is(err, wire.ErrCredentials):
		return 0, &Failure{Message: "Kafka was not asked: " + oneLine(err), Advice: "Check the files that kafka.tls and kafka.sasl name."}
	case err != nil:
		return 0, &Failure{Message: "Kafka cannot be reached: " + oneLine(err), Advice: "Check kafka.brokers, kafka.tls and the network."}
	}
	return len(m.Brokers), nil
}

func (k *Kafka) transactions(ctx context.Context) (string, *Failure) {
	var p producer.Protocol
	err := retry(ctx, func() (err error) {
		p, err = producer.DetectProtocol(ctx, k.Cluster)
		return err
	})
	if err != nil {
		return "", k.fail("the transaction protocol cannot be found out", err)
	}
	return fmt.Sprintf("transaction protocol v%d", p), nil
}

// topics judges the topics that are there, and asks whether the others would be
// created. exists tells whether all are there.
func (k *Kafka) topics(ctx context.Context) (detail string, exists bool, f *Failure) {
	var found producer.Found
	var missing []producer.TopicSpec
	err := retry(ctx, func() (err error) {
		found, missing, err = k.Topics.Check(ctx, k.Cluster)
		return err
	})
	if err != nil {
		return "", errors.Is(err, producer.ErrUnfit) && len(missing) == 0, k.fail("the topics do not fit", err)
	}
	detail = "fit"
	if len(missing) > 0 {
		would := make([]string, 0, len(missing))
		for _, s := range missing {
			would = append(would, fmt.Sprintf("%s (%d partitions, replication factor %d)", s.Name, s.Partitions, k.Topics.ReplicationFactor))
		}
		detail = "would be created: " + strings.Join(would, ", ")
	}
	return strings.Join(append([]string{detail}, found.Warnings...), "; warning: "), len(missing) == 0, nil
}

// owner looks whether the offsets topic is ours, and as it was.
func (k *Kafka) owner(ctx context.Context) (string, *Failure) {
	name := k.Topics.Specs[schemas.Offsets].Name
	var n int32
	err := retry(ctx, func() (err error) {
		if n, err = k.Cluster.Partitions(ctx, name); err != nil {
			return err
		}
		return k.Topics.Owned(ctx, k.Cluster, k.Group, n)
	})
	if err != nil {
		return "", k.fail("the offsets topic is not ours to use", err)
	}
	return fmt.Sprintf("topic %s, %d partitions", name, n), nil
}

func (k *Kafka) group(ctx context.Context) (string, *Failure) {
	err := retry(ctx, func() error {
		_, err := coordinator(ctx, k.Cluster, wire.GroupCoordinator, k.Group)
		return err
	})
	if err == nil {
		err = retry(ctx, func() error { return producer.CheckGroup(ctx, k.Cluster, k.Group) })
	}
	if err != nil {
		return "", k.fail("consumer group "+k.Group+" is not open to us", err)
	}
	return "consumer group " + k.Group, nil
}

func (k *Kafka) fail(what string, err error) *Failure {
	return &Failure{Message: what + ": " + oneLine(err), Advice: k.advice(err)}
}

// failTopic is fail for what needs a right on one topic.
func (k *Kafka) failTopic(what, right, topic string, err error) *Failure {
	f := k.fail(what, err)
	if isCode(err, kafka.TopicAuthorizationFailed) {
		f.Advice = "Allow " + right + " on topic " + topic + allNeeded
	}
	return f
}

// allNeeded ends an advice on one right: who lacks one may lack more.
const allNeeded = "; all that is needed is in docs/kafka-access.md."

// advice says what to do about an error. What it has us granted is what
// docs/kafka-access.md lists, and no more.
func (k *Kafka) advice(err error) string {
	if errors.Is(err, producer.ErrUnfit) || errors.Is(err, producer.ErrForeignGroup) {
		return "" // the text says what to do
	}
	code, _ := errors.AsType[kafka.Error](err)
	switch code {
	case kafka.TopicAuthorizationFailed:
		return "Grant what the message names" + allNeeded
	case kafka.GroupAuthorizationFailed:
		return "Allow Read on the consumer group " + k.Group + allNeeded
	case kafka.TransactionalIDAuthorizationFailed:
		return "Allow Write on the transactional ids that begin with " + k.Group + "-" + allNeeded
	case kafka.ClusterAuthorizationFailed:
		return "Allow Create on the topics, or make them and set topics.create to false" + allNeeded
	}
	return "See the brokers' logs."
}

// oneLine is an error's text where several errors were joined.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
