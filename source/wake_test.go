package source

import (
	"testing"
	"time"
)

// Wake ends a rest once; one that comes while a poll is under way is not lost,
// since that may have begun with the old secret.
func TestWakeDuringAPoll(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.poller.PollMin, g.poller.PollMax = time.Hour, time.Hour
		broken, latency := true, time.Duration(0)
		var at []time.Time
		g.api.latency = func() time.Duration { return latency }
		g.api.fault = func(int, Query) error {
			at = append(at, time.Now())
			if broken {
				return &APIError{Kind: Credentials, Stage: "Authentication", Message: "Credentials error"}
			}
			return nil
		}
		want := func(n int) {
			t.Helper()
			if len(at) != n {
				t.Fatalf("%d polls, want %d: %v", len(at), n, at)
			}
		}
		g.poller.Wake() // before there is anything to wake
		g.start()
		g.pause(time.Minute)
		want(2)
		g.poller.Wake()
		g.pause(10 * time.Minute)
		want(3)

		latency = 10 * time.Second
		g.poller.Wake()
		g.pause(5 * time.Second)
		broken = false
		g.poller.Wake()
		g.pause(time.Minute)
		want(5)
		_ = g.end()
	})
}
