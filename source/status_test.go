package source

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"onelogin-kafka/schemas"
)

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
			"last event": {value(t, m.lastEvent), seconds(hs[29].created)},
		} {
			if pair[0] != pair[1] {
				t.Errorf("metric %s is %v, want %v", name, pair[0], pair[1])
			}
		}
		m.Delete("acme")
		if n := count(m.events) + count(m.lastPoll); n != 0 {
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
		g.poller.StartFrom = StartFrom{Ago: time.Hour}
		g.api.latency = func() time.Duration { return time.Second }
		g.api.add(series(time.Now().Add(-time.Hour), 1, 300, 10*time.Second)...)
		g.start()
		g.pause(10 * time.Second)
		if st := g.wantState(schemas.StateCatchingUp); st.Lag < 30*time.Minute || st.Lag > 61*time.Minute {
			t.Errorf("lag is %v", st.Lag)
		}
		g.pause(time.Minute)
		g.wantState(schemas.StateActive)
		_ = g.end()
	})
}

// Who polls seldom is not silent for that, and who is silent is so since the
// time at which it became so.
func TestSilentIsThreeIntervals(t *testing.T) {
	for _, tc := range []struct{ interval, silent time.Duration }{
		{time.Second, 5 * time.Minute}, {100 * time.Second, 5 * time.Minute}, {10 * time.Minute, 30 * time.Minute},
	} {
		within(t, func(t *testing.T, g *rig) {
			p, polled := g.poller, time.Now()
			p.status = Status{State: schemas.StateActive, Since: polled.Add(-time.Hour), LastPoll: polled, Interval: tc.interval}
			time.Sleep(tc.silent)
			g.wantState(schemas.StateActive)
			time.Sleep(time.Minute)
			st := g.wantState(schemas.StateInactive)
			if want := polled.Add(tc.silent); !st.Since.Equal(want) {
				t.Errorf("interval %v: silent since %v, want %v", tc.interval, st.Since, want)
			}
		})
	}
}

// The names are what dashboards and alerts ask for.
func TestMetricNames(t *testing.T) {
	r := prometheus.NewRegistry()
	m := NewMetrics(r)
	m.of("acme").lateness().Observe(3)
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
		"onelogin_api_requests_total", "onelogin_beyond_window_total", "onelogin_complete_through_timestamp_seconds", "onelogin_deadletters_total",
		"onelogin_duplicates_suppressed_total", "onelogin_event_lateness_seconds", "onelogin_events_total",
		"onelogin_last_event_timestamp_seconds", "onelogin_last_poll_success_timestamp_seconds", "onelogin_late_events_total", "onelogin_page_size",
		"onelogin_throttled_total", "onelogin_through_timestamp_seconds",
		"onelogin_vanished_events_total", "onelogin_window_ids",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}
