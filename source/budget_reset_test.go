package source

import (
	"testing"
	"testing/synctest"
	"time"
)

// X-RateLimit-Reset tells whole seconds: the first call after them may still be
// in the account's old window. Its answer says nothing of ours, which has just
// begun, and must not keep us still for another hour.
func TestBudgetGoesOnWhenResetWasRoundedDown(t *testing.T) {
	for _, fraction := range []time.Duration{0, 300 * time.Millisecond, 700 * time.Millisecond} {
		within(t, func(t *testing.T, g *rig) {
			start := time.Now()
			ends := start.Add(20*time.Minute + fraction)
			g.api.latency = func() time.Duration { return 5 * time.Millisecond }
			left := func() RateLimit {
				now, remaining := time.Now(), 4000
				reset := ends.Sub(now)
				if reset <= 0 {
					reset += time.Hour
				} else if now.After(start.Add(5 * time.Minute)) {
					remaining = 0 // others have used them up
				}
				return RateLimit{Limit: 5000, Remaining: remaining, Reset: reset.Truncate(time.Second), At: now}
			}
			refused := 0
			var first time.Time // call after the window's end
			g.api.fault = func(int, Query) error {
				r := left()
				if r.Remaining == 0 {
					refused++
					return &APIError{Kind: Throttled, Stage: "Fetch Logs", Message: "429", Status: 429, RetryAfter: r.Reset, RateLimit: r}
				}
				if first.IsZero() && time.Now().After(ends) {
					first = time.Now()
				}
				return nil
			}
			g.api.after = func(_ Query, p *Page) { p.RateLimit = left() }
			g.during(21 * time.Minute)
			if refused == 0 {
				t.Error("no call was refused")
			}
			if first.IsZero() {
				t.Errorf("window ends %v after a whole second: no call within a minute of it", fraction)
			}
		})
	}
}

// Nor does an answer that was long on its way, and was made in the window before.
func TestBudgetAnswerOfTheWindowBefore(t *testing.T) {
	for name, late := range map[string]RateLimit{
		"at its end":     {Limit: 5000},
		"long before it": {Limit: 5000, Reset: 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := NewBudget(0.5)
				b.take(Tail)
				b.Observe(RateLimit{Limit: 5000, Remaining: 10, Reset: time.Minute})
				late.At = time.Now().Add(58 * time.Second)
				time.Sleep(time.Minute + rounding)
				b.take(Tail)
				b.Observe(late)
				if d := b.Delay(Tail); d != 0 {
					t.Errorf("in the new window a call waits %v", d)
				}
				if used, ends := b.Used(); used != 1 || time.Until(ends) < 59*time.Minute {
					t.Errorf("%d calls until %v", used, ends)
				}
			})
		})
	}
}
