package producer

import (
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

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
