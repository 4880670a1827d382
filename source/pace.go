package source

import (
	"context"
	"math/rand/v2"
	"time"
)

// pace says how long to wait between polls. It stays warm from session to
// session.
type pace struct {
	interval time.Duration
}

// after returns the interval that follows a poll: the shortest while events
// come, else twice the last, up to the longest.
func (p *pace) after(s *Settings, events bool) time.Duration {
	switch {
	case events || p.interval == 0:
		p.interval = s.PollMin
	default:
		p.interval = min(2*p.interval, s.PollMax)
	}
	return p.interval
}

// jitter shortens d by up to a twentieth, so that thousands of connectors do
// not beat together. It never lengthens: the interval is a promise.
func jitter(d time.Duration) time.Duration {
	return d - time.Duration(rand.Int64N(int64(d)/20+1))
}

// sleep waits for d, or for ctx to end and returns its error.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
