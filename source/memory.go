package source

import (
	"context"
	"slices"
	"sync"
)

// Memory is what all pollers of a process hold pages in. It is taken before a
// page is asked for, and given back when what came of it is committed, or nothing
// did.
type Memory interface {
	// Reserve waits until so many bytes are free, and takes them until release is
	// first called.
	Reserve(ctx context.Context, bytes int64) (release func(), err error)
}

const (
	// leastPage is what a page is reckoned at least, in bytes: an answer without
	// an event takes something too.
	leastPage = 4 << 10
	// firstPage is what a connector's first page is reckoned.
	firstPage = 1 << 20
	// openPages bounds the pages that a session has in hand at a time: those on
	// their way, and the one that is made into a batch.
	openPages = 4
)

// held is the memory of one page; nil holds nothing.
type held struct{ release func() }

// pages are the pages of one session that are not with the sink. Whatever
// becomes of a page, its memory is given back with the session's end at the
// latest.
type pages struct {
	memory Memory // nil = without bounds

	mu       sync.Mutex
	expected int64 // bytes of the next page: those of the last; 0 = none has come
	open     []*held
}

// ask waits for the memory of a page.
func (p *pages) ask(ctx context.Context) (*held, error) {
	if p.memory == nil {
		return nil, nil
	}
	release, err := p.memory.Reserve(ctx, p.expect())
	if err != nil {
		return nil, err
	}
	h := &held{release}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = append(p.open, h)
	return h, nil
}

// expect is what to reckon the next page. What was dropped on its way gives back
// what it had.
func (p *pages) expect() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.open) >= openPages {
		p.open[0].release()
		p.open = p.open[1:]
	}
	if p.expected == 0 {
		return firstPage
	}
	return p.expected
}

// came reckons the next page like this one.
func (p *pages) came(page *Page) {
	n := int64(leastPage)
	for i := range page.Events {
		n += int64(len(page.Events[i].Raw))
	}
	for i := range page.Malformed {
		n += int64(len(page.Malformed[i].Raw))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = n
}

// hand leaves it to the sink to give a page's memory back.
func (p *pages) hand(h *held) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = slices.DeleteFunc(p.open, func(o *held) bool { return o == h })
}

// free gives a page's memory back.
func (p *pages) free(h *held) {
	if h != nil {
		p.hand(h)
		h.release()
	}
}

// close gives back what is left.
func (p *pages) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.open {
		h.release()
	}
	p.open = nil
}
