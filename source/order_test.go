package source

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"onelogin-kafka/schemas"
)

// manyCalls is a budget that holds nothing up.
func (g *rig) manyCalls() {
	g.api.limit = RateLimit{Limit: 1_000_000, Remaining: 900_000, Reset: time.Hour}
}

// Ids ascend over all pages and times do not: the account has two sequences of
// ids, the lower of which is the newer.
func TestOrderAcrossPages(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.poller.PageSize = 50
		g.manyCalls()
		now := time.Now().UTC()
		g.api.add(series(now.Add(-time.Hour), 1, 100, 30*time.Second)...)
		g.api.add(series(now.Add(-20*time.Hour), 1_000_000, 100, time.Second)...)
		g.during(30 * time.Minute)
		g.wantPublished(200)
		if got := value(t, g.poller.Metrics.beyond); got != 0 {
			t.Errorf("%v events counted beyond the window", got)
		}
	})
}

// pagedBack shows its pages from the newest to the oldest, each ascending.
type pagedBack struct{ pages [][]happening }

func (a *pagedBack) Page(_ context.Context, q Query) (Page, error) {
	i := 0
	if q.Cursor != "" {
		if _, err := fmt.Sscanf(q.Cursor, "p%d", &i); err != nil {
			return Page{}, err
		}
	}
	p := Page{ServerTime: time.Now()}
	for i < len(a.pages) {
		for _, h := range a.pages[i] {
			if !h.created.Before(q.Since) && (q.Until.IsZero() || h.created.Before(q.Until)) {
				p.Events = append(p.Events, h.event())
			}
		}
		if i++; len(p.Events) > 0 {
			break
		}
	}
	if i < len(a.pages) {
		p.Next = fmt.Sprintf("p%d", i)
	}
	return p, nil
}

func TestPagesGoBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().UTC()
		api := &pagedBack{}
		for k := range 10 {
			api.pages = append(api.pages, series(now.Add(-time.Duration(k+1)*time.Hour), int64(1000-100*k), 50, time.Minute))
		}
		g := newRig(t)
		g.poller.Client = api
		g.during(30 * time.Minute)
		g.wantPublished(500)
		g.wantState(schemas.StateActive)
	})
}

// An event met in a backlog is dated two hours before its neighbours.
func TestBackdated(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.poller.PageSize = 50
		hs := series(time.Now().UTC().Add(-10*time.Hour), 1, 600, time.Minute)
		hs[520].created = hs[520].created.Add(-2 * time.Hour)
		g.api.add(hs...)
		g.during(10 * time.Minute)
		g.wantPublished(600)
	})
}

// An id above all that were published cannot come again: its event is published
// however old it is, once, and marked late.
func TestANewIDIsPublishedHoweverOld(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		now := time.Now().UTC()
		g.api.add(series(now.Add(-3*time.Hour), 1, 3*360, 10*time.Second)...)
		g.start()
		g.pause(30 * time.Minute)
		old := happening{id: 5000, created: now.Add(-150 * time.Minute), visible: now}
		g.api.mu.Lock()
		g.api.events = append(g.api.events, old)
		g.api.after = func(_ Query, p *Page) { p.Events = append(p.Events, old.event()) } // whatever is asked for
		g.api.mu.Unlock()
		g.pause(30 * time.Minute)
		_ = g.end()
		g.during(30 * time.Minute)
		if g.topic.count[old.id] != 1 || !g.topic.late[old.id] {
			t.Errorf("published %d times, late %t", g.topic.count[old.id], g.topic.late[old.id])
		}
		if !g.topic.last.WindowStart.After(old.created) {
			t.Fatalf("window begins at %v: no data", g.topic.last.WindowStart)
		}
		if got := value(t, g.poller.Metrics.beyond); got != 0 {
			t.Errorf("%v events counted beyond the window", got)
		}
	})
}

// An API that does not keep to until is read to its end, and nothing is lost.
func TestUntilIsIgnored(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.poller.PageSize = 50
		g.manyCalls()
		g.api.noUntil = true
		g.api.descend = true
		g.api.add(series(time.Now().UTC().Add(-20*time.Hour), 1, 20*360, 10*time.Second)...)
		g.api.latency = func() time.Duration { return 50 * time.Millisecond }
		g.during(5 * time.Second) // killed before the end of the first reading
		through := g.topic.last.Through
		g.during(10 * time.Minute)
		g.wantPublished(20 * 360)
		g.wantState(schemas.StateActive)
		if !g.topic.last.Through.After(through) {
			t.Errorf("through is %v", g.topic.last.Through)
		}
		if g.api.calls > 3*20*360/50+1000 {
			t.Errorf("%d calls", g.api.calls)
		}
	})
}

