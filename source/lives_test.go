package source

import (
	"fmt"
	"testing"
	"time"
)

// Sessions that live only for a few pages each, as those of a process do that is
// killed again and again, get on all the same: every one leaves a position
// behind from which the next reads on, and the account does not fall behind.
func TestShortLives(t *testing.T) {
	for _, rate := range []int{1, 10, 50} {
		for _, page := range []int{50, 1000} {
			t.Run(fmt.Sprintf("%d events/s, pages of %d", rate, page), func(t *testing.T) {
				within(t, func(t *testing.T, g *rig) {
					const back, life, lives = 10 * time.Minute, 8 * time.Second, 45
					g.poller.PageSize = page
					g.poller.StartFrom = StartFrom{Ago: back}
					g.manyCalls()
					g.api.latency = func() time.Duration { return 200 * time.Millisecond }
					n := rate * int((back+lives*life)/time.Second)
					g.api.add(series(time.Now().UTC().Add(-back), 1, n, time.Second/time.Duration(rate))...)
					for range lives {
						g.during(life)
					}
					if behind := time.Since(g.topic.last.Through); behind > back {
						t.Errorf("through is %v old after %d sessions of %v", behind, lives, life)
					}
				})
			})
		}
	}
}
