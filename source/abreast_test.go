package source

import (
	"fmt"
	"testing"
	"time"

	"onelogin-kafka/schemas"
)

// An account that has so many events that what came since the last slice takes a
// while to read, is abreast of them all the same: its polls come to their end, and
// what is late is found.
func TestABusyAccountComesAbreast(t *testing.T) {
	for _, rate := range []int{15, 40} {
		t.Run(fmt.Sprintf("%d events/s", rate), func(t *testing.T) {
			within(t, func(t *testing.T, g *rig) {
				const back, life = 3 * time.Minute, 20 * time.Minute
				g.poller.PageSize = 50
				g.poller.SweepEvery, g.poller.SweepWindow = time.Minute, 2*time.Minute
				g.poller.StartFrom = StartFrom{Ago: back}
				g.manyCalls()
				g.api.latency = func() time.Duration { return time.Second }
				n := rate * int((back+life)/time.Second)
				g.api.add(series(time.Now().UTC().Add(-back), 1, n, time.Second/time.Duration(rate))...)
				g.start()
				time.Sleep(life)
				st := g.poller.Status()
				if st.State != schemas.StateActive || g.topic.last.CompleteThrough.IsZero() {
					t.Errorf("it is %s, through %v ago, complete through %v ago", st.State, time.Since(g.topic.last.Through), time.Since(g.topic.last.CompleteThrough))
				}
				_ = g.end()
			})
		})
	}
}
