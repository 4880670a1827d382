package simulator_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"onelogin-kafka/source/onelogin/simulator"
)

func control(t *testing.T, s *simulator.Server, method, path, body string, into any) int {
	t.Helper()
	w := do(s, httptest.NewRequest(method, path, strings.NewReader(body)))
	if into != nil {
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
			t.Fatalf("%s %s: %d %s: %v", method, path, w.Code, w.Body, err)
		}
	}
	return w.Code
}

func TestControlTruth(t *testing.T) {
	s, _ := one(t, func(_ *simulator.Config, tenant *simulator.Tenant) {
		tenant.Traffic.Late, tenant.Traffic.LateBy = 0.5, simulator.Duration(time.Minute)
	})
	facts := truth(t, s, "acme")
	for after, want := range map[string][]fact{"": facts, itoa(facts[90].id): facts[91:]} {
		w := do(s, httptest.NewRequest("GET", "/_sim/truth/acme?after="+after, nil))
		lines := bufio.NewScanner(w.Body)
		n := 0
		for lines.Scan() {
			var got struct {
				ID        int64     `json:"id"`
				CreatedAt time.Time `json:"created_at"`
				VisibleAt time.Time `json:"visible_at"`
				SHA256    string    `json:"sha256"`
			}
			if err := json.Unmarshal(lines.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256([]byte(want[n].raw))
			if got.ID != want[n].id || !got.CreatedAt.Equal(want[n].created) || !got.VisibleAt.Equal(want[n].visible) ||
				got.SHA256 != hex.EncodeToString(sum[:]) {
				t.Fatalf("line %d: got %+v, want %+v", n, got, want[n])
			}
			n++
		}
		if n != len(want) {
			t.Errorf("after %q: got %d lines, want %d", after, n, len(want))
		}
	}
	if code := control(t, s, "GET", "/_sim/truth/x", "", nil); code != 404 {
		t.Errorf("truth of nobody: %d", code)
	}
	if code := control(t, s, "GET", "/_sim/truth/acme?after=x", "", nil); code != 400 {
		t.Errorf("truth after x: %d", code)
	}
}

func TestControlTenant(t *testing.T) {
	s, k := one(t, nil)
	var state simulator.TenantState
	step := func(body string, want int64) {
		t.Helper()
		if code := control(t, s, "POST", "/_sim/tenants/acme", body, &state); code != 200 {
			t.Fatalf("%s: code %d", body, code)
		}
		k.advance(10 * time.Second)
		if got := s.Count("acme"); got != want {
			t.Errorf("10 s after %s there are %d events, want %d", body, got, want)
		}
	}
	step(`{}`, 110)
	step(`{"rate":50}`, 610)
	step(`{"burst":5000}`, 6110)
	step(`{"stop":true}`, 6110)
	step(`{"burst":7}`, 6117)
	step(`{"stop":false,"jitter":"2s"}`, 6617)
	if state.Traffic.Rate != 50 || state.Traffic.Jitter != simulator.Duration(2*time.Second) {
		t.Errorf("traffic is %+v", state.Traffic)
	}
	facts := truth(t, s, "acme")
	if got, _ := readAll(t, s, token(t, s, "acme"), "limit", "1000"); !cmp.Equal(rawOf(facts, nil), got) {
		t.Error("the changed traffic is not read back whole")
	}
	old := state.ClientSecret
	tok := token(t, s, "acme")
	step(`{"rotate_secret":true,"rate":0}`, 6617)
	if state.ClientSecret == old || do(s, apiRequest(tok, "/api/1/events")).Code != 401 {
		t.Error("the secret was not rotated")
	}
	for _, bad := range []string{`{"rate":-1}`, `{"late":2}`, `{"burst":-1}`, `{"rates":1}`, `{`, `{"jitter":5}`} {
		if code := control(t, s, "POST", "/_sim/tenants/acme", bad, nil); code != 400 {
			t.Errorf("%s: code %d, want 400", bad, code)
		}
	}
	if code := control(t, s, "POST", "/_sim/tenants/x", "{}", nil); code != 404 {
		t.Errorf("nobody: code %d", code)
	}
}

func TestControlAddsTenants(t *testing.T) {
	s, k := one(t, nil)
	k.advance(time.Hour)
	if code := control(t, s, "POST", "/_sim/tenants", `{"name":"hooli","backlog":30,"traffic":{"rate":2}}`, nil); code != 200 {
		t.Fatalf("code %d", code)
	}
	k.advance(time.Second)
	if got, _ := readAll(t, s, token(t, s, "hooli")); len(got) != 32 {
		t.Errorf("the new tenant has %d events, want 32", len(got))
	}
	if code := control(t, s, "POST", "/_sim/tenants", `{"name":"hooli"}`, nil); code != 400 {
		t.Errorf("a name twice: code %d", code)
	}
	var all []simulator.TenantState
	control(t, s, "GET", "/_sim/tenants", "", &all)
	if len(all) != 2 || all[1].Name != "hooli" || all[1].ClientSecret == "" || all[1].Domain != "hooli.onelogin.com" {
		t.Errorf("tenants: %+v", all)
	}
}

func TestControlFaults(t *testing.T) {
	s, _ := one(t, nil)
	tok := token(t, s, "acme")
	var got struct {
		Names  []string
		Faults []simulator.FaultState
	}
	if code := control(t, s, "POST", "/_sim/faults", `{"name":"forbidden","probability":1}`, &got); code != 200 {
		t.Fatalf("code %d", code)
	}
	if w := do(s, apiRequest(tok, "/api/1/events")); w.Code != 403 {
		t.Errorf("code %d, want 403", w.Code)
	}
	body := `[{"name":"forbidden","probability":0},{"name":"slow_body","tenant":"acme","probability":0.5,"delay":"20ms"}]`
	control(t, s, "POST", "/_sim/faults", body, &got)
	want := []simulator.FaultState{
		{FaultSetting: simulator.FaultSetting{Name: "forbidden", Endpoint: "events"}, Hits: 1},
		{FaultSetting: simulator.FaultSetting{
			Name: "slow_body", Tenant: "acme", Endpoint: "events", Probability: 0.5, Delay: simulator.Duration(20 * time.Millisecond)}},
	}
	if diff := cmp.Diff(want, got.Faults); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(simulator.FaultNames(false), got.Names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	control(t, s, "DELETE", "/_sim/faults", "", &got)
	if got.Faults[1].Probability != 0 {
		t.Error("the faults were not cleared")
	}
	for _, bad := range []string{`{"name":"x"}`, `5`, `{`} {
		if code := control(t, s, "POST", "/_sim/faults", bad, nil); code != 400 {
			t.Errorf("%s: code %d, want 400", bad, code)
		}
	}
}

func TestStats(t *testing.T) {
	s, k := one(t, func(c *simulator.Config, _ *simulator.Tenant) { c.HourlyLimit = 2 })
	tok := token(t, s, "acme")
	page(t, s, tok, "limit", "30")
	page(t, s, tok)
	do(s, apiRequest(tok, "/api/1/events"))
	do(s, apiRequest("x", "/api/1/events"))
	k.advance(time.Second)
	var got struct {
		SettledAt time.Time `json:"settled_at"`
		Tenants   map[string]simulator.Stats
	}
	control(t, s, "POST", "/_sim/freeze", "", &got)
	want := map[string]map[int]int64{"events": {200: 2, 429: 1}, "token": {200: 1}}
	if diff := cmp.Diff(want, got.Tenants["acme"].Calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if a := got.Tenants["acme"]; a.Served != 80 || a.Tokens != 1 || a.Budget.Remaining != 0 {
		t.Errorf("got %+v", a)
	}
	if n := got.Tenants[""].Calls["none"][401]; n != 1 {
		t.Errorf("%d calls without a token, want 1", n)
	}
	if !got.SettledAt.Equal(k.at) {
		t.Errorf("settled at %v, want %v", got.SettledAt, k.at)
	}
}

func TestRefusedConfigs(t *testing.T) {
	for name, edit := range map[string]func(*simulator.Config){
		"name twice":       func(c *simulator.Config) { c.Tenants[1].Name = "acme" },
		"no name":          func(c *simulator.Config) { c.Tenants[1].Name = "" },
		"client id twice":  func(c *simulator.Config) { c.Tenants[0].ClientID, c.Tenants[1].ClientID = "x", "x" },
		"negative limit":   func(c *simulator.Config) { c.HourlyLimit = -1 },
		"unknown form":     func(c *simulator.Config) { c.Exhausted = "500" },
		"unknown fault":    func(c *simulator.Config) { c.Faults = []simulator.FaultSetting{{Name: "x"}} },
		"small gap":        func(c *simulator.Config) { c.Tenants[0].IDGap = 3 },
		"negative backlog": func(c *simulator.Config) { c.Tenants[0].Backlog = -1 },
		"fraction":         func(c *simulator.Config) { c.Tenants[0].Traffic.Ties = 1.5 },
		"page":             func(c *simulator.Config) { c.Tenants[0].Page.Max = -1 },
		"tie size":         func(c *simulator.Config) { c.Tenants[0].Traffic.TieSize = 1 << 20 },
	} {
		c := simulator.Default(3)
		edit(&c)
		if _, err := simulator.New(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestConfigAsText(t *testing.T) {
	want := simulator.Default(3)
	want.Faults = []simulator.FaultSetting{{Name: simulator.SlowBody, Delay: simulator.Duration(time.Second)}}
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got simulator.Config
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	text, err := yaml.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got = simulator.Config{}
	if err := yaml.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("as YAML (-want +got):\n%s", diff)
	}
	if !strings.Contains(string(raw), `"backlog_span":"1h0m0s"`) {
		t.Errorf("durations are not text: %s", raw)
	}
}

// A client that goes away takes the simulator's goroutine with it.
func TestTransportGivesUp(t *testing.T) {
	for _, fault := range []string{simulator.SlowHeaders, simulator.SlowBody} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, simulator.Config{Tenants: []simulator.Tenant{{Name: "acme", Backlog: 100}}})
			tok := token(t, s, "acme")
			if err := s.SetFault(simulator.FaultSetting{Name: fault, Probability: 1, Delay: simulator.Duration(time.Hour)}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, "GET", "http://onelogin.invalid/api/1/events", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+tok)
			begin := time.Now()
			res, err := (&http.Client{Transport: s.Transport()}).Do(r)
			if err == nil {
				_, err = drain(t, res.Body)
			}
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
				t.Errorf("%s: got %v after %v, want the deadline after 1s", fault, err, time.Since(begin))
			}
		})
	}
}

