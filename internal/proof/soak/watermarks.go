package soak

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// watermarks tells of each partition that is not as it should be at rest who
// leads it, which replicas are in sync, and how far it can be read: whether what
// does not get on is ours or Kafka's.
func (w *World) watermarks() string {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.plan.Cluster.Brokers()...), kgo.RetryTimeout(5*time.Second))
	if err != nil {
		return err.Error()
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	names := []string{
		w.topic("events"), w.topic("offsets"), w.topic("status"), w.topic("deadletter"), "__transaction_state", "__consumer_offsets",
	}
	meta, err := admin.Metadata(ctx, names...)
	if err != nil {
		return err.Error()
	}
	// An answer that is lacking leaves zeros, with the error told here.
	var told strings.Builder
	noted := func(what string, err error) {
		if err != nil {
			fmt.Fprintf(&told, "%s: %v\n", what, err)
		}
	}
	high, err := admin.ListEndOffsets(ctx, names...)
	noted("high watermarks", err)
	stable, err := admin.ListCommittedOffsets(ctx, names...)
	noted("last stable offsets", err)
	var epochs kadm.OffsetForLeaderEpochRequest
	for _, t := range meta.Topics {
		for _, p := range t.Partitions {
			epochs.Add(t.Topic, p.Partition, p.LeaderEpoch)
		}
	}
	ends, err := admin.OffsetForLeaderEpoch(ctx, epochs)
	noted("log ends", err)
	whole := 0
	for _, t := range meta.Topics.Sorted() {
		for _, p := range t.Partitions.Sorted() {
			h, _ := high.Lookup(t.Topic, p.Partition)
			l, _ := stable.Lookup(t.Topic, p.Partition)
			e := ends[t.Topic][p.Partition]
			if len(p.ISR) == len(p.Replicas) && h.Offset == e.EndOffset && l.Offset == h.Offset && h.Err == nil && l.Err == nil && e.Err == nil {
				whole++
				continue
			}
			fmt.Fprintf(&told, "%s/%d: leader %d (epoch %d), in sync %v of %v, last stable offset %d (%v), high watermark %d (%v), log end %d (%v)\n",
				t.Topic, p.Partition, p.Leader, p.LeaderEpoch, p.ISR, p.Replicas, l.Offset, l.Err, h.Offset, h.Err, e.EndOffset, e.Err)
		}
	}
	fmt.Fprintf(&told, "%d partitions are in sync and read to their end", whole)
	return told.String()
}