// Where queries with until are refused, a backlog is read without.
func TestUntilIsRefused(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.poller.PageSize = 50
		g.manyCalls()
		g.api.fault = func(_ int, q Query) error {
			if !q.Until.IsZero() {
				return &APIError{Kind: Refused, Stage: "Fetch Logs", Message: "x", Status: 400}
			}
			return nil
		}
		late := happening{id: 100_000, created: time.Now().UTC().Add(-90 * time.Second), visible: time.Now().Add(3 * time.Minute)}
		g.api.add(series(time.Now().UTC().Add(-20*time.Hour), 1, 30*360, 10*time.Second)...)
		g.api.add(late)
		g.during(time.Hour)
		if want := 21*360 + 1; len(g.topic.published) < want {
			t.Errorf("%d events published, want %d", len(g.topic.published), want)
		}
		if g.topic.count[late.id] != 1 {
			t.Error("the late event was not found")
		}
		g.wantState(schemas.StateActive)
	})
}

// The format of created_at changes: nothing is an event any more.
func TestFormatChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t)
		now := time.Now().UTC()
		good := series(now.Add(-time.Hour), 1, 100, time.Second)
		const bad = 20_000
		var mended atomic.Bool
		g.poller.Client = clientFunc(func(_ context.Context, q Query) (Page, error) {
			p := Page{ServerTime: time.Now()}
			from := 0
			if q.Cursor == "" {
				for _, h := range good {
					if !h.created.Before(q.Since) && (q.Until.IsZero() || h.created.Before(q.Until)) {
						p.Events = append(p.Events, h.event())
					}
				}
			} else if _, err := fmt.Sscanf(q.Cursor, "b%d", &from); err != nil {
				return Page{}, err
			}
			if !q.Until.IsZero() || mended.Load() {
				return p, nil
			}
			to := from + q.Limit - len(p.Events)
			for i := from; i < min(to, bad); i++ {
				p.Malformed = append(p.Malformed, Malformed{Raw: fmt.Appendf(nil, `{"id":%d,"created_at":"26.11.2026 10:00"}`, 1000+i), Reason: "created_at"})
			}
			if to < bad {
				p.Next = fmt.Sprintf("b%d", to)
			}
			return p, nil
		})
		g.poller.Budget = NewBudget(1)
		g.start()
		for range 5 {
			g.pause(2 * time.Minute)
			if st := g.wantState(schemas.StateFailing); st.Stage != "Validation" {
				t.Errorf("stage is %q", st.Stage)
			}
		}
		if len(g.topic.dead) != bad {
			t.Errorf("%d dead letters for %d elements", len(g.topic.dead), bad)
		}
		mended.Store(true)
		g.pause(2 * time.Minute)
		g.wantState(schemas.StateActive)
		_ = g.end()
	})
}

type clientFunc func(context.Context, Query) (Page, error)

func (f clientFunc) Page(ctx context.Context, q Query) (Page, error) { return f(ctx, q) }

// One element that is no event, beside known ones, is no change of format, also
// after a start.
func TestAFewOddElementsAreNoFormatChange(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.api.malformed = [][]byte{[]byte(`{"id":"x"}`), []byte(`7`)}
		g.api.add(series(time.Now().Add(-time.Minute), 1, 3, time.Second)...)
		for range 3 {
			g.start()
			g.pause(10 * time.Minute)
			g.wantState(schemas.StateActive)
			_ = g.end()
		}
	})
}

// An API that says in the middle, again and again, that an empty page was all,
// and goes on when it is asked again, is read to its end.
func TestEndsThatAreTakenBack(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.manyCalls()
		g.poller.PageSize = 10
		now := time.Now()
		g.api.noUntil, g.api.descend = true, true
		g.api.add(series(now.Add(-3*time.Hour), 1, 3000, 3*time.Second)...)
		g.topic.truth, g.topic.start, g.topic.latest = g.api.events, now.Add(-24*time.Hour), time.Minute
		further, said := 0, 0
		g.api.after = func(q Query, p *Page) {
			if q.Cursor == "" {
				return
			}
			if further++; further%7 == 0 {
				said++
				p.Events, p.Next = nil, ""
			}
		}
		g.during(time.Hour)
		g.wantPublished(3000)
		if said < 20 {
			t.Errorf("an end was said %d times", said)
		}
	})
}
