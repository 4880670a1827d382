package preflight

import (
	"context"
	"errors"
	"fmt"
	"time"

	kafka "github.com/segmentio/kafka-go"
)

func code(c int16) error {
	if c == 0 {
		return nil
	}
	return kafka.Error(c)
}

// retry repeats what a new or busy coordinator does not do at once, and what a
// broker was too slow for.
func retry(ctx context.Context, do func() error) error {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		err := do()
		if err == nil || !later(err) {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w (last: %w)", ctx.Err(), err)
		}
	}
}

// later tells whether the same request may succeed soon.
func later(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true // that of one try; the caller minds its own
	}
	c, _ := errors.AsType[kafka.Error](err)
	switch c {
	case kafka.GroupLoadInProgress, kafka.GroupCoordinatorNotAvailable, kafka.NotCoordinatorForGroup, kafka.Error(codeConcurrentTransactions):
		return true
	}
	return false
}
