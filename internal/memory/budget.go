// Package memory bounds what a process holds of what it has read and has not
// written yet: one budget for all connectors, taken before a page is asked for.
package memory

import (
	"container/list"
	"context"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"onelogin-kafka/source"
)

// Budget is a number of bytes that many share. It is safe for concurrent use.
type Budget struct {
	size int64
	// Small requests have a part of their own, so that those who only look whether
	// there is something do not wait behind those who fetch a backlog.
	small, large pool

	mu   sync.Mutex
	held int64
	most int64
}

// smallRequest is what counts as small, in bytes; a smallPart of the budget is
// for such.
const (
	smallRequest = 64 << 10
	smallPart    = 8
)

// NewBudget returns a budget of so many bytes, at least 1 MiB.
func NewBudget(bytes int64) *Budget {
	bytes = max(bytes, 1<<20)
	return &Budget{size: bytes, small: pool{size: bytes / smallPart}, large: pool{size: bytes - bytes/smallPart}}
}

// Reserve implements source.Memory. Those who wait are served in the order of
// asking, so that nobody starves; whoever asks for more than there is gets it all
// to himself. While more is held than there is, since what came was larger than
// it was reckoned, all wait. The error is ctx's.
func (b *Budget) Reserve(ctx context.Context, bytes int64) (source.Hold, error) {
	p := &b.large
	if bytes <= smallRequest {
		p = &b.small
		if err := b.large.solvent(ctx); err != nil {
			return nil, fmt.Errorf("waiting for memory: %w", err)
		}
	}
	n := min(max(bytes, 0), p.size)
	if err := p.acquire(ctx, n); err != nil {
		return nil, fmt.Errorf("waiting for memory: %w", err)
	}
	b.note(n)
	return &hold{budget: b, pool: p, bytes: n}, nil
}

func (b *Budget) note(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held += n
	b.most = max(b.most, b.held)
}

// Held is how many bytes are taken, and how many were at most.
func (b *Budget) Held() (now, most int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held, b.most
}

// Register makes the budget visible as metrics.
func (b *Budget) Register(reg prometheus.Registerer) {
	reg.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "onelogin_memory_budget_bytes", Help: "How much may be held of pages that are not committed."},
			func() float64 { return float64(b.size) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "onelogin_memory_reserved_bytes", Help: "How much is held, or set aside for pages that were asked for."},
			func() float64 { now, _ := b.Held(); return float64(now) }),
	)
}

// hold is a part of a budget.
type hold struct {
	budget *Budget

	mu    sync.Mutex
	pool  *pool
	bytes int64
	over  bool
}

// Resize implements source.Hold. What turns out to be large is no longer held in
// the part for the small.
func (h *hold) Resize(bytes int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return
	}
	pool := h.pool
	if bytes > smallRequest {
		pool = &h.budget.large
	}
	pool.take(bytes)
	h.pool.give(h.bytes)
	h.budget.note(bytes - h.bytes)
	h.pool, h.bytes = pool, bytes
}

// Release implements source.Hold.
func (h *hold) Release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.over {
		h.over = true
		h.pool.give(h.bytes)
		h.budget.note(-h.bytes)
	}
}

// pool is a number of bytes with a queue of those who wait for some.
type pool struct {
	size int64

	mu    sync.Mutex
	taken int64         // can be more than size, by take
	queue list.List     // of *waiter
	debt  chan struct{} // closed when taken is no longer more than size; nil while it is not
}

type waiter struct {
	bytes int64
	ready chan struct{}
}

func (p *pool) acquire(ctx context.Context, n int64) error {
	p.mu.Lock()
	if p.queue.Len() == 0 && p.taken+n <= p.size {
		p.taken += n
		p.mu.Unlock()
		return nil
	}
	w := &waiter{n, make(chan struct{})}
	place := p.queue.PushBack(w)
	p.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-w.ready: // at the same moment
		p.taken -= n
	default:
		p.queue.Remove(place)
	}
	p.serve()
	return ctx.Err()
}

// solvent waits while more is taken than there is.
func (p *pool) solvent(ctx context.Context) error {
	p.mu.Lock()
	debt := p.debt
	p.mu.Unlock()
	if debt == nil {
		return nil
	}
	select {
	case <-debt:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take takes without waiting.
func (p *pool) take(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken += n
	if p.taken > p.size && p.debt == nil {
		p.debt = make(chan struct{})
	}
}

func (p *pool) give(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken -= n
	p.serve()
}

// serve lets those go on who come next and fit. The caller holds the lock.
func (p *pool) serve() {
	if p.debt != nil && p.taken <= p.size {
		close(p.debt)
		p.debt = nil
	}
	for e := p.queue.Front(); e != nil; e = p.queue.Front() {
		w := e.Value.(*waiter)
		if p.taken+w.bytes > p.size {
			return
		}
		p.taken += w.bytes
		p.queue.Remove(e)
		close(w.ready)
	}
}
