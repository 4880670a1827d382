package benchmark

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/position"
	"onelogin-kafka/internal/service"
	"onelogin-kafka/producer"
	"onelogin-kafka/schemas"
)

// movesWithin is how soon a shard must serve again whose position was moved by hand, ms.
const movesWithin = 2000

// moves measures how soon a shard serves again after an operator has moved the position of one of its connectors: from the answer
// to his commit until an event can be read that the shard has written after it. A busy shard has events all the time; on a quiet
// one, whose owner has nothing to write by which it would find itself fenced, the only events are those that the move brings again.
func moves(ctx context.Context, b *bench) ([]Result, error) {
	connectors, rounds := orDefault(b.connectors, 96), orDefault(b.rounds, 50)
	conf := fleet(connectors, 1)
	for i := range conf.Tenants {
		if t := &conf.Tenants[i]; quietShard(shardOf(t.Name)) {
			t.Traffic.Rate = 0
		}
	}
	sim, err := b.simulate(conf)
	if err != nil {
		return nil, err
	}
	defer sim.stop()
	in, err := b.serve(ctx, b.this, "moves", sim, steadyPoll)
	if err != nil {
		return nil, err
	}
	defer b.deleteTopics(ctx, in.topics.all()...)
	defer in.stop()
	o, err := b.operator(in)
	if err != nil {
		return nil, err
	}
	defer o.close()
	if err := b.allPolled(ctx, sim, in, connectors); err != nil {
		return nil, err
	}
	if err := rest(ctx, in.process, 10*time.Second); err != nil {
		return nil, err
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for i := range 2 * rounds {
		// The owner looks at its shards now and then: no move may come in step with that.
		if err := rest(ctx, in.process, rand.N(time.Second)); err != nil {
			return nil, err
		}
		if err := o.move(ctx, in.process, rnd, sim.tenants(), i%2 == 0); err != nil {
			return nil, err
		}
	}
	r := Result{Name: "moves", Title: fmt.Sprintf("Positions by hand: %d random moves on busy shards and %d on quiet ones, beside live polls of %d connectors", rounds, rounds, connectors)}
	for _, of := range []struct {
		name string
		waits
	}{{"busy shard", o.busy}, {"quiet shard", o.quiet}} {
		slices.Sort(of.waits)
		r.note("committed to the shard's next event, "+of.name+", p50", of.at(0.5), "ms")
		r.note("committed to the shard's next event, "+of.name+", p99", of.at(0.99), "ms")
		most := of.at(1)
		r.add("committed to the shard's next event, "+of.name+", most", most, "ms", fmt.Sprintf("≤ %d", movesWithin), most <= movesWithin)
	}
	slices.Sort(o.took)
	r.note("the move itself, p50", o.took.at(0.5), "ms")
	r.note("the move itself, most", o.took.at(1), "ms")
	return []Result{r}, nil
}

// shardOf is the shard of a connector where their number is the usual one.
func shardOf(name string) int32 {
	return producer.PartitionFor(schemas.OffsetKey(name), int32(config.Default().Topics.Offsets.Partitions))
}

// quietShard tells whether the connectors of a shard have no events of their own.
func quietShard(shard int32) bool { return shard%2 == 1 }

// operator moves positions, and reads what comes of it.
type operator struct {
	editor  position.Editor
	close   func()
	exports map[string]*position.State

	busy, quiet, took waits

	mu     sync.Mutex
	moved  map[int32][]written // by hand, by shard
	events map[int32][]written
}

// written is when a record could be read and which of the transactions of its shard has written it: each has an epoch of its own.
type written struct {
	at    time.Time
	id    int64
	epoch int16
}

func (b *bench) operator(in *instance) (*operator, error) {
	cfg, err := config.Load(filepath.Join(b.dir, in.topics.run(), "one.yaml"), func(string) (string, bool) { return "", false })
	if err != nil {
		return nil, err
	}
	cluster, err := service.Cluster(cfg)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addrs...), kgo.ConsumeTopics(in.topics.events, in.topics.offsets),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(500*time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		cluster.Close()
		return nil, fmt.Errorf("making a reader: %w", err)
	}
	o := &operator{
		editor:  position.Editor{Hand: &producer.Hand{Cluster: cluster, Topics: service.Topics(cfg), Group: cfg.Group}, By: "benchmark", Via: "command"},
		exports: map[string]*position.State{}, moved: map[int32][]written{}, events: map[int32][]written{},
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			fetches := client.PollFetches(context.Background())
			if fetches.IsClientClosed() {
				return
			}
			o.take(in.topics, fetches)
		}
	}()
	o.close = func() {
		client.Close()
		<-done
		cluster.Close()
	}
	return o, nil
}

