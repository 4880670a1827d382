package producer

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go/compress"

	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// writer turns records into the batches of a transaction. It is shared by all
// shards of an instance.
type writer struct {
	cluster        *wire.Cluster
	topics         [schemas.NumTopics]string
	codec          compress.Compression
	commitInterval time.Duration
	limits         [schemas.NumTopics]sizeLimit
	// How far a record's timestamp may lie behind and ahead of the broker's
	// clock, in ms; 0 = not known.
	before, after [schemas.NumTopics]atomic.Int64
	// misdated is set once a broker has refused a timestamp.
	misdated atomic.Bool
	clock    brokerClock
}

// appended has the clock learn from the offsets topic, whose batches the brokers
// date.
func (w *writer) appended(topic string, ms int64) {
	if topic == w.topics[schemas.Offsets] {
		w.clock.learn(ms)
	}
}

// Kafka's default for message.timestamp.after.max.ms since version 4.0. The
// margin keeps us within it by the broker's clock.
const (
	defaultAfter    = time.Hour
	timestampMargin = time.Minute
)

// dated returns r with a timestamp that the topic takes: a broker refuses a
// batch for one event dated far ahead, and every connector of the shard with
// it. Such an event carries the time of writing; ce_time has its own. Until a
// broker has refused one, nothing is judged: our clock may be what is wrong.
func (w *writer) dated(r *schemas.Record, now time.Time) *schemas.Record {
	if !w.misdated.Load() {
		return r
	}
	after := time.Duration(w.after[r.Topic].Load()) * time.Millisecond
	if after <= 0 {
		after = defaultAfter
	}
	before := time.Duration(w.before[r.Topic].Load()) * time.Millisecond
	early := before > 0 && r.Time.Before(now.Add(timestampMargin-before))
	if !early && !r.Time.After(now.Add(after-timestampMargin)) {
		return r
	}
	c := *r
	c.Time = now
	return &c
}

// group sorts records by partition, in their order.
func (w *writer) group(ctx context.Context, shard int32, records []*schemas.Record) (map[partition]*group, error) {
	var partitions [schemas.NumTopics]int32
	groups := map[partition]*group{}
	now := w.clock.now()
	for _, r := range records {
		p := partition{topic: w.topics[r.Topic], index: shard}
		if r.Topic != schemas.Offsets {
			if partitions[r.Topic] == 0 {
				n, err := w.cluster.Partitions(ctx, p.topic)
				if err != nil {
					return nil, lacking("Write", err)
				}
				partitions[r.Topic] = n
			}
			p.index = PartitionFor(r.Key, partitions[r.Topic])
		}
		g := groups[p]
		if g == nil {
			g = &group{topic: r.Topic}
			groups[p] = g
		}
		g.records = append(g.records, w.dated(r, now))
	}
	return groups, nil
}

// group is what a transaction writes to one partition.
type group struct {
	topic   schemas.Topic
	records []*schemas.Record
}

// encode encodes each group.
func (w *writer) encode(groups map[partition]*group) (map[partition][]recordBatch, error) {
	batches := make(map[partition][]recordBatch, len(groups))
	for p, g := range groups {
		bs, err := encodeBatches(g.records, w.codec, w.limits[g.topic].bounds(w.codec))
		if err != nil {
			return nil, fmt.Errorf("%s/%d: %w", p.topic, p.index, err)
		}
		batches[p] = bs
	}
	return batches, nil
}
