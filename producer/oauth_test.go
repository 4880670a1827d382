package producer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// secretWord is what no error may show.
const secretWord = "hunter2-canary"

// refusals notes what was refused of a token.
type refusals struct {
	FileToken
	tokens []string
}

func (r *refusals) Refused(token string) { r.tokens = append(r.tokens, token) }

func TestOAuthBearerExchange(t *testing.T) {
	for name, tt := range map[string]struct {
		answer, status string
		refused        bool
	}{
		"taken":          {answer: ""},
		"refused":        {`{"status":"invalid_token","scope":"x","openid-configuration":"https://x"}`, "invalid_token", true},
		"no status":      {`{}`, "", true},
		"no JSON":        {"\x01", "", true},
		"a strange word": {`{"status":"<b>\nhello"}`, "", true},
		"a number":       {`{"status":7}`, "", true},
		"a long answer":  {`{"status":"invalid_token","scope":"` + strings.Repeat("x", 64<<10) + `"}`, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			tokens := &refusals{FileToken: func() (string, error) { return "abc.def-_~+/==", nil }}
			state, first, err := oauthBearer{tokens: tokens}.Start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff("n,,\x01auth=Bearer abc.def-_~+/==\x01\x01", string(first)); diff != "" {
				t.Errorf("first message (-want +got):\n%s", diff)
			}
			done, next, err := state.Next(t.Context(), []byte(tt.answer))
			if err != nil || done == tt.refused {
				t.Fatalf("got done %v, %v", done, err)
			}
			if !tt.refused {
				if len(tokens.tokens) != 0 || state.(*oauthExchange).Refusal() != nil {
					t.Error("a token that was taken counts as refused")
				}
				return
			}
			if !bytes.Equal(next, []byte{1}) {
				t.Errorf("a refusal is acknowledged with %q, want 0x01", next)
			}
			if diff := cmp.Diff([]string{"abc.def-_~+/=="}, tokens.tokens); diff != "" {
				t.Errorf("refused (-want +got):\n%s", diff)
			}
			// Whatever a broker says after that, it is not a yes.
			for _, more := range []string{"", tt.answer} {
				done, _, err := state.Next(t.Context(), []byte(more))
				refused, ok := errors.AsType[*TokenRefusedError](err)
				if done || !ok || refused.Status != tt.status {
					t.Errorf("after the refusal: got done %v, %v, want status %q", done, err, tt.status)
				}
			}
		})
	}
}

func TestFileToken(t *testing.T) {
	broken := errors.New("broken")
	for text, want := range map[string]error{
		"a": nil, "a.b.c": nil, "YWI=": nil, "": errNoBearer, "a b": errNoBearer, "a\x01auth=Bearer b": errNoBearer, "a\n": errNoBearer, "=": errNoBearer, "é": errNoBearer,
	} {
		got, err := FileToken(func() (string, error) { return text, nil }).Token(t.Context())
		if !errors.Is(err, want) || (err == nil && got != text) || (err != nil && got != "") {
			t.Errorf("%q: got %q, %v, want %v", text, got, err, want)
		}
	}
	if _, err := FileToken(func() (string, error) { return "", broken }).Token(t.Context()); !errors.Is(err, broken) {
		t.Errorf("got %v, want what reading said", err)
	}
}

// issuer is a token endpoint without a network: each answer is the next one of
// its script, the last one for ever.
type issuer struct {
	mu      sync.Mutex
	asked   []time.Time
	took    time.Duration
	answers []string
}

func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	i.mu.Lock()
	n := min(len(i.asked), len(i.answers)-1)
	i.asked = append(i.asked, time.Now())
	body, took := i.answers[n], i.took
	i.mu.Unlock()
	select {
	case <-time.After(took):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	status := http.StatusOK
	if body == "" {
		status = http.StatusServiceUnavailable
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func (i *issuer) endpoint() *EndpointToken {
	return &EndpointToken{URL: "https://id.example/token", ClientID: "id", Secret: func() (string, error) { return secretWord, nil }, Transport: i}
}

func answer(token, life string) string {
	return `{"access_token":"` + token + `","token_type":"bearer","expires_in":` + life + `}`
}

func TestEndpointTokenIsKept(t *testing.T) {
	for name, tt := range map[string]struct {
		life string
		kept time.Duration
	}{
		"an hour":       {"3600", 48 * time.Minute},
		"as text":       {`"3600"`, 48 * time.Minute},
		"two minutes":   {"120", 90 * time.Second},
		"short":         {"10", 5 * time.Second},
		"a fraction":    {"0.5", 250 * time.Millisecond},
		"not said":      {"null", 4 * time.Minute},
		"zero":          {"0", 4 * time.Minute},
		"negative":      {"-1", 4 * time.Minute},
		"out of bounds": {"1e300", maxTokenLife * 4 / 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{answers: []string{answer("one", tt.life), answer("two", tt.life)}}
				e := i.endpoint()
				get := func(want string) {
					t.Helper()
					if got, err := e.Token(t.Context()); err != nil || got != want {
						t.Errorf("got %q, %v, want %q", got, err, want)
					}
				}
				get("one")
				time.Sleep(tt.kept - time.Nanosecond)
				get("one")
				time.Sleep(time.Nanosecond)
				get("two")
				if len(i.asked) != 2 {
					t.Errorf("asked %d times, want 2", len(i.asked))
				}
			})
		})
	}
}

func TestEndpointTokenIsAskedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{took: 3 * time.Second, answers: []string{answer("one", "3600")}}
		e := i.endpoint()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for n := range 20 {
			wg.Go(func() {
				c, want := t.Context(), error(nil)
				if n%2 == 0 { // the impatient go, the request goes on
					c, want = ctx, context.DeadlineExceeded
				}
				if _, err := e.Token(c); !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
			})
		}
		wg.Wait()
		if got, err := e.Token(ctx); err != nil || got != "one" {
			t.Errorf("afterwards: got %q, %v", got, err)
		}
		if len(i.asked) != 1 {
			t.Errorf("asked %d times, want once", len(i.asked))
		}
	})
}

func TestEndpointTokenThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{took: time.Hour, answers: []string{""}}
		began := time.Now()
		_, err := i.endpoint().Token(t.Context())
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != tokenTimeout {
			t.Errorf("got %v after %v", err, took)
		}
	})
}

// However many ask, an endpoint in trouble is asked once a second, as is one
// whose tokens no broker takes.
func TestEndpointTokenIsNotAskedTooOften(t *testing.T) {
	for name, tt := range map[string]struct {
		answer string
		use    func(*EndpointToken) error
	}{
		"failing": {"", func(e *EndpointToken) error { _, err := e.Token(context.Background()); return err }},
		"refused": {answer("bad", "3600"), func(e *EndpointToken) error {
			token, err := e.Token(context.Background())
			e.Refused(token)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{answers: []string{tt.answer}}
				e := i.endpoint()
				failed := 0
				for range 1000 { // 10 s
					if tt.use(e) != nil {
						failed++
					}
					time.Sleep(10 * time.Millisecond)
				}
				if n := len(i.asked); n < 9 || n > 10 || failed < 990 {
					t.Errorf("asked %d times in 10 s, %d calls failed", n, failed)
				}
				i.answers = append(i.answers, answer("good", "3600"))
				i.asked = i.asked[:1]
				time.Sleep(tokenRetry)
				if got, err := e.Token(t.Context()); err != nil || got != "good" {
					t.Errorf("once it is well: got %q, %v", got, err)
				}
				e.Refused("bad") // late news of an old token
				if got, err := e.Token(t.Context()); err != nil || got != "good" {
					t.Errorf("got %q, %v, want the token that nobody refused", got, err)
				}
			})
		})
	}
}

// Some providers route by further keys of the message (Confluent Cloud's
// logicalCluster and identityPoolId).
func TestOAuthBearerExtensions(t *testing.T) {
	tokens := FileToken(func() (string, error) { return "abc", nil })
	_, first, err := oauthBearer{tokens, map[string]string{"logicalCluster": "lkc-1", "identityPoolId": "pool 2"}}.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("n,,\x01auth=Bearer abc\x01identityPoolId=pool 2\x01logicalCluster=lkc-1\x01\x01", string(first)); diff != "" {
		t.Errorf("first message (-want +got):\n%s", diff)
	}
	for key, value := range map[string]string{"auth": "x", "a.b": "x", "": "x", "key": "", "other": "a\x01b", "umlaut": "ä"} {
		if _, _, err := (oauthBearer{tokens, map[string]string{key: value}}).Start(t.Context()); !errors.Is(err, errExtension) {
			t.Errorf("%q=%q: got %v, want errExtension", key, value, err)
		}
	}
}