// take notes events, and which records of the offsets topic are by hand: those name their change.
func (o *operator) take(of topics, fetches kgo.Fetches) {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	fetches.EachRecord(func(rec *kgo.Record) {
		w := written{now, rec.ProducerID, rec.ProducerEpoch}
		switch {
		case rec.Topic == of.events:
			shard := shardOf(string(rec.Key))
			o.events[shard] = append(o.events[shard], w)
		case slices.ContainsFunc(rec.Headers, func(h kgo.RecordHeader) bool { return h.Key == "change" }):
			o.moved[rec.Partition] = append(o.moved[rec.Partition], w)
		}
	})
}

// move moves a connector of a busy shard, or of a quiet one, and waits until the shard serves again.
func (o *operator) move(ctx context.Context, p *process, rnd *rand.Rand, names []string, quiet bool) error {
	for {
		name := names[rnd.IntN(len(names))]
		shard := shardOf(name)
		if quietShard(shard) != quiet {
			continue
		}
		// On a quiet shard all is to be published once more, else nothing would come.
		target := position.Target{Reset: true, StartFrom: time.Now().UTC().Add(-24 * time.Hour)}
		if n := rnd.IntN(3); !quiet && n == 0 {
			target = position.Target{Back: time.Minute}
		} else if before := o.exports[name]; !quiet && n == 1 && before != nil {
			target = position.Target{Import: before}
		}
		plan, shards, err := o.editor.Plan(ctx, name, target)
		if errors.Is(err, position.ErrUnknown) || err == nil && plan.Nothing() {
			continue // it was reset a moment ago, or is there
		}
		if err != nil {
			return fmt.Errorf("planning a move of %s: %w", name, err)
		}
		o.exports[name] = &plan.Before
		o.mu.Lock()
		before := len(o.moved[shard])
		o.mu.Unlock()
		began := time.Now()
		err = o.editor.Apply(ctx, []position.Plan{plan}, shards)[name]
		if errors.Is(err, position.ErrConflict) {
			continue
		}
		if err != nil {
			return fmt.Errorf("moving %s: %w", name, err)
		}
		committed := time.Now()
		o.took = append(o.took, committed.Sub(began))
		served, err := o.served(ctx, p, shard, before)
		if err != nil {
			return fmt.Errorf("moving %s: %w", name, err)
		}
		into := &o.busy
		if quiet {
			into = &o.quiet
		}
		*into = append(*into, served.Sub(committed))
		return nil
	}
}

// served waits for the first event of a shard that was written after its move that comes after so many, and returns when it could
// be read.
func (o *operator) served(ctx context.Context, p *process, shard int32, before int) (at time.Time, err error) {
	err = await(ctx, "serving again", time.Minute, p, func() (bool, error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if len(o.moved[shard]) == before {
			return false, errors.New("the move cannot be read")
		}
		hand := o.moved[shard][before]
		i := slices.IndexFunc(o.events[shard], func(w written) bool { return w.id == hand.id && w.epoch > hand.epoch })
		if i < 0 {
			return false, errors.New("no event was written since")
		}
		at = o.events[shard][i].at
		return true, nil
	})
	return at, err
}
