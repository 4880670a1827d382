package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	kafka "github.com/segmentio/kafka-go"

	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// recordFunc takes one committed record, whose slices are valid until it
// returns.
type recordFunc func(partition int32, offset int64, r *schemas.Record) error

// follower reads all partitions of a topic, those added later too.
type follower struct {
	cluster *wire.Cluster
	topic   string
	from    from
	// do is called for one record at a time.
	do recordFunc
	// began, if not nil, is told where a partition that is there at the start
	// ends, before any of its records is handed on.
	began func(partition int32, end int64)
	note  func(text string)

	mu sync.Mutex // held while do runs
}

// partitionsEvery is how often the topic is looked at for new partitions.
const partitionsEvery = 10 * time.Second

// run hands every record on until ctx ends or do fails. It waits for a topic
// that does not exist, and for brokers that cannot be reached.
func (f *follower) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel(nil)
	said := ""
	from := f.from
	for following := int32(0); ; {
		wait := partitionsEvery
		n, err := f.partitions(ctx)
		if err != nil {
			wait = time.Second
			if text := f.trouble(err); text != said && ctx.Err() == nil {
				f.note(text)
				said = text
			}
			if errors.Is(err, wire.ErrUnknownTopic) {
				f.began, from.earliest = nil, true // all that comes into a new topic is new
				wait = 200 * time.Millisecond
			}
		}
		for ; following < n; following++ {
			log := &producer.CommittedLog{Cluster: f.cluster, Topic: f.topic, Partition: following}
			start := from
			began := f.began
			readers.Go(func() {
				if err := f.follow(ctx, log, start, began); err != nil {
					cancel(err)
				}
			})
		}
		if n > 0 {
			f.began, from.earliest = nil, true
		}
		if sleep(ctx, wait) != nil {
			return context.Cause(ctx)
		}
	}
}

// partitions asks anew how many partitions the topic has.
func (f *follower) partitions(ctx context.Context) (int32, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := f.cluster.Metadata(ctx, f.topic); err != nil {
		return 0, err
	}
	return f.cluster.Partitions(ctx, f.topic)
}

func (f *follower) trouble(err error) string {
	if errors.Is(err, wire.ErrUnknownTopic) {
		return "topic " + f.topic + " does not exist yet; waiting for it"
	}
	return fmt.Sprintf("Kafka cannot be reached: %v; trying again", err)
}

// follow hands on one partition's records.
func (f *follower) follow(ctx context.Context, log *producer.CommittedLog, start from, began func(int32, int64)) error {
	offset, err := f.start(ctx, log, start, began)
	if err != nil {
		return err
	}
	for {
		next := offset
		err := log.Follow(ctx, offset, func(o int64, r *schemas.Record) error {
			next = o + 1
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.do(log.Partition, o, r)
		})
		if !errors.Is(err, kafka.OffsetOutOfRange) || ctx.Err() != nil {
			return err
		}
		// Retention was faster than we.
		if offset, err = log.Start(ctx); err != nil {
			return fmt.Errorf("asking for the start of %s/%d: %w", f.topic, log.Partition, err)
		}
		if offset <= next {
			offset = next
		}
		f.note(fmt.Sprintf("%s/%d: records from offset %d on were deleted before they were read; going on at %d", f.topic, log.Partition, next, offset))
	}
}

func (f *follower) start(ctx context.Context, log *producer.CommittedLog, from from, began func(int32, int64)) (int64, error) {
	end, err := log.End(ctx)
	if err != nil {
		return 0, fmt.Errorf("asking for the end of %s/%d: %w", f.topic, log.Partition, err)
	}
	if began != nil {
		f.mu.Lock()
		began(log.Partition, end)
		f.mu.Unlock()
	}
	switch {
	case from.earliest:
		end, err = log.Start(ctx)
	case !from.at.IsZero():
		end, err = log.At(ctx, from.at)
	}
	if err != nil {
		return 0, fmt.Errorf("asking where to begin in %s/%d: %w", f.topic, log.Partition, err)
	}
	return end, nil
}
