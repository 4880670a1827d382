package producer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/compress"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/schemas"
)

// unpacking makes a broker judge the batches of a topic by what they are before
// compression, and keep its settings to itself.
func unpacking(broker *kfake.Cluster, topic string, limit int) (refusals *atomic.Int32) {
	refusals = new(atomic.Int32)
	broker.ControlKey(kmsg.DescribeConfigs.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		res := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
		for _, r := range req.(*kmsg.DescribeConfigsRequest).Resources {
			rr := kmsg.NewDescribeConfigsResponseResource()
			rr.ResourceType, rr.ResourceName, rr.ErrorCode = r.ResourceType, r.ResourceName, codeTopicNotAllowed
			res.Resources = append(res.Resources, rr)
		}
		return res, nil, true
	})
	broker.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		r := req.(*kmsg.ProduceRequest)
		tooLarge := false
		for _, rt := range r.Topics {
			for _, p := range rt.Partitions {
				tooLarge = tooLarge || rt.Topic == topic && unpacked(p.Records) > limit
			}
		}
		if !tooLarge {
			return nil, nil, false
		}
		refusals.Add(1)
		res := r.ResponseKind().(*kmsg.ProduceResponse)
		for _, rt := range r.Topics {
			t := kmsg.NewProduceResponseTopic()
			t.Topic = rt.Topic
			for _, p := range rt.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode, rp.BaseOffset = p.Partition, codeNotLeader, -1
				if rt.Topic == topic && unpacked(p.Records) > limit {
					rp.ErrorCode = codeMessageTooLarge
				}
				t.Partitions = append(t.Partitions, rp)
			}
			res.Topics = append(res.Topics, t)
		}
		return res, nil, true
	})
	return refusals
}

// unpacked is the size of a batch before compression.
func unpacked(batch []byte) int {
	h, b, _, ok, err := nextBatch(batch)
	if !ok || err != nil {
		return 0
	}
	size := batchHeaderLen
	_ = h.records(b, func(_ int64, r *schemas.Record) error { size += r.Size() + 7; return nil })
	return size
}

// pageFeed is a source of one connector that offers a page again until it is taken,
// and then the next.
type pageFeed struct {
	name      string
	records   int
	size      int // of a value; it compresses well
	committed atomic.Int32
	waiting   atomic.Pointer[error] // why it waits
}

func (p *pageFeed) serve(ctx context.Context, s *Session) {
	state, err := s.State(ctx, p.name)
	if err != nil {
		return
	}
	next := len(state[p.name]) // one byte a page
	for {
		now := time.Now()
		done := make(chan struct{})
		b := &schemas.Batch{Connector: p.name, Events: p.records, Done: func() { p.committed.Add(1); close(done) }}
		for i := range p.records {
			value := append(bytes.Repeat([]byte("abcdefgh"), p.size/8), fmt.Sprintf("%d.%d", next, i)...)
			b.Records = append(b.Records, schemas.Record{Topic: schemas.Events, Key: []byte(p.name), Value: value, Time: now})
		}
		b.Records = append(b.Records, schemas.Record{Topic: schemas.Offsets, Key: []byte(p.name), Value: bytes.Repeat([]byte("x"), next+1), Time: now})
		err := s.Offer(ctx, b)
		p.waiting.Store(&err)
		switch {
		case errors.Is(err, ErrTooLarge):
			if pause(ctx, 50*time.Millisecond) != nil {
				return
			}
			continue
		case err != nil:
			return
		}
		next++
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
	}
}

// once fails the test if a value is in the events topic twice, or one of a page
// that was committed is missing.
func (p *pageFeed) once(t *testing.T, brokers []string, topics Topics) {
	t.Helper()
	n := 0
	seen := map[string]bool{}
	for _, records := range independent(t, brokers, topics.Specs[schemas.Events].Name) {
		for _, r := range records {
			if string(r.Key) != p.name {
				continue
			}
			n++
			seen[string(r.Value)] = true
		}
	}
	if n != len(seen) || n < int(p.committed.Load())*p.records {
		t.Errorf("%d records, %d of them different, of %d pages of %d", n, len(seen), p.committed.Load(), p.records)
	}
}

