package source

import (
	"slices"
	"strings"
	"testing"
	"time"

	"onelogin-kafka/schemas"
)

// Further pages of sweeps are empty, with ever other cursors, for some time.
func TestEmptyPagesDoNotEndASweep(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		now := time.Now().UTC()
		late := g.busyWithALateOne(now)
		hits := 0
		g.api.after = func(q Query, p *Page) {
			if d := time.Since(now); !q.Until.IsZero() && q.Cursor != "" && d > 8*time.Minute && d < 18*time.Minute && p.Next != "" {
				hits++
				g.api.hiccup(q, p, 1000+hits)
			}
		}
		g.start()
		g.pause(17 * time.Minute)
		if g.topic.last.CompleteThrough.After(late.created) {
			t.Error("complete_through is past what no sweep has seen")
		}
		g.pause(43 * time.Minute)
		_ = g.end()
		if g.topic.count[late.id] != 1 {
			t.Error("the late event was not found")
		}
		if hits == 0 || hits > 6000 {
			t.Errorf("%d empty pages", hits)
		}
	})
}

// Answers without anything, for whatever time, are not an idle account's.
func TestEmptyAnswersDoNotLookIdle(t *testing.T) {
	for name, answer := range map[string]Page{"unsaid": {Unsaid: true}, "said": {}} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T, g *rig) {
				now := time.Now().UTC()
				g.api.add(series(now.Add(-time.Hour), 1, 7200, time.Second)...)
				g.api.after = func(_ Query, p *Page) {
					if d := time.Since(now); d > 5*time.Minute && d < 40*time.Minute {
						answer.ServerTime = p.ServerTime
						*p = answer
					}
				}
				g.start()
				g.pause(10 * time.Minute)
				st := g.wantState(schemas.StateFailing)
				if st.Message != "Log listing error" || time.Since(st.LastPoll) < 4*time.Minute {
					t.Errorf("message is %q, last poll %v ago", st.Message, time.Since(st.LastPoll))
				}
				if name == "said" && !strings.Contains(g.log.String(), "of 250 events that are known") && !strings.Contains(g.log.String(), "shows 0 of ") {
					t.Errorf("log does not say how many were shown:\n%s", g.log)
				}
				g.pause(35 * time.Minute)
				g.wantState(schemas.StateActive)
				_ = g.end()
				if len(g.topic.published) < 3600+44*60 {
					t.Errorf("%d events published", len(g.topic.published))
				}
			})
		})
	}
}

// A copy of the data that is behind cannot move anything, and is no trouble as
// long as others answer too.
func TestACopyThatIsBehind(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		now := time.Now().UTC()
		g.manyCalls()
		g.poller.PageSize = 50
		g.api.add(series(now.Add(-time.Hour), 1, 7200, time.Second)...)
		calls := 0
		g.api.lag = func() time.Duration {
			if calls++; calls%2 == 0 {
				return 40 * time.Second
			}
			return 0
		}
		failing := 0
		g.poller.OnChange = func() {
			if g.poller.Status().State == schemas.StateFailing {
				failing++
			}
		}
		g.start()
		g.pause(50 * time.Minute)
		g.wantState(schemas.StateActive)
		_ = g.end()
		if want := 3600 + 49*60; len(g.topic.published) < want || failing > 0 {
			t.Errorf("%d events published, want %d; FAILING %d times", len(g.topic.published), want, failing)
		}
	})
}

// An event that was deleted at the API is waited for during an hour, in which
// what is new is published all the same, and then let go.
func TestAVanishedEventIsLetGo(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		now := time.Now().UTC()
		g.api.add(series(now.Add(-time.Hour), 1, 720, 20*time.Second)...)
		g.start()
		g.pause(10 * time.Minute)
		var gone int64
		g.api.mu.Lock()
		for i, h := range g.api.events {
			if h.created.After(now.Add(5 * time.Minute)) {
				gone = h.id
				g.api.events = append(g.api.events[:i:i], g.api.events[i+1:]...)
				break
			}
		}
		g.api.mu.Unlock()
		g.pause(10 * time.Minute)
		before := len(g.topic.published)
		if st := g.wantState(schemas.StateFailing); st.Message != "Log listing error" {
			t.Errorf("message is %q", st.Message)
		}
		g.pause(20 * time.Minute)
		if got := len(g.topic.published) - before; got < 58 {
			t.Errorf("%d events published in 20 minutes, want 60", got)
		}
		if got := value(t, g.poller.Metrics.vanished); got != 0 {
			t.Errorf("%v events let go too early", got)
		}
		g.pause(45 * time.Minute)
		g.wantState(schemas.StateActive)
		if got := value(t, g.poller.Metrics.vanished); got != 1 {
			t.Errorf("%v events let go, want 1", got)
		}
		through := g.topic.last.Through
		if time.Since(through) > time.Minute {
			t.Errorf("through is %v old", time.Since(through))
		}
		_ = g.end()
		if gone == 0 || g.topic.count[gone] != 1 {
			t.Errorf("event %d: no data", gone)
		}
	})
}

