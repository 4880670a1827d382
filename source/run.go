package source

import (
	"context"
	"errors"
	"hash/maphash"
	"time"

	"onelogin-kafka/schemas"
)

const (
	// maxPages bounds a run: no account has 100 million new events.
	maxPages = 100_000
	// maxEmpty is how many empty pages in a row end a run although they carry a
	// cursor: one alone may hide what comes after it.
	maxEmpty = 2
	// tipAge is how old the newest event of a poll that has caught up may be. It
	// allows for the time until the API shows an event.
	tipAge = 10 * time.Second
)

var hashSeed = maphash.MakeSeed()

// run is one reading of the API from a time to the end, page by page, with one
// query.
type run struct {
	since time.Time
	began time.Time
	// whole tells that all of the window was read since the run began, up to
	// where the run is.
	whole bool
	// swept is, for a sweep, the position when it began; zero for a tail poll.
	swept time.Time

	pages, empty int
	cursors      map[uint64]struct{}
	lastID       int64
	events       int // seen so far, known ones too
	published    int
	// unordered tells that ids or times do not ascend: the position may then
	// move only when the run is complete.
	unordered bool
	// newest is the newest created_at that may move the position.
	newest time.Time
	moved  bool // the position moved
}

func (r *run) isSweep() bool { return !r.swept.IsZero() }

// runTail reads from behind the position to the end, fetching each page while
// the one before is made into a batch and offered.
func (s *session) runTail(ctx context.Context) (*run, error) {
	since, whole := s.since()
	r := &run{since: since, whole: whole, began: time.Now()}
	q := Query{Since: since, Limit: s.p.limit}
	ahead := s.fetch(ctx, q, Tail)
	defer func() { ahead.abandon() }()
	for {
		if err := ahead.join(); err != nil {
			return r, err
		}
		page := ahead.page
		s.p.clock.learn(page.ServerTime, ahead.at)
		ahead = nil
		if err := s.admit(&page); err != nil {
			return r, err
		}
		further, broken := r.next(&page)
		q.Cursor = page.Next
		owing, tip := s.owes(r), s.atTip(r, &page)
		if further && !owing && !tip {
			ahead = s.fetch(ctx, q, CatchUp)
		}
		before := r.published
		if err := s.take(ctx, r, &page); err != nil {
			return r, err
		}
		if broken != nil {
			return r, broken
		}
		if !further {
			return r, nil
		}
		if tip && !r.unordered && r.published > before {
			r.whole = false
			return r, nil
		}
		// A page of known events only says nothing of how far behind we are: it
		// may be that nothing has happened since.
		if age := s.p.clock.now().Sub(s.off.Through); age > backlog && r.published > before {
			s.p.setLag(s.p.clock.ours(s.off.Through), false)
			s.p.setState(schemas.StateCatchingUp, nil)
		}
		if owing {
			if err := s.sweepBetween(ctx, r); err != nil {
				return r, err
			}
		}
		if ahead == nil {
			ahead = s.fetch(ctx, q, CatchUp)
		}
	}
}

// atTip tells whether page shows that the run has caught up, though the answer
// has a cursor: a further page that is not full, of events that have just
// happened. An API that links on from every page with events on it would keep a
// busy account's run going for ever, a call for each handful of events.
func (s *session) atTip(r *run, page *Page) bool {
	n := len(page.Events)
	if r.pages < 2 || n == 0 || page.Len() >= min(safePageSize, s.p.limit) {
		return false
	}
	return s.p.clock.now().Sub(page.Events[n-1].CreatedAt) < tipAge
}

var (
	errOtherAccount = errors.New("the credentials belong to another account than the connector's offset")
	errCursor       = errors.New("a cursor came again")
	errPages        = errors.New("too many pages")
)

// errPlaced tells that the poll must be made anew: a fresh start was placed by
// our clock, and the server has another.
var errPlaced = errors.New("the start was placed anew")

// admit looks at a page before anything is made of it.
func (s *session) admit(page *Page) error {
	if s.p.AccountID != nil {
		if id := s.p.AccountID(); id != 0 && s.off.AccountID != 0 && id != s.off.AccountID {
			return &APIError{Kind: Configuration, Stage: "Configuration", Message: "Configuration Error",
				Advice: "Use credentials of the account the connector began with, or give the connector a new name.", Err: errOtherAccount}
		}
	}
	if s.fresh && !s.placed && s.p.clock.known {
		before := s.off.Through
		if s.place(); s.off.Through.Sub(before).Abs() > minOverlap {
			return errPlaced
		}
		s.startAt(before)
	}
	if page.Len() == safePageSize && page.Next != "" && s.p.limit == maxPageSize && s.set.PageSize == 0 {
		s.setLimit(safePageSize)
	}
	return nil
}

// next counts page and tells whether another follows. broken is why the run
// must end although the API has more; the page itself still counts.
func (r *run) next(page *Page) (further bool, broken error) {
	r.pages++
	if page.Len() > 0 {
		r.empty = 0
	} else if r.empty++; r.empty >= maxEmpty {
		page.Next = ""
	}
	if page.Next == "" {
		return false, nil
	}
	h := maphash.String(hashSeed, page.Next)
	// The cursor of an empty page may well be the one that was asked with.
	if _, seen := r.cursors[h]; seen && r.empty == 0 {
		return false, listingError(errCursor)
	}
	if r.cursors == nil {
		r.cursors = make(map[uint64]struct{})
	}
	r.cursors[h] = struct{}{}
	if r.pages >= maxPages {
		return false, listingError(errPages)
	}
	return true, nil
}

func listingError(cause error) error {
	return &APIError{Kind: Unreadable, Stage: "Fetch Logs", Message: "Log listing error",
		Advice: "The API's pages do not come to an end; what they held is published, and the poll is tried again.", Err: cause}
}

// order looks whether ids and times ascend, within the page and from page to
// page. A single late event does not count: it only makes the oldest time of
// its page older.
func (r *run) order(page *Page) {
	n := len(page.Events)
	if n == 0 {
		return
	}
	first, last := &page.Events[0], &page.Events[n-1]
	if n > 1 && !page.Ascending || r.events > 0 && first.ID < r.lastID {
		r.unordered = true
	}
	if last.CreatedAt.Before(first.CreatedAt) {
		falls := 0
		for i := 1; i < n; i++ {
			if page.Events[i].CreatedAt.Before(page.Events[i-1].CreatedAt) {
				falls++
			}
		}
		if 4*falls >= n-1 && falls > 1 || n == 2 {
			r.unordered = true
		}
	}
	r.lastID = last.ID
	r.events += n
}
