package source

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"onelogin-kafka/schemas"
)

// series makes n events, each gap after the one before, all visible at once
// they are created.
func series(from time.Time, firstID int64, n int, gap time.Duration) []happening {
	hs := make([]happening, n)
	for i := range hs {
		at := from.Add(time.Duration(i) * gap).UTC()
		hs[i] = happening{id: firstID + int64(i), created: at, visible: at}
	}
	return hs
}

// pause lets d of fake time pass, and then everything that is due happen. The
// locks order what the test looks at and changes with what goes on.
func (g *rig) pause(d time.Duration) {
	g.order()
	time.Sleep(d)
	synctest.Wait()
	g.order()
}

func (g *rig) order() {
	for _, mu := range []*sync.Mutex{&g.api.mu, &g.sink.mu} {
		mu.Lock()
		mu.Unlock() //nolint:staticcheck // only the order counts
	}
}

// count is the number of series of c.
func count(c prometheus.Collector) int {
	ch := make(chan prometheus.Metric, 100)
	c.Collect(ch)
	return len(ch)
}

// value is the value of the one series of c.
func value(t *testing.T, c prometheus.Collector) float64 {
	t.Helper()
	if n := count(c); n != 1 {
		t.Fatalf("%d series, want 1", n)
	}
	ch := make(chan prometheus.Metric, 1)
	c.Collect(ch)
	var m dto.Metric
	if err := (<-ch).Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
}

// within runs f in a bubble with a rig.
func within(t *testing.T, f func(t *testing.T, g *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newRig(t)) })
}

func (g *rig) wantPublished(n int) {
	g.t.Helper()
	if got := len(g.topic.published); got != n {
		g.t.Errorf("%d events published, want %d", got, n)
	}
}

func (g *rig) wantState(want schemas.State) Status {
	g.t.Helper()
	st := g.poller.Status()
	if st.State != want {
		g.t.Errorf("state is %s (%s Stage: %s), want %s", st.State, st.Stage, st.Message, want)
	}
	return st
}

// In mid-run the position is the oldest time of a page: one event a little
// ahead of its neighbours must not let a crash skip the rest of the run.
func TestMidRunPositionIsTheOldestOfThePage(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.poller.PageSize = 10
		from := time.Now().Add(-time.Hour)
		hs := series(from, 1, 30, time.Minute)
		hs[5].created = time.Now().Add(30 * time.Second) // within a minute of now
		g.api.add(hs...)
		g.api.fault = func(_ int, q Query) error {
			if q.Cursor != "" {
				return &APIError{Kind: Forbidden, Stage: "Fetch Logs", Message: "x"}
			}
			return nil
		}
		g.during(time.Second)
		if got := g.topic.last.Through; !got.Equal(from) {
			t.Errorf("through is %v after the first page, want its oldest time %v", got, from)
		}
		g.api.fault = nil
		g.during(time.Minute)
		g.wantPublished(30)
		if got := g.topic.last.Through; !got.Equal(hs[5].created) {
			t.Errorf("through is %v after the run, want its newest time %v", got, hs[5].created)
		}
	})
}

// An event with a nonsense time is published, but the position waits for time
// to come.
func TestFarAheadEventDoesNotMoveThePosition(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		now := time.Now().UTC()
		hs := series(now.Add(-time.Minute), 1, 3, time.Second)
		mad := happening{id: 4, created: now.AddDate(30, 0, 0), visible: now}
		g.api.add(append(hs, mad)...)
		g.start()
		g.pause(time.Second)
		if got := g.topic.last.Through; !got.Equal(hs[2].created) {
			t.Errorf("through is %v, want %v", got, hs[2].created)
		}
		g.api.add(series(now.Add(time.Minute), 5, 100, 10*time.Second)...)
		g.pause(time.Hour)
		_ = g.end()
		g.during(time.Minute)
		g.wantPublished(104)
	})
}

func TestEventBeforeTheWindowIsCountedOnly(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.poller.StartFrom = StartFrom{Ago: 90 * time.Second}
		g.api.round = time.Hour
		now := time.Now().UTC()
		g.api.add(series(now.Add(-10*time.Minute), 1, 5, time.Second)...)
		g.api.add(series(now.Add(-time.Minute), 10, 5, time.Second)...)
		g.during(5 * time.Minute)
		g.wantPublished(5)
		if got := value(t, g.poller.Metrics.beyond); got != 5 {
			t.Errorf("%v events counted beyond the window, want 5", got)
		}
	})
}