// Readers, changes and faults at once: every reader sees the truth.
func TestConcurrentUse(t *testing.T) {
	c := simulator.Default(3)
	c.HourlyLimit = 0
	for i := range c.Tenants {
		c.Tenants[i].Traffic.Rate = 300
	}
	s := newServer(t, c)
	var wg sync.WaitGroup
	for _, tenant := range s.Tenants() {
		tok := token(t, s, tenant.Name)
		for range 2 {
			wg.Go(func() {
				seen := map[int64]string{}
				for range 20 {
					w := do(s, apiRequest(tok, "/api/1/events", "limit", "200", "sort", "-id"))
					if w.Code != 200 {
						continue
					}
					a := decode(t, w)
					for i, h := range a.heads(t) {
						if old := seen[h.ID]; old != "" && old != string(a.Data[i]) {
							t.Errorf("event %d changed", h.ID)
						}
						seen[h.ID] = string(a.Data[i])
					}
				}
				for _, f := range truth(t, s, tenant.Name) {
					if raw := seen[f.id]; raw != "" && raw != f.raw {
						t.Errorf("event %d is not what the truth says", f.id)
					}
					delete(seen, f.id)
				}
				if len(seen) > 0 {
					t.Errorf("%d events were shown that do not exist", len(seen))
				}
			})
		}
	}
	for i := range 30 {
		for _, err := range []error{
			s.Burst("acme", 10),
			s.SetTraffic("globex", func(tr *simulator.Traffic) { tr.Rate = float64(100 * i) }),
			s.SetFault(simulator.FaultSetting{Name: simulator.Unavailable, Probability: 0.1 * float64(i%2)}),
			s.SetFault(simulator.FaultSetting{Name: simulator.UnknownFields, Probability: 0.1 * float64(i%3)}),
		} {
			if err != nil {
				t.Error(err)
			}
		}
		s.Stats()
		s.SettledAt()
	}
	wg.Wait()
}
