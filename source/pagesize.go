package source

import (
	"net/http"
	"strings"
	"time"
)

const (
	// heavyTries is how often in a row a page that may be too heavy fails before
	// it is asked for in a smaller size.
	heavyTries = 2
	// refusedTries is how often in a row the large size must be refused, and the
	// small one given, by answers that do not say that it is for the size.
	refusedTries = 2
	// A size that failed is tried again after firstRaise, then after twice as
	// long each time, up to raiseEvery.
	firstRaise = time.Minute
	raiseEvery = time.Hour
	// cutsSeen is how many pages of one and the same length must have been cut
	// off for that to be taken for the most that the API gives.
	cutsSeen = 2
	// lately is how long a page tells what the API gives.
	lately = time.Hour
)

// pageSize knows what page size to ask for and what it comes to. It has no
// clock and makes no call: it is told of each call that was made, by one
// goroutine.
//
// A fixed size stays. The size "auto" begins at maxPageSize, and falls in two
// cases:
//
// Pages too heavy for the API fail twice in a row: the page is asked for again in
// half the size, down to 1. As soon as a smaller page comes, the next reading
// begins with the former size: the trouble may have been of another kind. Fails
// that too, the size that works is kept, and doubled again after a minute, two,
// four, and then each hour.
//
// A page that fails for what it holds says nothing of others: it is asked for in
// half the size, a fixed one too, and the reading goes back to its own from there,
// doubling it each page. So one element costs some thirty calls, not one for each
// of its neighbours.
//
// A limit is refused with a 400: the same query is asked at safePageSize. If
// that is given, and the answer blamed the limit or the same happens twice in a
// row, the size stays there for an hour and then grows as it fell.
//
// So once an API is well again the size is the configured one within an hour of
// its first answer and ten readings whose pages are full. While pages hold too little to tell, the
// size doubles each hour.
type pageSize struct {
	top   int // the size configured
	fixed bool
	size  int

	// rows are the pages that failed last, of two readings, say: the small pages
	// of one say nothing of the other's.
	rows    [2]failedPage
	nextRow int // where in rows the next goes
	// former is the size before it began to fall; 0 once a smaller page came.
	former int
	// repeated tells that the size fell again when former was tried.
	repeated bool
	// trying tells that size may be too much: what is known to work is proven.
	trying bool
	proven int
	// byLimit tells that the size fell for a refused limit.
	byLimit bool
	raiseAt time.Time
	wait    time.Duration

	// probe is a query refused at probed that is being asked at safePageSize;
	// probed is 0 if there is none. blames tells that the refusal was for the
	// limit.
	probe  Query
	probed int
	blames bool
	// refused is how often in a row refusedAt was refused and safePageSize given.
	refusedAt, refused int

	clamp clamp
}

// failedPage is a page that failed so many times in a row.
type failedPage struct {
	query Query
	fails int
}

// is tells whether q asks for the page in the same size. A first page may be
// asked for from a little later, or up to a little later, each time.
func (f *failedPage) is(q Query) bool {
	return f.fails > 0 && f.query.Limit == q.Limit && f.query.Cursor == q.Cursor &&
		(q.Cursor != "" || f.query.Since.Equal(q.Since) || f.query.Until.Equal(q.Until))
}

// newPageSize starts with the size configured, 1 to 1000; 0 = auto.
func newPageSize(configured int) pageSize {
	p := pageSize{top: min(configured, maxPageSize), fixed: configured > 0}
	if !p.fixed {
		p.top = maxPageSize
	}
	p.size = p.top
	return p
}

// limit is the size to begin a reading with.
func (p *pageSize) limit() int { return p.size }

// room is how many elements a page of that size really holds.
func (p *pageSize) room() int {
	if p.clamp.most > 0 {
		return min(p.clamp.most, p.size)
	}
	return p.size
}

// answered learns from an answer to q that came at now.
func (p *pageSize) answered(q Query, page *Page, now time.Time) {
	p.clamp.answered(q, page, now)
	if p.fixed {
		return
	}
	for i := range p.rows {
		if p.rows[i].is(q) {
			p.rows[i] = failedPage{}
		}
	}
	if q.Limit >= p.refusedAt {
		p.refused = 0
	}
	if p.probed > 0 && q.Limit <= safePageSize && p.probe == atLimit(q, 0) {
		p.given(now)
		return
	}
	if q.Limit != p.size {
		return // of a reading that began with another size
	}
	switch {
	case p.former > 0 && !p.repeated:
		p.try(p.former, q.Limit)
		p.former, p.raiseAt = 0, now.Add(raiseEvery)
	case p.former > 0:
		p.former, p.repeated = 0, false
		p.trying, p.raiseAt = false, now.Add(p.wait)
	case p.trying && (p.byLimit || page.Len() > p.proven):
		p.trying, p.raiseAt = false, now
		if p.size == p.top {
			p.byLimit, p.wait = false, 0
		}
	}
	if p.former == 0 && p.size < p.top && !now.Before(p.raiseAt) {
		p.try(min(2*p.size, p.top), p.size)
		p.raiseAt = now.Add(raiseEvery)
	}
}

