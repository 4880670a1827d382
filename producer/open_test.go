package producer

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onelogin-kafka/schemas"
)

// Brokers other than Apache Kafka may compact the last markers of a partition
// away. Its end is where nothing is left up to a last stable offset that has
// reached it, and not where a broker says nothing, as a quota is spent.
func TestReadEndsWhereTheLastMarkersAreGone(t *testing.T) {
	const gone = 3 // offsets after the last record that is left
	broker := fake(t)
	cluster := open(t, broker.ListenAddrs()...)
	txn, part := opened(t, broker, cluster, V2)
	if err := txn.commit(patient(t)); err != nil {
		t.Fatal(err)
	}
	log := CommittedLog{Cluster: cluster, Topic: part.topic}
	end, err := log.End(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	var empty, throttled atomic.Int32
	broker.ControlKey(kmsg.ListOffsets.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		r := req.(*kmsg.ListOffsetsRequest)
		if r.Topics[0].Partitions[0].Timestamp != latest {
			return nil, nil, false
		}
		res := r.ResponseKind().(*kmsg.ListOffsetsResponse)
		p := kmsg.NewListOffsetsResponseTopicPartition()
		p.Offset = end + gone
		res.Topics = []kmsg.ListOffsetsResponseTopic{{Topic: part.topic, Partitions: []kmsg.ListOffsetsResponseTopicPartition{p}}}
		return res, nil, true
	})
	broker.ControlKey(kmsg.Fetch.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		r := req.(*kmsg.FetchRequest)
		if r.Topics[0].Partitions[0].FetchOffset < end {
			return nil, nil, false
		}
		res := r.ResponseKind().(*kmsg.FetchResponse)
		if throttled.Add(1) == 1 {
			res.ThrottleMillis = 100
			return res, nil, true
		}
		empty.Add(1)
		p := kmsg.NewFetchResponseTopicPartition()
		p.HighWatermark, p.LastStableOffset, p.RecordBatches = end+gone, end+gone, []byte{}
		res.Topics = []kmsg.FetchResponseTopic{{Topic: part.topic, Partitions: []kmsg.FetchResponseTopicPartition{p}}}
		return res, nil, true
	})
	var got []string
	read, err := log.Read(patient(t), func(_ int64, r *schemas.Record) error { got = append(got, string(r.Value)); return nil })
	if err != nil || read != end+gone {
		t.Errorf("read to %d, %v, want %d", read, err, end+gone)
	}
	if diff := cmp.Diff([]string{"one"}, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if throttled.Load() < 2 || empty.Load() != 1 {
		t.Errorf("%d fetches at the end, %d of them answered with nothing, want a throttled one and another", throttled.Load(), empty.Load())
	}
}

// A transaction of somebody else on our partition is told as that, by the reader
// it holds up and by whoever looks for it; one that ends in time is not.
func TestSomebodysOpenTransactionIsTold(t *testing.T) {
	for _, p := range []Protocol{V2, V1} {
		t.Run(fmt.Sprintf("v%d", p), func(t *testing.T) {
			broker := fake(t)
			cluster := open(t, broker.ListenAddrs()...)
			txn, part := opened(t, broker, cluster, p)
			const patience = 300 * time.Millisecond
			want := OpenTransactionError{Topic: part.topic, Offset: 0, For: patience}
			log := CommittedLog{Cluster: cluster, Topic: part.topic, openFor: patience}
			_, err := log.Read(patient(t), func(int64, *schemas.Record) error { return nil })
			told, ok := errors.AsType[*OpenTransactionError](err)
			if !ok || *told != want {
				t.Fatalf("reading: got %v, want %v", err, &want)
			}
			if command := "kafka-transactions.sh --bootstrap-server … describe-producers --topic " + part.topic + " --partition 0"; !strings.Contains(told.Error(), command) {
				t.Errorf("%v does not name the command: %s", told, command)
			}
			found, err := FindOpen(patient(t), cluster, patience, part.topic)
			if err != nil || len(found) != 1 || *found[0] != want {
				t.Errorf("looking: got %v, %v, want %v", found, err, &want)
			}
			time.AfterFunc(patience/3, func() {
				if err := txn.commit(patient(t)); err != nil {
					t.Error(err)
				}
			})
			if found, err := FindOpen(patient(t), cluster, 2*time.Second, part.topic); err != nil || len(found) != 0 {
				t.Errorf("looking while it ends: got %v, %v, want none", found, err)
			}
			if got := committed(t, cluster, part); len(got) != 1 {
				t.Errorf("committed: got %q", got)
			}
		})
	}
}
