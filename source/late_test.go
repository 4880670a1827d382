package source

import (
	"fmt"
	"testing"
	"time"
)

// A quiet tenant's polls cover the window: no sweep is needed, and a late event
// is found at the next poll.
func TestFreeOverlapFindsLateEvents(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		now := time.Now().UTC()
		g.api.add(series(now.Add(-time.Hour), 1, 60, time.Minute)...)
		g.api.add(happening{id: 500, created: now.Add(-10 * time.Minute), visible: now.Add(time.Minute)})
		g.start()
		g.pause(90 * time.Second)
		if !g.topic.late[500] {
			t.Error("the late event was not found, or is not marked late")
		}
		g.pause(30 * time.Minute)
		_ = g.end()
		for _, q := range g.api.queries {
			if q.Cursor != "" || !q.Until.IsZero() {
				t.Errorf("more than one request per poll: %+v", q)
			}
		}
		if got := value(t, g.poller.Metrics.lateness); got != 1 {
			t.Errorf("lateness was measured %v times, want once", got)
		}
		// A minute's poll after 11 minutes: the bucket up to 900 s.
		if l := g.poller.Status().Lateness; l == nil || l.Counts[9] != 1 || l.Bounds[9] != 900 || l.Since.IsZero() {
			t.Errorf("the status says %+v of late events", l)
		}
	})
}

// A poll reads again no more known events than half a page holds.
func TestOverlapIsHalfAPage(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.poller.PageSize = 50
		now := time.Now().UTC()
		g.api.add(series(now.Add(-time.Hour), 1, 7200, time.Second)...)
		g.start()
		g.pause(10 * time.Minute)
		first := len(g.api.queries)
		g.pause(time.Minute)
		for _, q := range g.api.queries[first:] {
			if !q.Until.IsZero() {
				continue // a sweep
			}
			if q.Cursor != "" {
				t.Errorf("a poll needed a further page: %+v", q)
			}
			if back := time.Since(q.Since); back < 20*time.Second || back > 125*time.Second {
				t.Errorf("asked since %v before, want about the last 25 events, or 45 now and then", back)
			}
		}
		_ = g.end()
	})
}

// An event late by 30 s is found within half a minute though 20 events a second
// came after it: it does not wait for the sweep.
func TestDeepPollFindsLateEventsOfABusyTenant(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		now := time.Now().UTC()
		g.api.limit = RateLimit{Limit: 1_000_000, Remaining: 900_000, Reset: time.Hour}
		g.poller.PageSize = 1000
		g.poller.SweepEvery = 14 * time.Minute
		g.api.add(series(now.Add(-10*time.Minute), 1, 20*60*20, 50*time.Millisecond)...)
		late := happening{id: 100_000, created: now.Add(2*time.Minute + time.Millisecond), visible: now.Add(2*time.Minute + 30*time.Second)}
		g.api.add(late)
		g.start()
		g.pause(3 * time.Minute)
		if !g.topic.late[late.id] {
			t.Error("the late event was not found, or is not marked late")
		}
		_ = g.end()
	})
}

// What came late just before a tenant went quiet does not wait for the next
// sweep either.
func TestQuietTenantIsSweptEarly(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		now := time.Now().UTC()
		g.api.limit = RateLimit{Limit: 1_000_000, Remaining: 900_000, Reset: time.Hour}
		g.poller.PageSize = 50
		g.poller.SweepEvery = 14 * time.Minute
		g.api.add(series(now.Add(-10*time.Minute), 1, 20*60*11, 50*time.Millisecond)...) // until a minute from now
		late := happening{id: 100_000, created: now.Add(31 * time.Second), visible: now.Add(61 * time.Second)}
		g.api.add(late)
		g.start()
		g.pause(3 * time.Minute)
		if !g.topic.late[late.id] {
			t.Error("the late event was not found, or is not marked late")
		}
		_ = g.end()
	})
}

// busyWithALateOne gives the account two events a second, and one that appears
// so late that only a sweep finds it.
func (g *rig) busyWithALateOne(now time.Time) (late happening) {
	g.api.limit = RateLimit{Limit: 1_000_000, Remaining: 900_000, Reset: time.Hour}
	g.poller.PageSize = 100
	g.api.add(series(now.Add(-time.Hour), 1, 3*7200, 500*time.Millisecond)...)
	late = happening{id: 100_000, created: now.Add(time.Minute), visible: now.Add(9 * time.Minute)}
	g.api.add(late)
	return late
}

func TestSweepFindsLateEventsOfABusyTenant(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		now := time.Now().UTC()
		late := g.busyWithALateOne(now)
		var gaps []time.Duration
		last := now
		g.api.latency = func() time.Duration { return 200 * time.Millisecond }
		g.api.after = func(q Query, _ *Page) {
			if q.Until.IsZero() && q.Cursor == "" {
				gaps = append(gaps, time.Since(last))
				last = time.Now()
			}
		}
		g.start()
		g.pause(30 * time.Minute)
		_ = g.end()
		if !g.topic.late[late.id] {
			t.Error("the late event was not found, or is not marked late")
		}
		swept := 0
		for _, q := range g.api.queries {
			if !q.Until.IsZero() {
				swept++
			}
		}
		if swept < 50 {
			t.Errorf("only %d pages were swept", swept)
		}
		for _, gap := range gaps[len(gaps)/3:] {
			if gap > 2*time.Second+500*time.Millisecond {
				t.Errorf("a sweep held the tail back for %v", gap)
			}
		}
		if age := time.Since(g.topic.last.CompleteThrough); age > 21*time.Minute {
			t.Errorf("complete_through is %v old", age)
		}
	})
}

