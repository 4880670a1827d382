package simulator_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"onelogin-kafka/source/onelogin/simulator"
)

type tokenAnswer struct {
	AccessToken string    `json:"access_token"`
	CreatedAt   time.Time `json:"created_at"`
	ExpiresIn   int       `json:"expires_in"`
	TokenType   string    `json:"token_type"`
	AccountID   int64     `json:"account_id"`
}

const (
	tokenPath = "/auth/oauth2/v2/token"
	grant     = `{"grant_type":"client_credentials"}`
)

// tokenForms are the requests that OneLogin documents, and one that a shipped
// collector sends.
func tokenForms(id, secret string) map[string]*http.Request {
	custom := httptest.NewRequest("POST", tokenPath, strings.NewReader(grant))
	custom.Header.Set("Authorization", "client_id:"+id+", client_secret:"+secret)
	custom.Header.Set("Content-Type", "application/json")
	basic := httptest.NewRequest("POST", tokenPath, strings.NewReader(grant))
	basic.SetBasicAuth(id, secret)
	basic.Header.Set("Content-Type", "application/json")
	form := httptest.NewRequest("POST", tokenPath, strings.NewReader(url.Values{
		"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret},
	}.Encode()))
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	query := httptest.NewRequest("POST", tokenPath+"?grant_type=client_credentials", nil)
	query.SetBasicAuth(id, secret)
	return map[string]*http.Request{"custom header": custom, "basic": basic, "form": form, "query": query}
}

func askToken(t *testing.T, s *simulator.Server, r *http.Request) tokenAnswer {
	t.Helper()
	w := do(s, r)
	var a tokenAnswer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 {
		t.Fatalf("code %d, body %s, error %v", w.Code, w.Body, err)
	}
	return a
}

func TestTokenForms(t *testing.T) {
	s, k := one(t, nil)
	id, secret := s.Credentials("acme")
	var first tokenAnswer
	for name, r := range tokenForms(id, secret) {
		got := askToken(t, s, r)
		if first == (tokenAnswer{}) {
			first = got
			if !got.CreatedAt.Equal(start) || got.ExpiresIn != 36000 || got.TokenType != "bearer" || got.AccountID != 232548 {
				t.Errorf("%s: got %+v", name, got)
			}
		}
		if got != first {
			t.Errorf("%s: got %+v, want the same token as before, %+v", name, got, first)
		}
		k.advance(time.Hour)
	}
	for _, h := range []string{"bearer:", "Bearer ", "bearer "} {
		r := httptest.NewRequest("GET", "/api/1/events", nil)
		r.Header.Set("Authorization", h+first.AccessToken)
		if w := do(s, r); w.Code != 200 {
			t.Errorf("%q: code %d", h, w.Code)
		}
	}
}

func TestTokenExpires(t *testing.T) {
	s, k := one(t, func(_ *simulator.Config, tenant *simulator.Tenant) {
		tenant.TokenLifetime = simulator.Duration(time.Minute)
	})
	old := token(t, s, "acme")
	k.advance(time.Minute - 1)
	if again := token(t, s, "acme"); again != old {
		t.Error("a new token before the old one expired")
	}
	page(t, s, old)
	k.advance(1)
	if w := do(s, apiRequest(old, "/api/1/events")); w.Code != 401 {
		t.Errorf("an expired token got %d", w.Code)
	}
	fresh := token(t, s, "acme")
	if fresh == old {
		t.Error("the same token after it expired")
	}
	page(t, s, fresh)
}

