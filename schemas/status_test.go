package schemas_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/schemas"
)

func validStatus() schemas.ConnectorStatus {
	return schemas.ConnectorStatus{
		Version: 1, Connector: "acme", State: schemas.StateFailing, Stage: "Fetch Logs",
		Message: "Request Failed - response code 503, reason Service Unavailable",
		Domain:  "acme.onelogin.com", AccountID: 232548, Events: 120394,
		LastEventAt: at("2026-11-22T07:05:11.123Z"), LastPollAt: at("2026-11-22T07:05:12Z"), LagSeconds: 1.4,
		CompleteThrough: at("2026-11-22T06:50:00Z"), RateLimit: schemas.RateLimit{Limit: 5000, Remaining: 4870, ResetSeconds: 1200},
		Instance: "host-1", Shard: 17, Since: at("2026-11-22T07:00:00Z"), UpdatedAt: at("2026-11-22T07:05:12Z"),
	}
}

const statusJSON = `{"version":1,"connector":"acme","state":"FAILING","stage":"Fetch Logs","message":"Request Failed - response code 503, reason Service Unavailable","domain":"acme.onelogin.com","account_id":232548,"events":120394,"last_event_at":"2026-11-22T07:05:11.123Z","last_poll_at":"2026-11-22T07:05:12Z","complete_through":"2026-11-22T06:50:00Z","rate_limit":{"limit":5000,"remaining":4870,"reset_seconds":1200},"instance":"host-1","shard":17,"since":"2026-11-22T07:00:00Z","updated_at":"2026-11-22T07:05:12Z","lag_seconds":1.4}`

func TestStatusRoundTrip(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(statusJSON, string(validStatus().Marshal())); diff != "" {
		t.Errorf("Marshal (-want +got):\n%s", diff)
	}
	never := time.Time{}
	tests := map[string]func(*schemas.ConnectorStatus){
		"as it is":         func(*schemas.ConnectorStatus) {},
		"no lag":           func(s *schemas.ConnectorStatus) { s.LagSeconds = 0 },
		"lag unknown":      func(s *schemas.ConnectorStatus) { s.LagSeconds = -1 },
		"nothing happened": func(s *schemas.ConnectorStatus) { s.LastEventAt, s.LastPollAt, s.CompleteThrough = never, never, never },
		"budget unknown":   func(s *schemas.ConnectorStatus) { s.RateLimit = schemas.RateLimit{} },
		"budget used up":   func(s *schemas.ConnectorStatus) { s.RateLimit.Remaining = 0 },
		"late events": func(s *schemas.ConnectorStatus) {
			s.Lateness = &schemas.Lateness{Since: at("2026-11-22T06:00:00Z"), Bounds: []float64{2, 5}, Counts: []int64{0, 3, 1}}
		},
		"a console":     func(s *schemas.ConnectorStatus) { s.Console = "https://one.example.com:8443" },
		"message in <>": func(s *schemas.ConnectorStatus) { s.Message = `<secret> & "quotes"` },
	}
	for _, state := range schemas.States {
		tests["state "+string(state)] = func(s *schemas.ConnectorStatus) { s.State = state }
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := validStatus()
			change(&want)
			value := want.Marshal()
			validate(t, "status", value)
			got, err := schemas.ParseStatus(value)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("round trip (-want +got):\n%s", diff)
			}
		})
	}
	s := validStatus()
	for _, lag := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		s.LagSeconds = lag
		got, err := schemas.ParseStatus(s.Marshal())
		if err != nil || got.LagSeconds != -1 {
			t.Errorf("a lag of %v became %v, error %v; want -1", lag, got.LagSeconds, err)
		}
	}
}

func TestParseStatusRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, field string
		value       any
		want        string
	}{
		{"later version", "version", 2, "parsing status: unknown format version: found 2, this program knows 1; use the version that wrote it, or a later one"},
		{"no version", "version", nil, "parsing status: unknown format version: found none, this program knows 1"},
		{"unknown state", "state", "FINE", `parsing status: state "FINE" is none of [ACTIVE CATCHING_UP THROTTLED FAILING PAUSED INACTIVE]`},
		{"no connector", "connector", nil, "parsing status: connector is missing"},
		{"no time", "updated_at", nil, "parsing status: updated_at is missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := schemas.ParseStatus(mutate(t, statusJSON, tt.field, tt.value))
			if err == nil || err.Error() != tt.want {
				t.Errorf("got error %v, want %s", err, tt.want)
			}
			if errors.Is(err, schemas.ErrVersion) != (tt.field == "version") {
				t.Errorf("errors.Is(%v, ErrVersion) is wrong", err)
			}
		})
	}
}

func FuzzStatus(f *testing.F) {
	f.Add([]byte(statusJSON))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		s, err := schemas.ParseStatus(value)
		if err != nil {
			return
		}
		s.RateLimit = schemas.RateLimit{} // left out of the JSON while unknown
		again, err := schemas.ParseStatus(s.Marshal())
		if err != nil {
			t.Fatalf("what was read cannot be written and read again: %v", err)
		}
		if diff := cmp.Diff(s, again); diff != "" {
			t.Fatalf("round trip (-first +second):\n%s", diff)
		}
	})
}

// TestLatenessUnsound: a histogram that is none takes nothing else along.
func TestLatenessUnsound(t *testing.T) {
	t.Parallel()
	for _, l := range []schemas.Lateness{{}, {Bounds: []float64{2}, Counts: []int64{1}}, {Bounds: []float64{5, 2}, Counts: []int64{1, 2, 3}}, {Bounds: []float64{2}, Counts: []int64{1, -1}}} {
		s := validStatus()
		s.Lateness = &l
		if got, err := schemas.ParseStatus(s.Marshal()); err != nil || got.Lateness != nil || got.Connector != "acme" {
			t.Errorf("%+v: got %+v, error %v", l, got.Lateness, err)
		}
	}
}

// TestConsoleUnsound: what is no address of a console's first page is none, and
// nothing else of the status depends on it.
func TestConsoleUnsound(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://one.example.com": "https://one.example.com", "http://127.0.0.1:8080": "http://127.0.0.1:8080", "https://[2001:db8::1]:8443": "https://[2001:db8::1]:8443",
		"javascript:alert(1)": "", "data:text/html,x": "", "//evil.example": "", "https://": "", "https://:8080": "", "https://user@one.example.com": "", "https://one.example.com/": "",
		"https://one.example.com/path": "", "https://one.example.com?x": "", "https://one.example.com#x": "", "HTTPS://one.example.com": "", "https://one example.com": "",
		"ftp://one.example.com": "", "https://" + strings.Repeat("x", 300): "",
	} {
		s := validStatus()
		s.Console = text
		got, err := schemas.ParseStatus(s.Marshal())
		if err != nil || got.Console != want || got.Instance != s.Instance {
			t.Errorf("%.40s: got %q, %v", text, got.Console, err)
		}
	}
}
