package source

import (
	"testing"
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
