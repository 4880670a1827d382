package source

import (
	"sync/atomic"
	"testing"
	"time"

	"onelogin-kafka/schemas"
)

// wantLag checks that the poller is about that far behind.
func (g *rig) wantLag(when string, want time.Duration) {
	g.t.Helper()
	if got := g.poller.Status().Lag; got < want-time.Minute || got > want+time.Minute {
		g.t.Errorf("%s the lag is %v, want about %v", when, got, want)
	}
}

// What is offered and not committed is not in Kafka: the lag grows while Kafka is
// away, though OneLogin answers every poll.
func TestLagGrowsWhileNothingIsCommitted(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.api.add(series(time.Now(), 1, 3600, time.Second)...)
		var held atomic.Bool
		g.sink.delay = func() time.Duration {
			if held.Load() {
				return time.Hour
			}
			return 0
		}
		g.start()
		g.pause(5 * time.Minute)
		g.wantLag("at work", 0)
		held.Store(true)
		g.pause(20 * time.Minute)
		g.wantLag("after 20 minutes without a commit", 20*time.Minute)
		_ = g.end()
		held.Store(false)
		g.api.fault = func(int, Query) error { return &APIError{Kind: Unreachable, Stage: "Fetch Logs", Message: "x"} }
		g.start()
		g.pause(10 * time.Minute)
		g.wantLag("with what was offered lost, and the API away", 30*time.Minute)
		g.api.mu.Lock()
		g.api.fault = nil
		g.api.mu.Unlock()
		g.poller.Wake()
		g.pause(5 * time.Minute)
		g.wantLag("at work again", 0)
		_ = g.end()
	})
}

// Who begins in trouble counts from what was committed before.
func TestLagAfterARestartInTrouble(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.api.add(series(time.Now(), 1, 60, time.Second)...)
		g.during(time.Minute)
		time.Sleep(time.Hour)
		g.api.fault = func(int, Query) error {
			return &APIError{Kind: Throttled, Stage: "Fetch Logs", Message: "x", Status: 429, RetryAfter: time.Hour}
		}
		next := newPoller(g.api)
		next.Metrics = nil
		g.poller = next
		g.start()
		g.pause(20 * time.Minute)
		g.wantState(schemas.StateThrottled)
		g.wantLag("throttled since the restart", 80*time.Minute)
		_ = g.end()
	})
}

// A record that is refused for its size is no offer that waits, and its events
// are counted once, when they are committed.
func TestRefusedIsNotPending(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.api.add(series(time.Now().Add(-time.Minute), 1, 30, time.Second)...)
		refused := 0
		g.sink.refuse = func(*schemas.Batch) error {
			if refused++; refused <= 3 {
				return ErrTooLarge
			}
			return nil
		}
		g.start()
		g.pause(10 * time.Minute)
		if got := value(t, g.poller.Metrics.events); got != 30 || refused <= 3 {
			t.Errorf("%v events counted after %d offers, want 30", got, refused)
		}
		g.wantLag("at work", 0)
		_ = g.end()
	})
}
