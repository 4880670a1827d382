package simulator_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"onelogin-kafka/source/onelogin/simulator"
)

func TestEdgeLimit(t *testing.T) {
	for _, counts := range []bool{false, true} {
		s, k := one(t, func(c *simulator.Config, _ *simulator.Tenant) {
			c.HourlyLimit = 5000
			c.Edge = simulator.EdgeLimit{Calls: 4, CountRefused: counts}
		})
		from := func(address string) int {
			r := apiRequest("none", "/api/1/events")
			r.RemoteAddr = address
			w := do(s, r)
			if w.Code != 429 {
				return w.Code
			}
			for _, h := range []string{"Retry-After", "X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset"} {
				if w.Header().Get(h) != "" {
					t.Errorf("the edge sends %s", h)
				}
			}
			if w.Body.String() != "<html><body><h1>429 Too Many Requests</h1>\nYou have sent too many requests in a given amount of time.\n</body></html>\n" {
				t.Errorf("got %s", w.Body)
			}
			return 429
		}
		for range 4 {
			if code := from("10.0.0.1:1111"); code != 401 {
				t.Fatalf("got %d within the limit", code)
			}
		}
		k.advance(600 * time.Millisecond)
		if code := from("10.0.0.1:2222"); code != 429 {
			t.Errorf("got %d beyond the limit, from another port", code)
		}
		if code := from("10.0.0.2:1111"); code != 401 {
			t.Errorf("got %d from another address", code)
		}
		k.advance(400 * time.Millisecond)
		for range 3 {
			if code := from("10.0.0.1:1111"); code != 401 {
				t.Errorf("got %d a second later", code)
			}
		}
		want := 401
		if counts {
			want = 429
		}
		if code := from("10.0.0.1:1111"); code != want {
			t.Errorf("refused calls count %t: got %d, want %d", counts, code, want)
		}
		refused := int64(1)
		if counts {
			refused = 2
		}
		if got := s.Edge(); got.Refused != refused || got.Calls != 4 {
			t.Errorf("got %+v", got)
		}
	}
}

func TestEdgeControl(t *testing.T) {
	s, _ := one(t, nil)
	set := func(body string) *httptest.ResponseRecorder {
		return do(s, httptest.NewRequest("POST", "/_sim/edge", strings.NewReader(body)))
	}
	if w := set(`{"calls":2,"window":"10s","count_refused":true}`); w.Code != 200 || strings.TrimSpace(w.Body.String()) != `{"calls":2,"window":"10s","count_refused":true,"refused":0}` {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	for range 3 {
		do(s, apiRequest("none", "/api/1/events"))
	}
	if w := do(s, httptest.NewRequest("GET", "/_sim/edge", nil)); !strings.Contains(w.Body.String(), `"refused":1`) {
		t.Errorf("got %s", w.Body)
	}
	for _, body := range []string{`{"calls":-1}`, `{"calls":1,"window":"-1s"}`, `{"cals":1}`, `x`} {
		if w := set(body); w.Code != 400 {
			t.Errorf("%s: got %d", body, w.Code)
		}
	}
	if w := set(`{"calls":0}`); w.Code != 200 || do(s, apiRequest("none", "/api/1/events")).Code != 401 {
		t.Error("the limit cannot be lifted")
	}
	if _, err := simulator.New(simulator.Config{Edge: simulator.EdgeLimit{Calls: -1}}); err == nil {
		t.Error("a negative limit is taken")
	}
}