// A longer window configured later must not reach where ids were forgotten.
func TestWindowStartNeverMovesBack(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.api.add(series(time.Now().Add(-2*time.Hour), 1, 720, 10*time.Second)...)
		g.during(time.Minute)
		before := g.topic.last.WindowStart
		g.poller.SweepWindow = 3 * time.Hour
		first := len(g.api.queries)
		g.during(time.Hour)
		if got := g.topic.last.WindowStart; !got.Equal(before) {
			t.Errorf("window starts at %v, was %v", got, before)
		}
		for _, q := range g.api.queries[first:] {
			if q.Since.Before(before) {
				t.Errorf("asked since %v, before the window's start %v", q.Since, before)
			}
		}
		g.wantPublished(720)
	})
}

// Idle polls write nothing; what they complete is written once per sweep time.
func TestNothingNewIsNoBatch(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.api.add(series(time.Now().Add(-time.Hour), 1, 50, time.Minute)...)
		g.start()
		g.pause(time.Minute)
		batches, calls := g.topic.batches, g.api.calls
		g.pause(2 * time.Hour)
		if got := g.topic.batches - batches; got > 1 {
			t.Errorf("%d batches in two idle hours", got)
		}
		if got := g.api.calls - calls; got < 2*120 || got > 2*120*11/10 {
			t.Errorf("%d calls in two idle hours, want one each 30 s", got)
		}
		g.wantState(schemas.StateActive)
		_ = g.end()
	})
}

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

func TestSweepFindsLateEventsOfABusyTenant(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		now := time.Now().UTC()
		g.api.limit = RateLimit{Limit: 1_000_000, Remaining: 900_000, Reset: time.Hour}
		g.poller.PageSize = 100
		g.api.add(series(now.Add(-time.Hour), 1, 3*7200, 500*time.Millisecond)...)
		late := happening{id: 100_000, created: now.Add(time.Minute), visible: now.Add(9 * time.Minute)}
		g.api.add(late)
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

// Catching up must not re-read: the first run counts as its own sweep.
func TestCatchUpReadsEachPageOnce(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.api.limit = RateLimit{Limit: 1_000_000, Remaining: 900_000, Reset: time.Hour}
		g.api.add(series(time.Now().Add(-20*time.Hour), 1, 36_000, 2*time.Second)...)
		g.during(time.Second)
		g.wantPublished(36_000)
		if g.api.calls > 40 {
			t.Errorf("%d calls for 36 pages", g.api.calls)
		}
	})
}

// The next page is asked for while a batch waits to be taken.
func TestNextPageIsFetchedDuringOffer(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.poller.PageSize = 10
		g.api.latency = func() time.Duration { return time.Second }
		g.sink.room = 1
		g.sink.delay = func() time.Duration { return time.Second }
		g.api.add(series(time.Now().Add(-time.Hour), 1, 100, time.Second)...)
		g.during(13 * time.Second)
		g.wantPublished(100)
	})
}

func TestDeadLettersAreSentOnce(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.api.malformed = [][]byte{[]byte(`{"id":"x"}`), []byte(`7`)}
		g.api.add(series(time.Now().Add(-time.Minute), 1, 3, time.Second)...)
		g.during(10 * time.Minute)
		want := [][]byte{[]byte(`{"id":"x"}`), []byte(`7`)}
		if diff := cmp.Diff(want, g.topic.dead); diff != "" {
			t.Errorf("dead letters (-want +got):\n%s", diff)
		}
		if got := value(t, g.poller.Metrics.deadLetters); got != 2 {
			t.Errorf("metric says %v dead letters", got)
		}
		g.wantPublished(3)
	})
}

func TestRepeatedCursorEndsTheRun(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		hits := 0
		g.api.frozen = map[string]Query{}
		g.api.add(series(time.Now().Add(-time.Minute), 1, 3, time.Second)...)
		g.api.after = func(q Query, p *Page) {
			hits++
			p.Next = fmt.Sprintf("0@same%d", hits%2)
			q.Cursor = ""
			g.api.frozen[p.Next] = q
		}
		g.start()
		g.pause(time.Minute)
		g.wantPublished(3)
		st := g.wantState(schemas.StateFailing)
		if st.Message != "Log listing error" || hits > 60 {
			t.Errorf("%q after %d calls", st.Message, hits)
		}
		g.api.mu.Lock()
		g.api.after = nil
		g.api.mu.Unlock()
		g.pause(time.Minute)
		g.wantState(schemas.StateActive)
		_ = g.end()
	})
}

