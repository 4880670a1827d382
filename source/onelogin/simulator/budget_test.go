package simulator_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/source/onelogin/simulator"
)

// rates are an answer's X-RateLimit headers: limit, remaining, reset.
func rates(w *httptest.ResponseRecorder) [3]string {
	h := w.Header()
	return [3]string{h.Get("X-RateLimit-Limit"), h.Get("X-RateLimit-Remaining"), h.Get("X-RateLimit-Reset")}
}

func TestBudgetIsTheAccounts(t *testing.T) {
	for form, test := range map[simulator.ExhaustedForm]struct {
		code  int
		kind  string
		rates [3]string
	}{
		simulator.Exhausted429:     {429, "application/json", [3]string{"5", "0", "1800"}},
		simulator.Exhausted429HTML: {429, "text/html", [3]string{}},
		simulator.Exhausted400:     {400, "application/json", [3]string{"5", "0", "1800"}},
	} {
		k := &clock{at: start}
		c := simulator.Default(3)
		c.Start, c.Now, c.HourlyLimit, c.Exhausted = start, k.now, 5, form
		c.Tenants[0].AccountID, c.Tenants[1].AccountID = 77, 77
		s := newServer(t, c)
		acme, globex, initech := token(t, s, "acme"), token(t, s, "globex"), token(t, s, "initech")
		k.advance(20*time.Minute + 1) // a window begins with its first call
		if got, want := rates(do(s, apiRequest(acme, "/api/1/events"))), [3]string{"5", "4", "3600"}; got != want {
			t.Errorf("%s: first call: got %v, want %v", form, got, want)
		}
		k.advance(30 * time.Minute)
		if got, want := rates(do(s, apiRequest(globex, "/api/1/events/1"))), [3]string{"5", "3", "1800"}; got != want {
			t.Errorf("%s: second call: got %v, want %v", form, got, want)
		}
		if err := s.SpendBudget("acme", 2); err != nil {
			t.Fatal(err)
		}
		page(t, s, acme)
		w := do(s, apiRequest(globex, "/api/1/events"))
		if w.Code != test.code || !strings.HasPrefix(w.Header().Get("Content-Type"), test.kind) || rates(w) != test.rates {
			t.Errorf("%s: used up: got %d %s %v", form, w.Code, w.Header().Get("Content-Type"), rates(w))
		}
		if w.Header().Get("Retry-After") != "" {
			t.Errorf("%s: Retry-After was never seen on a used-up budget", form)
		}
		page(t, s, initech)
		if w := do(s, apiRequest("x", "/api/1/events")); rates(w) != [3]string{} {
			t.Errorf("a 401 has rate headers: %v", rates(w))
		}
		k.advance(30*time.Minute - 1)
		if w := do(s, apiRequest(acme, "/api/1/events")); w.Code == 200 {
			t.Errorf("%s: served before the window's end", form)
		}
		k.advance(1)
		if got, want := rates(do(s, apiRequest(acme, "/api/1/events"))), [3]string{"5", "4", "3600"}; got != want {
			t.Errorf("%s: next window: got %v, want %v", form, got, want)
		}
	}
}

func TestRateLimitEndpoint(t *testing.T) {
	s, k := one(t, func(c *simulator.Config, _ *simulator.Tenant) { c.HourlyLimit = 5000 })
	tok := token(t, s, "acme")
	page(t, s, tok)
	k.advance(time.Minute)
	for range 2 { // it does not count itself
		var got struct{ Data map[string]int }
		w := do(s, apiRequest(tok, "/auth/rate_limit"))
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]int{"X-RateLimit-Limit": 5000, "X-RateLimit-Remaining": 4999, "X-RateLimit-Reset": 3540}
		if diff := cmp.Diff(want, got.Data); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestTypes(t *testing.T) {
	s, _ := one(t, nil)
	var got struct {
		Data []struct {
			ID   int
			Name string
		}
	}
	w := do(s, httptest.NewRequest("GET", "/api/1/events/types", nil))
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
		t.Fatal(w.Code, err)
	}
	if len(got.Data) != 539 || got.Data[4].ID != 5 || got.Data[4].Name != "USER_LOGGED_INTO_ONELOGIN" {
		t.Errorf("got %d types, the fifth is %+v", len(got.Data), got.Data[4])
	}
}