func (p *pageSize) try(size, proven int) { p.size, p.proven, p.trying = size, proven, true }

// given learns that the size that always works was given where probed was
// refused.
func (p *pageSize) given(now time.Time) {
	at := p.probed
	p.probed = 0
	if p.refusedAt != at {
		p.refusedAt, p.refused = at, 0
	}
	p.refused++
	if at > p.size || !p.blames && !p.trying && p.refused < refusedTries {
		return
	}
	size := safePageSize
	if p.trying && at == p.size && p.byLimit {
		size = p.proven
	}
	p.size, p.former, p.repeated, p.trying, p.byLimit = size, 0, false, false, true
	p.refused, p.wait = 0, raiseEvery
	p.raiseAt = now.Add(p.wait)
}

// failed learns from a failure of q. Above 0, the very same query is to be asked
// again at once, cursor included, with again as its limit; else the failure is
// to be dealt with as any other.
func (p *pageSize) failed(q Query, e *APIError, _ time.Time) (again int) {
	if e.Narrow {
		return q.Limit / 2
	}
	if p.fixed || e.Stage == "Authentication" {
		return 0
	}
	p.probed = probeAfter(p.probed, p.probe, q)
	if refusesLimit(e) && q.Limit > safePageSize {
		p.probe, p.probed, p.blames = atLimit(q, 0), q.Limit, e.Kind == BadLimit
		return safePageSize
	}
	if !tooHeavy(e) || q.Limit <= 1 {
		return 0
	}
	if q.Limit > p.size {
		return p.size
	}
	row := p.row(q)
	row.query = q
	if row.fails++; row.fails < heavyTries {
		return 0
	}
	*row = failedPage{}
	half := q.Limit / 2
	if q.Limit == p.size {
		p.fall(half)
	}
	return half
}

// row returns what is known of failures of the page that q asks for.
func (p *pageSize) row(q Query) *failedPage {
	for i := range p.rows {
		if p.rows[i].is(q) {
			return &p.rows[i]
		}
	}
	r := &p.rows[p.nextRow]
	p.nextRow = (p.nextRow + 1) % len(p.rows)
	*r = failedPage{}
	return r
}

// fall makes half the size, which failed.
func (p *pageSize) fall(half int) {
	if p.trying {
		p.repeated, p.trying = true, false
		p.wait = min(max(2*p.wait, firstRaise), raiseEvery)
	}
	if p.former == 0 {
		p.former = p.size
	}
	p.size, p.byLimit = half, false
}

// probeAfter is probed once q has failed: a probe that fails too proves nothing.
func probeAfter(probed int, probe, q Query) int {
	if probe == atLimit(q, 0) {
		return 0
	}
	return probed
}

func atLimit(q Query, limit int) Query {
	q.Limit = limit
	return q
}

// refusesLimit tells whether e is, or may be, for the size asked for: what a 400
// for it says is documented nowhere.
func refusesLimit(e *APIError) bool {
	return e.Kind == BadLimit ||
		e.Kind == Refused && (e.Status == http.StatusBadRequest || e.Status == http.StatusUnprocessableEntity)
}

// tooHeavy tells whether a smaller page may come where e did. A server that says
// when to come again speaks of its load.
func tooHeavy(e *APIError) bool {
	return e.RetryAfter == 0 && (e.Kind == Timeout || e.Kind == Refused && e.Status >= 500)
}

// clamp learns how many elements the API gives at most, where that is less than
// it was asked for: the length of the longest pages lately, if these were cut
// off. A page is cut off if it links on and what it links to is not empty; an
// API may link on from its last page too, and then what has happened meanwhile
// follows. So it must happen again at the same length. A longer page proves it
// wrong.
type clamp struct {
	most int // 0 = none known
	// peak is the length of the longest page lately, cuts how many of its length
	// were cut off.
	peak   int
	peakAt time.Time
	cuts   int
	// open are the last short pages that linked on: of two readings, say.
	open [2]openPage
	next int // where in open the next goes
}

// openPage is a page that may have been cut off.
type openPage struct {
	cursor string // that it links to
	n      int
}

func (c *clamp) answered(q Query, page *Page, now time.Time) {
	n := page.Len()
	if n > c.most {
		c.most = 0
	}
	switch {
	case n > c.peak || now.Sub(c.peakAt) >= lately:
		c.peak, c.peakAt, c.cuts = n, now, 0
	case n == c.peak:
		c.peakAt = now
	}
	at := -1
	if q.Cursor != "" {
		for i := range c.open {
			if c.open[i].cursor == q.Cursor {
				at = i
			}
		}
	}
	if at >= 0 {
		if n > 0 && c.open[at].n == c.peak {
			if c.cuts++; c.cuts >= cutsSeen {
				c.most = c.peak
			}
		}
		c.open[at] = openPage{}
	}
	if page.Next == "" || n == 0 || n >= q.Limit {
		return
	}
	if n == c.peak && n == safePageSize { // the documented size needs no second page
		c.most = n
	}
	if at < 0 {
		at, c.next = c.next, (c.next+1)%len(c.open)
	}
	c.open[at] = openPage{cursor: strings.Clone(page.Next), n: n}
}