// One empty page that carries a cursor does not hide what comes after it; two in
// a row are the end of what there is.
func TestEmptyPagesWithACursor(t *testing.T) {
	for empties, want := range map[int]int{1: 3, 1000: 0} {
		within(t, func(t *testing.T, g *rig) {
			g.api.frozen = map[string]Query{}
			g.api.add(series(time.Now().Add(-time.Minute), 1, 3, time.Second)...)
			n := 0
			g.api.after = func(q Query, p *Page) {
				if n++; n%(empties+1) != 0 {
					g.api.hiccup(q, p, n)
				}
			}
			g.start()
			g.pause(time.Second)
			g.wantPublished(want)
			g.wantState(schemas.StateActive)
			if g.api.calls != 2 {
				t.Errorf("%d calls for one poll, want 2", g.api.calls)
			}
			_ = g.end()
		})
	}
}

// hiccup makes the first page of a run empty, with a cursor to what was on it.
func (a *fakeAPI) hiccup(q Query, p *Page, n int) {
	p.Events, p.Next = nil, fmt.Sprintf("0@empty%d", n)
	q.Cursor = ""
	a.frozen[p.Next] = q
}

// An empty page in a sweep would otherwise count as the whole window, and
// complete_through would pass what the sweep has not seen.
func TestAnEmptyPageDoesNotEndASweep(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		now := time.Now().UTC()
		g.api.limit = RateLimit{Limit: 1_000_000, Remaining: 900_000, Reset: time.Hour}
		g.poller.PageSize = 100
		g.api.add(series(now.Add(-time.Hour), 1, 3*7200, 500*time.Millisecond)...)
		late := happening{id: 100_000, created: now.Add(time.Minute), visible: now.Add(9 * time.Minute)}
		g.api.add(late)
		hits := 0
		g.api.after = func(q Query, p *Page) {
			if !q.Until.IsZero() && q.Cursor == "" && p.Next != "" {
				hits++
				g.api.hiccup(q, p, hits)
			}
		}
		g.start()
		g.pause(30 * time.Minute)
		_ = g.end()
		if !g.topic.late[late.id] {
			t.Error("the late event was not found, or is not marked late")
		}
		if hits == 0 {
			t.Error("no sweep met an empty page: no data")
		}
	})
}

// Newest first is not what was asked for, but must not lose anything either.
func TestDescendingPages(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.poller.PageSize = 10
		g.api.descend = true
		from := time.Now().Add(-time.Hour)
		g.api.add(series(from, 1, 35, time.Minute)...)
		g.api.fault = func(_ int, q Query) error {
			if q.Cursor != "" {
				return &APIError{Kind: Forbidden, Stage: "Fetch Logs", Message: "x"}
			}
			return nil
		}
		start := time.Now().Add(-24 * time.Hour)
		g.during(time.Second)
		if got := g.topic.last.Through; !got.Equal(start) {
			t.Errorf("through is %v in the middle of a descending run, want the start %v", got, start)
		}
		g.api.fault = nil
		g.during(time.Minute)
		g.wantPublished(35)
		if got := strings.Count(g.log.String(), "do not ascend"); got != 1 {
			t.Errorf("said %d times that events do not ascend, want once", got)
		}
	})
}

func TestIntervalAdapts(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		now := time.Now().UTC()
		g.api.add(series(now, 1, 60, time.Second)...)
		var at []time.Duration
		g.api.fault = func(int, Query) error { at = append(at, time.Since(now)); return nil }
		g.during(4 * time.Minute)
		busy, idle := 0, 0
		for i := 1; i < len(at); i++ {
			gap := at[i] - at[i-1]
			switch {
			case at[i] < 55*time.Second:
				busy++
				if gap > 2*time.Second || gap < 1900*time.Millisecond {
					t.Errorf("gap %v while events come", gap)
				}
			case at[i] > 3*time.Minute:
				idle++
				if gap > 30*time.Second || gap < 28*time.Second {
					t.Errorf("gap %v when idle", gap)
				}
			}
		}
		if busy < 20 || idle < 1 {
			t.Errorf("%d busy and %d idle polls", busy, idle)
		}
	})
}

