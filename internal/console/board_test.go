package console

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"onelogin-kafka/internal/fleet"
	"onelogin-kafka/schemas"
)

// listed asks for a list and returns it with its connectors' names.
func listed(t *testing.T, h http.Handler, query string) (connectorList, []string) {
	t.Helper()
	w := ask(h, "GET", "/api/v1/connectors?"+query, "")
	var l connectorList
	if err := json.Unmarshal(w.Body.Bytes(), &l); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%s: got status %d, %s", query, w.Code, w.Body)
	}
	var names []string
	for _, c := range l.Connectors {
		var s struct{ Connector string }
		if err := json.Unmarshal(c, &s); err != nil {
			t.Fatal(err)
		}
		names = append(names, s.Connector)
	}
	return l, names
}

func TestList(t *testing.T) {
	t.Parallel()
	o := open()
	o.Board = NewBoard(fleet.Topic{}, func() []string { return nil }, zerolog.Nop())
	for i := range 250 {
		say(o.Board, schemas.ConnectorStatus{Connector: fmt.Sprintf("tenant-%03d", i), State: schemas.StateActive, Events: int64(1000 - i), LagSeconds: float64(i), Domain: "d.onelogin.com", Instance: []string{"one", "two"}[i%2]})
	}
	say(o.Board, schemas.ConnectorStatus{Connector: "zz-broken", State: schemas.StateFailing, Stage: "Authentication", Message: "Credentials error", LagSeconds: -1, AccountID: 4711})
	h := Handler(o)
	l, names := listed(t, h, "")
	if len(names) != 100 || names[0] != "zz-broken" || names[1] != "tenant-000" || l.Total != 251 || l.Pages != 3 || l.Counts[schemas.StateActive] != 250 || l.Counts[schemas.StateFailing] != 1 {
		t.Errorf("got %d of %d, %q…, counts %v", len(names), l.Total, names[:2], l.Counts)
	}
	for query, want := range map[string][]string{
		"page=3&per_page=125": {"tenant-249"}, "page=4": nil, "q=CREDENTIALS": {"zz-broken"}, "q=4711": {"zz-broken"}, "q=zz&state=ACTIVE": nil,
		"sort=-name&per_page=2": {"zz-broken", "tenant-249"}, "sort=events&per_page=1": {"zz-broken"}, "sort=-events&per_page=2": {"tenant-000", "tenant-001"},
		"sort=-lag&per_page=1": {"tenant-249"}, "q=tenant-01&per_page=2&sort=owner": {"tenant-010", "tenant-012"}, "state=FAILING": {"zz-broken"}, "q=%3Cscript%3E": nil,
	} {
		if _, got := listed(t, h, query); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	if l, _ := listed(t, h, "q=zz&state=ACTIVE"); l.Counts[schemas.StateFailing] != 1 || l.Total != 0 {
		t.Errorf("a state's filter changes the counts: %v", l.Counts)
	}
}

// TestTrack: events are counted in the minute in which they are reported, and
// states are remembered.
func TestTrack(t *testing.T) {
	t.Parallel()
	b := NewBoard(fleet.Topic{}, func() []string { return nil }, zerolog.Nop())
	noon := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	at := func(after time.Duration, events int64, state schemas.State, message string) {
		say(b, schemas.ConnectorStatus{Connector: "acme", State: state, Message: message, Events: events, UpdatedAt: noon.Add(after), Since: noon})
	}
	at(0, 1000, schemas.StateActive, "")
	at(30*time.Second, 1010, schemas.StateActive, "")
	at(70*time.Second, 1017, schemas.StateFailing, "Credentials error")
	at(100*time.Second, 1017, schemas.StateFailing, "Request Timeout")
	at(3*time.Minute, 5, schemas.StateActive, "") // its position was set back
	at(3*time.Minute+time.Second, 8, schemas.StateActive, "")
	rate := b.Rate("acme", noon.Add(4*time.Minute))
	if want := []int64{10, 7, 0, 3, 0}; len(rate) != rateMinutes || !slices.Equal(rate[rateMinutes-5:], want) {
		t.Errorf("got %v, want …%v", rate, want)
	}
	if rate := b.Rate("acme", noon.Add(time.Hour)); slices.Max(rate) != 0 {
		t.Errorf("an hour later: got %v", rate)
	}
	var states []string
	for _, c := range b.History("acme") {
		states = append(states, fmt.Sprintf("%s %s %v", c.State, c.Message, c.Since.Sub(noon)))
	}
	if want := []string{"ACTIVE  3m0s", "FAILING Request Timeout 1m40s", "FAILING Credentials error 1m10s", "ACTIVE  0s"}; !slices.Equal(states, want) {
		t.Errorf("got %q, want %q", states, want)
	}
	for range 100 {
		at(time.Hour, 1, schemas.StateActive, time.Now().String())
	}
	if n := len(b.History("acme")); n != maxChanges {
		t.Errorf("%d states are remembered", n)
	}
	(&boardTaker{b, b.view}).Take(&schemas.Record{Key: []byte("acme")})
	if _, ok := b.Get("acme", noon); ok || b.History("acme") != nil {
		t.Error("a connector that was removed is remembered")
	}
}

// TestStream: an open page is told of what changes, of nothing else, and no more
// when it has gone.
func TestStream(t *testing.T) {
	t.Parallel()
	o := open()
	server := httptest.NewServer(Handler(o))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/v1/stream?connector=acme&connector=gone", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if kind := res.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Fatalf("got %s", kind)
	}
	lines := bufio.NewScanner(res.Body)
	next := func() (event string, data map[string]any) {
		t.Helper()
		for lines.Scan() && lines.Text() != "" {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				event = name
			}
			if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(text), &data); err != nil {
					t.Fatalf("%s: %v", text, err)
				}
			}
		}
		return event, data
	}
	expect := func(event, connector, state string) {
		t.Helper()
		got, data := next()
		for got == "counts" && event != "counts" {
			got, data = next()
		}
		if got != event || connector != "" && data["connector"] != connector || state != "" && data["state"] != state {
			t.Fatalf("got %s %v, want %s of %s", got, data, event, connector)
		}
	}
	expect("counts", "", "")
	expect("connector", "acme", "ACTIVE")
	expect("removed", "gone", "")
	say(o.Board, schemas.ConnectorStatus{Connector: "globex", State: schemas.StateActive})
	say(o.Board, schemas.ConnectorStatus{Connector: "acme", State: schemas.StateFailing, Message: "<script>alert(1)</script>\n\nevent: counts\ndata: {}"})
	expect("connector", "acme", "FAILING")
	(&boardTaker{o.Board, o.Board.view}).Take(&schemas.Record{Key: []byte("acme")})
	expect("connector", "acme", "INACTIVE") // configured, and not heard of
	cancel()
	for lines.Scan() {
	}
	server.Close() // waits for the handler
	if n := len(o.Board.watchers); n != 0 {
		t.Errorf("%d still watch", n)
	}
}

// BenchmarkList is a page of 10,000 connectors, sorted anew each time.
func BenchmarkList(b *testing.B) {
	o := open()
	for i := range 10_000 {
		say(o.Board, schemas.ConnectorStatus{Connector: fmt.Sprintf("tenant-%05d", i), State: schemas.StateActive, Domain: "d.onelogin.com", LagSeconds: 1})
	}
	h := Handler(o)
	for b.Loop() {
		o.Board.listed = time.Time{}
		if w := ask(h, "GET", "/api/v1/connectors?sort=lag&q=tenant", ""); w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
	}
}
