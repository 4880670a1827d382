package simulator_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"onelogin-kafka/source/onelogin/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start is the Start of the tests' simulators.
var start = time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)

// clock is a hand-moved clock.
type clock struct{ at time.Time }

func (c *clock) now() time.Time          { return c.at }
func (c *clock) advance(d time.Duration) { c.at = c.at.Add(d) }

func newServer(t testing.TB, c simulator.Config) *simulator.Server {
	t.Helper()
	s, err := simulator.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// one is a simulator with the tenant acme and a clock that stands at start.
func one(t testing.TB, edit func(*simulator.Config, *simulator.Tenant)) (*simulator.Server, *clock) {
	t.Helper()
	k := &clock{at: start}
	c := simulator.Config{Seed: 7, Start: start, Now: k.now, Tenants: []simulator.Tenant{{
		Name: "acme", Backlog: 100, BacklogSpan: simulator.Duration(100 * time.Second), Traffic: simulator.Traffic{Rate: 1},
	}}}
	if edit != nil {
		edit(&c, &c.Tenants[0])
	}
	return newServer(t, c), k
}

func do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func token(t testing.TB, s *simulator.Server, tenant string) string {
	t.Helper()
	id, secret := s.Credentials(tenant)
	r := httptest.NewRequest("POST", "/auth/oauth2/v2/token", strings.NewReader(`{"grant_type":"client_credentials"}`))
	r.SetBasicAuth(id, secret)
	w := do(s, r)
	var body struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != 200 || body.AccessToken == "" {
		t.Fatalf("token: code %d, body %s, error %v", w.Code, w.Body, err)
	}
	return body.AccessToken
}

func apiRequest(tok, path string, query ...string) *http.Request {
	v := url.Values{}
	for i := 0; i < len(query); i += 2 {
		v.Set(query[i], query[i+1])
	}
	r := httptest.NewRequest("GET", path+"?"+v.Encode(), nil)
	r.Header.Set("Authorization", "bearer:"+tok)
	return r
}

// answer is a decoded page.
type answer struct {
	Status struct {
		Error   bool
		Code    int
		Type    string
		Message json.RawMessage
	}
	Pagination *struct {
		BeforeCursor *string `json:"before_cursor"`
		AfterCursor  *string `json:"after_cursor"`
		PreviousLink *string `json:"previous_link"`
		NextLink     *string `json:"next_link"`
	}
	Data []json.RawMessage
}

// head is what the tests need of an event.
type head struct {
	ID          int64     `json:"id"`
	CreatedAt   time.Time `json:"created_at"`
	AccountID   int64     `json:"account_id"`
	EventTypeID int       `json:"event_type_id"`
	UserID      *int64    `json:"user_id"`
	Notes       *string   `json:"notes"`
}

func decode(t testing.TB, w *httptest.ResponseRecorder) answer {
	t.Helper()
	var a answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("code %d: %v in %.300s", w.Code, err, w.Body)
	}
	return a
}

func (a *answer) heads(t testing.TB) []head {
	t.Helper()
	var all []head
	for _, raw := range a.Data {
		var h head
		if err := json.Unmarshal(raw, &h); err != nil {
			t.Fatalf("%v in %s", err, raw)
		}
		all = append(all, h)
	}
	return all
}

func page(t testing.TB, s *simulator.Server, tok string, query ...string) answer {
	t.Helper()
	w := do(s, apiRequest(tok, "/api/1/events", query...))
	if w.Code != 200 {
		t.Fatalf("code %d: %.300s", w.Code, w.Body)
	}
	return decode(t, w)
}

// readAll follows cursors to the end, with its own parameters repeated.
func readAll(t testing.TB, s *simulator.Server, tok string, query ...string) (raw []string, pages int) {
	t.Helper()
	cursor := ""
	for {
		q := query
		if cursor != "" {
			q = append(append([]string(nil), query...), "after_cursor", cursor)
		}
		a := page(t, s, tok, q...)
		pages++
		for _, e := range a.Data {
			raw = append(raw, string(e))
		}
		if a.Pagination.NextLink == nil || len(a.Data) == 0 {
			return raw, pages
		}
		cursor = *a.Pagination.AfterCursor
	}
}

type fact struct {
	id               int64
	created, visible time.Time
	raw              string
}

func truth(t testing.TB, s *simulator.Server, tenant string) []fact {
	t.Helper()
	seq, err := s.Truth(tenant)
	if err != nil {
		t.Fatal(err)
	}
	var all []fact
	for e := range seq {
		all = append(all, fact{e.ID, e.CreatedAt, e.VisibleAt, string(e.Raw)})
	}
	return all
}

func rawOf(facts []fact, keep func(fact) bool) []string {
	var all []string
	for _, f := range facts {
		if keep == nil || keep(f) {
			all = append(all, f.raw)
		}
	}
	return all
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func itoa[T int | int64](v T) string { return strconv.FormatInt(int64(v), 10) }

func drain(t testing.TB, r io.ReadCloser) ([]byte, error) {
	t.Helper()
	b, err := io.ReadAll(r)
	if cerr := r.Close(); cerr != nil {
		t.Fatal(cerr)
	}
	return b, err
}

// cursorAt is the cursor that stands behind an event.
func cursorAt(h head) string {
	return base64.StdEncoding.EncodeToString([]byte("account_id:::" + itoa(h.AccountID) + "--##id:::" + itoa(h.ID)))
}
