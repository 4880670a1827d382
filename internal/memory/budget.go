// Package memory bounds what a process holds of what it has read and has not
// written yet: one budget for all connectors, taken before a page is asked for.
package memory

import (
	"context"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
)

// Budget is a number of bytes that many share. Whoever waits is served in the
// order of asking, so that nobody starves. It is safe for concurrent use.
type Budget struct {
	size int64
	free *semaphore.Weighted

	mu   sync.Mutex
	held int64 // bytes reserved, what was taken beyond the budget too
	most int64
}

// NewBudget returns a budget of so many bytes, 1 or more.
func NewBudget(bytes int64) *Budget {
	return &Budget{size: bytes, free: semaphore.NewWeighted(bytes)}
}

// Reserve waits until so many bytes are free, and takes them until release is
// called; a second call of release does nothing. Whoever asks for more than
// there is gets it all to himself. The error is ctx's.
func (b *Budget) Reserve(ctx context.Context, bytes int64) (release func(), err error) {
	n := min(max(bytes, 0), b.size)
	if err := b.free.Acquire(ctx, n); err != nil {
		return nil, fmt.Errorf("waiting for memory: %w", err)
	}
	b.note(n)
	return sync.OnceFunc(func() {
		b.note(-n)
		b.free.Release(n)
	}), nil
}

func (b *Budget) note(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held += n
	b.most = max(b.most, b.held)
}

// Held is how many bytes are reserved, and how many were at most.
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
