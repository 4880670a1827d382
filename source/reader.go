package source

import (
	"context"
	"errors"
	"time"
)

// Reader reads what the API shows of the past, beside a poller and behind it: its
// calls come last in the budget's order. Its fields are set before the first Read,
// Priority before each; one goroutine uses it.
type Reader struct {
	// Connector is the connector's name, for metrics.
	Connector string
	Client    Client
	// Budget is shared with the connector's poller; nil = one of its own.
	Budget *Budget
	// Memory is shared by all of the process; nil = without bounds.
	Memory Memory
	// Metrics are shared by all of the process; nil = none.
	Metrics *Metrics
	// PageSize is the limit asked for; 0 = auto. See Settings.
	PageSize int
	// Priority is that of its calls, Backfill or Verify; zero = Backfill.
	Priority Priority

	size   *pageSize
	pages  pages
	meters *meters
}

// Reading is what came of a Read.
type Reading struct {
	// Pages is how many pages were shown.
	Pages int
	// Malformed is how many elements of them are not events.
	Malformed int
	// Overran tells that the API showed what was created long after the end of
	// what was asked for: it ignores until, and a shorter range costs as much.
	Overran bool
}

// Room is how many events a page holds, as far as it is known.
func (r *Reader) Room() int {
	r.prepare()
	return r.size.room()
}

// Read reads all that the API shows of what was created in [from, to), and some
// seconds more at both ends, and hands each page to do. known are ids that the API
// must show for its answer to be believed; it is taken over. do returns true where
// it keeps the page, whose memory is then the sink's to give back: see Repair. A
// page may come again, since one that fails is asked for again, and so may events.
//
// The error is an *APIError, one of do's as it is, or ctx's. Of kind Unreadable
// with the message "Log listing error" it means that the answers do not hold
// together: Doubted tells whether for known ids that were not shown.
func (r *Reader) Read(ctx context.Context, from, to time.Time, known []int64, do func(*Page) (kept bool, err error)) (Reading, error) {
	r.prepare()
	rd := &reading{
		query: Query{Since: from.Add(-edge), Until: to.Add(edge), Limit: r.size.limit()},
		first: CatchUp, further: CatchUp, began: time.Now(),
		worth: entry{from: from, to: to}, evidence: expect(known, false),
	}
	ahead := r.ahead(ctx, rd)
	defer func() { ahead.abandon() }()
	for {
		<-ahead.done
		page, err := ahead.page, ahead.err
		ahead.page = Page{}
		if err != nil {
			return rd.summary(), err
		}
		far := page.ServerTime.Add(farAhead)
		rd.see(&page, far, far, to)
		how, err := rd.next(&page, r.size.room(), time.Now())
		if how == stepOn && err == nil {
			rd.query.Cursor = page.Next
			rd.query.Limit = max(rd.query.Limit, min(2*rd.query.Limit, rd.wide))
		}
		// The next page comes while this one is looked at.
		early := how == stepOn && err == nil && rd.empty == 0
		sum := rd.summary()
		if early {
			ahead.abandon()
			ahead = r.ahead(ctx, rd)
		}
		held := page.held
		kept, failed := do(&page)
		if !kept {
			free(held)
		}
		switch {
		case failed != nil:
			return sum, failed
		case err != nil:
			return sum, err
		case how == stepEnd && !rd.evidence.holds():
			return sum, listingError(rd.evidence.err(from, rd.oldest))
		case how == stepEnd:
			return sum, nil
		case early:
			continue
		}
		if err := sleep(ctx, min(time.Duration(rd.empty)*emptyWait, 2*time.Second)); err != nil {
			return sum, err
		}
		ahead.abandon()
		ahead = r.ahead(ctx, rd)
	}
}

// ahead asks for the reading's next page in the background. Nobody else touches the
// reading until it is there.
func (r *Reader) ahead(ctx context.Context, rd *reading) *fetch {
	ctx, stop := context.WithCancel(ctx)
	f := &fetch{done: make(chan struct{}), stop: stop}
	go func() {
		defer close(f.done)
		f.page, f.err = r.page(ctx, rd)
	}()
	return f
}

func (r *reading) summary() Reading {
	return Reading{Pages: r.pages, Malformed: r.malformed, Overran: r.overran}
}

// page asks for the reading's next page, some times if it must.
func (r *Reader) page(ctx context.Context, rd *reading) (Page, error) {
	for tries := 1; ; {
		if err := r.Budget.Wait(ctx, max(r.Priority, Backfill)); err != nil {
			return Page{}, err
		}
		page, err := call(ctx, r.Client, r.Budget, &r.pages, r.meters, rd.query)
		now := time.Now()
		if err == nil {
			r.size.answered(rd.query, &page, now)
			return page, nil
		}
		var api *APIError
		if !errors.As(err, &api) {
			return Page{}, err
		}
		if limit := r.size.failed(rd.query, api, now); limit > 0 {
			if api.Narrow {
				rd.wide = max(rd.wide, rd.query.Limit)
			}
			rd.query.Limit = limit
			continue
		}
		wait := max(api.RetryAfter, pageWait<<min(tries, 5))
		if api.Kind == Throttled {
			r.Budget.Throttled(wait)
		}
		if tries++; !passing(api) || tries > pageTries || wait > patience {
			return Page{}, api
		}
		if err := sleep(ctx, wait); err != nil {
			return Page{}, err
		}
	}
}

func (r *Reader) prepare() {
	if r.size != nil {
		return
	}
	size := newPageSize(r.PageSize)
	r.size, r.meters, r.pages.memory = &size, r.Metrics.of(r.Connector), r.Memory
	if r.Budget == nil {
		r.Budget = NewBudget(defaultShare)
	}
}

// Doubted tells whether err says that the API does not show events that are known.
func Doubted(err error) bool {
	_, doubt := errors.AsType[errShown](err)
	return doubt
}
