package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"onelogin-kafka/internal/fleet"
	"onelogin-kafka/schemas"
)

// TestManyChanges: they come by pages, the last one first unless asked otherwise, and
// only those that match; no more than the last thousand.
func TestManyChanges(t *testing.T) {
	t.Parallel()
	o, d := open(), newDocument(t)
	for i := range maxEntries + 50 {
		e := schemas.AuditEntry{At: time.Now(), By: fmt.Sprintf("user-%d", i%7), Via: "api", Action: "connector.edit", Connector: fmt.Sprintf("tenant-%d", i%2), Shard: -1, Reason: fmt.Sprintf("ticket %04d", i)}
		o.Trail.take(&schemas.Record{Value: e.Marshal()})
	}
	h := Handler(o)
	for _, c := range []struct {
		query, first string
		n, total     int
	}{
		{"", "1049", 100, 1000}, {"?page=10", "0149", 100, 1000}, {"?page=11", "", 0, 1000}, {"?sort=at&per_page=1000", "0050", 1000, 1000},
		{"?connector=tenant-1&page=5", "0249", 100, 500}, {"?q=TICKET+1000", "1000", 1, 1}, {"?q=USER-3&sort=by&per_page=1", "0052", 1, 143}, {"?q=nobody", "", 0, 0},
	} {
		w := ask(h, "GET", "/api/v1/audit"+c.query, "")
		var got struct {
			Entries            []struct{ Reason string }
			Total, Page, Pages int
			PerPage            int `json:"per_page"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%s: got status %d, %v", c.query, w.Code, err)
		}
		d.hold("GET /api/v1/audit", w)
		if len(got.Entries) != c.n || got.Total != c.total || got.Pages != (paging{got.Page, got.PerPage}).pages(c.total) || c.n > 0 && got.Entries[0].Reason != "ticket "+c.first {
			t.Errorf("%s: got %d of %d, want %d of %d from %s on", c.query, len(got.Entries), got.Total, c.n, c.total, c.first)
		}
	}
	page := ask(h, "GET", "/audit?connector=tenant-1&page=2", "").Body.String()
	for _, sign := range []string{"ticket 0849", "ticket 0651", "101 to 200 of 500", `href="/audit?connector=tenant-1&amp;page=1"`, `href="/audit?connector=tenant-1&amp;page=3"`, `data-live="audit=connector%3Dtenant-1%26page%3D2"`} {
		if !strings.Contains(page, sign) {
			t.Errorf("the page lacks %q", sign)
		}
	}
	if w := ask(h, "GET", "/audit?sort=colour", ""); w.Code != http.StatusSeeOther {
		t.Errorf("a sort that there is not: got status %d", w.Code)
	}
}

// TestManyInstances: the fleet's instances come by pages, too.
func TestManyInstances(t *testing.T) {
	t.Parallel()
	o, d := open(), newDocument(t)
	o.Board = NewBoard(fleet.Topic{}, func() []string { return nil }, zerolog.Nop())
	for i := range 120 {
		for j := range 1 + i%3 {
			say(o.Board, schemas.ConnectorStatus{Connector: fmt.Sprintf("tenant-%d-%d", i, j), State: schemas.StateActive, Instance: fmt.Sprintf("host-%03d", i), Shard: i, Console: "https://host.example.com"})
		}
	}
	h := Handler(o)
	for _, c := range []struct {
		query, first string
		n, total     int
	}{{"", "host-000", 100, 120}, {"?page=2", "host-100", 20, 120}, {"?sort=-connectors&per_page=1", "host-119", 1, 120}, {"?q=HOST-07", "host-070", 10, 10}, {"?q=none", "", 0, 0}} {
		w := ask(h, "GET", "/api/v1/fleet"+c.query, "")
		var got Fleet
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%s: got status %d, %v", c.query, w.Code, err)
		}
		d.hold("GET /api/v1/fleet", w)
		if len(got.Instances) != c.n || got.Total != c.total || c.n > 0 && got.Instances[0].Instance != c.first {
			t.Errorf("%s: got %d of %d instances, want %d of %d from %s on", c.query, len(got.Instances), got.Total, c.n, c.total, c.first)
		}
	}
	page := ask(h, "GET", "/fleet?sort=-connectors&page=2", "").Body.String()
	for _, sign := range []string{"101 to 120 of 120", `href="/fleet?page=1&amp;sort=-connectors"`, `data-live="fleet=`, `href="https://host.example.com/fleet"`} {
		if !strings.Contains(page, sign) {
			t.Errorf("the page lacks %q", sign)
		}
	}
}
