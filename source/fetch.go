package source

import (
	"context"
	"errors"
	"net/http"
	"time"

	"onelogin-kafka/schemas"
)

const (
	// pageTries is how often a further page of a run is asked for before the
	// run fails: a long run would otherwise never end while a few calls in a
	// hundred fail.
	pageTries = 4
	// patience is the longest wait inside a run; how long a cursor lives is not
	// documented.
	patience = time.Minute
)

// fetch is one page on its way. One is under way at most.
type fetch struct {
	done chan struct{}
	stop context.CancelFunc
	page Page
	at   time.Time // when it came
	err  error     // an *APIError, or the error of ctx
}

// fetch asks for a page in the background; join must follow.
func (s *session) fetch(ctx context.Context, q Query, p Priority) *fetch {
	ctx, stop := context.WithCancel(ctx)
	f := &fetch{done: make(chan struct{}), stop: stop}
	go func() {
		defer close(f.done)
		f.page, f.err = s.p.askAgain(ctx, &s.set, q, p)
		f.at = time.Now()
	}()
	return f
}

// join waits for the page.
func (f *fetch) join() error {
	<-f.done
	f.stop()
	return f.err
}

// abandon ends the call and waits for it; f may be nil.
func (f *fetch) abandon() {
	if f != nil {
		f.stop()
		<-f.done
	}
}

// askAgain asks for one page, a further page of a run several times where the
// trouble may pass soon. The query stays the same.
func (p *Poller) askAgain(ctx context.Context, set *Settings, q Query, prio Priority) (Page, error) {
	r := newRetry(set.PollMin, set.PollMax)
	unsaid := 0 // answers
	for try := 1; ; try++ {
		if d := p.budget.Delay(prio); d > max(set.PollMax, mostSpacing) {
			p.setState(schemas.StateThrottled, &APIError{Kind: Throttled, Stage: "Fetch Logs", Message: "the connector's share of the rate limit is used up"})
		}
		if err := p.budget.Wait(ctx, prio); err != nil {
			return Page{}, err
		}
		page, err := p.ask(ctx, q)
		if page.Unsaid && q.Cursor != "" && unsaid+1 < pageTries {
			unsaid++
			err = listingError(errUnsaid)
		}
		var api *APIError
		if err == nil || q.Cursor == "" || try == pageTries || !errors.As(err, &api) || !passing(api) {
			return page, err
		}
		wait := max(api.RetryAfter, r.next())
		if wait > patience {
			return page, err
		}
		p.log.Debug().Err(api).Int("try", try).Dur("wait", wait).Msg("asking for the page again")
		if api.Kind == Throttled {
			p.budget.Throttled(wait)
		}
		if err := sleep(ctx, wait); err != nil {
			return Page{}, err
		}
	}
}

// errUnsaid is why an empty page is asked for again. OneLogin leaves things out
// when it is in trouble: a page that ends a run by saying nothing at all is taken
// for the end only when it comes pageTries times.
var errUnsaid = errors.New("an empty page does not say whether another follows")

// ask makes one call, for which the budget was asked before. The error is an
// *APIError or that of ctx.
func (p *Poller) ask(ctx context.Context, q Query) (Page, error) {
	page, err := p.Client.Page(ctx, q)
	if err == nil {
		p.budget.Observe(page.RateLimit)
		return page, nil
	}
	if ctx.Err() != nil {
		return Page{}, ctx.Err()
	}
	var api *APIError
	if !errors.As(err, &api) {
		api = &APIError{Kind: Unknown, Stage: "Fetch Logs", Message: "Unknown Error", Err: err}
		if errors.Is(err, context.DeadlineExceeded) {
			api.Kind, api.Message = Timeout, "Request Timeout"
		}
	}
	p.budget.Observe(api.RateLimit)
	if api.Kind == Throttled {
		p.meters.throttled.Inc()
	}
	return Page{}, api
}

// passing tells whether the same call may well succeed soon. An answer with
// status 200 may tell an error of the server's in its body.
func passing(e *APIError) bool {
	switch e.Kind {
	case Unreachable, Timeout, Throttled, Unreadable, Unknown:
		return true
	case Refused:
		switch e.Status {
		case 0, http.StatusOK, http.StatusRequestTimeout, http.StatusConflict:
			return true
		}
		return e.Status >= 500
	}
	return false
}
