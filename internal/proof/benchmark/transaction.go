package benchmark

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go/compress"
	"github.com/twmb/franz-go/pkg/kgo"

	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
	"onelogin-kafka/source/onelogin"
	"onelogin-kafka/source/onelogin/simulator"
)

// perTransaction is how many events a measured transaction holds.
const perTransaction = 1000

// transaction measures how long a transaction takes from its records to the
// knowledge that it is committed, one after the other, ours and franz-go's in
// turn.
func transaction(ctx context.Context, b *bench) ([]Result, error) {
	rounds := orDefault(b.rounds, 1000)
	records, err := page(ctx)
	if err != nil {
		return nil, err
	}
	t := topicsOf(b.name("transaction"))
	defer b.deleteTopics(context.WithoutCancel(ctx), t.all()...)
	ours, err := b.startOurs(ctx, t, records)
	if err != nil {
		return nil, err
	}
	defer ours.stop()
	theirs, err := b.startTheirs(t, records)
	if err != nil {
		return nil, err
	}
	defer theirs.client.Close()
	if err := b.quiet(ctx); err != nil {
		return nil, err
	}
	const block = 25
	parties := []struct {
		once  func(context.Context) error
		times []float64
	}{{once: ours.once}, {once: theirs.once}}
	for done := -rounds; done < rounds; done += block { // as many again warm up
		for i := range parties {
			for range block {
				began := time.Now()
				if err := parties[i].once(ctx); err != nil {
					return nil, err
				}
				if done >= 0 {
					parties[i].times = append(parties[i].times, time.Since(began).Seconds()*1000)
				}
			}
		}
	}
	r := Result{Name: "transaction", Title: fmt.Sprintf("Transaction of %s events and their offsets, %d of each in turn", thousands(perTransaction), rounds)}
	at := func(party int, q float64) float64 {
		sorted := slices.Sorted(slices.Values(parties[party].times))
		return sorted[int(q*float64(len(sorted)-1))]
	}
	r.note("service, p50", at(0, 0.5), "ms")
	r.note("service, p99", at(0, 0.99), "ms")
	r.note("franz-go, p50", at(1, 0.5), "ms")
	r.note("franz-go, p99", at(1, 0.99), "ms")
	q := at(0, 0.5) / at(1, 0.5)
	r.add("service / franz-go, p50", q, "", "≤ 1/3", q <= 1.0/3)
	r.note("service / franz-go, p99", at(0, 0.99)/at(1, 0.99), "")
	return []Result{r}, nil
}

// page makes the records of one page: the events and the offset.
func page(ctx context.Context) ([]schemas.Record, error) {
	sim, err := simulator.New(backlog(perTransaction))
	if err != nil {
		return nil, err
	}
	id, secret := sim.Credentials(tenant)
	client, err := onelogin.New(
		onelogin.Config{Domain: tenant + ".onelogin.com", ClientID: id, Secret: func() (string, error) { return secret, nil }},
		onelogin.Options{HTTP: sim.Transport(), Log: zerolog.Nop()})
	if err != nil {
		return nil, err
	}
	p, err := client.Page(ctx, source.Query{Limit: perTransaction})
	if err != nil {
		return nil, err
	}
	encoder := schemas.Encoder{Tenant: tenant, Domain: tenant + ".onelogin.com", Key: schemas.KeyTenant, Types: schemas.NewTypes()}
	var records []schemas.Record
	for i := range p.Events {
		records = append(records, encoder.Event(&p.Events[i], false))
	}
	if len(records) != perTransaction {
		return nil, fmt.Errorf("a page of %d events, want %d", len(records), perTransaction)
	}
	last := &p.Events[len(p.Events)-1]
	offset := schemas.Offset{Domain: tenant + ".onelogin.com", Through: last.CreatedAt, LastID: last.ID, Events: perTransaction, WindowStart: last.CreatedAt, UpdatedAt: last.CreatedAt}
	return append(records, schemas.Record{Topic: schemas.Offsets, Key: schemas.OffsetKey(tenant), Value: offset.Marshal(), Time: last.CreatedAt}), nil
}

// inProcess is an instance of ours in this process.
type inProcess struct {
	cluster *wire.Cluster
	cancel  context.CancelFunc
	ended   chan struct{}
	err     error // once ended is closed
}

