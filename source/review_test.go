package source

import (
	"testing"
	"time"

	"onelogin-kafka/schemas"
)

// Events dated ahead of every clock, however many have come together, do not
// take the position with them: what happens now would not be asked for any more.
func TestManySlipsDoNotMoveThePosition(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.manyCalls()
		g.poller.StartFrom = StartFrom{}
		now := time.Now().UTC()
		g.api.add(series(now, 1, 4*360, 10*time.Second)...)
		const slips = outliers + 1
		for i := range slips {
			g.api.add(happening{id: int64(100_000 + i), created: now.Add(time.Duration(20+i) * time.Hour), visible: now.Add(time.Duration(10*i+5) * time.Minute)})
		}
		g.start()
		g.pause(4 * time.Hour)
		g.wantState(schemas.StateActive)
		_ = g.end()
		if n := len(g.topic.published); n < 4*360+slips-3 {
			t.Errorf("%d events published, want %d", n, 4*360+slips)
		}
		if o := g.topic.last; o.Through.After(time.Now().Add(farAhead)) {
			t.Errorf("through is %v, now %v", o.Through, time.Now())
		}
	})
}

// A backlog that takes longer to read than until is done without is not begun
// anew each time that it is tried again.
func TestUntilIsRefusedForALongBacklog(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.poller.PageSize = 5
		g.api.latency = func() time.Duration { return 4 * time.Second }
		g.manyCalls()
		g.api.fault = func(_ int, q Query) error {
			if !q.Until.IsZero() {
				return &APIError{Kind: Refused, Stage: "Fetch Logs", Message: "x", Status: 400}
			}
			return nil
		}
		const n = 6000 // 1200 pages: 80 minutes
		g.api.add(series(time.Now().UTC().Add(-20*time.Hour), 1, n, 12*time.Second)...)
		g.during(3 * time.Hour)
		g.wantPublished(n)
	})
}
