package source

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/schemas"
)

// Catching up reads each page about once: slices overlap by little, and what is
// to be read again waits until the end is reached.
func TestCatchUpReadsEachPageOnce(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.api.latency = func() time.Duration { return 10 * time.Millisecond }
		g.api.limit = RateLimit{Limit: 1_000_000, Remaining: 900_000, Reset: time.Hour}
		g.poller.StartFrom = StartFrom{Ago: 20 * time.Hour}
		g.api.add(series(time.Now().Add(-20*time.Hour), 1, 36_000, 2*time.Second)...)
		g.start()
		calls := 0
		for range 1000 {
			g.pause(10 * time.Millisecond)
			if calls++; len(g.topic.published) == 36_000 {
				break
			}
		}
		_ = g.end()
		g.wantPublished(36_000)
		if calls > 40 {
			t.Errorf("time for %d calls for 36 pages", calls)
		}
	})
}

// Nor does a slice that has grown over hours without events cost more than the
// few pages that show how much it holds.
func TestPagesBehindAnIdleDayAreReadOnce(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		const events, page = 36_000, 50
		g.poller.PageSize = page
		g.api.limit = RateLimit{Limit: 1_000_000, Remaining: 900_000, Reset: time.Hour}
		g.poller.StartFrom = StartFrom{Ago: 48 * time.Hour}
		begin := time.Now().Add(-20 * time.Hour)
		g.api.add(happening{id: 1, created: begin.Add(-20 * time.Hour)})
		g.api.add(series(begin, 2, events-1, 2*time.Second)...)
		g.start()
		for range 100 {
			if g.pause(100 * time.Millisecond); len(g.topic.published) == events {
				break
			}
		}
		_ = g.end()
		g.wantPublished(events)
		if most := events / page * 105 / 100; g.api.calls > most {
			t.Errorf("%d calls for %d pages, want %d at most", g.api.calls, events/page, most)
		}
	})
}

// The next page is asked for while a batch waits to be taken.
func TestNextPageIsFetchedDuringOffer(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.poller.PageSize = 10
		g.poller.StartFrom = StartFrom{Ago: 62 * time.Minute}
		g.api.latency = func() time.Duration { return time.Second }
		g.sink.room = 1
		g.sink.delay = func() time.Duration { return time.Second }
		g.api.add(series(time.Now().Add(-time.Hour), 1, 100, time.Second)...)
		g.during(15 * time.Second)
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

// However many empty pages carry another cursor, what comes after them is found;
// while they do not end, nothing counts as read to its end.
func TestEmptyPagesWithACursor(t *testing.T) {
	for empties, want := range map[int]int{1: 3, 2: 3, 40: 3, 1_000_000: 0} {
		within(t, func(t *testing.T, g *rig) {
			g.api.frozen = map[string]Query{}
			g.api.latency = func() time.Duration { return 100 * time.Millisecond }
			g.api.limit = RateLimit{Limit: 1_000_000, Remaining: 900_000, Reset: time.Hour}
			g.api.add(series(time.Now().Add(-time.Minute), 1, 3, time.Second)...)
			n := 0
			g.api.after = func(q Query, p *Page) {
				if n++; n%(empties+1) != 0 {
					g.api.hiccup(q, p, n)
				}
			}
			g.start()
			g.pause(10 * time.Minute)
			g.wantPublished(want)
			switch st := g.poller.Status(); {
			case want > 0 && st.State != schemas.StateActive:
				t.Errorf("state is %s after %d empty pages", st.State, empties)
			case want == 0 && (st.State == schemas.StateActive || !st.LastPoll.IsZero()):
				t.Errorf("%d empty pages: state %s, last poll %v", n, st.State, st.LastPoll)
			}
			if n > 610*10 {
				t.Errorf("%d calls", n)
			}
			_ = g.end()
		})
	}
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
			t.Errorf("through is %v in the middle of a reading, want the start %v", got, start)
		}
		g.api.fault = nil
		g.during(time.Minute)
		g.wantPublished(35)
	})
}

