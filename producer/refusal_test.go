package producer

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/producer/wire"
)

// refuser stands in for leaders that refuse to write: while it has a code, it
// answers every Produce with it and lets nothing through.
type refuser struct {
	code atomic.Int32
	hits atomic.Int32
}

func (r *refuser) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	broker, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	client, here := net.Pipe()
	go func() { // the broker's answers
		defer here.Close()
		_, _ = io.Copy(here, broker)
	}()
	go func() { // the client's requests, of which one is under way at a time
		defer broker.Close()
		for {
			frame, err := readFrame(here)
			if err != nil {
				return
			}
			if code := int16(r.code.Load()); code != 0 && protocol.ApiKey(binary.BigEndian.Uint16(frame[4:])) == protocol.Produce {
				answer, err := refused(frame, code)
				if err != nil {
					return
				}
				r.hits.Add(1)
				_, _ = here.Write(answer)
				continue
			}
			if _, err := broker.Write(frame); err != nil {
				return
			}
		}
	}()
	return client, nil
}

// readFrame reads a request with its size.
func readFrame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	frame := slices.Concat(size[:], make([]byte, binary.BigEndian.Uint32(size[:])))
	_, err := io.ReadFull(r, frame[4:])
	return frame, err
}

// refused is an answer that refuses every batch of a Produce.
func refused(frame []byte, code int16) ([]byte, error) {
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(int16(binary.BigEndian.Uint16(frame[6:])))
	body := frame[14+int(binary.BigEndian.Uint16(frame[12:])):] // after the client id
	if req.IsFlexible() {
		body = body[1:]
	}
	if err := req.ReadFrom(body); err != nil {
		return nil, err
	}
	res := req.ResponseKind().(*kmsg.ProduceResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode, rp.BaseOffset = p.Partition, code, -1
			rt.Partitions = append(rt.Partitions, rp)
		}
		res.Topics = append(res.Topics, rt)
	}
	answer := append([]byte{0, 0, 0, 0}, frame[8:12]...)
	if res.IsFlexible() {
		answer = append(answer, 0)
	}
	answer = res.AppendTo(answer)
	binary.BigEndian.PutUint32(answer, uint32(len(answer)-4))
	return answer, nil
}

// A leader that refuses a batch for good stops the shard with a reason that
// stays in sight; when it takes batches again nothing is missing.
func TestALeaderThatRefuses(t *testing.T) {
	onBoth(t, func(t *testing.T, _ Protocol, k *kafkatest.Cluster) {
		for name, code := range map[string]kafka.Error{
			"KAFKA_STORAGE_ERROR": kafka.KafkaStorageError,
			"INVALID_RECORD":      kafka.Error(87),
			"no such code":        kafka.Error(9999),
		} {
			t.Run(name, func(t *testing.T) {
				topics := testTopics(t, 1, int16(min(3, len(k.Nodes()))))
				leader := &refuser{}
				f := newFeed(t, uint64(code))
				in := run(t, named(t, "group"), "one", topics, wire.Config{Brokers: k.Brokers(), Dial: leader.dial}, f)
				f.progress(t, 3, 0)
				leader.code.Store(int32(code))
				waitFor(t, "three refusals", func() bool { return leader.hits.Load() >= 3 })
				before := f.get(f.commits, 0)
				for range 20 { // whatever it is just doing, the reason can be read
					waitFor(t, "the next look", func() bool { return true })
					if shards := in.Shards(); len(shards) != 1 || !errors.Is(shards[0].Err, code) {
						t.Fatalf("status: got %+v, want %v", shards, code)
					}
				}
				waitFor(t, "two more refusals", func() bool { return leader.hits.Load() >= 5 })
				if shards := in.Shards(); !errors.Is(shards[0].Err, code) {
					t.Errorf("status: got %+v, want %v", shards, code)
				}
				if got := f.get(f.commits, 0); got != before {
					t.Errorf("%d batches committed though the leader refused them", got-before)
				}
				leader.code.Store(0)
				f.progress(t, 3, 0)
				if shards := in.Shards(); shards[0].Err != nil || shards[0].State != Serving {
					t.Errorf("status after it recovered: got %+v, want no error", shards)
				}
				in.stop()
				f.audit(t, k.Brokers(), topics)
			})
		}
	})
}