func TestPageSizeAuto(t *testing.T) {
	for name, set := range map[string]func(a *fakeAPI){
		"refused": func(a *fakeAPI) { a.maxLimit = 50 },
		"clamped": func(a *fakeAPI) { a.clamp = 50 },
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T, g *rig) {
				set(g.api)
				g.api.add(series(time.Now().Add(-time.Hour), 1, 175, time.Second)...)
				g.during(10 * time.Second)
				g.wantPublished(175)
				g.wantState(schemas.StateActive)
				g.during(10 * time.Second)
				if q := g.api.queries; q[0].Limit != 1000 || q[len(q)-1].Limit != 50 {
					t.Errorf("asked for %d first and %d last", q[0].Limit, q[len(q)-1].Limit)
				}
			})
		})
	}
	t.Run("fixed", func(t *testing.T) {
		within(t, func(t *testing.T, g *rig) {
			g.api.maxLimit = 50
			g.poller.PageSize = 100
			g.start()
			g.pause(time.Minute)
			g.wantState(schemas.StateFailing)
			_ = g.end()
		})
	})
}

func TestAPIErrorsShowAndPass(t *testing.T) {
	for _, kind := range []Kind{Unknown, Configuration, Credentials, Forbidden, Unreachable, Timeout, Refused, Unreadable} {
		t.Run(kind.String(), func(t *testing.T) {
			within(t, func(t *testing.T, g *rig) {
				g.api.add(series(time.Now(), 1, 1200, time.Second)...)
				broken := true
				hits := 0
				g.api.fault = func(int, Query) error {
					if !broken {
						return nil
					}
					hits++
					return &APIError{Kind: kind, Stage: "Fetch Logs", Message: "Unknown Error", Advice: "Do something."}
				}
				var changes atomic.Int32
				g.poller.OnChange = func() { changes.Add(1) }
				g.start()
				g.pause(5 * time.Minute)
				st := g.wantState(schemas.StateFailing)
				if st.Stage != "Fetch Logs" || st.Message != "Unknown Error" || st.Advice != "Do something." {
					t.Errorf("status is %+v", st)
				}
				if hits < 10 || hits > 20 {
					t.Errorf("%d tries in 5 minutes", hits)
				}
				if changes.Load() != 1 || strings.Count(g.log.String(), "\n") != 1 {
					t.Errorf("%d changes told, log:\n%s", changes.Load(), g.log)
				}
				broken = false
				g.pause(time.Minute)
				g.wantState(schemas.StateActive)
				_ = g.end()
				if g.topic.last.Events < 300 {
					t.Errorf("%d events after the trouble", g.topic.last.Events)
				}
			})
		})
	}
}

func TestThrottledHonoursRetryAfter(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.api.add(series(time.Now().Add(-time.Minute), 1, 3, time.Second)...)
		var at []time.Time
		g.api.fault = func(call int, _ Query) error {
			at = append(at, time.Now())
			if call == 1 {
				return &APIError{Kind: Throttled, Stage: "Fetch Logs", Message: "Request Failed - response code 429, reason Too Many Requests", Status: 429, RetryAfter: 20 * time.Minute}
			}
			return nil
		}
		g.start()
		g.pause(10 * time.Minute)
		g.wantState(schemas.StateThrottled)
		g.pause(11 * time.Minute)
		g.wantState(schemas.StateActive)
		_ = g.end()
		if gap := at[1].Sub(at[0]); gap < 20*time.Minute || gap > 21*time.Minute {
			t.Errorf("asked again after %v, want 20m", gap)
		}
		if got := value(t, g.poller.Metrics.throttled); got != 1 {
			t.Errorf("metric says throttled %v times", got)
		}
	})
}

// An error without an *APIError inside is an error of the API all the same.
func TestStrangeClientErrors(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.api.fault = func(call int, _ Query) error {
			if call == 1 {
				return fmt.Errorf("asking: %w", context.DeadlineExceeded)
			}
			return nil
		}
		g.start()
		g.pause(time.Second)
		if st := g.wantState(schemas.StateFailing); st.Message != "Request Timeout" {
			t.Errorf("message is %q", st.Message)
		}
		g.pause(time.Minute)
		g.wantState(schemas.StateActive)
		_ = g.end()
	})
}

