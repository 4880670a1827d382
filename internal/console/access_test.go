package console

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"onelogin-kafka/internal/fleet"
	"onelogin-kafka/schemas"
)

const adminToken, viewerToken = "t0ken-of-the-admins", "t0ken-of-the-viewers"

// withTokens is a console that asks for tokens, with one connector.
func withTokens() Options {
	o := open()
	o.Token = func() (string, error) { return adminToken, nil }
	o.ViewerToken = func() (string, error) { return viewerToken, nil }
	return o
}

// open is one that does not.
func open() Options {
	b := NewBoard(fleet.Topic{}, func() []string { return []string{"acme", "unheard-of"} }, zerolog.Nop())
	say(b, schemas.ConnectorStatus{Connector: "acme", Domain: "acme.onelogin.com", State: schemas.StateActive, Instance: "one", Shard: 3, Events: 10, LagSeconds: 1.5})
	return Options{
		Registry: prometheus.NewRegistry(), Ready: func() error { return nil }, Listen: "127.0.0.1:8080", Log: zerolog.Nop(),
		Instance: "one", Version: "1.2.3", Board: b, Trail: NewTrail(nil, "audit", zerolog.Nop()), Shards: func() []Shard { return []Shard{} },
		Check: func(_ context.Context, name string) (Check, bool) {
			return Check{Connector: name, OK: true, Message: "Connection successful"}, name == "acme"
		},
		CheckDraft: func(_ context.Context, d Draft) (Check, []FieldProblem) {
			return Check{Connector: d.Name, OK: true, Message: "Connection successful"}, nil
		},
	}
}

// say hands a board what an instance writes to the status topic now.
func say(b *Board, st schemas.ConnectorStatus) {
	now := time.Now()
	if st.UpdatedAt.IsZero() {
		st.UpdatedAt = now
	}
	if st.Since.IsZero() {
		st.Since = st.UpdatedAt
	}
	(&boardTaker{b, b.view}).Take(&schemas.Record{Key: []byte(st.Connector), Value: st.Marshal(), Time: st.UpdatedAt})
}

// ask sends a request to 127.0.0.1:8080 with headers "Name: value".
func ask(h http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "127.0.0.1:8080"
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
		}
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestRebinding: a name that was made to mean this machine opens nothing, though
// its page is of one origin with what it asks for.
func TestRebinding(t *testing.T) {
	t.Parallel()
	o := open()
	o.Listen, o.Hosts = "console.internal:8080", []string{"Console.Example.com"}
	h := Handler(o)
	for host, known := range map[string]bool{
		"rebound.evil.example:8080": false, "rebound.evil.example": false, "": false, "localhost.evil.example": false,
		"127.0.0.1.evil.example": false, "192.0.2.1": false, "192.0.2.1:8080": false, "[2001:db8::1]:8080": false, "evil.example:localhost": false,
		"127.0.0.1:8080": true, "localhost:1": true, "LOCALHOST": true, "[::1]:8080": true, "[::1]": true, "127.1.2.3": true, "localhost.": true,
		"console.internal": true, "console.example.com:443": true,
	} {
		for _, route := range []string{"GET /healthz", "GET /metrics", "GET /api/v1/connectors", "POST /api/v1/connectors/acme/check", "POST /login", "GET /no/such"} {
			method, path, _ := strings.Cut(route, " ")
			w := ask(h, method, path, "", "Host: "+host, "Origin: http://"+host, "Sec-Fetch-Site: same-origin")
			if refused := w.Code == http.StatusMisdirectedRequest; refused == known {
				t.Errorf("%s of %q: got status %d", route, host, w.Code)
			}
		}
	}
}

// TestOwnAddress: the address that a connection came to needs no configuration.
func TestOwnAddress(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]int{"192.0.2.7:8080": http.StatusOK, "192.0.2.8:8080": http.StatusMisdirectedRequest} {
		r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
		r.Host = host
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.ParseIP("192.0.2.7"), Port: 8080})))
		w := httptest.NewRecorder()
		Handler(open()).ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: got status %d, want %d", host, w.Code, want)
		}
	}
}

// TestRoles drives every route as everybody.
func TestRoles(t *testing.T) {
	t.Parallel()
	o := withTokens()
	h := Handler(o)
	changing := 0
	for _, r := range o.routes(newDoors(&o)) {
		method, path, _ := strings.Cut(strings.NewReplacer("{name}", "acme", "{file}", "console.css", "{$}", "").Replace(r.pattern), " ")
		if r.needs == admin {
			changing++
		}
		if method == http.MethodPost && r.needs == viewer {
			t.Errorf("%s: a viewer may POST", r.pattern)
		}
		if strings.HasSuffix(path, "/stream") {
			continue // TestStream
		}
		for token, role := range map[string]role{"": nobody, "another": nobody, adminToken + "x": nobody, viewerToken: viewer, adminToken: admin} {
			w := ask(h, method, path, "", "Authorization: Bearer "+token)
			switch {
			case strings.HasSuffix(path, "/login"), strings.HasSuffix(path, "/logout"):
			case role >= r.needs:
				if w.Code == http.StatusUnauthorized || w.Code == http.StatusForbidden {
					t.Errorf("%s as %v: got status %d", r.pattern, role, w.Code)
				}
			case role == nobody && w.Code != http.StatusUnauthorized, role == viewer && w.Code != http.StatusForbidden:
				t.Errorf("%s as %v: got status %d", r.pattern, role, w.Code)
			}
		}
	}
	if changing == 0 {
		t.Error("no route changes anything")
	}
}

