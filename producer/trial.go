package producer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"

	"onelogin-kafka/schemas"
)

// changeHeader names the change that a record belongs to, so that one whose
// commit was not answered can be found.
const changeHeader = "change"

// changeOf is the id of the change that a record belongs to; empty for what a
// service wrote by itself.
func changeOf(r *schemas.Record) string {
	for _, h := range r.Headers {
		if h.Key == changeHeader {
			return string(h.Value)
		}
	}
	return ""
}

// trial is one change beside others, tried until its outcome is known.
type trial struct {
	id string
	// doubt is why the outcome of a try is unknown; nil once it has been found out.
	doubt error
}

func newTrial() trial { return trial{id: rand.Text()} }

// mark notes on r that it belongs to this change.
func (t *trial) mark(r *schemas.Record) {
	r.Headers = append(slices.Clip(r.Headers), schemas.Header{Key: changeHeader, Value: []byte(t.id)})
}

// mostTries is how often a change is tried beside others. One in two may fail
// where several are at work on a slow machine.
const mostTries = 50

// between is how long to wait between tries. Whoever is fenced would fence the
// other in turn, and none of them got to its end: so it waits for as long as its
// own try took as well, but for long tries, which waited for something else.
type between struct{ backoff *backoff.ExponentialBackOff }

func newBetween() between {
	b := newBackoff(5*time.Millisecond, 250*time.Millisecond)
	b.RandomizationFactor = 0.5
	return between{b}
}

// pause waits after a try that began at began, or until ctx ends.
func (b between) pause(ctx context.Context, began time.Time) error {
	return pause(ctx, min(time.Since(began), time.Second)+b.backoff.NextBackOff())
}

// run calls once until it succeeds or fails for good, at most mostTries times.
// What is one of passing says that somebody else was at work, and is tried
// again; so is what leaves a doubt, which once finds out about first.
func (t *trial) run(ctx context.Context, once func(context.Context) error, passing ...error) error {
	wait := newBetween()
	for try := 1; ; try++ {
		began := time.Now()
		err := once(ctx)
		switch {
		case err == nil:
			return nil
		case outcomeOf(err) == Unknown, t.doubt != nil:
			if t.doubt == nil {
				t.doubt = err
			}
			err = fmt.Errorf("%w; it could not be found out yet: %w", t.doubt, err)
		case !slices.ContainsFunc(passing, func(p error) bool { return errors.Is(err, p) }):
			return err
		}
		if try == mostTries || wait.pause(ctx, began) != nil {
			return err
		}
	}
}
