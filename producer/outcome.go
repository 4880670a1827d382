package producer

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Outcome is what became of a transaction. A session goes on only after
// Committed.
type Outcome uint8

// The outcomes.
const (
	// Committed: every reader sees it.
	Committed Outcome = iota
	// Refused: nobody ever sees it, for the reason of the error. Nothing was sent
	// that could commit it.
	Refused
	// Fenced: the same, and our identity is another's.
	Fenced
	// Unknown: it may be committed or not; the offsets tell.
	Unknown
)

var outcomes = [...]string{"committed", "refused", "fenced", "unknown"}

// String returns the outcome as it appears in metrics.
func (o Outcome) String() string { return outcomes[o] }

// ErrUnknown is returned (wrapped) for a commit that was sent and not answered, or
// answered with anything but a definite yes or no.
var ErrUnknown = errors.New("the outcome is unknown")

func asUnknown(err error) error { return fmt.Errorf("%w: %w", ErrUnknown, err) }

// outcomeOf returns what became of a transaction that ended with err.
func outcomeOf(err error) Outcome {
	switch {
	case err == nil:
		return Committed
	case errors.Is(err, ErrUnknown):
		return Unknown
	case errors.Is(err, ErrFenced):
		return Fenced
	}
	return Refused
}

// late tells whether err says that time ran out.
func late(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}
