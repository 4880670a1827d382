package onelogin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/source"
)

func TestDecodeToken(t *testing.T) {
	at := time.Date(2021, 8, 19, 14, 18, 30, 261e6, time.UTC)
	flat := map[string]any{
		"access_token": "abc", "created_at": "2021-08-19T14:18:30.261Z", "expires_in": 36000,
		"refresh_token": "r", "token_type": "bearer", "account_id": 189185,
	}
	whole := tokenAnswer{value: "abc", createdAt: at, expiresIn: 10 * time.Hour, accountID: 189185}
	with := func(key string, v any) string {
		m := maps.Clone(flat)
		if m[key] = v; v == nil {
			delete(m, key)
		}
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	good := with("x", 1)
	tests := []struct {
		name, body string
		change     func(*tokenAnswer)
		err        error
		fault      fault
	}{
		{name: "flat", body: good},
		{name: "wrapped", body: `{"status":{"error":false,"code":200},"data":[` + good + `]}`},
		{name: "wrapped object", body: `{"status":{"error":false,"code":200},"data":` + good + `}`},
		{name: "no refresh token", body: with("refresh_token", nil)},
		{name: "expires_in as text", body: with("expires_in", "36000")},
		{name: "no expires_in", body: with("expires_in", nil), change: func(a *tokenAnswer) { a.expiresIn = 0 }},
		{name: "negative expires_in", body: with("expires_in", -5), change: func(a *tokenAnswer) { a.expiresIn = 0 }},
		{name: "huge expires_in", body: with("expires_in", int64(1)<<62), change: func(a *tokenAnswer) { a.expiresIn = maxTokenLife }},
		{name: "fractional expires_in", body: with("expires_in", 1.5), change: func(a *tokenAnswer) { a.expiresIn = 0 }},
		{name: "no created_at", body: with("created_at", nil), change: func(a *tokenAnswer) { a.createdAt = time.Time{} }},
		{name: "bad created_at", body: with("created_at", "yesterday"), change: func(a *tokenAnswer) { a.createdAt = time.Time{} }},
		{name: "no account", body: with("account_id", nil), change: func(a *tokenAnswer) { a.accountID = 0 }},
		{name: "account as text", body: with("account_id", "189185")},
		{name: "no token", body: with("access_token", nil), err: errTokenShape},
		{name: "empty token", body: with("access_token", ""), err: errTokenShape},
		{name: "number token", body: with("access_token", 5), err: errTokenShape},
		{name: "token that breaks a header", body: with("access_token", "a\r\nX: y"), err: errTokenShape},
		{name: "token too long", body: with("access_token", strings.Repeat("a", 8193)), err: errTokenShape},
		{name: "wrapped nothing", body: `{"status":{"error":false,"code":200},"data":[]}`, err: errTokenShape},
		{name: "wrapped two", body: `{"data":[` + good + `,` + good + `]}`, err: errTokenShape},
		{name: "wrapped null", body: `{"data":[null]}`, err: errTokenShape},
		{name: "data null", body: `{"data":null}`, err: errTokenShape},
		{name: "empty object", body: `{}`, err: errTokenShape},
		{name: "empty", body: ``, err: errTokenJSON},
		{name: "array", body: `[` + good + `]`, err: errTokenJSON},
		{name: "truncated", body: good[:len(good)-1], err: errTokenJSON},
		{name: "trailing", body: good + "x", err: errTokenJSON},
		{
			name:  "error in a success",
			body:  `{"status":{"error":true,"code":401,"type":"Unauthorized","message":"Authentication Failure"}}`,
			fault: fault{failed: true, code: 401, message: "Authentication Failure"},
		},
		{name: "OAuth error", body: `{"error":"invalid_client"}`, fault: fault{failed: true, oauth: "invalid_client"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, flt, err := decodeToken([]byte(tt.body))
			want := whole
			if tt.change != nil {
				tt.change(&want)
			}
			if tt.err != nil || tt.fault.failed {
				want = tokenAnswer{}
			}
			if err != tt.err || got != want {
				t.Errorf("got %+v, %v; want %+v, %v", got, err, want, tt.err)
			}
			if d := cmp.Diff(tt.fault, flt, cmp.AllowUnexported(fault{})); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestTokenUse(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name string
		tok  tokenAnswer
		want time.Duration
	}{
		{"new", tokenAnswer{createdAt: now, expiresIn: 10 * time.Hour}, 10*time.Hour - tokenMargin},
		{"an old one answered again", tokenAnswer{createdAt: now.Add(-9 * time.Hour), expiresIn: 10 * time.Hour}, time.Hour - tokenMargin},
		{"inside the margin", tokenAnswer{createdAt: now.Add(time.Second - 10*time.Hour), expiresIn: 10 * time.Hour}, minTokenUse},
		{"past", tokenAnswer{createdAt: now.Add(-11 * time.Hour), expiresIn: 10 * time.Hour}, minTokenUse},
		{"made in the future", tokenAnswer{createdAt: now.Add(time.Hour), expiresIn: 10 * time.Hour}, 10*time.Hour - tokenMargin},
		{"without a birth", tokenAnswer{expiresIn: 10 * time.Hour}, 10*time.Hour - tokenMargin},
		{"without an end", tokenAnswer{createdAt: now}, unknownTokenUse},
	}
	for _, tt := range tests {
		got := tt.tok.use(now, 1)
		if tt.tok.expiresIn == 0 {
			got = tt.tok.use(now, 0)
		}
		if got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Tokens that were made at one time are not renewed at one time.
func TestTokenUseIsLeftToChance(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	told, untold := tokenAnswer{createdAt: now, expiresIn: 10 * time.Hour}, tokenAnswer{}
	if a, b := told.use(now, 0), told.use(now, 1); a != 10*time.Hour || b != 10*time.Hour-tokenMargin {
		t.Errorf("used for %v to %v", b, a)
	}
	if a, b := untold.use(now, 0), untold.use(now, 1); a != time.Hour || b != 45*time.Minute {
		t.Errorf("used for %v to %v where its end is not told", b, a)
	}
}

func TestTokenRequest(t *testing.T) {
	api := newAPI(t)
	var sent string
	api.token = func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		sent = r.Method + " " + r.Header.Get("Content-Type") + " " + string(b)
		replyJSON(200, tokenBody(testToken))(w, r)
	}
	if _, err := api.client(t).Page(t.Context(), anyQuery); err != nil {
		t.Fatal(err)
	}
	if want := `POST application/json {"grant_type":"client_credentials"}`; sent != want {
		t.Errorf("sent %s", sent)
	}
	r := api.seen(tokenPath)[0]
	if want := "client_id:" + testID + ", client_secret:" + testSecret; r.Header.Get("Authorization") != want {
		t.Errorf("authorization is %q, want %q", r.Header.Get("Authorization"), want)
	}
	if _, there := r.Header["Idempotency-Key"]; there {
		t.Error("the idempotency key was sent")
	}
}

// roundTrip is a transport without a network, for tests with a clock of their
// own.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answerWith(status int, text string, header ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}, "Date": {time.Now().UTC().Format(http.TimeFormat)}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, ContentLength: -1, Body: io.NopCloser(strings.NewReader(text))}
}

// OneLogin answers with the living token until it ends. The client must use it
// to the end and no longer, and ask for the secret anew each time.
func TestTokenLivesToItsTrueEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		born := time.Now().Add(-9 * time.Hour)
		var tokens, secrets int
		c, err := New(Config{
			Domain: "acme", ClientID: testID,
			Secret: func() (string, error) { secrets++; return fmt.Sprintf("secret-%d", secrets), nil },
		}, Options{HTTP: roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == eventsPath {
				return answerWith(200, body(lastPage)), nil
			}
			tokens++
			if want := fmt.Sprintf("client_secret:secret-%d", secrets); !strings.Contains(r.Header.Get("Authorization"), want) {
				t.Errorf("token request %d is without %s", tokens, want)
			}
			if !time.Now().Before(born.Add(10 * time.Hour)) {
				born = time.Now()
			}
			return answerWith(200, fmt.Sprintf(`{"access_token":"t","created_at":%q,"expires_in":36000}`,
				born.UTC().Format("2006-01-02T15:04:05.000Z"))), nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		poll := func(want int) {
			t.Helper()
			if _, err := c.Page(t.Context(), anyQuery); err != nil {
				t.Fatal(err)
			}
			if tokens != want {
				t.Fatalf("%d token requests, want %d", tokens, want)
			}
		}
		poll(1)
		time.Sleep(time.Hour - tokenMargin - time.Second)
		poll(1)
		// Inside the margin it is the same token again, for a short while; then a
		// new one.
		for range int((tokenMargin + minTokenUse) / time.Second) {
			time.Sleep(time.Second)
			if _, err := c.Page(t.Context(), anyQuery); err != nil {
				t.Fatal(err)
			}
		}
		n := tokens
		if n < 2 || n > 4 || time.Since(born) > minTokenUse {
			t.Errorf("%d token requests, the last token is %v old", n, time.Since(born))
		}
		time.Sleep(10*time.Hour - 2*tokenMargin - minTokenUse)
		poll(n)
		if secrets != tokens {
			t.Errorf("secret read %d times for %d token requests", secrets, tokens)
		}
	})
}

// A clock that is hours off changes nothing: the token's age is taken from the
// answer's own Date.
func TestTokenAgeIsTheServers(t *testing.T) {
	for _, skew := range []time.Duration{-20 * time.Hour, 20 * time.Hour} {
		tokens := 0
		c, err := New(Config{Domain: "acme", ClientID: testID, Secret: func() (string, error) { return testSecret, nil }}, Options{
			Now: func() time.Time { return time.Now().Add(skew) },
			HTTP: roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == eventsPath {
					return answerWith(200, body(lastPage)), nil
				}
				tokens++
				return answerWith(200, tokenBody("t")), nil
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := c.Page(t.Context(), anyQuery); err != nil {
				t.Fatal(err)
			}
		}
		if left := c.tokens.until.Sub(time.Now().Add(skew)); tokens != 1 || left < 9*time.Hour {
			t.Errorf("skew %v: %d token requests, %v left", skew, tokens, left)
		}
	}
}

func TestOneTokenRequestAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var flying, most, tokens int
		c, err := New(Config{Domain: "acme", ClientID: testID, Secret: func() (string, error) { return testSecret, nil }}, Options{
			HTTP: roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == eventsPath {
					return answerWith(200, body(lastPage)), nil
				}
				mu.Lock()
				flying++
				tokens++
				most = max(most, flying)
				mu.Unlock()
				defer func() {
					mu.Lock()
					flying--
					mu.Unlock()
				}()
				select {
				case <-time.After(time.Second):
					return answerWith(200, tokenBody("t")), nil
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := c.Page(t.Context(), anyQuery); err != nil {
					t.Error(err)
				}
			})
		}
		// One that does not want to wait leaves by itself.
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := c.Page(ctx, anyQuery); err != context.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
		wg.Wait()
		if most != 1 || tokens < 1 || tokens > 2 {
			t.Errorf("%d token requests, %d at a time", tokens, most)
		}
	})
}

func TestSecretErrors(t *testing.T) {
	missing := errors.New("no such file")
	tests := []struct {
		name   string
		secret string
		err    error
	}{
		{"unreadable", "", missing},
		{"empty", "", nil},
		{"only white space", " \n", nil},
		{"two lines", "a\nb", nil},
		{"comma", "a,b", nil},
		{"not ASCII", "ä", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			api := newAPI(t)
			c := api.client(t, func(cfg *Config, _ *Options) {
				cfg.Secret = func() (string, error) { return tt.secret, tt.err }
			})
			_, err := c.Page(t.Context(), anyQuery)
			if e := apiError(t, err); e.Kind != source.Configuration || e.Stage != "Configuration" {
				t.Errorf("got %+v", e)
			}
			if tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("%v does not wrap its cause", err)
			}
			if n := len(api.seen(tokenPath)); n != 0 {
				t.Errorf("%d token requests", n)
			}
		})
	}
}
