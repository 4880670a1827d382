package benchmark

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// forwardAtLeastOnce is the poller one would write with franz-go: idempotent
// produce with the client's defaults, the next page fetched while the last ones
// are on their way. It has no headers, no dedup and keeps no position, all in
// its favour.
func forwardAtLeastOnce(ctx context.Context, t task) (done, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(t.Brokers...), kgo.DefaultProduceTopic(t.Topic))
	if err != nil {
		return done{}, fmt.Errorf("making a producer: %w", err)
	}
	defer client.Close()
	if err := client.Ping(ctx); err != nil {
		return done{}, fmt.Errorf("connecting: %w", err)
	}
	p := pages{task: t}
	if err := p.login(ctx); err != nil {
		return done{}, err
	}
	var (
		d      done
		mu     sync.Mutex
		failed error
	)
	key := []byte(t.Key)
	written := func(_ *kgo.Record, err error) {
		if err == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		failed = err
	}
	for more := true; more; {
		var buf bytes.Buffer // the records keep it
		if err := p.next(ctx, &buf); err != nil {
			return d, err
		}
		pagination, err := splitValid(buf.Bytes(), func(event []byte) {
			d.Events++
			d.Bytes += int64(len(event))
			client.Produce(ctx, &kgo.Record{Key: key, Value: event}, written)
		})
		if err != nil {
			return d, err
		}
		more = p.follow(pagination)
	}
	if err := client.Flush(ctx); err != nil {
		return d, fmt.Errorf("producing: %w", err)
	}
	mu.Lock()
	defer mu.Unlock()
	return d, failed
}
