package producer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// errThrottled is wrapped where a broker's wait is longer than there is time.
var errThrottled = errors.New("a quota of ours is spent")

// calm waits until none of the brokers that a transaction over the partitions
// goes to wants a pause, since a quota of ours is spent. That is before the
// transaction begins, never inside it: an open one holds up every reader, and
// its time is bounded. So each transaction is written at once, and the pause
// that it costs comes after it.
func (t *transactor) calm(ctx context.Context, partitions iter.Seq[partition]) error {
	for {
		until := t.throttled(ctx, partitions)
		left := time.Until(until)
		if left <= 0 {
			return nil
		}
		if end, ok := ctx.Deadline(); ok && until.After(end) {
			return fmt.Errorf("waiting for brokers: %w for %v more", errThrottled, left.Round(time.Millisecond))
		}
		if err := pause(ctx, left); err != nil {
			return fmt.Errorf("waiting for brokers: %w: %w", errThrottled, err)
		}
	}
}

func (t *transactor) throttled(ctx context.Context, partitions iter.Seq[partition]) time.Time {
	var until time.Time
	after := func(node int32, key protocol.ApiKey) {
		if u := t.cluster.Throttled(node, key); u.After(until) {
			until = u
		}
	}
	for p := range partitions {
		if node, err := t.cluster.Leader(ctx, p.topic, p.index); err == nil { // else whoever produces says so
			after(node, protocol.Produce)
		}
	}
	if t.coordinator >= 0 {
		after(t.coordinator, protocol.EndTxn)
	}
	return until
}
