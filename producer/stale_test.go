package producer

import (
	"errors"
	"maps"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// A broker that was paused or cut off, and does not know yet that another leads
// the offsets partition, tells an older end of it. Whoever takes over by that
// must not commit anything: it would write again what it did not read.
func TestAnOldLeaderTellsTheEnd(t *testing.T) {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	topics, f, config := testTopics(t, 1, 1), newFeed(t, 9), wire.Config{Brokers: broker.ListenAddrs()}
	topics.Specs[schemas.Events].Partitions = 1
	in := run(t, named(t, "group"), "one", topics, config, f)
	f.progress(t, 5, 0)
	in.stop()

	var told atomic.Int32
	broker.ControlKey(kmsg.ListOffsets.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		r := req.(*kmsg.ListOffsetsRequest)
		topic := r.Topics[0]
		if topic.Topic != topics.Specs[schemas.Offsets].Name || topic.Partitions[0].Timestamp != latest || told.Add(1) > 2 {
			return nil, nil, false
		}
		res := r.ResponseKind().(*kmsg.ListOffsetsResponse)
		p := kmsg.NewListOffsetsResponseTopicPartition()
		p.Offset = 2 // after the first transaction: a record and its marker
		res.Topics = []kmsg.ListOffsetsResponseTopic{{Topic: topic.Topic, Partitions: []kmsg.ListOffsetsResponseTopicPartition{p}}}
		return res, nil, true
	})
	in = run(t, named(t, "group"), "one", topics, config, f)
	f.progress(t, 3, 0)
	in.stop()
	if told.Load() < 3 {
		t.Errorf("the offsets' end was asked for %d times, want a further one after two old answers", told.Load())
	}
	f.audit(t, broker.ListenAddrs(), topics)
}

// So it is with every batch after the first: ours lie side by side, in one
// transaction or several, and what another writes in between is seen.
func TestEveryBatchLandsBehindTheLast(t *testing.T) {
	onBoth(t, func(t *testing.T, p Protocol, k *kafkatest.Cluster) {
		part := partition{named(t, "offsets"), 0}
		createTopic(t, k.Brokers(), part.topic, 1, nil)
		cluster, ctx := open(t, k.Brokers()...), patient(t)
		owner, other := newTransactor(cluster, named(t, "owner"), p), newTransactor(cluster, named(t, "other"), p)
		for _, txn := range []*transactor{owner, other} {
			if err := txn.init(ctx); err != nil {
				t.Fatal(err)
			}
		}
		owner.expect(part, 0)
		write := func(txn *transactor) error {
			return txn.write(ctx, map[partition][]recordBatch{part: batchesOf(t, 150, numbers(0, 40)...)})
		}
		for range 20 {
			if err := write(owner); err != nil {
				t.Fatal(err)
			}
		}
		// A check beside the service leaves markers.
		for range 2 {
			if err := other.begin(ctx, maps.Keys(map[partition]bool{part: true})); err != nil {
				t.Fatal(err)
			}
			if err := other.init(ctx); err != nil { // aborts
				t.Fatal(err)
			}
		}
		if err := write(owner); err != nil {
			t.Errorf("after markers of others: %v", err)
		}
		if err := write(other); err != nil {
			t.Fatal(err)
		}
		if err := write(owner); !errors.Is(err, ErrStale) || outcomeOf(err) != Refused {
			t.Errorf("after another's record: got %v, want ErrStale", err)
		}
	})
}

// What lies between the end that was read and the first batch decides: markers
// are nothing to have missed, as one of a check beside the service; a record is.
func TestFirstBatchLandsElsewhere(t *testing.T) {
	steps := map[string]struct {
		between func(t *testing.T, other *transactor, part partition)
		read    func(end int64) int64 // the end that we are told
		want    error
	}{
		"nothing between": {},
		"markers of aborted transactions": {between: func(t *testing.T, other *transactor, part partition) {
			for range 2 {
				if err := other.begin(patient(t), maps.Keys(map[partition]bool{part: true})); err != nil {
					t.Fatal(err)
				}
				if err := other.init(patient(t)); err != nil { // aborts
					t.Fatal(err)
				}
			}
		}},
		"a record": {want: ErrStale, between: func(t *testing.T, other *transactor, part partition) {
			if err := other.write(patient(t), map[partition][]recordBatch{part: batchesOf(t, defaultLimit, "missed")}); err != nil {
				t.Fatal(err)
			}
		}},
		"a record of an open transaction": {want: ErrStale, between: func(t *testing.T, other *transactor, part partition) {
			batches := map[partition][]recordBatch{part: batchesOf(t, defaultLimit, "open")}
			if err := other.begin(patient(t), maps.Keys(batches)); err != nil {
				t.Fatal(err)
			}
			if err := other.produce(patient(t), batches); err != nil {
				t.Fatal(err)
			}
		}},
		"an end that is gone": {want: ErrCutOff, read: func(end int64) int64 { return end + 10 }},
	}
	onBoth(t, func(t *testing.T, p Protocol, k *kafkatest.Cluster) {
		for name, step := range steps {
			t.Run(name, func(t *testing.T) {
				part := partition{named(t, "offsets"), 0}
				createTopic(t, k.Brokers(), part.topic, 1, nil)
				cluster, ctx := open(t, k.Brokers()...), patient(t)
				owner, other := newTransactor(cluster, named(t, "owner"), p), newTransactor(cluster, named(t, "other"), p)
				for _, txn := range []*transactor{owner, other} {
					if err := txn.init(ctx); err != nil {
						t.Fatal(err)
					}
				}
				if err := owner.write(ctx, map[partition][]recordBatch{part: batchesOf(t, defaultLimit, "before")}); err != nil {
					t.Fatal(err)
				}
				log := CommittedLog{Cluster: cluster, Topic: part.topic}
				end, err := log.Read(ctx, func(int64, *schemas.Record) error { return nil })
				if err != nil {
					t.Fatal(err)
				}
				if step.read != nil {
					end = step.read(end)
				}
				owner.expect(part, end)
				if step.between != nil {
					step.between(t, other, part)
					if now, err := log.End(ctx); err != nil || now == end {
						t.Fatalf("the partition still ends at %d (%v)", now, err)
					}
				}
				err = owner.write(ctx, map[partition][]recordBatch{part: batchesOf(t, defaultLimit, "after")})
				if !errors.Is(err, step.want) || outcomeOf(err) != map[bool]Outcome{true: Committed, false: Refused}[step.want == nil] {
					t.Fatalf("got %v, want %v", err, step.want)
				}
			})
		}
	})
}
