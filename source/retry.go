package source

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// refusedMax is the longest wait of a connector whose credentials are refused.
const refusedMax = 15 * time.Minute

// retry says how long to wait after the next failure in a row: exponential
// with jitter, never given up.
type retry struct{ b *backoff.ExponentialBackOff }

func newRetry(shortest, longest time.Duration) retry {
	return retry{backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(shortest),
		backoff.WithMaxInterval(longest),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0.2),
		backoff.WithMaxElapsedTime(0),
	)}
}

// next is the wait after one more failure.
func (r retry) next() time.Duration { return r.b.NextBackOff() }

// reset begins anew after a success.
func (r retry) reset() { r.b.Reset() }
