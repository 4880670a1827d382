package source

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"onelogin-kafka/schemas"
)

// No sweep, however slow, holds up a poll.
func TestASlowSweepHoldsUpNoPoll(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		now := time.Now().UTC()
		g.busyWithALateOne(now)
		g.poller.StartFrom = StartFrom{}
		swept := 0
		var gaps []time.Duration
		last := now
		g.poller.Client = clientFunc(func(ctx context.Context, q Query) (Page, error) {
			switch {
			case !q.Until.IsZero():
				swept++
				_ = sleep(ctx, 25*time.Second)
			case q.Cursor == "":
				gaps = append(gaps, time.Since(last))
				last = time.Now()
			}
			return g.api.Page(ctx, q)
		})
		g.during(30 * time.Minute)
		if len(gaps) < 800 || swept < 20 {
			t.Fatalf("%d polls, %d pages of sweeps", len(gaps), swept)
		}
		for _, gap := range gaps {
			if gap > 2*time.Second+100*time.Millisecond {
				t.Errorf("a poll came after %v", gap)
			}
		}
	})
}

// An idle account costs what an idle account should, whatever came before.
func TestIdleCost(t *testing.T) {
	for _, n := range []int{0, 40, 900, 4500} {
		within(t, func(t *testing.T, g *rig) {
			g.poller.PageSize = 50
			g.poller.Budget = NewBudget(0.5)
			if n > 0 {
				g.api.add(series(time.Now().UTC(), 1, n, 15*time.Minute/time.Duration(n))...)
			}
			g.start()
			g.pause(time.Hour)
			before := g.api.calls
			g.pause(10 * time.Hour)
			if calls := g.api.calls - before; calls > 1300 || calls < 1190 {
				t.Errorf("%d events in the quarter of an hour before: %d calls in ten idle hours", n, calls)
			}
			_ = g.end()
		})
	}
}

// Whoever polls seldom asks again as soon as anybody.
func TestSlowPollsKeepTheirRetries(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.poller.PollMin, g.poller.PollMax = 5*time.Minute, 5*time.Minute
		g.poller.PageSize = 50
		g.manyCalls()
		g.api.add(series(time.Now().UTC().Add(-20*time.Hour), 1, 36_000, 2*time.Second)...)
		n := 0
		g.api.fault = func(int, Query) error {
			if n++; n%50 == 0 {
				return &APIError{Kind: Refused, Status: 503, Stage: "Fetch Logs", Message: "x"}
			}
			return nil
		}
		g.during(20 * time.Minute)
		g.wantPublished(36_000)
	})
}

// Whatever the API asks for, nobody waits for longer than its hour.
func TestRetryAfterADay(t *testing.T) {
	for _, kind := range []Kind{Refused, Throttled} {
		within(t, func(t *testing.T, g *rig) {
			g.api.add(series(time.Now(), 1, 7200, time.Second)...)
			hit := 0
			g.api.fault = func(int, Query) error {
				if hit++; hit > 1 {
					return nil
				}
				return &APIError{Kind: kind, Stage: "Fetch Logs", Message: "x", Status: 503, RetryAfter: 24 * time.Hour}
			}
			g.start()
			g.pause(50 * time.Minute)
			if len(g.topic.published) > 0 {
				t.Error("Retry-After was not honoured")
			}
			g.pause(11 * time.Minute)
			g.wantState(schemas.StateActive)
			_ = g.end()
		})
	}
}

// A changed secret, or a check that succeeded, ends every wait.
func TestWakeEndsEveryWait(t *testing.T) {
	for _, kind := range []Kind{Credentials, Throttled, Refused} {
		within(t, func(t *testing.T, g *rig) {
			g.api.add(series(time.Now(), 1, 7200, time.Second)...)
			var mended atomic.Bool
			g.api.fault = func(int, Query) error {
				if !mended.Load() {
					return &APIError{Kind: kind, Stage: "Fetch Logs", Message: "x", RetryAfter: time.Hour}
				}
				return nil
			}
			g.start()
			g.pause(20 * time.Minute)
			mended.Store(true)
			g.poller.Wake()
			g.pause(time.Second)
			g.wantState(schemas.StateActive)
			_ = g.end()
		})
	}
}

// Refused credentials are tried every quarter of an hour at least.
func TestRefusedCredentialsBackOff(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		calls := 0
		g.api.fault = func(int, Query) error {
			calls++
			return &APIError{Kind: Credentials, Stage: "Authentication", Message: "Credentials error"}
		}
		g.start()
		g.pause(24 * time.Hour)
		_ = g.end()
		if calls < 24*4 || calls > 24*4+40 {
			t.Errorf("%d calls a day", calls)
		}
	})
}

