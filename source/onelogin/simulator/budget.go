package simulator

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// budget is an account's hourly budget of calls. The window is a fixed hour
// that begins with the first call after the last window.
type budget struct {
	limit int // 0: none

	mu    sync.Mutex
	start time.Time
	used  int
}

// balance is what X-RateLimit-* say.
type balance struct {
	Limit     int `json:"X-RateLimit-Limit"`
	Remaining int `json:"X-RateLimit-Remaining"`
	Reset     int `json:"X-RateLimit-Reset"` // seconds left in the window
}

// take spends n calls if they are there.
func (b *budget) take(now time.Time, n int) (balance, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used == 0 || !now.Before(b.start.Add(time.Hour)) {
		b.start, b.used = now, 0
	}
	ok := b.limit == 0 || b.used+n <= b.limit
	if ok {
		b.used += n
	}
	left := b.start.Add(time.Hour).Sub(now)
	return balance{
		Limit:     b.limit,
		Remaining: max(b.limit-b.used, 0),
		Reset:     int((left + time.Second - 1) / time.Second),
	}, ok
}

// spend takes up to n calls: what another integration of the customer does.
func (b *budget) spend(now time.Time, n int) balance {
	if b.limit > 0 {
		state, _ := b.take(now, 0)
		n = min(n, state.Remaining)
	}
	state, _ := b.take(now, n)
	return state
}

func (b balance) setHeaders(h http.Header) {
	if b.Limit == 0 {
		return
	}
	h.Set("X-RateLimit-Limit", strconv.Itoa(b.Limit))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(b.Remaining))
	h.Set("X-RateLimit-Reset", strconv.Itoa(b.Reset))
}

func dropRateHeaders(h http.Header) {
	h.Del("X-RateLimit-Limit")
	h.Del("X-RateLimit-Remaining")
	h.Del("X-RateLimit-Reset")
}
