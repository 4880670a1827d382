package producer

import (
	"context"
	"errors"
	"time"

	"onelogin-kafka/schemas"
)

// errEdge ends a read that has found the log's edge.
var errEdge = errors.New("that tells it")

// edgeRecords is within how many records a transaction of ours is decided.
const edgeRecords = 2 * mostRecords

// Edge returns a time before which everything was written that the log had before
// start, its first offset: when the first transaction was decided behind that. What
// the records say of their own age tells nothing: a backfill writes old ones behind
// new ones. Where nobody writes in transactions it is the newest of the first
// records, and now where there are none.
func (l CommittedLog) Edge(ctx context.Context, start int64) (time.Time, error) {
	var at time.Time
	records, now := 0, time.Now()
	l.marked = func(decided time.Time) error {
		at = decided
		return errEdge
	}
	_, err := l.ReadFrom(ctx, start, func(_ int64, r *schemas.Record) error {
		if records++; r.Time.After(at) && r.Time.Before(now) {
			at = r.Time
		}
		if records == edgeRecords {
			return errEdge
		}
		return nil
	})
	switch {
	case err != nil && !errors.Is(err, errEdge):
		return time.Time{}, err
	case at.IsZero():
		at = now
	}
	return at.UTC(), nil
}
