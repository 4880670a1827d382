package producer

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go/protocol/listoffsets"

	"onelogin-kafka/producer/wire"
)

// OpenTransactionError says that somebody's transaction has been open on a
// partition for longer than one of ours can be. Until it ends no reader in
// read_committed gets past it.
type OpenTransactionError struct {
	Topic     string
	Partition int32
	// Offset is where it begins.
	Offset int64
	// For is how long it was seen open.
	For time.Duration
}

// Error implements error, with the command that finds the transaction.
func (e *OpenTransactionError) Error() string {
	return fmt.Sprintf("somebody's transaction has been open on %s/%d at offset %d for more than %v, and holds up whoever reads it; find it with: kafka-transactions.sh --bootstrap-server … describe-producers --topic %s --partition %d",
		e.Topic, e.Partition, e.Offset, e.For.Round(time.Second), e.Topic, e.Partition)
}

// FindOpen returns the transactions that stay open on some topics for patience.
// It takes no longer than to ask twice where there are none.
func FindOpen(ctx context.Context, cluster *wire.Cluster, patience time.Duration, topics ...string) ([]*OpenTransactionError, error) {
	began := time.Now()
	parts, err := allPartitions(ctx, cluster, topics...)
	if err != nil {
		return nil, err
	}
	suspects, err := undecided(ctx, cluster, parts)
	if err != nil {
		return nil, err
	}
	for len(suspects) > 0 && time.Since(began) < patience {
		if err := pause(ctx, min(500*time.Millisecond, patience)); err != nil {
			return nil, err
		}
		now, err := undecided(ctx, cluster, parts)
		if err != nil {
			return nil, err
		}
		for p, offset := range suspects {
			if at, ok := now[p]; !ok || at != offset {
				delete(suspects, p)
			}
		}
	}
	open := make([]*OpenTransactionError, 0, len(suspects))
	for p, offset := range suspects {
		open = append(open, &OpenTransactionError{Topic: p.topic, Partition: p.index, Offset: offset, For: patience})
	}
	return open, nil
}

// undecided returns, for each partition with an open transaction, where the
// first of those begins.
func undecided(ctx context.Context, cluster *wire.Cluster, parts []partition) (map[partition]int64, error) {
	stable, err := endsOf(ctx, cluster, parts, readCommitted)
	if err != nil {
		return nil, err
	}
	// Asked for later, so that none is suspected whose transaction has just ended.
	all, err := endsOf(ctx, cluster, parts, readUncommitted)
	if err != nil {
		return nil, err
	}
	for p, offset := range stable {
		if offset >= all[p] {
			delete(stable, p)
		}
	}
	return stable, nil
}

// Isolation levels (Kafka's protocol).
const (
	readUncommitted int8 = 0
	readCommitted   int8 = 1
)

func allPartitions(ctx context.Context, cluster *wire.Cluster, topics ...string) ([]partition, error) {
	var parts []partition
	for _, topic := range topics {
		n, err := cluster.Partitions(ctx, topic)
		if err != nil {
			return nil, lacking("Read", err)
		}
		for i := range n {
			parts = append(parts, partition{topic, i})
		}
	}
	return parts, nil
}

// endsOf asks every leader once for the ends of partitions: their high watermarks,
// or read committed their last stable offsets. Those of a topic stand together.
// With the error of one partition it returns those of the others.
func endsOf(ctx context.Context, cluster *wire.Cluster, parts []partition, isolation int8) (map[partition]int64, error) {
	requests := map[int32]*listoffsets.Request{}
	for _, p := range parts {
		node, err := cluster.Leader(ctx, p.topic, p.index)
		if err != nil {
			return nil, lacking("Read", err)
		}
		if requests[node] == nil {
			requests[node] = &listoffsets.Request{ReplicaID: -1, IsolationLevel: isolation}
		}
		r := requests[node]
		if k := len(r.Topics); k == 0 || r.Topics[k-1].Topic != p.topic {
			r.Topics = append(r.Topics, listoffsets.RequestTopic{Topic: p.topic})
		}
		last := &r.Topics[len(r.Topics)-1]
		last.Partitions = append(last.Partitions, listoffsets.RequestPartition{Partition: p.index, Timestamp: latest})
	}
	found := map[partition]int64{}
	var first error
	for node, req := range requests {
		res, err := cluster.Exchange(ctx, node, req)
		if err != nil {
			return found, fmt.Errorf("asking for the ends of topics: %w", err)
		}
		for _, t := range res.(*listoffsets.Response).Topics {
			for _, p := range t.Partitions {
				err := wire.Denied(p.ErrorCode, "Read", wire.ResourceTopic, t.Topic)
				if err == nil && p.ErrorCode != codeNone {
					err = fmt.Errorf("asking for the end of %s/%d: %w", t.Topic, p.Partition, kafkaError(p.ErrorCode))
				}
				if first = cmp.Or(first, err); err == nil {
					found[partition{t.Topic, p.Partition}] = p.Offset
				}
			}
		}
	}
	return found, first
}
