package console

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"onelogin-kafka/schemas"
)

// patientRecorder takes the deadline that a stream sets.
type patientRecorder struct{ *httptest.ResponseRecorder }

func (patientRecorder) SetWriteDeadline(time.Time) error { return nil }

// TestStreamEnds: a page that is open is told no more once its browser has signed
// out, its token is another one, or its session is over.
func TestStreamEnds(t *testing.T) {
	t.Parallel()
	for name, over := range map[string]func(h http.Handler, cookie string, token *atomic.Value){
		"signed out":       func(h http.Handler, cookie string, _ *atomic.Value) { ask(h, "POST", "/logout", "", cookie) },
		"another token":    func(_ http.Handler, _ string, token *atomic.Value) { token.Store("an0ther-token-of-admins") },
		"after some hours": func(http.Handler, string, *atomic.Value) { time.Sleep(sessionLife) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var token atomic.Value
				token.Store(adminToken)
				o := withTokens()
				o.Token = func() (string, error) { return token.Load().(string), nil }
				h := Handler(o)
				c, err := http.ParseSetCookie(signInAs(h, adminToken, "/").Header().Get("Set-Cookie"))
				if err != nil {
					t.Fatal(err)
				}
				r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/api/v1/stream?connector=acme", nil)
				r.AddCookie(c)
				ended := make(chan struct{})
				go func() { defer close(ended); h.ServeHTTP(patientRecorder{httptest.NewRecorder()}, r) }()
				time.Sleep(time.Minute)
				select {
				case <-ended:
					t.Fatal("the stream ended before")
				default:
				}
				over(h, "Cookie: "+c.Name+"="+c.Value, &token)
				time.Sleep(streamLook)
				synctest.Wait()
				select {
				case <-ended:
				default:
					t.Error("the stream goes on")
				}
			})
		})
	}
}

// TestStreamOfDetails: the open page of a connector is told of its errors and states
// as they become others, and not when they are as before.
func TestStreamOfDetails(t *testing.T) {
	t.Parallel()
	o := open()
	next := events(t, o, "details=acme")
	var told details
	read := func() {
		t.Helper()
		told = details{}
		if err := json.Unmarshal(next("details"), &told); err != nil {
			t.Fatal(err)
		}
	}
	if read(); len(told.Errors) != 0 || len(told.History) != 1 || told.History[0].State != schemas.StateActive {
		t.Errorf("at first: got %+v", told)
	}
	now := time.Now()
	say(o.Board, schemas.ConnectorStatus{Connector: "globex", State: schemas.StateFailing, Message: "another's", Since: now, UpdatedAt: now})
	say(o.Board, schemas.ConnectorStatus{
		Connector: "acme", State: schemas.StateFailing, Stage: "Authentication", Message: "Credentials error", Since: now, UpdatedAt: now,
		Lateness: &schemas.Lateness{Since: now, Bounds: []float64{2}, Counts: []int64{4, 1}},
	})
	if read(); len(told.Errors) != 1 || told.Errors[0].Why != "Authentication Stage: Credentials error" || len(told.History) != 2 || len(told.Late) != 2 || told.Late[1].Percent != 25 {
		t.Errorf("after an error: got %+v", told)
	}
}

// TestStreamOfLists: open pages of the audit and the fleet are told what they list
// when it has become another.
func TestStreamOfLists(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := open()
		ctx, cancel := context.WithCancel(t.Context())
		w := patientRecorder{httptest.NewRecorder()}
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/api/v1/stream?audit=connector%3Dacme&fleet=q%3Dtwo", nil)
		ended := make(chan struct{})
		go func() { defer close(ended); Handler(o).ServeHTTP(w, r) }()
		synctest.Wait()
		for _, connector := range []string{"acme", "globex"} {
			e := schemas.AuditEntry{At: time.Now(), By: "somebody", Via: "api", Action: "connector.pause", Connector: connector, Shard: -1}
			o.Trail.take(&schemas.Record{Value: e.Marshal()})
		}
		say(o.Board, schemas.ConnectorStatus{Connector: "hooli", State: schemas.StateFailing, Message: "x", Instance: "two", Shard: 7})
		time.Sleep(4 * streamLook)
		cancel()
		<-ended
		told := w.Body.String()
		if n := strings.Count(told, "event: audit"); n != 2 || strings.Count(told, `"connector":"acme","before"`) != 1 || strings.Contains(told, `"globex"`) {
			t.Errorf("the audit was told %d times: %s", n, told)
		}
		if n := strings.Count(told, "event: fleet"); n != 2 || strings.Count(told, `"state":"FAILING","states":"1 FAILING ","shards":"7 "`) != 1 || strings.Contains(told, `"instance":"one"`) {
			t.Errorf("the fleet was told %d times: %s", n, told)
		}
	})
}

// events opens a stream; next is what the next event of a name says.
func events(t *testing.T, o Options, query string) (next func(event string) []byte) {
	t.Helper()
	server := httptest.NewServer(Handler(o))
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); server.Close() })
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/v1/stream?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	lines := bufio.NewScanner(res.Body)
	return func(event string) []byte {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == "event: "+event && lines.Scan() {
				return bytes.TrimPrefix(lines.Bytes(), []byte("data: "))
			}
		}
		t.Fatalf("the stream ended before an event %s: %v", event, lines.Err())
		return nil
	}
}
