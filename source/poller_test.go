package source

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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

// In the middle of a reading the position stays where it is: nothing tells in
// which order the API shows events, and a crash must not skip the rest.
func TestThePositionWaitsForTheEndOfAReading(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.poller.PageSize = 10
		g.poller.StartFrom = StartFrom{Ago: 4 * time.Minute}
		start := time.Now().Add(-4 * time.Minute)
		hs := series(start.Add(time.Minute), 1, 30, time.Second)
		hs[5].created = time.Now().Add(30 * time.Second) // within a minute of now
		g.api.add(hs...)
		g.api.fault = func(_ int, q Query) error {
			if q.Cursor != "" {
				return &APIError{Kind: Forbidden, Stage: "Fetch Logs", Message: "x"}
			}
			return nil
		}
		g.during(time.Second)
		g.wantPublished(10)
		if got := g.topic.last.Through; !got.Equal(start) {
			t.Errorf("through is %v after the first page, want the start %v", got, start)
		}
		g.api.fault = nil
		g.during(time.Minute)
		g.wantPublished(30)
		if got := g.topic.last.Through; !got.Equal(hs[5].created) {
			t.Errorf("through is %v after the reading, want its newest time %v", got, hs[5].created)
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

func TestEventsBeforeTheStartAreNotPublished(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		g.poller.StartFrom = StartFrom{Ago: 90 * time.Second}
		g.api.round = time.Hour
		now := time.Now().UTC()
		g.api.add(series(now.Add(-10*time.Minute), 1, 5, time.Second)...)
		g.api.add(series(now.Add(-time.Minute), 10, 5, time.Second)...)
		g.during(5 * time.Minute)
		g.wantPublished(5)
		// They were not asked for.
		if got := value(t, g.poller.Metrics.beyond); got != 0 {
			t.Errorf("%v events counted beyond the window, want none", got)
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
		if got := g.topic.last.WindowStart; got.Before(before) {
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

// Which of two clocks is wrong cannot be told: a start goes by the earlier, so
// that nothing of the time asked for is left out.
func TestStartGoesByTheEarlierClock(t *testing.T) {
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
			n := len(g.topic.published)
			if want := 60; skew < 0 && (n < want-1 || n > want+1) || n < want-1 {
				t.Errorf("skew %v: %d events published, want those of the server's last hour", skew, n)
			}
			if apart := strings.Count(g.log.String(), "more than 2 minutes apart"); apart != 1 {
				t.Errorf("said %d times that the clocks are apart", apart)
			}
		})
	}
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
