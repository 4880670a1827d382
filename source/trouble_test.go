package source

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"onelogin-kafka/schemas"
)

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
				least, most := 10, 20
				switch kind {
				case Credentials, Forbidden: // they stay refused
					least, most = 5, 10
				case Timeout: // smaller pages are tried too
					most = 30
				}
				if hits < least || hits > most {
					t.Errorf("%d tries in 5 minutes", hits)
				}
				if changes.Load() != 1 || strings.Count(g.log.String(), "\n") != 1 {
					t.Errorf("%d changes told, log:\n%s", changes.Load(), g.log)
				}
				broken = false
				g.poller.Wake()
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
