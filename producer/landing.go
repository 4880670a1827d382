package producer

import (
	"context"
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
	err := fmt.Errorf("%s/%d was read to %d and goes on at %d: %w", p.topic, p.index, end, offset, ErrStale)
	if offset < end {
		return err
	}
	log := CommittedLog{Cluster: t.cluster, Topic: p.topic, Partition: p.index}
	for end < offset {
		next, readErr := log.skipMarkers(ctx, end, offset)
		if readErr != nil {
			return fmt.Errorf("%w (reading what is between: %w)", err, readErr)
		}
		if next < 0 {
			return err
		}
		end = next
	}
	delete(t.ends, p)
	return nil
}

// skipMarkers returns the first offset after the markers that one fetch from
// offset on finds before end, or -1 when there is anything else among them.
// Others leave markers too: a check of our rights, which aborts a transaction of
// its own, or a coordinator that writes one a second time. A marker decides
// nothing that a reader in read_committed did not wait for.
func (l *CommittedLog) skipMarkers(ctx context.Context, offset, end int64) (int64, error) {
	f, err := l.fetchOnce(ctx, offset, false)
	if err != nil {
		return offset, err
	}
	for data := f.Records; ; {
		h, _, rest, ok, err := nextBatch(data)
		if err != nil || !ok {
			return offset, err
		}
		data = rest
		if h.lastOffset < offset {
			continue // a fetch begins with the batch that holds its offset
		}
		if h.baseOffset >= end {
			return end, nil
		}
		if !h.control() {
			return -1, nil
		}
		offset = h.lastOffset + 1
	}
}