func TestEndpointTokenRequest(t *testing.T) {
	var got *http.Request
	var form url.Values
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		got, form = r, r.PostForm
		_, _ = io.WriteString(w, answer("one", "3600"))
	}))
	defer server.Close()
	e := &EndpointToken{URL: server.URL + "/oauth/token/", ClientID: "a:b", Secret: func() (string, error) { return "p%s d", nil }, Scope: "x y",
		Parameters: map[string]string{"audience": "https://kafka.example", "grant_type": "another"}}
	if token, err := e.Token(t.Context()); err != nil || token != "one" {
		t.Fatalf("got %q, %v", token, err)
	}
	user, password, _ := got.BasicAuth()
	if diff := cmp.Diff([]string{"POST", "/oauth/token/", "application/x-www-form-urlencoded", "application/json", "a%3Ab", "p%25s+d"},
		[]string{got.Method, got.URL.Path, got.Header.Get("Content-Type"), got.Header.Get("Accept"), user, password}); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(url.Values{"grant_type": {"client_credentials"}, "scope": {"x y"}, "audience": {"https://kafka.example"}}, form); diff != "" {
		t.Errorf("form (-want +got):\n%s", diff)
	}
}

// What an endpoint can do wrong is told without anything that it sent, and
// nothing secret goes anywhere else.
func TestEndpointTokenTrouble(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"refused": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"`+secretWord+`"}`)
		}, "HTTP status 401 (invalid_client)"},
		"refused in its own words": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"`+secretWord+`"}`)
		}, "HTTP status 400"},
		"down": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, "HTTP status 502"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/?"+secretWord, http.StatusTemporaryRedirect)
		}, "HTTP status 307: it answered with a redirect, which is not followed"},
		"too large": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat(" ", maxTokenAnswer)+answer("t", "1"))
		}, errTokenTooLarge.Error()},
		"HTML":     {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>"+secretWord) }, errTokenAnswer.Error()},
		"no token": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"expires_in":1}`) }, errTokenAnswer.Error()},
		"no bearer": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"access_token":"t","token_type":"mac"}`)
		}, errTokenAnswer.Error()},
		"a bad token": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer("a b", "1")) }, errTokenAnswer.Error()},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			_, _ = io.WriteString(w, "{")
		}, "reading the answer: unexpected EOF"},
		"no HTTP": {func(w http.ResponseWriter, _ *http.Request) {
			c, b, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = b.WriteString(secretWord + "\r\n\r\n")
				_ = b.Flush()
				c.Close()
			}
		}, "no answer: " + errNoHTTP.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(tt.handler)
			defer server.Close()
			e := &EndpointToken{URL: server.URL + "/token", ClientID: "id", Secret: func() (string, error) { return secretWord, nil }}
			_, err := e.Token(t.Context())
			if want := "asking for a token at kafka.sasl.token_url: " + tt.want; err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("a redirect was followed %d times", n)
	}
}

func TestEndpointTokenURL(t *testing.T) {
	for text, ok := range map[string]bool{
		"https://id.example/token": true, "https://id.example:8443": true, "http://127.0.0.1:1/t": true, "http://localhost/t": true, "http://[::1]/t": true,
		"http://id.example/token": false, "ftp://id.example": false, "https://": false, "https://u:" + secretWord + "@id.example": false,
		"https://id.example/?" + secretWord: false, "https://id.example/#x": false, "": false, "id.example/token": false, "http://127.0.0.1.example/": false, "%": false,
	} {
		if err := checkTokenURL(text); (err == nil) != ok {
			t.Errorf("%s: got %v", text, err)
		}
	}
	e := &EndpointToken{URL: "http://id.example/" + secretWord, Secret: func() (string, error) { t.Error("the secret was read"); return "", nil }}
	if _, err := e.Token(t.Context()); !errors.Is(err, errTokenURL) || strings.Contains(err.Error(), secretWord) {
		t.Errorf("got %v", err)
	}
	broken := errors.New("broken")
	e = &EndpointToken{URL: "https://id.example/", Secret: func() (string, error) { return "", broken }}
	if _, err := e.Token(t.Context()); !errors.Is(err, broken) {
		t.Errorf("got %v, want what reading the secret said", err)
	}
}

func FuzzTokenAnswers(f *testing.F) {
	f.Add([]byte(answer("abc", "3600")))
	f.Add([]byte(`{"access_token":"a","expires_in":"1e-9"}`))
	f.Add([]byte(`{"status":"invalid_token"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		token, life, err := decodeBearer(body)
		if err == nil && (!bearer.MatchString(token) || life < 0 || life > maxTokenLife) || err != nil && token != "" {
			t.Errorf("got %q for %v, %v", token, life, err)
		}
		if s := refusalStatus(body); s != "" && !plainWord.MatchString(s) {
			t.Errorf("status %q", s)
		}
	})
}
