package producer

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// outcome is what became of a transaction. Whatever it is, the session that
// wrote it goes on only after committed.
type outcome uint8

const (
	// committed: every reader sees it.
	committed outcome = iota
	// refused: nobody ever sees it, for the reason of the error. Nothing was sent
	// that could commit it.
	refused
	// fenced: the same, and our identity is another's.
	fenced
	// unknown: it may be committed or not; the offsets tell.
	unknown
)

var outcomes = [...]string{"committed", "refused", "fenced", "unknown"}

// String returns the outcome as it appears in metrics.
func (o outcome) String() string { return outcomes[o] }

// errUnknown is wrapped by the error of a commit that was sent and not answered,
// or answered with anything but a definite yes or no.
var errUnknown = errors.New("the outcome is unknown")

func asUnknown(err error) error { return fmt.Errorf("%w: %w", errUnknown, err) }

// outcomeOf returns what became of a transaction that ended with err.
func outcomeOf(err error) outcome {
	switch {
	case err == nil:
		return committed
	case errors.Is(err, errUnknown):
		return unknown
	case errors.Is(err, ErrFenced):
		return fenced
	}
	return refused
}

// late tells whether err says that time ran out.
func late(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}
