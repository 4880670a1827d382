package preflight

import (
	"context"
	"errors"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/addpartitionstotxn"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/initproducerid"

	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// transactionTimeout is that of the service.
const transactionTimeout = 10 * time.Second

// rights begins a transaction under an id of its own, adds a partition of each
// topic and aborts it. That asks for every right that writing needs; what it
// leaves behind are abort markers, which no reader sees. The id is not that of
// a shard, so that nobody is fenced. The brokers ask for the right before they
// ask for the topic, so it is tried on those, too, that are to be created.
func (k *Kafka) rights(ctx context.Context, there bool) (string, *Failure) {
	p := probe{cluster: k.Cluster, id: k.Group + "-check"}
	if err := retry(ctx, func() error { return p.init(ctx) }); err != nil {
		return "", k.fail("transactions are not open to us", err)
	}
	changes, begun := "", false
	for i, s := range k.Topics.Specs {
		err := retry(ctx, func() error { return p.add(ctx, s.Name) })
		switch {
		case err == nil:
			begun = true
		case !there && isCode(err, kafka.UnknownTopicOrPartition):
		case isCode(err, kafka.TopicAuthorizationFailed) && (schemas.Topic(i) == schemas.Connectors || schemas.Topic(i) == schemas.Audit):
			changes = "; connectors cannot be changed from here, for lack of Write on topic " + s.Name
		default:
			if begun {
				_ = retry(ctx, func() error { return p.abort(ctx) }) // or the broker does, after the timeout
			}
			return "", k.failTopic("a transaction on topic "+s.Name+" is not open to us", "Write", s.Name, err)
		}
	}
	if begun {
		if err := retry(ctx, func() error { return p.abort(ctx) }); err != nil {
			return "", k.fail("a transaction cannot be ended", err)
		}
	}
	for _, topic := range []schemas.Topic{schemas.Offsets, schemas.Connectors} {
		name := k.Topics.Specs[topic].Name
		err := retry(ctx, func() error { return k.read(ctx, name) })
		if err != nil && (there || !isCode(err, kafka.UnknownTopicOrPartition)) {
			return "", k.failTopic("topic "+name+" cannot be read", "Read", name, err)
		}
	}
	return "may write transactions and read positions" + changes, nil
}

func isCode(err error, want kafka.Error) bool {
	code, ok := errors.AsType[kafka.Error](err)
	return ok && code == want
}

// read fetches from the start of a topic's first partition; of a topic that is
// not there from any broker, which says at least whether we might.
func (k *Kafka) read(ctx context.Context, topic string) error {
	node, err := k.Cluster.Leader(ctx, topic, 0)
	if errors.Is(err, wire.ErrUnknownTopic) {
		node, err = coordinator(ctx, k.Cluster, wire.GroupCoordinator, k.Group)
	}
	if err != nil {
		return err
	}
	f := &wire.Fetch{Topic: topic, MinBytes: 0, MaxBytes: 1, ReadCommitted: true}
	if err := k.Cluster.Do(ctx, node, f); err != nil {
		return err
	}
	if kafka.Error(f.ErrorCode) == kafka.OffsetOutOfRange { // it was looked at, and begins later
		return nil
	}
	return code(f.ErrorCode)
}

// probe is a producer that only ever aborts.
type probe struct {
	cluster *wire.Cluster
	id      string

	producer int64
	epoch    int16
}

func (p *probe) coordinator(ctx context.Context) (int32, error) {
	return coordinator(ctx, p.cluster, wire.TransactionCoordinator, p.id)
}

// coordinator is wire.Cluster.Coordinator with Kafka's error code.
func coordinator(ctx context.Context, cluster *wire.Cluster, kind int8, key string) (int32, error) {
	res, err := cluster.ExchangeAny(ctx, &findcoordinator.Request{Key: key, KeyType: kind})
	if err != nil {
		return -1, err
	}
	r := res.(*findcoordinator.Response)
	return r.NodeID, code(r.ErrorCode)
}

func (p *probe) init(ctx context.Context) error {
	node, err := p.coordinator(ctx)
	if err != nil {
		return err
	}
	res, err := p.cluster.Exchange(ctx, node, &initproducerid.Request{
		TransactionalID: p.id, TransactionTimeoutMs: int32(transactionTimeout.Milliseconds()), ProducerID: -1, ProducerEpoch: -1,
	})
	if err != nil {
		return err
	}
	r := res.(*initproducerid.Response)
	p.producer, p.epoch = r.ProducerID, r.ProducerEpoch
	return code(r.ErrorCode)
}

func (p *probe) add(ctx context.Context, topic string) error {
	node, err := p.coordinator(ctx)
	if err != nil {
		return err
	}
	res, err := p.cluster.Exchange(ctx, node, &addpartitionstotxn.Request{
		TransactionalID: p.id, ProducerID: p.producer, ProducerEpoch: p.epoch,
		Topics: []addpartitionstotxn.RequestTopic{{Name: topic, Partitions: []int32{0}}},
	})
	if err != nil {
		return err
	}
	for _, t := range res.(*addpartitionstotxn.Response).Results {
		for _, r := range t.Results {
			if r.ErrorCode != 0 {
				return code(r.ErrorCode)
			}
		}
	}
	return nil
}

func (p *probe) abort(ctx context.Context) error {
	node, err := p.coordinator(ctx)
	if err != nil {
		return err
	}
	// Version 3 ends a transaction on every cluster that we can work with.
	req := &wire.EndTxn{TransactionalID: p.id, ProducerID: p.producer, ProducerEpoch: p.epoch, Version: 3}
	if err := p.cluster.Do(ctx, node, req); err != nil {
		return err
	}
	return code(req.ErrorCode)
}

// codeConcurrentTransactions: the last transaction's markers are being written.
const codeConcurrentTransactions = 51