// What appeared late while the process was down is found however quickly the
// position moves on afterwards.
func TestLateEventsOfAGapAreFound(t *testing.T) {
	for _, down := range []time.Duration{20 * time.Minute, 3 * time.Hour, 40 * time.Hour} {
		within(t, func(t *testing.T, g *rig) {
			g.poller.StartFrom = StartFrom{Ago: time.Hour}
			g.poller.PageSize = 50
			g.api.limit = RateLimit{Limit: 1_000_000, Remaining: 900_000, Reset: time.Hour}
			now := time.Now().UTC()
			g.api.add(series(now.Add(-time.Hour), 1, int((down+2*time.Hour)/(5*time.Second)), 5*time.Second)...)
			late := happening{id: 1_000_000, created: now.Add(55 * time.Second), visible: now.Add(8 * time.Minute)}
			g.api.add(late)
			g.during(time.Minute)
			g.pause(down)
			g.during(20 * time.Minute)
			if g.topic.count[late.id] != 1 {
				t.Errorf("down for %v: the late event was not found", down)
			}
		})
	}
}

// hiccup makes the first page of a run empty, with a cursor to what was on it.
func (a *fakeAPI) hiccup(q Query, p *Page, n int) {
	p.Events, p.Next = nil, fmt.Sprintf("0@empty%d", n)
	a.freeze(p.Next, q)
}

// An empty page in a sweep, with a cursor or with nothing said, would otherwise
// count as the whole window, and complete_through would pass what the sweep has
// not seen.
func TestAnEmptyPageDoesNotEndASweep(t *testing.T) {
	unsaid := func(p *Page) bool {
		*p = Page{Unsaid: true, ServerTime: p.ServerTime}
		return true
	}
	for name, c := range map[string]struct {
		empty func(a *fakeAPI, q Query, p *Page, hits, asked int) bool
		fault func(q Query, asked int) bool
		never bool // no sweep comes to its end
	}{
		"with a cursor": {empty: func(a *fakeAPI, q Query, p *Page, hits, _ int) bool {
			if q.Cursor != "" || p.Next == "" {
				return false
			}
			a.hiccup(q, p, hits+1)
			return true
		}},
		"with nothing said": {empty: func(_ *fakeAPI, q Query, p *Page, _, asked int) bool {
			return q.Cursor != "" && asked == 1 && unsaid(p)
		}},
		"with nothing said on the first page": {empty: func(_ *fakeAPI, q Query, p *Page, _, asked int) bool {
			return q.Cursor == "" && asked == 1 && unsaid(p)
		}},
		"with nothing said after other trouble": {
			fault: func(q Query, asked int) bool { return q.Cursor != "" && asked < pageTries },
			empty: func(_ *fakeAPI, q Query, p *Page, _, asked int) bool {
				return q.Cursor != "" && asked == pageTries && unsaid(p)
			},
			never: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T, g *rig) {
				late := g.busyWithALateOne(time.Now().UTC())
				hits, asked := 0, map[Query]int{}
				g.api.fault = func(_ int, q Query) error {
					if asked[q]++; !q.Until.IsZero() && c.fault != nil && c.fault(q, asked[q]) {
						return &APIError{Kind: Refused, Status: 503, Stage: "Fetch Logs", Message: "x"}
					}
					return nil
				}
				g.api.after = func(q Query, p *Page) {
					if !q.Until.IsZero() && c.empty(g.api, q, p, hits, asked[q]) {
						hits++
					}
				}
				g.start()
				g.pause(40 * time.Minute)
				_ = g.end()
				if !g.topic.late[late.id] && (!c.never || g.topic.last.CompleteThrough.After(late.created)) {
					t.Errorf("the late event was not found, or is not marked late; complete through %v", g.topic.last.CompleteThrough)
				}
				if hits == 0 {
					t.Error("no sweep met an empty page: no data")
				}
			})
		})
	}
}

// Our clock is three hours ahead, and the first reading of a process begins
// before any answer has said so: nothing is complete for that.
func TestAClockAheadCompletesNothing(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		const ahead = 3 * time.Hour
		g.api.skew = -ahead
		began := time.Now()
		for i, h := range series(began.Add(-ahead), 1, 60, time.Minute) {
			h.visible = began.Add(time.Duration(i) * time.Minute)
			g.api.add(h)
		}
		for i, h := range series(began.Add(time.Hour-ahead), 1000, 5000, 100*time.Millisecond) { // more than a poll overlaps
			h.visible = began.Add(time.Hour + time.Duration(i)*100*time.Millisecond)
			g.api.add(h)
		}
		g.api.add(happening{id: 100, created: began.Add(-ahead).Add(55 * time.Minute), visible: began.Add(63 * time.Minute)})
		g.during(time.Hour)
		g.poller = newPoller(g.api) // another process
		g.during(2 * time.Hour)
		g.wantPublished(5061)
	})
}
