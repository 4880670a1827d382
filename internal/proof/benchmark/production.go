package benchmark

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onelogin-kafka/producer"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source/onelogin/simulator"
)

// Kafka as it behaves in production: it gives a client so much and no more.

// setQuota bounds what a client id may write to each broker, in bytes a second.
func (b *bench) setQuota(ctx context.Context, client string, rate float64) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(b.addrs...))
	if err != nil {
		return fmt.Errorf("setting a quota: %w", err)
	}
	defer c.Close()
	entry, entity, op := kmsg.NewAlterClientQuotasRequestEntry(), kmsg.NewAlterClientQuotasRequestEntryEntity(), kmsg.NewAlterClientQuotasRequestEntryOp()
	entity.Type, entity.Name = "client-id", &client
	op.Key, op.Value = "producer_byte_rate", rate
	entry.Entity, entry.Ops = append(entry.Entity, entity), append(entry.Ops, op)
	req := kmsg.NewPtrAlterClientQuotasRequest()
	req.Entries = append(req.Entries, entry)
	res, err := req.RequestWith(ctx, c)
	if err != nil {
		return fmt.Errorf("setting a quota: %w", err)
	}
	for _, e := range res.Entries {
		if err := kerr.ErrorForCode(e.ErrorCode); err != nil {
			return fmt.Errorf("setting a quota: %w", err)
		}
	}
	return nil
}

// What a quota run has: bytes a second, shards, and pages of as many bytes. A
// broker lets a client have the quota of its window (11 s) at once, and counts
// over it: the beginning is not measured.
const (
	quotaRate   = 256 << 10
	quotaShards = 3
	quotaPage   = 3_000_000
	quotaRecord = 10_000
	quotaSettle = 45 * time.Second
)

// quota measures how much of a quota shards use that write incompressible pages.
// All events go to one partition, so that it is one broker's quota.
func quota(ctx context.Context, b *bench) ([]Result, error) {
	period := orDefault(b.period, 4*time.Minute)
	name := b.name("quota")
	if err := b.setQuota(ctx, name, quotaRate); err != nil {
		return nil, err
	}
	var p paged
	t := topicsOf(name)
	defer b.deleteTopics(context.WithoutCancel(ctx), t.all()...)
	in := b.startInstance(ctx, t, name, 1, quotaShards, p.serve)
	defer in.stop()
	b.say("measuring for %s, after %s", period, quotaSettle)
	for _, d := range []time.Duration{quotaSettle, period} {
		p.forget()
		select {
		case <-time.After(d):
		case <-in.ended:
			return nil, fmt.Errorf("writing pages: %w", orEnd(in.err))
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	rate, pages, longest := p.rate()
	if rate == 0 {
		return nil, errors.New("a shard committed fewer than two pages: measure for longer")
	}
	throttled := in.cluster.Throttle("produce")
	r := Result{Name: "quota", Title: fmt.Sprintf("Quota: %d KiB/s of a broker, %d shards, incompressible pages of %d MB, %s", quotaRate>>10, quotaShards, quotaPage/1_000_000, period)}
	r.note("written", rate/1024, "KiB/s")
	r.add("written / quota", rate/quotaRate, "", "≥ 0.9", rate >= 0.9*quotaRate)
	r.note("pages", float64(pages), "")
	r.note("longest time of a shard from page to page", longest.Seconds(), "s")
	r.note("time that the broker held it back", throttled.Seconds(), "s")
	r.add("sessions begun anew", float64(p.begun()-quotaShards), "", "0", p.begun() == quotaShards)
	return []Result{r}, nil
}

// paged offers pages of incompressible events, and notes when each is committed.
type paged struct {
	mu        sync.Mutex
	sessions  int
	committed [quotaShards][]time.Time
}

func (p *paged) serve(ctx context.Context, s *producer.Session) {
	p.mu.Lock()
	p.sessions++
	p.mu.Unlock()
	key := fmt.Sprintf("tenant-%d", s.Shard)
	done := make(chan struct{}, 1)
	for ctx.Err() == nil {
		batch := &schemas.Batch{Connector: key, Events: quotaPage / quotaRecord, Done: func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.committed[s.Shard] = append(p.committed[s.Shard], time.Now())
			done <- struct{}{}
		}}
		for range quotaPage / quotaRecord {
			v := make([]byte, quotaRecord)
			_, _ = rand.Read(v) // never fails
			batch.Records = append(batch.Records, schemas.Record{Topic: schemas.Events, Key: []byte(key), Value: v, Time: time.Now()})
		}
		batch.Records = append(batch.Records, schemas.Record{Topic: schemas.Offsets, Key: []byte(key), Value: []byte("x"), Time: time.Now()})
		if s.Offer(ctx, batch) != nil {
			return
		}
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
}

func (p *paged) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.committed = [quotaShards][]time.Time{}
}

func (p *paged) begun() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sessions
}

