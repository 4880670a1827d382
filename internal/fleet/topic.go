package fleet

import (
	"context"
	"errors"
	"fmt"

	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// Topic is where statuses are read.
type Topic struct {
	Cluster *wire.Cluster
	Name    string
}

// Taker takes records of the status topic, as View does.
type Taker interface {
	Take(r *schemas.Record)
}

// Read hands v all that the topic says now, as far as transactions are decided,
// and returns where each partition was read to. A topic that is not there says
// nothing.
func (t *Topic) Read(ctx context.Context, v Taker) (ends []int64, err error) {
	n, err := t.Cluster.Partitions(ctx, t.Name)
	if errors.Is(err, wire.ErrUnknownTopic) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for topic %s: %w", t.Name, err)
	}
	ends = make([]int64, n)
	for p := range n {
		log := &producer.CommittedLog{Cluster: t.Cluster, Topic: t.Name, Partition: p}
		ends[p], err = log.ReadDecided(ctx, func(_ int64, r *schemas.Record) error { v.Take(r); return nil })
		if err != nil {
			return nil, fmt.Errorf("reading statuses: %w", err)
		}
	}
	return ends, nil
}

// Follow hands v what is written from ends on until ctx ends, calling changed
// after each record.
func (t *Topic) Follow(ctx context.Context, v Taker, ends []int64, changed func()) error {
	errs := make(chan error, len(ends))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for p, from := range ends {
		log := &producer.CommittedLog{Cluster: t.Cluster, Topic: t.Name, Partition: int32(p)}
		go func() {
			errs <- log.Follow(ctx, from, func(_ int64, r *schemas.Record) error { v.Take(r); changed(); return nil })
		}()
	}
	var first error
	for range ends {
		if err := <-errs; first == nil {
			first = err
			cancel()
		}
	}
	return first
}