// A record that can never be written stops the connector, visibly, and nothing
// is skipped.
func TestTooLargeSkipsNothing(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		hs := series(time.Now().Add(-time.Minute), 1, 30, time.Second)
		g.api.malformed = [][]byte{[]byte("7")}
		g.api.add(hs...)
		refused := 0
		g.sink.refuse = func(*schemas.Batch) error {
			refused++
			return fmt.Errorf("record of 2000000 bytes: %w", ErrTooLarge)
		}
		g.start()
		g.pause(10 * time.Minute)
		if st := g.wantState(schemas.StateFailing); st.Stage != "Kafka" {
			t.Errorf("stage is %q", st.Stage)
		}
		if refused < 5 || refused > 40 {
			t.Errorf("offered %d times in 10 minutes", refused)
		}
		g.wantPublished(0)
		g.sink.mu.Lock()
		g.sink.refuse = nil
		g.sink.mu.Unlock()
		g.pause(time.Minute)
		g.wantState(schemas.StateActive)
		g.wantPublished(30)
		if len(g.topic.dead) != 1 {
			t.Errorf("%d dead letters, want 1", len(g.topic.dead))
		}
		_ = g.end()
	})
}

func TestSinkErrorEndsRun(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.api.add(series(time.Now().Add(-time.Minute), 1, 30, time.Second)...)
		cause := &APIError{Kind: Unknown, Stage: "x", Message: "not from the API"}
		g.sink.refuse = func(*schemas.Batch) error { return fmt.Errorf("%w: %w", ErrVoid, cause) }
		g.start()
		err := <-g.done
		if !errors.Is(err, ErrVoid) || !errors.Is(err, cause) {
			t.Errorf("Run returned %v", err)
		}
	})
}

// "now" is when the connector was first polled, also if nothing happened before
// a restart, or the API was down at first.
func TestStartFromNowSurvivesARestart(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.poller.StartFrom = StartFrom{}
		now := time.Now().UTC()
		g.api.add(series(now.Add(-time.Hour), 1, 10, time.Minute)...)
		g.api.add(series(now.Add(10*time.Second), 100, 10, time.Minute)...)
		g.api.fault = func(call int, _ Query) error {
			if call < 5 {
				return &APIError{Kind: Unreachable, Stage: "Fetch Logs", Message: "Unable to connect"}
			}
			return nil
		}
		g.during(time.Second)
		g.during(time.Minute)
		if g.topic.last.Events == 0 {
			t.Fatal("nothing published")
		}
		g.pause(20 * time.Minute)
		g.poller = newPoller(g.api) // another process
		g.poller.StartFrom = StartFrom{}
		g.during(time.Minute)
		g.wantPublished(10)
	})
	within(t, func(t *testing.T, g *rig) {
		g.poller.StartFrom = StartFrom{}
		g.during(time.Second)
		if g.topic.batches != 1 || g.topic.load().Fresh {
			t.Fatalf("%d batches: the start was not written", g.topic.batches)
		}
		g.api.add(series(time.Now(), 1, 10, time.Second)...)
		g.pause(time.Hour)
		g.poller = newPoller(g.api)
		g.poller.StartFrom = StartFrom{}
		g.during(time.Second)
		g.wantPublished(10)
	})
}

func TestStartGoesByTheServersClock(t *testing.T) {
	for _, skew := range []time.Duration{-3 * time.Hour, 3 * time.Hour} {
		within(t, func(t *testing.T, g *rig) {
			g.poller.StartFrom = StartFrom{Ago: time.Hour}
			g.api.skew = skew
			server := time.Now().Add(skew)
			for i, h := range series(server.Add(-2*time.Hour), 1, 120, time.Minute) {
				h.visible = time.Now()
				h.id = int64(i + 1)
				g.api.add(h)
			}
			g.during(time.Minute)
			if n := len(g.topic.published); n < 59 || n > 61 {
				t.Errorf("skew %v: %d events published, want those of the server's last hour", skew, n)
			}
		})
	}
}

// An offset of another account is not touched.
func TestOtherAccountIsRefused(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		account := int64(7)
		g.poller.AccountID = func() int64 { return account }
		g.api.add(series(time.Now().Add(-time.Minute), 1, 3, time.Second)...)
		g.during(time.Second)
		if g.topic.last.AccountID != 7 {
			t.Fatalf("offset has account %d", g.topic.last.AccountID)
		}
		account = 8
		g.api.add(series(time.Now(), 10, 3, time.Second)...)
		g.start()
		g.pause(time.Minute)
		if st := g.wantState(schemas.StateFailing); st.Stage != "Configuration" {
			t.Errorf("stage is %q", st.Stage)
		}
		g.wantPublished(3)
		_ = g.end()
	})
}

