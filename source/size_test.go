package source

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"onelogin-kafka/schemas"
)

// One 400 for whatever reason, here for a sweep's cursor, changes no page size.
func TestOne400ChangesNoPageSize(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.manyCalls()
		g.api.add(series(time.Now().UTC().Add(-time.Hour), 1, 3*7200, 500*time.Millisecond)...)
		hits := 0
		g.api.fault = func(_ int, q Query) error {
			if !q.Until.IsZero() && q.Cursor != "" && hits == 0 {
				hits++
				return &APIError{Kind: Refused, Stage: "Fetch Logs", Message: "x", Status: 400}
			}
			return nil
		}
		g.start()
		g.pause(time.Hour)
		_ = g.end()
		if got := g.poller.size.limit(); got != maxPageSize || hits != 1 {
			t.Errorf("page size %d after %d hits", got, hits)
		}
	})
}

// The server cannot make pages of 1,000 in time, or they are too large; smaller
// ones it can. Once it can again, the size grows.
func TestLargePagesThatFail(t *testing.T) {
	for name, e := range map[string]APIError{
		"504": {Kind: Refused, Status: 504}, "timeout": {Kind: Timeout},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T, g *rig) {
				g.manyCalls()
				now := time.Now()
				g.api.add(series(now.Add(-time.Hour), 1, 4*720, 5*time.Second)...)
				g.api.fault = func(_ int, q Query) error {
					if q.Limit > 150 && time.Since(now) < 20*time.Minute {
						e := e
						e.Stage, e.Message = "Fetch Logs", "x"
						return &e
					}
					return nil
				}
				g.start()
				g.pause(10 * time.Minute)
				g.wantState(schemas.StateActive)
				if got := g.poller.size.limit(); got != 125 || len(g.topic.published) < 720+118 {
					t.Errorf("page size %d, %d events published", got, len(g.topic.published))
				}
				g.pause(3 * time.Hour)
				if got := g.poller.size.limit(); got != maxPageSize {
					t.Errorf("page size %d when all is well again", got)
				}
				_ = g.end()
			})
		})
	}
}

// bigAPI is a steadyAPI whose pages are as large as asked for, for one call each.
type bigAPI struct {
	steadyAPI
	at   time.Time // of the one 400
	done bool
}

func (a *bigAPI) Page(ctx context.Context, q Query) (Page, error) {
	if err := sleep(ctx, a.latency); err != nil {
		return Page{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.at.IsZero() && !a.done && time.Now().After(a.at) {
		a.done = true
		return Page{}, &APIError{Kind: Refused, Stage: "Fetch Logs", Message: "x", Status: http.StatusBadRequest}
	}
	all := Page{}
	for n := 0; n < q.Limit; n += safePageSize {
		used, over := a.used, a.over
		p, err := a.page(q)
		if n > 0 {
			a.used, a.over = used, over
		}
		if err != nil {
			return p, err
		}
		p.Events = append(all.Events, p.Events...)
		all = p
		if q.Cursor = p.Next; p.Next == "" {
			break
		}
	}
	return all, nil
}

// A heavy tenant is up to date after one 400 as without.
func TestHeavyTenantAfterOne400(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		api := &bigAPI{steadyAPI: steadyAPI{began: began, gap: 20 * time.Millisecond, limit: defaultLimit, latency: 50 * time.Millisecond}, at: began.Add(10 * time.Minute)}
		p := newPoller(api)
		p.StartFrom, p.Budget = StartFrom{}, NewBudget(0.5)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_ = p.Run(ctx, &State{Fresh: true}, &lagSink{from: began})
		if behind := time.Since(p.Status().Through); behind > time.Minute || !api.done {
			t.Errorf("behind by %v", behind)
		}
	})
}

// The window's ids take two or three bytes each, and nothing published counts as
// beyond the window however long that is.
func TestALongWindowIsSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		api := &bigAPI{steadyAPI: steadyAPI{began: began, gap: 20 * time.Millisecond, limit: 100_000_000}}
		p := newPoller(api)
		p.SweepWindow, p.SweepEvery, p.PollMin = 24*time.Hour, 24*time.Hour, 20*time.Second
		p.StartFrom, p.Budget = StartFrom{}, NewBudget(1)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Hour)
		defer cancel()
		s := newSession(p, p.prepare(), &State{Fresh: true}, &lagSink{from: began})
		_ = s.loop(ctx)
		if n := s.win.count; n < 850_000 || s.win.size() > 3*n {
			t.Errorf("%d ids take %d bytes", n, s.win.size())
		}
		if got := value(t, p.Metrics.windowIDs); got < 850_000 {
			t.Errorf("the gauge says %v ids", got)
		}
		if got := value(t, p.Metrics.beyond); got != 0 {
			t.Errorf("%v events counted beyond the window", got)
		}
	})
}

// An event that only a page of its own shows costs a few calls each time it is
// read, not one for each of its neighbours.
func TestAnEventThatSpoilsItsPage(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.api.add(series(time.Now().Add(-4000*time.Second), 1, 4000, time.Second)...)
		g.api.spoiler = 2345
		g.during(time.Minute)
		g.wantPublished(4000)
		if most := 80; g.api.calls > most {
			t.Errorf("%d calls, want %d at most", g.api.calls, most)
		}
		if got := g.poller.size.limit(); got != maxPageSize {
			t.Errorf("page size %d afterwards", got)
		}
	})
}
