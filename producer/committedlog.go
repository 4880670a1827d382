package producer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/listoffsets"

	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// CommittedLog reads one partition as a reader in read_committed must see it:
// without records of aborted transactions, without control records, past the
// empty batches that compaction leaves behind, each batch's checksum verified.
// kafka-go's readers do none of that. It holds one fetch in memory at a time.
type CommittedLog struct {
	Cluster   *wire.Cluster
	Topic     string
	Partition int32
	// MaxBytes bounds a fetch; a larger batch still comes whole. 0 = 1 MiB.
	MaxBytes int32

	aborted map[int64]bool // producers whose transaction at hand was aborted
	openFor time.Duration  // see there; 0 = that
	stuck   stuck
	// progress, if not nil, is called when reading has got on.
	progress func()
	// marked, if not nil, is told when a transaction was decided. Its error ends the
	// reading.
	marked func(at time.Time) error
}

// Special timestamps of ListOffsets (Kafka's protocol).
const (
	latest   = -1
	earliest = -2
)

// Read hands every committed record from the log's start up to its high
// watermark as of now to do, and returns that. It waits for open transactions
// below it to be decided; the error is an *OpenTransactionError where one is not
// for longer than any of ours can take. The record's slices are valid until do
// returns.
func (l *CommittedLog) Read(ctx context.Context, do func(offset int64, r *schemas.Record) error) (end int64, err error) {
	start, err := l.Offset(ctx, earliest)
	if err != nil {
		return 0, fmt.Errorf("asking for the log's start: %w", err)
	}
	// Read uncommitted: the last stable offset may lag behind what is committed.
	end, err = l.Offset(ctx, latest)
	if err != nil {
		return 0, fmt.Errorf("asking for the high watermark: %w", err)
	}
	return end, l.read(ctx, start, end, do)
}

// stalled is how long a read to the end may get no further: an open transaction
// of a dead owner is ended after its timeout, which the brokers look for every
// 10 s.
const stalled = 30 * time.Second

// errStalled is wrapped by the error of a read that got no further.
var errStalled = fmt.Errorf("no progress for %v", stalled)

// latest returns the latest committed value of each key from one offset to
// another, nil for a tombstone. It takes as long as it gets on.
func (l CommittedLog) latest(ctx context.Context, from, end int64) (map[string][]byte, error) {
	found := map[string][]byte{}
	err := l.patiently(ctx, from, end, func(_ int64, r *schemas.Record) error {
		found[string(r.Key)] = bytes.Clone(r.Value)
		return nil
	})
	return found, err
}

// patiently reads from one offset to another. It takes as long as it gets on.
func (l CommittedLog) patiently(ctx context.Context, from, end int64, do func(offset int64, r *schemas.Record) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(stalled, func() { cancel(errStalled) })
	defer timer.Stop()
	l.progress = func() { timer.Reset(stalled) }
	err := l.read(ctx, from, end, do)
	if err != nil && errors.Is(context.Cause(ctx), errStalled) {
		err = fmt.Errorf("%w: %w", errStalled, err)
	}
	return err
}

// ReadFrom hands every committed record from an offset up to the high watermark
// as of now to do, and returns that: see Read.
func (l CommittedLog) ReadFrom(ctx context.Context, offset int64, do func(offset int64, r *schemas.Record) error) (end int64, err error) {
	actx, cancel := context.WithTimeout(ctx, stalled)
	defer cancel()
	if end, err = l.End(actx); err != nil {
		return 0, fmt.Errorf("asking for the high watermark: %w", err)
	}
	return end, l.patiently(ctx, offset, end, do)
}

// decided returns the latest committed value of each key up to where all
// transactions are decided.
func (l CommittedLog) decided(ctx context.Context) (map[string][]byte, error) {
	actx, cancel := context.WithTimeout(ctx, stalled)
	defer cancel()
	start, err := l.offset(actx, earliest, readUncommitted)
	if err != nil {
		return nil, fmt.Errorf("asking for the log's start: %w", err)
	}
	end, err := l.offset(actx, latest, readCommitted)
	if err != nil {
		return nil, fmt.Errorf("asking for the last stable offset: %w", err)
	}
	return l.latest(ctx, start, end)
}

// ReadDecided hands every committed record from the log's start to do, up to
// where all transactions are decided, and returns that: it waits for none.
func (l *CommittedLog) ReadDecided(ctx context.Context, do func(offset int64, r *schemas.Record) error) (end int64, err error) {
	start, err := l.offset(ctx, earliest, readUncommitted)
	if err != nil {
		return 0, fmt.Errorf("asking for the log's start: %w", err)
	}
	if end, err = l.offset(ctx, latest, readCommitted); err != nil {
		return 0, fmt.Errorf("asking for the last stable offset: %w", err)
	}
	return end, l.read(ctx, start, end, do)
}

// Follow hands every committed record from offset on to do until ctx ends or
// do returns an error.
func (l *CommittedLog) Follow(ctx context.Context, offset int64, do func(offset int64, r *schemas.Record) error) error {
	return l.read(ctx, offset, -1, do)
}

