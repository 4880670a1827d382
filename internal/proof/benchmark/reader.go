package benchmark

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tidwall/gjson"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// reader follows a topic read committed, as a consumer would, and notes when
// each event could first be read.
type reader struct {
	client *kgo.Client
	done   chan struct{}

	mu        sync.Mutex
	at        map[eventKey]time.Time
	duplicate int
	keys      map[string]string
	err       error
	want      int64         // of events
	complete  chan struct{} // closed when so many are there
	last      time.Time
}

// eventKey names an event: ids are an account's own.
type eventKey struct {
	id  int64
	key string
}

// follow reads topic from its beginning. Its complete is closed with the
// want-th event; a negative want is none.
func (b *bench) follow(topic string, want int64) (*reader, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addrs...), kgo.ConsumeTopics(topic),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(500*time.Millisecond), kgo.MetadataMinAge(100*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, fmt.Errorf("making a reader: %w", err)
	}
	r := &reader{client: client, done: make(chan struct{}), at: make(map[eventKey]time.Time, max(want, 0)), want: want, keys: map[string]string{}, complete: make(chan struct{})}
	go func() {
		defer close(r.done)
		for {
			fetches := client.PollFetches(context.Background())
			if fetches.IsClientClosed() {
				return
			}
			r.take(fetches)
		}
	}()
	return r, nil
}

func (r *reader) take(fetches kgo.Fetches) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	fetches.EachError(func(_ string, _ int32, err error) { r.err = err })
	fetches.EachRecord(func(rec *kgo.Record) {
		id := eventKey{gjson.GetBytes(rec.Value, "id").Int(), r.intern(rec.Key)}
		if _, known := r.at[id]; known {
			r.duplicate++
			return
		}
		r.at[id] = now
		if int64(len(r.at)) == r.want {
			r.last = now
			close(r.complete)
		}
	})
}

// intern returns key as a string that all its records share.
func (r *reader) intern(key []byte) string {
	s, ok := r.keys[string(key)]
	if !ok {
		s = string(key)
		r.keys[s] = s
	}
	return s
}

// perKey counts the events there are, and the least and the most of one of the keys.
func (r *reader) perKey(keys []string) (total, least, most int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := map[string]int64{}
	for k := range r.at {
		of[k.key]++
	}
	least = int64(len(r.at))
	for _, key := range keys {
		total, least, most = total+of[key], min(least, of[key]), max(most, of[key])
	}
	return total, least, most
}

func (r *reader) duplicates() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.duplicate
}

// wait waits for the last event, while p lives.
func (r *reader) wait(ctx context.Context, patience time.Duration, p *process) (time.Time, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var err error
	select {
	case <-r.complete:
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.duplicate > 0 {
			return r.last, fmt.Errorf("%d events are there twice", r.duplicate)
		}
		return r.last, nil
	case <-p.done:
		err = fmt.Errorf("%s has ended: %w\n%s", p.name, orEnd(p.err), p.tail())
	case <-timer.C:
		err = errors.New("too late")
	case <-ctx.Done():
		err = ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Time{}, fmt.Errorf("reading: %d of %d events after %s: %w (reader: %w)\n%s", len(r.at), r.want, patience, err, orEnd(r.err), p.tail())
}

func (r *reader) close() {
	r.client.Close()
	<-r.done
}

// createTopic makes a topic like the service's.
func (b *bench) createTopic(ctx context.Context, name string, partitions int32) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addrs...))
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	defer client.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 20_000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, 3
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("creating %s: %w", name, err)
	}
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("creating %s: %w", name, err)
		}
	}
	return led(ctx, client, name)
}

// led waits until every broker knows the leaders of a new topic, which the
// service's own start waits for too.
func led(ctx context.Context, client *kgo.Client, name string) error {
	for began := time.Now(); time.Since(began) < 30*time.Second; {
		known := true
		for _, broker := range client.DiscoveredBrokers() {
			req := kmsg.NewPtrMetadataRequest()
			t := kmsg.NewMetadataRequestTopic()
			t.Topic = new(name)
			req.Topics = append(req.Topics, t)
			resp, err := broker.Request(ctx, req)
			if err != nil {
				return fmt.Errorf("looking for the leaders of %s: %w", name, err)
			}
			for _, t := range resp.(*kmsg.MetadataResponse).Topics {
				known = known && t.ErrorCode == 0 && len(t.Partitions) > 0
				for _, p := range t.Partitions {
					known = known && p.ErrorCode == 0 && p.Leader >= 0
				}
			}
		}
		if known {
			return nil
		}
	}
	return fmt.Errorf("%s has no leaders after 30 s", name)
}

// deleteTopics makes room on the brokers' disks and heaps.
func (b *bench) deleteTopics(ctx context.Context, names ...string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addrs...))
	if err != nil {
		return
	}
	defer client.Close()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = 20_000
	for _, name := range names {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = new(name)
		req.Topics = append(req.Topics, t)
		req.TopicNames = append(req.TopicNames, name)
	}
	if _, err := req.RequestWith(ctx, client); err != nil {
		b.say("deleting topics: %v", err)
	}
}
