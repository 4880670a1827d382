package producer

import (
	"context"
	"errors"
	"fmt"
)

// expect has the first batch of a partition land at end, up to which it was
// read: nobody but the owner of the transactional id writes records there. If
// there are any before it, whoever told the end was no longer the partition's
// leader, and what was read is not all there is; the transaction must not be
// committed.
func (t *transactor) expect(p partition, end int64) { t.ends = map[partition]int64{p: end} }

// landed judges where a batch of p landed, if it is the first.
func (t *transactor) landed(ctx context.Context, p partition, offset int64) error {
	end, ok := t.ends[p]
	if !ok {
		return nil
	}
	stale := fmt.Errorf("%s/%d was read to %d and goes on at %d: %w", p.topic, p.index, end, offset, ErrStale)
	if offset < end {
		return stale
	}
	log := CommittedLog{Cluster: t.cluster, Topic: p.topic, Partition: p.index}
	for end < offset {
		var err error
		if end, err = log.skipMarkers(ctx, end, offset); err != nil {
			return fmt.Errorf("%w (looking at what is between: %w)", stale, err)
		}
	}
	delete(t.ends, p)
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
