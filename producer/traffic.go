package producer

import (
	"math"
	"sync"
	"time"
)

// traffic is how many events a second a shard has of late: a mean that fades,
// so that a burst counts for some minutes and not for ever.
type traffic struct {
	mu    sync.Mutex
	began time.Time
	at    time.Time // when rate was last brought up to date
	rate  float64   // events/s, as if there had been none before began
}

const (
	// fading is the time after which an event counts for a third.
	fading = 2 * time.Minute
	// leastSeen is how long is looked at least: the first page of a shard that
	// has just been taken over says little of the next minutes.
	leastSeen = 15 * time.Second
)

func newTraffic(now time.Time) *traffic { return &traffic{began: now, at: now} }

// add counts events that were committed.
func (t *traffic) add(events int, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fade(now)
	t.rate += float64(events) / fading.Seconds()
}

// perSecond is the mean as of now.
func (t *traffic) perSecond(now time.Time) int32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fade(now)
	seen := max(now.Sub(t.began), leastSeen)
	return int32(min(t.rate/(1-math.Exp(-seen.Seconds()/fading.Seconds())), math.MaxInt32))
}

func (t *traffic) fade(now time.Time) {
	if d := now.Sub(t.at); d > 0 {
		t.rate *= math.Exp(-d.Seconds() / fading.Seconds())
		t.at = now
	}
}
