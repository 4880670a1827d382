package source

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// fetch is one page on its way.
type fetch struct {
	done chan struct{}
	stop context.CancelFunc
	page Page
	at   time.Time // when it came
	err  error     // an *APIError, or the error of ctx
}

// fetch asks for a page in the background.
func (p *Poller) fetch(ctx context.Context, q Query) *fetch {
	ctx, stop := context.WithCancel(ctx)
	f := &fetch{done: make(chan struct{}), stop: stop}
	go func() {
		defer close(f.done)
		f.page, f.err = p.ask(ctx, q)
		f.at = time.Now()
	}()
	return f
}

// come is closed when the page is there; nil for none.
func (f *fetch) come() <-chan struct{} {
	if f == nil {
		return nil
	}
	return f.done
}

// abandon ends the call, waits for it, and lets go of what has come; f may be
// nil.
func (f *fetch) abandon() {
	if f != nil {
		f.stop()
		<-f.done
		free(f.page.held)
	}
}

// ask makes one call, for which the budget was asked before. See call.
func (p *Poller) ask(ctx context.Context, q Query) (Page, error) {
	return call(ctx, p.Client, p.budget, &p.pages, p.meters, q)
}

// call asks for a page once there is memory for its answer, and tells b what the
// answer says of the budget. The error is an *APIError or that of ctx.
func call(ctx context.Context, c Client, b *Budget, held *pages, m *meters, q Query) (Page, error) {
	h, err := held.ask(ctx, q)
	if err != nil {
		return Page{}, err
	}
	page, err := c.Page(ctx, q)
	if err == nil {
		held.came(h, &page)
		b.Observe(page.RateLimit)
		return page, nil
	}
	free(h)
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
	b.Observe(api.RateLimit)
	if api.Kind == Throttled {
		m.throttled.Add(1)
	}
	return Page{}, api
}

// throttled keeps all calls of the account back for d if e says so.
func (p *Poller) throttled(e *APIError, d time.Duration) {
	if e.Kind == Throttled {
		p.budget.Throttled(d)
	}
}

// refusedCredentials tells whether e will stay until somebody does something.
func refusedCredentials(e *APIError) bool { return e.Kind == Credentials || e.Kind == Forbidden }

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