// A session starts from what it is given, not from what the last one believed.
func TestRunBelievesOnlyItsState(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.api.add(series(time.Now().Add(-time.Hour), 1, 600, time.Second)...)
		g.sink.delay = func() time.Duration { return time.Hour } // nothing is ever committed
		g.during(time.Minute)
		g.wantPublished(0)
		if g.sink.delay = nil; !g.topic.load().Fresh {
			t.Fatal("something was committed")
		}
		g.during(time.Minute)
		g.wantPublished(600)
	})
}

func TestStatusAndMetrics(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		if st := g.poller.Status(); st.State != schemas.StateInactive || st.Lag >= 0 {
			t.Errorf("before the first poll: %+v", st)
		}
		g.api.limit = RateLimit{Limit: 5000, Remaining: 4000, Reset: time.Hour}
		hs := series(time.Now().Add(-time.Minute), 1, 30, time.Second)
		g.api.add(hs...)
		g.start()
		g.pause(5 * time.Minute)
		st := g.wantState(schemas.StateActive)
		if st.Events != 30 || !st.Through.Equal(hs[29].created) || !st.LastEvent.Equal(hs[29].created) || st.RateLimit.Limit != 5000 {
			t.Errorf("status is %+v", st)
		}
		if st.Lag < 0 || st.Lag > 31*time.Second || time.Since(st.LastPoll) > 31*time.Second || st.Interval != 30*time.Second {
			t.Errorf("idle, but status is %+v", st)
		}
		g.api.mu.Lock()
		g.api.fault = func(int, Query) error { return &APIError{Kind: Unreachable, Stage: "Fetch Logs", Message: "x"} }
		g.api.mu.Unlock()
		g.pause(10 * time.Minute)
		if st := g.wantState(schemas.StateFailing); st.Lag < 9*time.Minute {
			t.Errorf("the API is down, but lag is %v", st.Lag)
		}
		_ = g.end()
		m := g.poller.Metrics
		for name, pair := range map[string][2]float64{
			"events":     {value(t, m.events), 30},
			"remaining":  {value(t, m.remaining), float64(g.poller.Status().RateLimit.Remaining)},
			"last event": {value(t, m.lastEvent), seconds(hs[29].created)},
			"failing":    {value(t, m.state.WithLabelValues("acme", "FAILING")), 1},
			"active":     {value(t, m.state.WithLabelValues("acme", "ACTIVE")), 0},
		} {
			if pair[0] != pair[1] {
				t.Errorf("metric %s is %v, want %v", name, pair[0], pair[1])
			}
		}
		m.Delete("acme")
		if n := count(m.events) + count(m.state) + count(m.lag); n != 0 {
			t.Errorf("%d series left after Delete", n)
		}
	})
}

// A healthy connector says one line when it becomes active, and no more.
func TestHealthyPollIsSilent(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.api.add(series(time.Now(), 1, 3600, time.Second)...)
		g.during(time.Hour)
		if got := strings.Count(g.log.String(), "\n"); got != 1 {
			t.Errorf("log:\n%s", g.log)
		}
	})
}

func TestCatchingUpShows(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.poller.PageSize = 10
		g.api.latency = func() time.Duration { return time.Second }
		g.api.add(series(time.Now().Add(-time.Hour), 1, 300, 10*time.Second)...)
		g.start()
		g.pause(10 * time.Second)
		if st := g.wantState(schemas.StateCatchingUp); st.Lag < 30*time.Minute || st.Lag > time.Hour {
			t.Errorf("lag is %v", st.Lag)
		}
		g.pause(time.Minute)
		g.wantState(schemas.StateActive)
		_ = g.end()
	})
}

// The names are what dashboards and alerts ask for.
func TestMetricNames(t *testing.T) {
	r := prometheus.NewRegistry()
	m := NewMetrics(r)
	m.of("acme")
	m.Requests.WithLabelValues("acme", "200").Inc()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		got = append(got, f.GetName())
	}
	want := []string{
		"onelogin_api_requests_total", "onelogin_beyond_window_total", "onelogin_deadletters_total", "onelogin_duplicates_suppressed_total",
		"onelogin_event_lateness_seconds", "onelogin_events_total", "onelogin_lag_seconds", "onelogin_last_event_timestamp_seconds",
		"onelogin_last_poll_success_timestamp_seconds", "onelogin_late_events_total", "onelogin_rate_limit_remaining", "onelogin_state", "onelogin_throttled_total",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}
