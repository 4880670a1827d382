// Package wait bounds the waits of tests by what the machine could do meanwhile.
//
// A bound in seconds measures the machine as much as what is tested: three brokers that start again need 45 seconds of
// processor time, which a busy machine gives them in minutes. So the bounds here are of the machine's time, that of two idle
// cores as fast as those they were written on. It goes by slower than the clock as far as tasks wait for a processor, or the
// processors are slower, and never faster; but at least a tenth as fast, so that what is stuck is found on any machine.
//
// It is of no use in a synctest bubble: there, time passes when nothing is left to do, and a bound may be in seconds.
package wait

import (
	"context"
	"fmt"
	"testing"
	"time"
)

const (
	// lookAgain is how often a wait looks whether it is over.
	lookAgain = 20 * time.Millisecond
	// sampleEvery is how often a context looks at the machine: often enough for how that changes, and rarely enough for thousands.
	sampleEvery = 500 * time.Millisecond
)

// Watch measures the machine's time from a moment on.
type Watch struct {
	began  time.Time
	passed time.Duration
}

// Begin starts a Watch.
func Begin() Watch {
	began, passed := machine.read()
	return Watch{began, passed}
}

// Passed is the machine's time that has passed since. It is exact to some 200 ms while anything waits by this package, and to what
// the machine is like at both ends otherwise.
func (w Watch) Passed() time.Duration {
	_, passed := machine.read()
	return passed - w.passed
}

// String says both times.
func (w Watch) String() string {
	return fmt.Sprintf("%s (%s of the machine's time)", time.Since(w.began).Round(10*time.Millisecond), w.Passed().Round(10*time.Millisecond))
}

// Until waits until ok, and tells whether that came before so much of the machine's time had passed.
func Until(bound time.Duration, ok func() bool) bool {
	w := Begin()
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for !ok() {
		if w.Passed() > bound {
			return false
		}
		<-tick.C
	}
	return true
}

// For waits until ok, and fails the test when so much of the machine's time has passed before.
func For(tb testing.TB, what string, bound time.Duration, ok func() bool) {
	tb.Helper()
	w := Begin()
	if !Until(bound, ok) {
		tb.Fatalf("waited in vain for %s: %s", what, w)
	}
}

// Within returns a context that ends with its parent, or with context.DeadlineExceeded as its cause after so much of the machine's
// time. Cancel it after use.
func Within(parent context.Context, bound time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	w, done := Begin(), make(chan struct{})
	go func() {
		defer close(done)
		timer := time.NewTimer(0)
		defer timer.Stop()
		for left := bound; left > 0; left = bound - w.Passed() {
			// The machine's time never goes by faster than the clock.
			timer.Reset(max(lookEvery, min(left, sampleEvery)))
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		}
		cancel(context.DeadlineExceeded)
	}()
	return ctx, func() { cancel(context.Canceled); <-done }
}

// Context is Within for a test's length.
func Context(tb testing.TB, bound time.Duration) context.Context {
	tb.Helper()
	ctx, cancel := Within(tb.Context(), bound)
	tb.Cleanup(cancel)
	return ctx
}
