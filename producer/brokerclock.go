package producer

import (
	"sync"
	"time"
)

// brokerClock is what an instance knows of the brokers' clock, which is what a
// topic's bounds on timestamps are measured by; our own may be wrong. It may be
// used concurrently.
type brokerClock struct {
	mu   sync.Mutex
	told time.Time // the brokers' time, zero while they have told none
	at   time.Time // when that was, by our monotonic clock
}

// learn takes over when a broker says it appended a batch: in ms since the
// epoch, or -1 where a topic keeps the times of its writers
// (message.timestamp.type=CreateTime).
func (c *brokerClock) learn(appended int64) {
	if appended < 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told, c.at = time.UnixMilli(appended).UTC(), time.Now()
}

// now is the brokers' time if they ever told it, else ours.
func (c *brokerClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told.IsZero() {
		return time.Now().UTC().Round(0)
	}
	return c.told.Add(time.Since(c.at))
}
