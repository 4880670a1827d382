package source

import (
	"fmt"
	"testing"
	"time"

	"onelogin-kafka/schemas"
)

// Events dated ahead of every clock, however many have come together, do not
// take the position with them: what happens now would not be asked for any more.
func TestManySlipsDoNotMoveThePosition(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.manyCalls()
		g.poller.StartFrom = StartFrom{}
		now := time.Now().UTC()
		g.api.add(series(now, 1, 4*360, 10*time.Second)...)
		const slips = outliers + 1
		for i := range slips {
			g.api.add(happening{id: int64(100_000 + i), created: now.Add(time.Duration(20+i) * time.Hour), visible: now.Add(time.Duration(10*i+5) * time.Minute)})
		}
		g.start()
		g.pause(4 * time.Hour)
		g.wantState(schemas.StateActive)
		_ = g.end()
		if n := len(g.topic.published); n < 4*360+slips-3 {
			t.Errorf("%d events published, want %d", n, 4*360+slips)
		}
		if o := g.topic.last; o.Through.After(time.Now().Add(farAhead)) {
			t.Errorf("through is %v, now %v", o.Through, time.Now())
		}
	})
}

// A backlog that takes longer to read than until is done without is not begun
// anew each time that it is tried again.
func TestUntilIsRefusedForALongBacklog(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.poller.PageSize = 5
		g.api.latency = func() time.Duration { return 4 * time.Second }
		g.manyCalls()
		g.api.fault = func(_ int, q Query) error {
			if !q.Until.IsZero() {
				return &APIError{Kind: Refused, Stage: "Fetch Logs", Message: "x", Status: 400}
			}
			return nil
		}
		const n = 6000 // 1200 pages: 80 minutes
		g.api.add(series(time.Now().UTC().Add(-20*time.Hour), 1, n, 12*time.Second)...)
		g.during(3 * time.Hour)
		g.wantPublished(n)
	})
}

// An API that ignores until and links on from every page with events on it does
// not keep a slice of a busy account going for ever either.
func TestUntilIsIgnoredAndEveryPageLinksOn(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.api.noUntil = true
		g.manyCalls()
		g.poller.StartFrom = StartFrom{Ago: time.Hour}
		g.api.latency = func() time.Duration { return 300 * time.Millisecond }
		g.api.add(series(time.Now().UTC().Add(-time.Hour), 1, 5*5400, 200*time.Millisecond)...)
		g.api.after = func(q Query, p *Page) {
			if n := len(p.Events); p.Next == "" && n > 0 {
				p.Next = fmt.Sprintf("%d@x%d", p.Events[n-1].ID, g.api.calls)
				g.api.freeze(p.Next, q)
			}
		}
		g.start()
		g.pause(20 * time.Minute)
		g.wantState(schemas.StateActive)
		_ = g.end()
		if age := time.Since(g.topic.last.Through); age > time.Minute {
			t.Errorf("through is %v old", age)
		}
		if g.api.calls > 3000 {
			t.Errorf("%d calls in 20 minutes", g.api.calls)
		}
	})
}

// An API that gives few events at a time, the newest first, has short pages of
// new events before it shows what is known: they are not the end.
func TestShortPagesBeforeWhatIsKnownAreNotTheTip(t *testing.T) {
	now := time.Now()
	r := &reading{query: Query{Limit: 1000}, evidence: expect([]int64{7}, true)}
	page := func(cursor string, h happening) (step, error) {
		p := &Page{Events: []schemas.Event{h.event()}, Next: cursor}
		r.see(p, now, now, now.Add(-time.Hour))
		return r.next(p, 1000, now)
	}
	for id := int64(20); id > 10; id-- {
		if how, err := page(fmt.Sprint("c", id), happening{id: id, created: now}); how != stepOn || err != nil {
			t.Fatalf("after event %d: %v, %v", id, how, err)
		}
	}
	if how, err := page("c7", happening{id: 7, created: now}); how != stepEnd || err != nil {
		t.Errorf("after the event that is known: %v, %v", how, err)
	}
}

// While the page size is small few of the newest events are remembered. Once it
// has grown again, polls do not read all of the window until there are more.
func TestPollsAfterThePageSizeHasGrownAgain(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.manyCalls()
		now := time.Now().UTC()
		g.poller.StartFrom = StartFrom{Ago: 20 * time.Minute}
		g.api.add(series(now.Add(-20*time.Minute), 1, 2*3600, 500*time.Millisecond)...)
		shown, refused := 0, 0
		g.api.after = func(q Query, p *Page) {
			if q.Until.IsZero() {
				shown += p.Len()
			}
		}
		g.api.fault = func(_ int, q Query) error {
			if d := time.Since(now); d > 10*time.Minute && d < 12*time.Minute && q.Limit > 30 {
				refused++
				return &APIError{Kind: Timeout, Stage: "Fetch Logs", Message: "x"}
			}
			return nil
		}
		g.start()
		g.pause(9 * time.Minute)
		before := shown
		g.pause(time.Minute)
		usual := shown - before
		g.pause(2 * time.Minute)
		for range 6 {
			before = shown
			g.pause(time.Minute)
			if n := shown - before; n > 2*usual {
				t.Errorf("%d events shown to polls in a minute, %d before the trouble", n, usual)
			}
		}
		_ = g.end()
		if refused == 0 {
			t.Error("no page was refused: no data")
		}
	})
}

// An event that is shown again with a later created_at moves the position into a
// minute that no id is known of. What is left of a pass is then one sweep, not
// sweeps of nothing for ever.
func TestAnEventThatIsDatedAnew(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.manyCalls()
		g.poller.PageSize = 50
		now := time.Now().UTC().Truncate(time.Minute)
		g.poller.StartFrom = StartFrom{Ago: time.Hour}
		g.api.add(series(now.Add(-20*time.Minute), 1, 900, time.Second)...)
		last := happening{id: 5000, created: now.Add(-time.Millisecond), visible: now.Add(-time.Millisecond)}
		g.api.add(last)
		g.start()
		g.pause(time.Minute)
		g.api.mu.Lock()
		g.api.events[len(g.api.events)-1].created, g.api.index = now, nil
		g.api.mu.Unlock()
		before := g.api.calls
		g.pause(5 * time.Minute)
		if calls := g.api.calls - before; calls > 200 {
			t.Errorf("%d calls in 5 minutes", calls)
		}
		_ = g.end()
		if !g.topic.last.Through.Equal(now) {
			t.Errorf("through is %v: no data", g.topic.last.Through)
		}
	})
}

// The page size has grown since a reading began: its pages are full at what it
// asked for, and a full one that does not say whether another follows is no end.
func TestAFullPageOfTheFormerSizeIsNoEnd(t *testing.T) {
	now := time.Now()
	for _, n := range []int{2, 3} {
		r := &reading{query: Query{Limit: 3}}
		p := &Page{Unsaid: true}
		for _, h := range series(now, 1, n, time.Millisecond) {
			p.Events = append(p.Events, h.event())
		}
		r.see(p, now.Add(time.Minute), now.Add(time.Minute), now)
		if how, err := r.next(p, 6, now); how != stepEnd || (err != nil) != (n == 3) {
			t.Errorf("%d events of at most 3: %v, %v", n, how, err)
		}
	}
}