// rate adds up what each shard wrote from its first commit to its last, in bytes
// a second; 0 if one has not got so far. longest is the most from one commit of a
// shard to its next.
func (p *paged) rate() (rate float64, pages int, longest time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, at := range p.committed {
		n := len(at)
		if n < 2 {
			return 0, 0, 0
		}
		for i := 1; i < n; i++ {
			longest = max(longest, at[i].Sub(at[i-1]))
		}
		pages += n
		rate += float64((n-1)*quotaPage) / at[n-1].Sub(at[0]).Seconds()
	}
	return rate, pages, longest
}

// A slow Kafka takes so many bytes a second of the service, each broker, and
// connectors have so many events to catch up with.
const (
	slowRate    = 512 << 10
	slowBacklog = 20_000
)

// slow measures what the service holds in memory while connectors catch up with
// a Kafka that is slower than OneLogin.
func slow(ctx context.Context, b *bench) ([]Result, error) {
	connectors, period := orDefault(b.connectors, 320), orDefault(b.period, 3*time.Minute)
	c := simulator.Config{Seed: 1}
	for i := range connectors {
		c.Tenants = append(c.Tenants, simulator.Tenant{Name: fmt.Sprintf("tenant-%05d", i+1), Backlog: slowBacklog})
	}
	sim, err := b.simulate(c)
	if err != nil {
		return nil, err
	}
	defer sim.stop()
	name, err := b.configure("slow", sim, "start_from: 48h")
	if err != nil {
		return nil, err
	}
	// The client id of the service is the name of the instance.
	if err := b.setQuota(ctx, name, slowRate); err != nil {
		return nil, err
	}
	in, err := b.join(ctx, b.this, name, name, "slow")
	if err != nil {
		return nil, err
	}
	defer b.deleteTopics(context.WithoutCancel(ctx), in.topics.all()...)
	defer in.stop()
	reader, err := b.follow(in.topics.events, -1)
	if err != nil {
		return nil, err
	}
	defer reader.close()
	b.say("%d connectors catch up for %s", connectors, period)
	used, err := metered(in.process, sim.process, func() error { return rest(ctx, in.process, period) })
	if err != nil {
		return nil, err
	}
	_, peak, err := in.memory()
	if err != nil {
		return nil, err
	}
	m, err := in.metrics()
	if err != nil {
		return nil, err
	}
	throttled := m["onelogin_kafka_throttled_seconds_total"]
	if throttled == 0 {
		return nil, errors.New("no broker held the service back: Kafka was not slow")
	}
	if n := reader.duplicates(); n > 0 {
		return nil, fmt.Errorf("%d events are there twice", n)
	}
	total, least, most := reader.perKey(sim.tenants())
	r := Result{Name: "slow", Title: fmt.Sprintf("A slow Kafka: %s connectors with %s events each, %d KiB/s of each broker, %s",
		thousands(int64(connectors)), thousands(slowBacklog), slowRate>>10, period)}
	r.add("peak resident memory", mib(peak), "MiB", "< 600", mib(peak) < 600)
	r.add("least events of a connector", float64(least), "", "> 0", least > 0)
	r.note("most events of a connector", float64(most), "")
	r.note("events", float64(total)/period.Seconds(), "1/s")
	r.note("CPU of the service", perEvent(used.cpu, max(total, 1)), "µs/event")
	r.note("time that brokers held it back, added up", throttled, "s")
	return []Result{r}, nil
}