// End returns the partition's high watermark.
func (l *CommittedLog) End(ctx context.Context) (int64, error) { return l.Offset(ctx, latest) }

// Start returns the partition's first offset that is still there.
func (l *CommittedLog) Start(ctx context.Context) (int64, error) { return l.Offset(ctx, earliest) }

// At returns the first offset whose record is not older than t, or the high
// watermark where there is none.
func (l *CommittedLog) At(ctx context.Context, t time.Time) (int64, error) {
	offset, err := l.Offset(ctx, t.UnixMilli())
	if err == nil && offset < 0 {
		return l.End(ctx)
	}
	return offset, err
}

// Offset asks the leader, read uncommitted, until it has a definite answer.
func (l *CommittedLog) Offset(ctx context.Context, timestamp int64) (int64, error) {
	return l.offset(ctx, timestamp, readUncommitted)
}

func (l *CommittedLog) offset(ctx context.Context, timestamp int64, isolation int8) (int64, error) {
	wait := newBackoff(5*time.Millisecond, 250*time.Millisecond)
	for {
		offset, err := l.offsetOnce(ctx, timestamp, isolation)
		if err == nil {
			return offset, nil
		}
		if !retriable(err) {
			return 0, err
		}
		if pauseErr := pause(ctx, wait.NextBackOff()); pauseErr != nil {
			return 0, fmt.Errorf("%w (last: %w)", pauseErr, err)
		}
		_ = l.Cluster.Refresh(ctx) // what fails here fails again above, with a name
	}
}

func (l *CommittedLog) offsetOnce(ctx context.Context, timestamp int64, isolation int8) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	node, err := l.Cluster.Leader(ctx, l.Topic, l.Partition)
	if err != nil {
		return 0, lacking("Read", err)
	}
	res, err := l.Cluster.Exchange(ctx, node, &listoffsets.Request{ReplicaID: -1, IsolationLevel: isolation, Topics: []listoffsets.RequestTopic{{
		Topic:      l.Topic,
		Partitions: []listoffsets.RequestPartition{{Partition: l.Partition, CurrentLeaderEpoch: -1, Timestamp: timestamp}},
	}}})
	if err != nil {
		return 0, err
	}
	for _, t := range res.(*listoffsets.Response).Topics {
		for _, p := range t.Partitions {
			return p.Offset, l.refusal(p.ErrorCode)
		}
	}
	return 0, fmt.Errorf("%w: no partition in it", wire.ErrMalformed)
}

// readTimeout bounds one request of a reader. Reading may be repeated at will.
const readTimeout = 5 * time.Second

// retriable tells whether a read that failed with err may succeed later: all
// but what an operator must mend.
func retriable(err error) bool {
	if lasting(err) {
		return false
	}
	if code, ok := errors.AsType[kafka.Error](err); ok {
		return moved(int16(code)) || int16(code) == codeKafkaStorage || int16(code) == codeCorruptMessage || int16(code) == codeOffsetNotAvailable
	}
	return !errors.Is(err, ErrCorrupt)
}

const codeOffsetNotAvailable = 78

// read reads from offset to end, or for ever where end is negative.
func (l *CommittedLog) read(ctx context.Context, offset, end int64, do func(int64, *schemas.Record) error) error {
	wait := newBackoff(5*time.Millisecond, 500*time.Millisecond)
	for end < 0 || offset < end {
		next, err := l.fetch(ctx, offset, end, do)
		if next > offset && l.progress != nil {
			l.progress()
		}
		offset = next
		if err == nil { // nothing new: a transaction is not decided yet, or no more was written
			wait.Reset()
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if end >= 0 {
				err = l.held()
			}
			if err != nil {
				return fmt.Errorf("reading %s/%d at offset %d: %w", l.Topic, l.Partition, offset, err)
			}
			continue
		}
		if stopped, ok := errors.AsType[stop](err); ok {
			return stopped.error
		}
		if !retriable(err) {
			return fmt.Errorf("reading %s/%d at offset %d: %w", l.Topic, l.Partition, offset, err)
		}
		if pauseErr := pause(ctx, wait.NextBackOff()); pauseErr != nil {
			return fmt.Errorf("reading %s/%d at offset %d: %w (last: %w)", l.Topic, l.Partition, offset, pauseErr, err)
		}
		_ = l.Cluster.Refresh(ctx)
	}
	return nil
}

// stop carries an error of the caller's past the retries.
type stop struct{ error }

// openFor is how long a reader waits for a transaction to be decided. One of ours
// times out after 10 s, and brokers look for those every 10 s.
const openFor = 25 * time.Second

// stuck is a last stable offset that stays where it is.
type stuck struct {
	at    int64
	since time.Time
}

