package producer

import (
	"context"
	"errors"
	"fmt"
)

// ErrStale is returned (wrapped) when a partition of the offsets topic holds
// records that we have neither read nor written. Whoever told its end was no
// longer its leader, or somebody else writes to it.
var ErrStale = errors.New("there are records that were neither read nor written here")

// ErrCutOff is returned (wrapped) when a partition of the offsets topic goes on
// before what was read or written of it: it was made anew, or has lost records
// in an unclean election.
var ErrCutOff = errors.New("the partition has lost committed records")

// landing follows where the batches of one partition come to lie: each right
// behind what was read or written before, but for markers. Whoever finds that is
// alone: of two writers that do not know of each other, whatever their
// transactional ids, the second lands behind the first, and sees it.
type landing struct {
	part partition
	// next is up to where every record was read or written by us.
	next int64
	// marker tells that next is the offset of our own transaction's marker.
	marker bool
	// written tells that the open transaction has a batch there.
	written bool
}

// expect has every batch of p land behind end, up to which it was read.
func (t *transactor) expect(p partition, end int64) { t.landing = &landing{part: p, next: end} }

// landed judges where a batch of p landed; the transaction must not be committed
// after an error.
func (t *transactor) landed(ctx context.Context, p partition, offset int64, count int32) error {
	l := t.landing
	if l == nil || l.part != p {
		return nil
	}
	switch {
	case offset < 0: // of a batch that was there before, and which the broker knows no more of
		return fmt.Errorf("%s/%d: it is not known where a batch landed", p.topic, p.index)
	case offset < l.next:
		return fmt.Errorf("%s/%d was known up to %d and goes on at %d: %w", p.topic, p.index, l.next, offset, ErrCutOff)
	case offset == l.next || l.marker && offset == l.next+1:
	default:
		if err := t.onlyMarkers(ctx, p, l.next, offset); err != nil {
			return fmt.Errorf("%s/%d was known up to %d and goes on at %d: %w", p.topic, p.index, l.next, offset, err)
		}
	}
	l.next, l.marker, l.written = offset+int64(count), false, true
	return nil
}

// committed notes that the transaction was: its marker lies behind its batches.
func (l *landing) committed() {
	l.marker, l.written = l.marker || l.written, false
}

// onlyMarkers returns ErrStale unless there are only markers from one offset to
// another.
func (t *transactor) onlyMarkers(ctx context.Context, p partition, from, to int64) error {
	log := CommittedLog{Cluster: t.cluster, Topic: p.topic, Partition: p.index}
	for from < to {
		var err error
		if from, err = log.skipMarkers(ctx, from, to); err != nil {
			return fmt.Errorf("%w (looking at what is between: %w)", ErrStale, err)
		}
	}
	return nil
}

// errRecords tells that there is more than markers.
var errRecords = errors.New("there are records")

// skipMarkers returns the first offset after the markers that one fetch from
// offset on finds, or errRecords when there is anything else among them before
// end. Others leave markers too: a check of our rights, which aborts a
// transaction of its own, or a coordinator that writes one a second time. A
// marker decides nothing that a reader in read_committed did not wait for.
func (l *CommittedLog) skipMarkers(ctx context.Context, offset, end int64) (int64, error) {
	f, err := l.fetchOnce(ctx, offset, false)
	if err != nil {
		return offset, err
	}
	return eachBatch(f.Records, offset, func(h *batchHeader, _ []byte) error {
		if h.baseOffset < end && !h.control() {
			return errRecords
		}
		return nil
	})
}