func TestIntervalAdapts(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		now := time.Now().UTC()
		g.api.add(series(now, 1, 60, time.Second)...)
		var at []time.Duration
		g.api.fault = func(_ int, q Query) error {
			if q.Until.IsZero() {
				at = append(at, time.Since(now))
			}
			return nil
		}
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
		"refused without a word of why": func(a *fakeAPI) {
			a.fault = func(_ int, q Query) error {
				if q.Limit <= 50 {
					return nil
				}
				return &APIError{Kind: Refused, Stage: "Fetch Logs", Message: "Request Failed - response code 400, reason Bad Request", Status: 400}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T, g *rig) {
				set(g.api)
				g.api.add(series(time.Now().Add(-time.Hour), 1, 175, time.Second)...)
				g.during(10 * time.Second)
				g.wantPublished(175)
				g.wantState(schemas.StateActive)
				g.during(10 * time.Second)
				if q := g.api.queries; q[0].Limit != 1000 || g.poller.size.room() != 50 {
					t.Errorf("asked for %d first; a page holds %d", q[0].Limit, g.poller.size.room())
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

// OneLogin leaves things out of its answers when it is in trouble: an empty page
// that was promised and does not say whether another follows does not end a
// reading, and what it may hide is never taken for nothing.
func TestAnEmptyPageThatSaysNothing(t *testing.T) {
	for empties, want := range map[int]int{0: 35, pageTries - 1: 35, 1000: 10} {
		within(t, func(t *testing.T, g *rig) {
			g.poller.PageSize = 10
			g.poller.StartFrom = StartFrom{Ago: 4 * time.Minute}
			g.api.descend = true // what a reading does not come to, the next does not ask for
			g.api.add(series(time.Now().Add(-3*time.Minute), 1, 35, time.Second)...)
			asked := map[string]int{}
			g.api.after = func(q Query, p *Page) {
				if asked[q.Cursor]++; q.Cursor != "" && asked[q.Cursor] <= empties {
					*p = Page{Unsaid: true, ServerTime: p.ServerTime}
				}
			}
			g.start()
			g.pause(2 * time.Minute)
			g.wantPublished(want)
			if want == 35 {
				g.wantState(schemas.StateActive)
			} else if st := g.wantState(schemas.StateFailing); st.Message != "Log listing error" {
				t.Errorf("message is %q", st.Message)
			}
			_ = g.end()
			if empties > 0 && asked[""] == len(g.api.queries) {
				t.Error("no further page was asked for")
			}
		})
	}
}

// Nor does one that comes after other trouble with the same page.
func TestAnEmptyPageAfterOtherTrouble(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.poller.PageSize = 10
		g.api.descend = true
		g.api.add(series(time.Now().Add(-time.Hour), 1, 35, time.Minute)...)
		asked, said := map[string]int{}, 0
		g.api.fault = func(_ int, q Query) error {
			if asked[q.Cursor]++; q.Cursor != "" && asked[q.Cursor] < pageTries {
				return &APIError{Kind: Refused, Status: 503, Stage: "Fetch Logs", Message: "x"}
			}
			return nil
		}
		g.api.after = func(q Query, p *Page) {
			if q.Cursor != "" && asked[q.Cursor] == pageTries && said == 0 {
				said++
				*p = Page{Unsaid: true, ServerTime: p.ServerTime}
			}
		}
		g.during(10 * time.Minute)
		g.wantPublished(35)
		if said != 1 {
			t.Errorf("%d pages said nothing: no data", said)
		}
	})
}

// A page whose trouble may pass soon is asked for again within its run, one that
// is refused for what was asked is not.
func TestFurtherPagesAreAskedForAgain(t *testing.T) {
	for _, c := range []struct {
		kind   Kind
		status int
		again  bool
	}{
		{Refused, 500, true},
		{Refused, 503, true},
		{Refused, 200, true}, // an error in the body
		{Refused, 409, true},
		{Unreadable, 200, true},
		{Unreachable, 0, true},
		{Refused, 400, false},
		{Refused, 404, false},
		{Credentials, 401, false},
	} {
		within(t, func(t *testing.T, g *rig) {
			g.poller.PageSize = 10
			g.poller.StartFrom = StartFrom{Ago: 4 * time.Minute}
			g.api.add(series(time.Now().Add(-3*time.Minute), 1, 35, time.Second)...)
			hits := 0
			g.api.fault = func(_ int, q Query) error {
				if q.Cursor == "" || hits > 0 {
					return nil
				}
				hits++
				return &APIError{Kind: c.kind, Stage: "Fetch Logs", Message: "x", Status: c.status}
			}
			g.during(time.Minute)
			g.wantPublished(35)
			again := len(g.api.queries) > 2 && g.api.queries[2] == g.api.queries[1]
			if hits != 1 || again != c.again {
				t.Errorf("%v %d: asked again %t, want %t", c.kind, c.status, again, c.again)
			}
		})
	}
}

// An account that went quiet after more events than a page holds is not called
// catching up, though each poll reads more than one page of them.
func TestQuietAfterABurstIsNotCatchingUp(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.poller.PageSize = 50
		g.api.add(series(time.Now().Add(2*time.Second), 1, 200, time.Millisecond)...)
		changes := 0
		g.poller.OnChange = func() { changes++ }
		g.start()
		g.pause(10 * time.Minute)
		g.wantPublished(200)
		g.wantState(schemas.StateActive)
		_ = g.end()
		further := 0
		for _, q := range g.api.queries {
			if q.Cursor != "" && q.Until.IsZero() {
				further++
			}
		}
		if changes != 1 || further < 10 {
			t.Errorf("%d changes of state while polls read %d further pages, want one", changes, further)
		}
	})
}