// held returns an *OpenTransactionError when the same transaction has held up
// the reader for too long.
func (l *CommittedLog) held() error {
	patience := cmp.Or(l.openFor, openFor)
	if l.stuck.since.IsZero() || time.Since(l.stuck.since) < patience {
		return nil
	}
	return &OpenTransactionError{Topic: l.Topic, Partition: l.Partition, Offset: l.stuck.at, For: patience}
}

// fetch reads once from offset and returns the offset to go on from, after an
// error too. What ends at end may end with markers that compaction has removed:
// where there is nothing up to a last stable offset that has reached it, that is
// the end.
func (l *CommittedLog) fetch(ctx context.Context, offset, end int64, do func(int64, *schemas.Record) error) (int64, error) {
	f, err := l.fetchOnce(ctx, offset, true)
	if err != nil {
		return offset, err
	}
	l.aborted = map[int64]bool{}
	next, err := eachBatch(f.Records, offset, func(h *batchHeader, batch []byte) error {
		return l.batch(f, h, batch, offset, do)
	})
	switch {
	case err != nil || next > offset || len(f.Records) > 0:
		l.stuck = stuck{}
	case end >= 0 && f.LastStableOffset >= end:
		next = end
	case f.LastStableOffset >= 0 && (f.LastStableOffset != l.stuck.at || l.stuck.since.IsZero()):
		l.stuck = stuck{f.LastStableOffset, time.Now()}
	}
	return next, err
}

// eachBatch hands each whole batch of a fetch from offset on to do, and returns
// the offset to go on from, after an error too.
func eachBatch(data []byte, offset int64, do func(h *batchHeader, batch []byte) error) (next int64, err error) {
	next = offset
	for {
		h, batch, rest, ok, err := nextBatch(data)
		if err != nil || !ok {
			return next, err
		}
		data = rest
		if h.lastOffset < offset {
			continue // a fetch begins with the batch that holds its offset
		}
		if err := do(&h, batch); err != nil {
			return next, err
		}
		next = h.lastOffset + 1
	}
}

func (l *CommittedLog) fetchOnce(ctx context.Context, offset int64, committed bool) (*wire.Fetch, error) {
	node, err := l.leader(ctx)
	if err != nil {
		return nil, err
	}
	rctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	maxBytes := l.MaxBytes
	if maxBytes == 0 {
		maxBytes = 1 << 20
	}
	f := &wire.Fetch{
		Topic: l.Topic, Partition: l.Partition, Offset: offset,
		MaxWaitMS: 250, MinBytes: 1, MaxBytes: maxBytes, ReadCommitted: committed,
	}
	if err := l.Cluster.Do(rctx, node, f); err != nil {
		return nil, err
	}
	return f, l.refusal(f.ErrorCode)
}

// leader returns the node to fetch from, once it wants that: until then it brings
// nothing, as a quota of ours is spent.
func (l *CommittedLog) leader(ctx context.Context) (int32, error) {
	rctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	node, err := l.Cluster.Leader(rctx, l.Topic, l.Partition)
	if err != nil {
		return -1, lacking("Read", err)
	}
	for {
		left := time.Until(l.Cluster.Throttled(node, protocol.Fetch))
		if left <= 0 {
			return node, nil
		}
		if l.progress != nil { // waiting as long as one is told to is getting on
			l.progress()
		}
		if err := pause(ctx, min(left, stalled/2)); err != nil {
			return -1, fmt.Errorf("waiting for broker %d: %w: %w", node, errThrottled, err)
		}
	}
}

func (l *CommittedLog) refusal(code int16) error {
	if err := wire.Denied(code, "Read", wire.ResourceTopic, l.Topic); err != nil {
		return err
	}
	return kafkaError(code)
}

// batch filters one batch: the aborted transactions that begin at or before it
// are known from the answer, each ends with its marker.
func (l *CommittedLog) batch(f *wire.Fetch, h *batchHeader, batch []byte, from int64, do func(int64, *schemas.Record) error) error {
	for _, a := range f.Aborted {
		if a.FirstOffset <= h.lastOffset && a.FirstOffset >= 0 {
			l.aborted[a.ProducerID] = true
		}
	}
	// An entry counts once: after its marker the producer's next transaction
	// has an entry of its own, or none.
	f.Aborted = dropBegun(f.Aborted, h.lastOffset)
	switch {
	case h.control():
		commit, at, err := h.marker(batch)
		if err == nil && !commit {
			delete(l.aborted, h.producerID)
		}
		if err == nil && l.marked != nil {
			if err := l.marked(at); err != nil {
				return stop{err}
			}
		}
		return err
	case h.transactional() && l.aborted[h.producerID]:
		return nil
	}
	return h.records(batch, func(offset int64, r *schemas.Record) error {
		if offset < from {
			return nil
		}
		if err := do(offset, r); err != nil {
			return stop{err}
		}
		return nil
	})
}

func dropBegun(aborted []wire.AbortedTxn, last int64) []wire.AbortedTxn {
	kept := aborted[:0]
	for _, a := range aborted {
		if a.FirstOffset > last {
			kept = append(kept, a)
		}
	}
	return kept
}
