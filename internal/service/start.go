package service

import (
	"context"
	"sync"
	"time"
)

const (
	// startSpread is the time between the starts of two connectors, so that
	// thousands are no herd: 10,000 begin within 20 s, one begins at once.
	startSpread = 2 * time.Millisecond
	// firstCalls is how many connectors may make their first calls (a token and
	// a page) at a time.
	firstCalls = 64
	// firstCallTime is how long a first call counts as one of firstCalls, so
	// that accounts that answer slowly do not keep the others waiting.
	firstCallTime = 500 * time.Millisecond
)

// gates bound how many connectors begin at a time.
type gates struct {
	next  chan struct{} // full until the next may start
	calls chan struct{} // first calls under way
}

func newGates() gates {
	return gates{next: make(chan struct{}, 1), calls: make(chan struct{}, firstCalls)}
}

// wait returns nil when the caller's turn has come.
func (g *gates) wait(ctx context.Context) error {
	select {
	case g.next <- struct{}{}:
		time.AfterFunc(startSpread, func() { <-g.next })
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter lets a first call begin; leave must follow.
func (g *gates) enter(ctx context.Context) (leave func(), err error) {
	select {
	case g.calls <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	out := sync.OnceFunc(func() { <-g.calls })
	timer := time.AfterFunc(firstCallTime, out)
	return func() { timer.Stop(); out() }, nil
}
