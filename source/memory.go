package source

import (
	"context"
	"sync"
)

// Memory is what all pollers of a process hold pages in. It is taken before a
// page is asked for, and given back when what came of it is committed, or nothing
// did.
type Memory interface {
	// Reserve waits until so many bytes are free, and takes them.
	Reserve(ctx context.Context, bytes int64) (Hold, error)
}

// Hold is memory that was taken.
type Hold interface {
	// Resize makes it that of what has come. It does not wait: the next who asks
	// does.
	Resize(bytes int64)
	// Release gives it back. It may be called more than once.
	Release()
}

const (
	// leastPage is what a page is reckoned at least, in bytes: an answer without
	// an event takes something too.
	leastPage = 4 << 10
	// firstPage is what the first page of a poll is reckoned.
	firstPage = 16 << 10
)

// pages reserve the memory of a poller's pages, one by one.
type pages struct {
	memory Memory // nil = without bounds

	mu       sync.Mutex
	expected int64 // bytes of a further page: those of the last
}

// ask waits for the memory of a page, which is nil without bounds. The first of a
// poll mostly has little that is new, and may not come for long: it is reckoned
// low.
func (p *pages) ask(ctx context.Context, q Query) (Hold, error) {
	if p.memory == nil {
		return nil, nil
	}
	return p.memory.Reserve(ctx, p.expect(q.Cursor != ""))
}

// expect is what to reckon the next page.
func (p *pages) expect(further bool) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !further {
		return firstPage
	}
	return max(p.expected, leastPage)
}

// came has h hold the page that has come.
func (p *pages) came(h Hold, page *Page) {
	if h == nil {
		return
	}
	n := int64(leastPage)
	for i := range page.Events {
		n += int64(len(page.Events[i].Raw))
	}
	for i := range page.Malformed {
		n += int64(len(page.Malformed[i].Raw))
	}
	h.Resize(n)
	page.held = h
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = n
}

// free gives a page's memory back; h may be nil.
func free(h Hold) {
	if h != nil {
		h.Release()
	}
}