// Nothing begins in the future, and a start there is not remembered.
func TestStartInTheFuture(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.poller.StartFrom = StartFrom{At: time.Now().AddDate(36, 0, 0)}
		g.api.add(series(time.Now(), 1, 600, time.Second)...)
		g.during(20 * time.Minute)
		g.wantPublished(600)
	})
}

// Who cannot keep up says so: THROTTLED, and by how much the position is behind.
func TestFallingBehindIsSaid(t *testing.T) {
	for _, rate := range []int{15, 60} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			api := &steadyAPI{began: began, gap: time.Second / time.Duration(rate), limit: defaultLimit, latency: 50 * time.Millisecond}
			p := newPoller(api)
			p.StartFrom, p.Budget = StartFrom{}, NewBudget(0.5)
			changes := 0
			p.OnChange = func() { changes++ }
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Hour)
			defer cancel()
			done := make(chan struct{})
			go func() { defer close(done); _ = p.Run(ctx, &State{Fresh: true}, &lagSink{from: began}) }()
			minutes := map[schemas.State]int{}
			for range 4*60 - 1 {
				time.Sleep(time.Minute)
				synctest.Wait()
				st := p.Status()
				if minutes[st.State]++; st.State != schemas.StateThrottled && time.Since(st.Through) > 10*time.Minute {
					t.Errorf("%d/s: %s though %v behind", rate, st.State, time.Since(st.Through))
				}
			}
			behind := time.Since(p.Status().Through)
			if rate == 15 && (behind > 2*time.Minute || minutes[schemas.StateThrottled] > 0) || rate > 30 && minutes[schemas.StateThrottled] < 120 {
				t.Errorf("%d/s: behind by %v, minutes by state %v", rate, behind, minutes)
			}
			if got := time.Duration((seconds(time.Now()) - value(t, p.Metrics.through)) * 1e9); (got - behind).Abs() > time.Minute {
				t.Errorf("%d/s: behind by %v, but the gauge says %v", rate, behind, got)
			}
			if changes > 20 {
				t.Errorf("%d/s: %d changes of state", rate, changes)
			}
			cancel()
			<-done
		})
	}
}

// The server's clock is apart from ours, or from that of the events: positions
// keep behind true time, and nothing is read again for ever.
func TestClocksApart(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, 10 * time.Minute} {
		within(t, func(t *testing.T, g *rig) {
			g.poller.StartFrom = StartFrom{}
			g.poller.PageSize = 50
			g.manyCalls()
			g.api.skew = skew // of the Date header alone
			g.api.add(series(time.Now(), 1, 2*3600, time.Second)...)
			g.start()
			g.pause(90 * time.Minute)
			if len(g.topic.published) < 90*60-3 {
				t.Errorf("skew %v: %d events published", skew, len(g.topic.published))
			}
			if o := g.topic.last; o.Through.After(time.Now()) || o.CompleteThrough.After(time.Now().Add(-15*time.Minute)) {
				t.Errorf("skew %v: through %v, complete through %v, now %v", skew, o.Through, o.CompleteThrough, time.Now())
			}
			before := g.api.calls
			g.pause(20 * time.Minute)
			if calls := g.api.calls - before; calls > (1900+12*40)/3 {
				t.Errorf("skew %v: %d calls in 20 minutes", skew, calls)
			}
			_ = g.end()
			if n := strings.Count(g.log.String(), "minutes apart"); n != 1 {
				t.Errorf("said %d times", n)
			}
		})
	}
}

// What was offered and not heard of again is counted once it is found committed.
func TestEventsAreCountedAfterADoubt(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.api.add(series(time.Now().Add(-time.Minute), 1, 100, time.Second)...)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err := g.poller.Run(ctx, &State{Fresh: true}, sinkFunc(func(b *schemas.Batch) error {
			done := b.Done
			b.Done = nil
			g.topic.commit(b) // and nobody tells
			_ = done
			return ErrVoid
		}))
		if err == nil || g.topic.events == 0 {
			t.Fatalf("%d events, %v", g.topic.events, err)
		}
		g.during(10 * time.Minute)
		g.wantPublished(100)
		if got := value(t, g.poller.Metrics.events); got != 100 {
			t.Errorf("%v events counted", got)
		}
	})
}

type sinkFunc func(b *schemas.Batch) error

func (f sinkFunc) Offer(_ context.Context, b *schemas.Batch) error { return f(b) }