// startInstance starts one whose requests bear the client id.
func (b *bench) startInstance(ctx context.Context, t topics, client string, partitions, shards int32, serve func(context.Context, *producer.Session)) *inProcess {
	ctx, cancel := context.WithCancel(ctx)
	p := &inProcess{cluster: wire.Open(wire.Config{Brokers: b.addrs, ClientID: client}), cancel: cancel, ended: make(chan struct{})}
	in := &producer.Instance{
		Cluster: p.cluster, Log: zerolog.Nop(),
		Config: producer.Config{
			Group: t.events, Instance: "one", Compression: compress.Zstd,
			Topics: producer.Topics{Create: true, ReplicationFactor: 3, Specs: [schemas.NumTopics]producer.TopicSpec{
				schemas.Events: {Name: t.events, Partitions: partitions}, schemas.DeadLetter: {Name: t.deadletter, Partitions: 1},
				schemas.Offsets: {Name: t.offsets, Partitions: shards}, schemas.Status: {Name: t.status, Partitions: 1},
				schemas.Connectors: {Name: t.connectors, Partitions: 1}, schemas.Audit: {Name: t.audit, Partitions: 1},
			}},
			Serve: serve,
		},
	}
	go func() {
		defer close(p.ended)
		defer p.cluster.Close()
		p.err = in.Run(ctx)
	}()
	return p
}

func (p *inProcess) stop() {
	p.cancel()
	<-p.ended
}

// writing is an instance with one shard, and what it writes.
type writing struct {
	*inProcess
	session *producer.Session
	records []schemas.Record
}

func (b *bench) startOurs(ctx context.Context, t topics, records []schemas.Record) (*writing, error) {
	sessions := make(chan *producer.Session, 1)
	in := b.startInstance(ctx, t, "", 12, 1, func(ctx context.Context, s *producer.Session) {
		sessions <- s
		<-ctx.Done()
	})
	select {
	case s := <-sessions:
		return &writing{inProcess: in, session: s, records: records}, nil
	case <-in.ended:
		in.cancel()
		return nil, fmt.Errorf("starting an instance: %w", orEnd(in.err))
	}
}

// once writes one page and waits until it is known to be committed.
func (w *writing) once(ctx context.Context) error {
	committed := make(chan struct{})
	batch := &schemas.Batch{Connector: tenant, Records: w.records, Events: perTransaction, Done: func() { close(committed) }}
	if err := w.session.Offer(ctx, batch); err != nil {
		return fmt.Errorf("offering a page: %w", err)
	}
	select {
	case <-committed:
		return nil
	case <-time.After(time.Minute):
		return errors.New("a page was not committed within a minute")
	}
}

// franz is franz-go's transactional client with the same records.
type franz struct {
	client  *kgo.Client
	records []schemas.Record
	topics  [schemas.NumTopics]string
}

func (b *bench) startTheirs(t topics, records []schemas.Record) (*franz, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addrs...), kgo.TransactionalID(t.events+"-franz"),
		kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ProducerLinger(0))
	if err != nil {
		return nil, fmt.Errorf("making franz-go's client: %w", err)
	}
	return &franz{client: client, records: records, topics: [schemas.NumTopics]string{schemas.Events: t.events, schemas.Offsets: t.offsets}}, nil
}

func (f *franz) once(ctx context.Context) error {
	if err := f.client.BeginTransaction(); err != nil {
		return fmt.Errorf("franz-go: beginning: %w", err)
	}
	var failed error
	for i := range f.records {
		r := &f.records[i]
		rec := &kgo.Record{Topic: f.topics[r.Topic], Key: r.Key, Value: r.Value, Timestamp: r.Time}
		for _, h := range r.Headers {
			rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		f.client.Produce(ctx, rec, func(_ *kgo.Record, err error) {
			if err != nil {
				failed = err // read after Flush, which waits for all of these
			}
		})
	}
	if err := errors.Join(f.client.Flush(ctx), failed); err != nil {
		return fmt.Errorf("franz-go: producing: %w", err)
	}
	if err := f.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("franz-go: committing: %w", err)
	}
	return nil
}