// TestTokenInURL: a token in a URL opens nothing.
func TestTokenInURL(t *testing.T) {
	t.Parallel()
	h := Handler(withTokens())
	for _, path := range []string{"/api/v1/connectors?token=" + adminToken, "/api/v1/connectors?access_token=" + adminToken} {
		if w := ask(h, "GET", path, ""); w.Code != http.StatusUnauthorized {
			t.Errorf("%s: got status %d", path, w.Code)
		}
	}
	if w := ask(h, "POST", "/login?token="+adminToken, "next=/", "Content-Type: application/x-www-form-urlencoded"); w.Code != http.StatusUnauthorized || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("signing in by URL: got status %d", w.Code)
	}
}

func signInAs(h http.Handler, token, next string, headers ...string) *httptest.ResponseRecorder {
	return ask(h, "POST", "/login", url.Values{"token": {token}, "next": {next}}.Encode(), append(headers, "Content-Type: application/x-www-form-urlencoded")...)
}

// TestSignIn: a browser signs in once, and is out after twelve hours, after
// signing out, and when the token is another.
func TestSignIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		token := adminToken
		o := withTokens()
		o.CertFile = "cert.pem"
		o.Token = func() (string, error) { return token, nil }
		h := Handler(o)
		in := func(token string) string {
			t.Helper()
			w := signInAs(h, token, "/fleet")
			if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/fleet" {
				t.Fatalf("got status %d to %q", w.Code, w.Header().Get("Location"))
			}
			c, err := http.ParseSetCookie(w.Header().Get("Set-Cookie"))
			if err != nil {
				t.Fatal(err)
			}
			if c.Name != "__Host-onelogin-kafka" || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.MaxAge != int((12*time.Hour).Seconds()) {
				t.Errorf("got the cookie %v", c)
			}
			if strings.Contains(w.Header().Get("Set-Cookie"), token) {
				t.Error("the cookie has the token")
			}
			return "Cookie: " + c.Name + "=" + c.Value
		}
		expect := func(cookie, what string, look, change int) {
			t.Helper()
			if w := ask(h, "GET", "/api/v1/connectors", "", cookie); w.Code != look {
				t.Errorf("%s: looking got status %d, want %d", what, w.Code, look)
			}
			if w := ask(h, "POST", "/api/v1/connectors/acme/check", "", cookie); w.Code != change {
				t.Errorf("%s: changing got status %d, want %d", what, w.Code, change)
			}
		}
		first, second, third := in(adminToken), in(viewerToken), in(adminToken)
		expect(first, "an admin", 200, 200)
		expect(second, "a viewer", 200, 403)
		expect("Cookie: __Host-onelogin-kafka="+adminToken, "the token as cookie", 401, 401)
		w := ask(h, "POST", "/logout", "", first)
		if c, err := http.ParseSetCookie(w.Header().Get("Set-Cookie")); err != nil || c.MaxAge >= 0 {
			t.Errorf("signing out: got the cookie %v", c)
		}
		expect(first, "signed out", 401, 401)
		time.Sleep(sessionLife - time.Second)
		expect(third, "nearly at the end", 200, 200)
		token = "an0ther-token-of-admins"
		expect(third, "with a token that was replaced", 401, 401)
		expect(second, "whose token was not", 200, 403)
		time.Sleep(time.Second)
		expect(second, "after twelve hours", 401, 401)
	})
}

// TestPlainCookie: without TLS the cookie has a name that browsers take.
func TestPlainCookie(t *testing.T) {
	t.Parallel()
	w := signInAs(Handler(withTokens()), adminToken, "/")
	if c, err := http.ParseSetCookie(w.Header().Get("Set-Cookie")); err != nil || c.Name != "onelogin-kafka" || c.Secure || !c.HttpOnly {
		t.Errorf("got the cookie %v, error %v", c, err)
	}
}