func TestTokenRefusals(t *testing.T) {
	s, _ := one(t, nil)
	id, secret := s.Credentials("acme")
	request := func(body, user, pass string) *http.Request {
		r := httptest.NewRequest("POST", tokenPath, strings.NewReader(body))
		if user != "" {
			r.SetBasicAuth(user, pass)
		}
		return r
	}
	for name, test := range map[string]struct {
		r    *http.Request
		code int
		text string
	}{
		"wrong secret":   {request(grant, id, "x"), 401, "Authentication Failure"},
		"unknown client": {request(grant, "x", secret), 401, "Authentication Failure"},
		"no credentials": {request(grant, "", ""), 400, "Authorization Information is incorrect"},
		"no grant":       {request(`{}`, id, secret), 400, "grant_type is incorrect/absent"},
		"wrong grant":    {request(`{"grant_type":"password"}`, id, secret), 400, "grant_type is incorrect/absent"},
		"no JSON":        {request(`{`, id, secret), 400, "grant_type is incorrect/absent"},
		"wrong method":   {httptest.NewRequest("GET", tokenPath, nil), 404, "No Route Exists"},
		"unknown route":  {httptest.NewRequest("GET", "/api/2/events", nil), 404, "No Route Exists"},
		"no token":       {httptest.NewRequest("GET", "/api/1/events", nil), 401, "Authentication Failure"},
		"wrong token":    {apiRequest("x", "/api/1/events"), 401, "Authentication Failure"},
	} {
		w := do(s, test.r)
		if a := decode(t, w); w.Code != test.code || a.Status.Code != test.code || string(a.Status.Message) != `"`+test.text+`"` {
			t.Errorf("%s: got %d %s, want %d %s", name, w.Code, w.Body, test.code, test.text)
		}
	}
}

func TestTokensTellTenantsApart(t *testing.T) {
	s := newServer(t, simulator.Default(4))
	names := []string{}
	for _, tenant := range s.Tenants() {
		names = append(names, tenant.Name)
		a := page(t, s, token(t, s, tenant.Name))
		for _, h := range a.heads(t) {
			if h.AccountID != tenant.AccountID {
				t.Fatalf("%s was shown an event of account %d", tenant.Name, h.AccountID)
			}
		}
	}
	if got, want := strings.Join(names, " "), "acme globex initech tenant-0004"; got != want {
		t.Errorf("tenants are %s, want %s", got, want)
	}
}

func TestRevokeAndRotate(t *testing.T) {
	var told string
	s, _ := one(t, func(c *simulator.Config, _ *simulator.Tenant) {
		c.OnRotate = func(tenant, secret string) { told = tenant + " " + secret }
	})
	id, secret := s.Credentials("acme")
	tok := token(t, s, "acme")
	r := httptest.NewRequest("POST", "/auth/oauth2/revoke", strings.NewReader(`{"access_token":"`+tok+`"}`))
	r.Header.Set("Authorization", "client_id:"+id+", client_secret:"+secret)
	if w := do(s, r); w.Code != 200 {
		t.Fatalf("revoke: %d %s", w.Code, w.Body)
	}
	if w := do(s, apiRequest(tok, "/api/1/events")); w.Code != 401 {
		t.Errorf("a revoked token got %d", w.Code)
	}
	tok = token(t, s, "acme")
	fresh, err := s.RotateSecret("acme")
	if err != nil || fresh == secret || told != "acme "+fresh {
		t.Errorf("rotated to %q, told %q, error %v", fresh, told, err)
	}
	if w := do(s, apiRequest(tok, "/api/1/events")); w.Code != 401 {
		t.Errorf("a token of the old secret got %d", w.Code)
	}
	if w := do(s, tokenForms(id, secret)["basic"]); w.Code != 401 {
		t.Errorf("the old secret got %d", w.Code)
	}
	page(t, s, askToken(t, s, tokenForms(id, fresh)["form"]).AccessToken)
}

func FuzzTokenRequest(f *testing.F) {
	f.Add("application/json", "client_id:a, client_secret:b", grant, "")
	f.Add("application/x-www-form-urlencoded", "Basic YTpi", "grant_type=client_credentials&client_id=a&client_secret=b", "grant_type=x")
	s, err := simulator.New(simulator.Default(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, kind, auth, body, query string) {
		r := httptest.NewRequest("POST", tokenPath, strings.NewReader(body))
		r.URL.RawQuery = query
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Authorization", auth)
		if w := do(s, r); w.Code != 400 && w.Code != 401 {
			t.Errorf("code %d", w.Code)
		}
	})
}

func FuzzEventsQuery(f *testing.F) {
	f.Add("since=2026-11-22T07:00:00Z&limit=3&sort=-id&after_cursor=YQ&event_type_id=5,6&user_id=1&id=2")
	s, err := simulator.New(simulator.Default(1))
	if err != nil {
		f.Fatal(err)
	}
	tok := token(f, s, "acme")
	f.Fuzz(func(t *testing.T, query string) {
		r := apiRequest(tok, "/api/1/events")
		r.URL.RawQuery = query
		w := do(s, r)
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("code %d, not JSON: %s", w.Code, w.Body)
		}
	})
}
