package producer

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/compress"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// What an instance reads when it starts alone: the positions of 10,000 connectors
// that have had an event each minute for a day. Of that the topic still holds the
// newest values, and all that was written in the half hour that the settings of
// the topic leave uncleaned at most: a segment's time, the tombstones' time, and
// as much again until a cleaner has come by.
func BenchmarkPositionsOfTenThousand(b *testing.B) {
	const shards, connectors, minutes, window = 32, 10_000, 30, 15
	k := kafkatest.Shared(b, kafkas[V1])
	topics := testTopics(b, shards, 1)
	cluster, topic := open(b, k.Brokers()...), topics.Specs[schemas.Offsets].Name
	createTopic(b, k.Brokers(), topic, shards, topics.settings(schemas.Offsets))
	of := map[int32][]string{}
	for c := range connectors {
		name := fmt.Sprintf("customer-%05d", c)
		shard := PartitionFor(schemas.OffsetKey(name), shards)
		of[shard] = append(of[shard], name)
	}
	var records atomic.Int64
	each := func(do func(shard int32)) {
		var wg sync.WaitGroup
		for shard := range int32(shards) {
			wg.Go(func() { do(shard) })
		}
		wg.Wait()
	}
	base := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	value := schemas.EncodeMinute([]int64{45192198208})
	each(func(shard int32) {
		txn := newTransactor(cluster, transactionalID(named(b, "id"), shard), V1)
		if err := txn.init(patient(b)); err != nil {
			b.Error(err)
			return
		}
		for m := range minutes {
			now := base.Add(time.Duration(m) * time.Minute)
			var rs []*schemas.Record
			for _, name := range of[shard] {
				o := schemas.Offset{Domain: name + ".onelogin.com", AccountID: 1, Through: now, LastID: int64(m), Events: int64(m), WindowStart: now, UpdatedAt: now}
				rs = append(rs,
					&schemas.Record{Topic: schemas.Offsets, Key: schemas.MinuteKey(name, now), Value: value, Time: now},
					&schemas.Record{Topic: schemas.Offsets, Key: schemas.MinuteKey(name, now.Add(-window*time.Minute)), Time: now},
					&schemas.Record{Topic: schemas.Offsets, Key: schemas.OffsetKey(name), Value: o.Marshal(), Time: now})
			}
			records.Add(int64(len(rs)))
			bs, err := encodeBatches(rs, compress.Zstd, within(defaultLimit))
			if err == nil {
				err = txn.write(patient(b), map[partition][]recordBatch{{topic, shard}: bs})
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
	if b.Failed() {
		b.FailNow()
	}
	known := make([]positions, shards)
	read := func(shard int32) {
		if _, err := known[shard].read(patient(b)); err != nil {
			b.Error(err)
		}
	}
	b.Run("at the start", func(b *testing.B) {
		for b.Loop() {
			each(func(shard int32) {
				known[shard] = positions{cluster: cluster, part: partition{topic, shard}}
				read(shard)
			})
		}
		b.ReportMetric(float64(records.Load()), "records/op")
	})
	b.Run("after a doubt of one shard", func(b *testing.B) {
		for b.Loop() {
			known[0].next-- // a marker, at least
			read(0)
		}
	})
}

// What a doubt costs: from the moment that a shard at work is fenced to its next
// transaction.
func BenchmarkDoubt(b *testing.B) {
	k := kafkatest.Shared(b, kafkas[V2])
	topics, f, group := testTopics(b, 1, 3), newFeed(b, 61), named(b, "group")
	in := run(b, group, "one", topics, wire.Config{Brokers: k.Brokers()}, f)
	f.progress(b, 3, 0)
	other := newTransactor(open(b, k.Brokers()...), transactionalID(group, 0), V2)
	var took time.Duration
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for b.Loop() {
		for until := time.Now().Add(2 * soon); time.Now().Before(until); {
			<-tick.C
		}
		if err := other.init(patient(b)); err != nil {
			b.Fatal(err)
		}
		began, sessions := time.Now(), f.get(f.sessions, 0)
		for f.get(f.sessions, 0) == sessions {
			<-tick.C
		}
		for commits := f.get(f.commits, 0); f.get(f.commits, 0) == commits; {
			<-tick.C
		}
		took += time.Since(began)
	}
	b.ReportMetric(float64(took.Milliseconds())/float64(b.N), "ms/doubt")
	in.stop()
}