// Every sweep is refused: it is said, it costs little, and nothing is claimed.
func TestSweepsThatAreRefused(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		now := time.Now().UTC()
		late := g.busyWithALateOne(now)
		g.poller.StartFrom = StartFrom{Ago: time.Minute}
		calls := 0
		g.api.fault = func(_ int, q Query) error {
			if !q.Until.IsZero() || time.Since(now) > time.Minute && time.Since(q.Since) > 3*time.Minute {
				calls++
				return &APIError{Kind: Refused, Stage: "Fetch Logs", Message: "Request Failed - response code 400, reason Bad Request", Status: 400}
			}
			return nil
		}
		g.start()
		g.pause(90 * time.Minute)
		g.wantState(schemas.StateActive)
		_ = g.end()
		if g.topic.last.CompleteThrough.After(late.created) {
			t.Error("complete_through is past what no sweep has seen")
		}
		if calls == 0 || calls > 30 {
			t.Errorf("%d calls refused", calls)
		}
		if n := strings.Count(g.log.String(), "reading the window again fails"); n != 1 || !strings.Contains(g.log.String(), "response code 400") {
			t.Errorf("said %d times:\n%s", n, g.log)
		}
		if got := value(t, g.poller.Metrics.completeThrough); got > seconds(late.created) {
			t.Errorf("the gauge says complete through %v", got)
		}
	})
}

// A position older than the API keeps events is told as that, with the gap, and
// goes on by itself after an hour.
func TestAPositionOlderThanTheAPIKeeps(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		now := time.Now().UTC()
		g.api.add(series(now.Add(-time.Hour), 1, 60, time.Minute)...)
		g.during(time.Minute)
		g.pause(90 * 24 * time.Hour)
		g.api.mu.Lock()
		g.api.events = nil
		g.api.mu.Unlock()
		g.api.add(series(time.Now().Add(-time.Hour), 1000, 180, time.Minute)...)
		g.start()
		g.pause(30 * time.Minute)
		g.wantState(schemas.StateFailing)
		if !strings.Contains(g.log.String(), "may not keep events that long") || !strings.Contains(g.log.String(), now.Add(-time.Minute).Format("2006-01-02")) {
			t.Errorf("the gap is not told:\n%s", g.log)
		}
		g.wantPublished(60 + 90) // what is shown is published meanwhile
		g.pause(time.Hour)
		g.wantState(schemas.StateActive)
		_ = g.end()
		if time.Since(g.topic.last.Through) > 2*time.Minute {
			t.Errorf("through is %v", g.topic.last.Through)
		}
	})
}

// What an API shows behind the end of a sweep that it does not keep to is held against
// nothing, and completes nothing.
func TestASweepThatOverrunsCompletesNothing(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		began := time.Now().UTC()
		g.poller.PageSize = 10
		g.poller.StartFrom = StartFrom{At: began}
		g.poller.SweepEvery, g.poller.SweepWindow = 10*time.Minute, time.Minute
		g.manyCalls()
		g.api.noUntil = true
		g.api.add(series(began, 10, 6000, 300*time.Millisecond)...)
		late := happening{id: 5, created: began.Add(5*time.Minute + 100*time.Millisecond), visible: began.Add(7 * time.Minute)}
		g.api.add(late)
		g.topic.truth, g.topic.start, g.topic.latest = []happening{late}, began, time.Hour
		overran := 0
		g.api.after = func(q Query, p *Page) {
			if q.Until.IsZero() {
				return
			}
			overran++
			p.Events = slices.DeleteFunc(p.Events, func(ev schemas.Event) bool { return ev.CreatedAt.Sub(late.created).Abs() < 10*time.Second })
		}
		g.during(25 * time.Minute)
		if overran == 0 || g.topic.count[late.id] != 1 || time.Since(g.topic.last.CompleteThrough) > 20*time.Minute {
			t.Errorf("%d answers overran, the late event is there %d times, complete through %v ago", overran, g.topic.count[late.id], time.Since(g.topic.last.CompleteThrough))
		}
	})
}