// TestOpenRedirect: signing in leads to a page of ours.
func TestOpenRedirect(t *testing.T) {
	t.Parallel()
	for next, want := range map[string]string{
		"/connectors/acme?x=1": "/connectors/acme?x=1", "https://evil.example/": "/", "//evil.example": "/", "/\\evil.example": "/",
		"": "/", "javascript:alert(1)": "/", "/\t/evil.example": "/", "evil": "/",
	} {
		if got := signInAs(Handler(withTokens()), adminToken, next).Header().Get("Location"); got != want {
			t.Errorf("%q: got %q, want %q", next, got, want)
		}
	}
}

// TestBruteForce: who tries wrong tokens waits, also with the right one, and
// nobody else does; wherever they are tried.
func TestBruteForce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := Handler(withTokens())
		tried := 0
		from := func(remote, token string) int {
			r := httptest.NewRequest("POST", "http://localhost/login", strings.NewReader(url.Values{"token": {token}}.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if tried++; token != adminToken && tried%2 == 0 {
				r = httptest.NewRequest("GET", "http://localhost/metrics", nil)
				r.Header.Set("Authorization", "Bearer "+token)
			}
			r.RemoteAddr = remote
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "" {
				t.Error("it does not say how long to wait")
			}
			return w.Code
		}
		for i := range maxAttempts {
			if got := from(fmt.Sprintf("[2001:db8::%d]:1", i), fmt.Sprint("guess ", i)); got != http.StatusUnauthorized {
				t.Fatalf("attempt %d: got status %d", i, got)
			}
		}
		if got := from("[2001:db8::ffff]:1", adminToken); got != http.StatusTooManyRequests {
			t.Errorf("after %d attempts of its network: got status %d", maxAttempts, got)
		}
		if got := from("[2001:db8:0:1::]:1", adminToken); got != http.StatusSeeOther {
			t.Errorf("from elsewhere: got status %d", got)
		}
		time.Sleep(attemptEvery)
		if got := from("[2001:db8::1]:1", adminToken); got != http.StatusSeeOther {
			t.Errorf("a while later: got status %d", got)
		}
		// However many addresses there are, memory is bounded and none is free of it.
		for i := range maxAddresses + maxAttempts {
			from(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255), fmt.Sprint("guess ", i))
		}
		if got := from("192.0.2.1:1", "guess"); got != http.StatusTooManyRequests {
			t.Errorf("one address too many: got status %d", got)
		}
	})
}

// TestOldToken: a scraper with a token that is another one now is refused and no
// more, however often it asks, and keeps nobody behind its address out.
func TestOldToken(t *testing.T) {
	t.Parallel()
	h := Handler(withTokens())
	for range 10 * maxAttempts {
		for _, old := range []string{"the one before", "the one before that"} {
			if w := ask(h, "GET", "/metrics", "", "Authorization: Bearer "+old); w.Code != http.StatusUnauthorized {
				t.Fatalf("got status %d", w.Code)
			}
		}
	}
	if w := ask(h, "GET", "/metrics", "", "Authorization: Bearer "+viewerToken); w.Code != http.StatusOK {
		t.Errorf("with the right one: got status %d", w.Code)
	}
	for i := range maxAttempts {
		ask(h, "GET", "/metrics", "", fmt.Sprint("Authorization: Bearer guess ", i))
	}
	if w := ask(h, "GET", "/metrics", "", "Authorization: Bearer "+viewerToken); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("after guesses: got status %d, %v", w.Code, w.Header())
	}
}

// TestHeaders: every answer carries them, whatever it is.
func TestHeaders(t *testing.T) {
	t.Parallel()
	h := Handler(withTokens())
	for name, w := range map[string]*httptest.ResponseRecorder{
		"an answer": ask(h, "GET", "/api/v1/connectors", "", "Authorization: Bearer "+adminToken), "a refusal": ask(h, "GET", "/metrics", ""),
		"nothing": ask(h, "GET", "/no/such", ""), "another's name": ask(h, "GET", "/", "", "Host: evil.example"), "a form": ask(h, "GET", "/login", ""),
		"another origin": ask(h, "POST", "/login", "", "Sec-Fetch-Site: cross-site"),
	} {
		for header, want := range map[string]string{
			"Content-Security-Policy": "frame-ancestors 'none'", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		} {
			if got := w.Header().Get(header); !strings.Contains(got, want) {
				t.Errorf("%s: %s is %q", name, header, got)
			}
		}
		csp := w.Header().Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "require-trusted-types-for 'script'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: got the policy %q", name, csp)
		}
	}
}

// TestLargeBody: a body that is too large is not read.
func TestLargeBody(t *testing.T) {
	t.Parallel()
	h := Handler(withTokens())
	large := "token=" + strings.Repeat("x", maxBody)
	if w := ask(h, "POST", "/login", large, "Content-Type: application/x-www-form-urlencoded"); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("got status %d", w.Code)
	}
	r := httptest.NewRequest("POST", "http://localhost/login", io.MultiReader(strings.NewReader(large))) // of no known length
	r.ContentLength = -1
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest {
		t.Errorf("without a length: got status %d", w.Code)
	}
}
