package onelogin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"onelogin-kafka/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testID     = "client-0123456789"
	testSecret = "s3cret-canary-2f81"
	testToken  = "token-canary-77aa"
)

// samples are real-shaped events; the first has every field.
func samples(t testing.TB) [][]byte {
	t.Helper()
	b, err := os.ReadFile("testdata/events.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSpace(b), []byte("\n"))
}

// body makes a page of raw elements.
func body(pagination string, elements ...string) string {
	return `{"status":{"error":false,"code":200,"type":"success","message":"Success"},"pagination":` +
		pagination + `,"data":[` + strings.Join(elements, ",") + `]}`
}

const (
	lastPage = `{"before_cursor":null,"after_cursor":null,"previous_link":null,"next_link":null}`
	morePage = `{"before_cursor":null,"after_cursor":"c2","previous_link":null,"next_link":"https://evil.example/api/1/events?after_cursor=zzz"}`
)

// event is the smallest event.
func event(id int64) string {
	return fmt.Sprintf(`{"id":%d,"created_at":"2024-02-27T23:48:09.212Z"}`, id)
}

// fakeAPI is a loopback host whose two endpoints a test sets, and that counts.
type fakeAPI struct {
	*httptest.Server
	token, events http.HandlerFunc

	mu       sync.Mutex
	requests []*http.Request
}

func tokenBody(token string) string {
	return fmt.Sprintf(`{"access_token":%q,"created_at":%q,"expires_in":36000,"token_type":"bearer","account_id":189185}`,
		token, time.Now().UTC().Format(time.RFC3339Nano))
}

func reply(status int, contentType, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("X-Request-Id", "req-1")
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	}
}

func replyJSON(status int, text string) http.HandlerFunc {
	return reply(status, "application/json; charset=utf-8", text)
}

// sequence answers the n-th request with the n-th handler, the last one for
// good.
func sequence(hs ...http.HandlerFunc) http.HandlerFunc {
	var mu sync.Mutex
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		h := hs[min(n, len(hs)-1)]
		n++
		mu.Unlock()
		h(w, r)
	}
}

func newAPI(t testing.TB) *fakeAPI {
	t.Helper()
	f := &fakeAPI{token: replyJSON(200, tokenBody(testToken)), events: replyJSON(200, body(lastPage))}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.requests = append(f.requests, r.Clone(context.Background()))
		f.mu.Unlock()
		switch r.URL.Path {
		case "/auth/oauth2/v2/token":
			f.token(w, r)
		case "/api/1/events":
			f.events(w, r)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(f.Close)
	return f
}

// seen returns the requests to path so far.
func (f *fakeAPI) seen(path string) []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	var rs []*http.Request
	for _, r := range f.requests {
		if r.URL.Path == path {
			rs = append(rs, r)
		}
	}
	return rs
}

const (
	tokenPath  = "/auth/oauth2/v2/token"
	eventsPath = "/api/1/events"
)

func (f *fakeAPI) config() Config {
	return Config{
		Domain: "acme", BaseURL: f.URL, ClientID: testID,
		Secret: func() (string, error) { return testSecret + "\n", nil },
	}
}

func (f *fakeAPI) client(t testing.TB, change ...func(*Config, *Options)) *Client {
	t.Helper()
	cfg, opts := f.config(), Options{}
	for _, ch := range change {
		ch(&cfg, &opts)
	}
	c, err := New(cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

var anyQuery = source.Query{Since: time.Date(2024, 2, 27, 0, 0, 0, 0, time.UTC), Limit: 1000}

func apiError(t testing.TB, err error) *source.APIError {
	t.Helper()
	var e *source.APIError
	if !errors.As(err, &e) {
		t.Fatalf("error is %T (%v), want *source.APIError", err, err)
	}
	if e.Stage == "" || e.Message == "" || e.Advice == "" {
		t.Errorf("error lacks stage, message or advice: %+v", e)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("API error passes for a context's: %v", err)
	}
	return e
}