// A broker that unpacks batches, and whose limit we may not see, refuses pages
// that are small as we send them. They go in smaller batches then; only a record
// that is too large by itself has to wait, and nobody else with it.
func TestBatchesThatAreTooLargeOnceUnpacked(t *testing.T) {
	broker, topics := fakeBroker(t), testTopics(t, 1, 1)
	refusals := unpacking(broker, topics.Specs[schemas.Events].Name, 100_000)
	page := &pageFeed{name: "page", records: 1000, size: 1200}
	huge := &pageFeed{name: "huge", records: 1, size: 150_000}
	in := start(t, broker.ListenAddrs(), topics, named(t, "group"), func(ctx context.Context, s *Session) {
		done := make(chan struct{})
		go func() { defer close(done); huge.serve(ctx, s) }()
		page.serve(ctx, s)
		<-done
	})
	waitFor(t, "pages", func() bool { return page.committed.Load() >= 20 })
	if n := refusals.Load(); n < 2 || n > 12 {
		t.Errorf("%d refusals, want a few", n)
	}
	if err := huge.waiting.Load(); err == nil || !errors.Is(*err, ErrTooLarge) {
		t.Errorf("the record that is too large by itself: %v, want ErrTooLarge", err)
	}
	if n := huge.committed.Load(); n > 0 {
		t.Errorf("it was committed %d times", n)
	}
	if err := in.stop(); err != nil {
		t.Error(err)
	}
	page.once(t, broker.ListenAddrs(), topics)
}

// The same with a real Kafka, whose settings we may see: nothing is refused at all.
func TestATopicThatKafkaKeepsUncompressed(t *testing.T) {
	k := kafkatest.Shared(t, kafkas[V1])
	topics := testTopics(t, 1, 1)
	createTopic(t, k.Brokers(), topics.Specs[schemas.Events].Name, 2, map[string]string{"compression.type": "uncompressed"})
	page := &pageFeed{name: "page", records: 1000, size: 1200}
	in := start(t, k.Brokers(), topics, named(t, "group"), page.serve)
	waitFor(t, "pages", func() bool { return page.committed.Load() >= 5 })
	for _, s := range in.Shards() {
		if s.Err != nil {
			t.Errorf("shard %d: %v", s.Shard, s.Err)
		}
	}
	if err := in.stop(); err != nil {
		t.Error(err)
	}
	page.once(t, k.Brokers(), topics)
}

func TestSizeLimit(t *testing.T) {
	batch := func(records, packed, plain int) recordBatch {
		return recordBatch{bytes: make([]byte, packed), count: int32(records), plain: plain}
	}
	l := new(sizeLimit)
	l.shown(1000, "producer")
	if b := l.bounds(compress.Zstd); b.packed != 1000 || b.unpacked != 0 || b.refuses(batch(1, 1000, 5000)) != nil || !errors.Is(b.refuses(batch(1, 1001, 5000)), ErrTooLarge) {
		t.Errorf("as it is sent: %+v", b)
	}
	l.shown(1000, "uncompressed")
	if b := l.bounds(compress.Zstd); b.unpacked != 1000 || b.refuses(batch(1, 500, 1000)) != nil || !errors.Is(b.refuses(batch(1, 500, 1001)), ErrTooLarge) {
		t.Errorf("uncompressed: %+v", b)
	}
	l.shown(1000, "gzip")
	if b := l.bounds(compress.Zstd); b.unpacked != 1000 || b.refuses(batch(1, 2000, 5000)) != nil {
		t.Errorf("compressed anew: %+v", b)
	}
	l.shown(0, "")
	if b := l.bounds(compress.Zstd); b.packed != defaultLimit || b.unpacked != 0 || b.refuses(batch(1, 2*defaultLimit, 3*defaultLimit)) != nil {
		t.Errorf("not shown: %+v", b)
	}
	l.refused(batch(100, 300_000, 1_200_000))
	if b := l.bounds(compress.Zstd); b.packed != defaultLimit/2 || b.unpacked != b.packed {
		t.Errorf("after a refusal: %+v", b)
	}
	l.refused(batch(100, 100_000, 500_000))
	if b := l.bounds(compress.Zstd); b.unpacked != 250_000 {
		t.Errorf("after another: %+v", b)
	}
	l.refused(batch(1, 50_000, 90_000))
	if b := l.bounds(compress.Zstd); b.unpacked != 250_000 || !errors.Is(b.refuses(batch(1, 1, 90_000)), ErrTooLarge) || b.refuses(batch(1, 1, 89_999)) != nil {
		t.Errorf("after that of one record: %+v", b)
	}
	l.since = time.Now().Add(-aloneAgain)
	if err := l.bounds(compress.Zstd).refuses(batch(1, 1, 90_000)); err != nil {
		t.Errorf("a minute later: %v", err)
	}
	l.shown(0, "")
	if b := l.bounds(compress.Zstd); b.unpacked != 250_000 {
		t.Errorf("shown the same: %+v", b)
	}
	l.shown(2000, "producer")
	if b := l.bounds(compress.Zstd); b.packed != 2000 || b.unpacked != 0 {
		t.Errorf("shown another: %+v", b)
	}
}
