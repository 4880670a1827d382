package source

import (
	"errors"
	"hash/maphash"
	"slices"
	"time"

	"onelogin-kafka/schemas"
)

const (
	// maxPages bounds a reading: no account has 100 million new events.
	maxPages = 100_000
	// tipAge is how old the events of a page may be that ends a reading though
	// it links on. It allows for the time until the API shows an event.
	tipAge = 10 * time.Second
	// farAhead is how far ahead of true time an event may be created and still
	// move the position.
	farAhead = time.Minute
	// confirmations is how often in a row an empty page that is said to be the
	// last of a sweep or a backlog is asked for again.
	confirmations = 4
	// outliers is how many events of a reading may lie further ahead without
	// moving the position. More than that is not a slip, but the API's clock, as
	// far as that is ahead by its own word.
	outliers = 10
)

var hashSeed = maphash.MakeSeed()

// reading is "read what was created in [from, to) with one frozen query". Polls,
// catching up and sweeps are readings; they differ in range, priority and pace.
type reading struct {
	query Query
	// first and further are what its first page is called for with, and the rest.
	first, further Priority
	began          time.Time // by our clock
	worth          entry
	evidence       evidence
	// covers tells that it begins at the window's start.
	covers bool
	// wide is the page size to go back to after pages that failed for what they
	// held; 0 if there were none.
	wide int

	pages     int
	empty     int // in a row
	cursors   map[uint64]struct{}
	events    int       // shown from the frontier on
	fresh     int       // published
	shown     int       // events, known ones too
	oldest    time.Time // created_at of those
	malformed int
	dead      int         // of them, new
	ahead     []time.Time // the newest created_at that lie far ahead, at most outliers+1
	begun     time.Time   // the newest created_at before to of the first page that had any
	// overran tells that it was shown what lies behind its end.
	overran bool
}

// see notes what page shows. What was created after horizon is far ahead; what
// was after future is so by every clock there is, and moves nothing.
func (r *reading) see(page *Page, horizon, future, frontier time.Time) {
	r.shown += len(page.Events)
	r.malformed += len(page.Malformed)
	for i := range page.Events {
		ev := &page.Events[i]
		r.evidence.show(ev.ID)
		t := ev.CreatedAt
		if r.oldest.IsZero() || t.Before(r.oldest) {
			r.oldest = t
		}
		if !r.worth.to.IsZero() && t.After(r.query.Until.Add(edge)) {
			r.overran, r.worth.to = true, time.Time{} // the API ignores until
		}
		switch {
		case !r.worth.to.IsZero() && !t.Before(r.worth.to):
			continue
		case t.After(future):
		case t.After(horizon):
			r.seeAhead(t)
		default:
			r.worth.newest = later(r.worth.newest, t)
		}
		if !t.Before(frontier) {
			r.events++
		}
	}
	if r.begun.IsZero() {
		r.begun = r.worth.newest
	}
}

func (r *reading) seeAhead(t time.Time) {
	i, _ := slices.BinarySearchFunc(r.ahead, t, time.Time.Compare)
	r.ahead = slices.Insert(r.ahead, i, t)
	if n := len(r.ahead) - outliers - 1; n > 0 {
		r.ahead = slices.Delete(r.ahead, 0, n)
	}
}

// result is what r is worth at its end, having begun at began by a clock that
// its answers have told: neither clock's word is taken alone, but events that
// had come by then lie in the past.
func (r *reading) result(began time.Time) entry {
	e := r.worth
	e.asOf = later(began, e.known)
	if len(r.ahead) > outliers {
		e.newest = later(e.newest, r.ahead[0])
	}
	e.newest = e.newest.UTC()
	return e
}

// step is how a reading goes on after a page.
type step uint8

const (
	stepOn    step = iota // the next page follows
	stepAgain             // the same page is asked for again
	stepEnd               // that was all
)

var (
	errCursor = errors.New("a cursor came again")
	errPages  = errors.New("too many pages")
	errUnsaid = errors.New("the answer does not say whether a page follows")
)

// next decides how r goes on after page, of which room elements make a full one.
// The error, a listing error, means that the answer cannot be the end and does
// not say how to go on; the page itself counts.
//
// What an answer leaves unsaid is taken for the end only where that hides
// nothing that is known, and the page is not full. An end that is said of an
// empty page is asked for again where a sweep or a slice relies upon it.
func (r *reading) next(page *Page, room int, now time.Time) (step, error) {
	r.pages++
	empty, asked := page.Len() == 0, r.query.Cursor
	if r.empty++; !empty {
		r.empty = 0
	}
	switch {
	case page.Next != "" && !(empty && page.Next == asked):
		h := maphash.String(hashSeed, page.Next)
		if _, seen := r.cursors[h]; seen {
			return stepEnd, listingError(errCursor)
		}
		if r.pages >= maxPages {
			return stepEnd, listingError(errPages)
		}
		if r.cursors == nil {
			r.cursors = make(map[uint64]struct{})
		}
		r.cursors[h] = struct{}{}
		if r.atTip(page, now) {
			return stepEnd, nil
		}
		return stepOn, nil
	case !page.Unsaid:
		if empty && asked != "" && r.empty <= confirmations && (page.Next != "" || r.further == Sweep || r.first == CatchUp) {
			return stepAgain, nil
		}
		return stepEnd, nil
	case r.evidence.holds() && page.Len() < min(room, r.query.Limit) && (!empty || asked == ""):
		return stepEnd, nil
	}
	return stepEnd, listingError(errUnsaid)
}

// atTip tells whether page shows that an open reading has caught up, though it
// links on: a further page that is not full, of events that have just happened,
// after all that is known. Nothing less tells a short page from the newest of an
// API that gives few events at a time, the newest first.
// An API that links on from every page with events on it would keep the poll of
// a busy account going for ever, a call for each handful of events.
func (r *reading) atTip(page *Page, now time.Time) bool {
	if r.pages < 2 || len(page.Events) == 0 || page.Len() >= min(safePageSize, r.query.Limit) || !r.worth.to.IsZero() || !r.evidence.holds() {
		return false
	}
	return !slices.ContainsFunc(page.Events, func(ev schemas.Event) bool { return now.Sub(ev.CreatedAt) > tipAge })
}

func listingError(cause error) *APIError {
	return &APIError{Kind: Unreadable, Stage: "Fetch Logs", Message: "Log listing error",
		Advice: "The API's answers do not hold together; what they hold is published, and it is asked again.", Err: cause}
}
