package faultproxy

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Kind is what a fault does to the request it hits.
type Kind int

const (
	// DropAnswer cuts the connection when the broker has answered: the work is done, the answer is lost.
	DropAnswer Kind = iota + 1
	// DropRequest cuts the connection before the request reaches the broker: the work is not done.
	DropRequest
	// DelayAnswer holds the answer, and those behind it on the connection, back.
	DelayAnswer
	// DelayRequest holds the request back and forwards it even if the client has gone by then: the work is done late.
	DelayRequest
	// TearAnswer forwards half of the answer and cuts the connection.
	TearAnswer
)

// AnyKey is a Fault.Key that matches each request.
const AnyKey int16 = -1

// Request is the header of a Kafka request, as far as every version of it has the same form.
type Request struct {
	Node          int // the route it came in by
	Key, Version  int16
	CorrelationID int32
	ClientID      string
	Size          int // bytes after the size field
}

// Fault describes which requests are hit, and how.
type Fault struct {
	Kind Kind
	// Key is the API key, or AnyKey.
	Key int16
	// Match narrows the choice further; nil means each request with that key.
	Match func(Request) bool
	// Nth hits only the n-th matching request, from 1. 0 means each, subject to Probability and Times.
	Nth int
	// Probability that a matching request is hit, above 0 and at most 1; 0 means 1.
	Probability float64
	// Times is the most hits; 0 means no limit.
	Times int
	// Delay and Until end a DelayAnswer or DelayRequest, whichever comes first; the zero values never do. Closing the Set ends both.
	Delay time.Duration
	Until <-chan struct{}
}

// Handle is an armed fault.
type Handle struct {
	fault Fault

	mu            sync.Mutex
	seen, claimed int
	hits, passed  atomic.Int64
	first         chan struct{}
	once          sync.Once
}

// Hits is how often the fault has been done, not merely decided upon. A delay counts when it begins.
func (h *Handle) Hits() int { return int(h.hits.Load()) }

// Passed is how many delayed requests or answers have been forwarded after all.
func (h *Handle) Passed() int { return int(h.passed.Load()) }

// Hit is closed at the first hit.
func (h *Handle) Hit() <-chan struct{} { return h.first }

// Seen is how many requests matched, hit or not.
func (h *Handle) Seen() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen
}

func (h *Handle) did() {
	h.hits.Add(1)
	h.once.Do(func() { close(h.first) })
}

// claims decides whether this request is hit. One that another fault has taken counts as seen.
func (h *Handle) claims(r Request, taken bool) bool {
	f := &h.fault
	if f.Key != AnyKey && f.Key != r.Key || f.Match != nil && !f.Match(r) {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen++
	switch {
	case taken,
		f.Nth > 0 && h.seen != f.Nth,
		f.Times > 0 && h.claimed >= f.Times,
		f.Probability > 0 && rand.Float64() >= f.Probability:
		return false
	}
	h.claimed++
	return true
}

// wait returns when the delay is over, or stop is closed (false).
func (h *Handle) wait(stop <-chan struct{}) bool {
	var over <-chan time.Time
	if h.fault.Delay > 0 {
		t := time.NewTimer(h.fault.Delay)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-over:
		return true
	case <-h.fault.Until:
		return true
	case <-stop:
		return false
	}
}
