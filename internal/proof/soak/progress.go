package soak

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onelogin-kafka/internal/proof/wait"
)

// errStuck says that something does not get on, though the machine gave it the time.
var errStuck = errors.New("does not get on")

// News reads what is published from a moment on, and nothing of before: a reader of its own, since the auditor has all of it to read
// and may be behind on a busy machine.
type News struct {
	client *kgo.Client
	began  wait.Watch
	unseen map[string]bool // tenants of which nothing new was readable yet
}

// News begins at what the topic ends with now, transactions that are still open included.
func (w *World) News(ctx context.Context) (*News, error) {
	n := &News{began: wait.Begin(), unseen: map[string]bool{}}
	for _, t := range w.Sim.Tenants() {
		n.unseen[t.Name] = true
	}
	ends, err := w.ends(ctx)
	if err != nil {
		return nil, err
	}
	n.client, err = kgo.NewClient(kgo.SeedBrokers(w.plan.Cluster.Brokers()...), kgo.ConsumePartitions(ends),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(200*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("creating a reader: %w", err)
	}
	return n, nil
}

// ends asks until Kafka tells the high watermarks of the events topic.
func (w *World) ends(ctx context.Context) (map[string]map[int32]kgo.Offset, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(w.plan.Cluster.Brokers()...))
	if err != nil {
		return nil, fmt.Errorf("creating a client: %w", err)
	}
	defer client.Close()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		ends, err := kadm.NewClient(client).ListEndOffsets(ctx, w.topic("events"))
		if err == nil {
			err = ends.Error()
		}
		if err == nil && len(ends.KOffsets()) > 0 {
			return ends.KOffsets(), nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("asking where the events end: %w", errors.Join(context.Cause(ctx), err))
		}
	}
}

// Close ends the reader.
func (n *News) Close() { n.client.Close() }

// Await reads until enough is satisfied with the tenants that are lacking still, or ctx ends.
func (n *News) Await(ctx context.Context, enough func(lacking int) bool) error {
	for !enough(len(n.unseen)) {
		n.client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			for _, h := range r.Headers {
				if h.Key == "tenant" {
					delete(n.unseen, string(h.Value))
				}
			}
		})
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %s, in %s", errStuck, strings.Join(n.lacking(), ", "), n.began)
		}
	}
	return nil
}

// lacking names the tenants of which nothing new was readable yet.
func (n *News) lacking() []string {
	var names []string
	for name := range n.unseen {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ofAll wants something new of every tenant, ofAny of one.
func ofAll(lacking int) bool { return lacking == 0 }

func (w *World) ofAny() func(lacking int) bool {
	all := len(w.Sim.Tenants())
	return func(lacking int) bool { return lacking < all }
}

// AwaitProgress waits until something is published of every tenant that was not before the call, for so much of the machine's time.
func (w *World) AwaitProgress(bound time.Duration) error { return w.awaitNews(bound, ofAll) }

func (w *World) awaitNews(bound time.Duration, enough func(lacking int) bool) error {
	ctx, cancel := wait.Within(w.tb.Context(), bound)
	defer cancel()
	n, err := w.News(ctx)
	if err != nil {
		return errors.Join(errStuck, err)
	}
	defer n.Close()
	if err := n.Await(ctx, enough); err != nil {
		return err
	}
	if err := w.Blind(); err != nil {
		return fmt.Errorf("the auditor has given up: %w", err)
	}
	return nil
}
