package console

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"onelogin-kafka/internal/fleet"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/schemas"
)

// fill sends a form.
func fill(h http.Handler, path string, fields map[string]string, headers ...string) *httptest.ResponseRecorder {
	v := url.Values{}
	for name, text := range fields {
		v.Set(name, text)
	}
	return ask(h, "POST", path, v.Encode(), append(headers, "Content-Type: application/x-www-form-urlencoded")...)
}

// hidden is the value of a hidden field of a page.
func hidden(t *testing.T, w *httptest.ResponseRecorder, name string) string {
	t.Helper()
	m := regexp.MustCompile(`type="hidden" name="` + name + `" value="([^"]*)"`).FindStringSubmatch(w.Body.String())
	if m == nil {
		t.Fatalf("there is no field %s in %s", name, w.Body)
	}
	return m[1]
}

// TestViewersPages: what would be refused is not offered.
func TestViewersPages(t *testing.T) {
	t.Parallel()
	o := withTokens()
	control := newShelf()
	o.Control = control
	h := Handler(o)
	hooli := map[string]string{"name": "acme", "domain": "acme", "client_id": "id", "client_secret": "s3", "action": "save"}
	if w := fill(h, "/new", hooli, "Authorization: Bearer "+adminToken); w.Code != http.StatusSeeOther {
		t.Fatalf("saving: got status %d, %s", w.Code, w.Body)
	}
	offers := regexp.MustCompile(`(?:action|href)="(/[^"]*)"`)
	offered := 0
	for _, path := range []string{"/", "/connectors/acme", "/connectors/unheard-of", "/fleet", "/audit"} {
		for token, isAdmin := range map[string]bool{adminToken: true, viewerToken: false} {
			w := ask(h, "GET", path, "", "Authorization: Bearer "+token)
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "</html>") {
				t.Fatalf("%s: got status %d", path, w.Code)
			}
			for _, m := range offers.FindAllStringSubmatch(w.Body.String(), -1) {
				method := "GET"
				if strings.Contains(m[0], "action") && !strings.Contains(w.Body.String(), `method="get" action="`+m[1]+`"`) {
					method = "POST"
				}
				got := ask(h, method, m[1], "", "Authorization: Bearer "+token)
				if got.Code == http.StatusForbidden || got.Code == http.StatusNotFound || got.Code == http.StatusMethodNotAllowed {
					t.Errorf("%s offers %s %s, which answers with status %d", path, method, m[1], got.Code)
				}
				if isAdmin && method == "POST" {
					offered++
				}
			}
		}
	}
	if offered < 2 {
		t.Errorf("an admin is offered %d things to do", offered)
	}
}

// TestFormOfWhatIsNotRead: an instance that has not read what was edited, as after it
// was started again, does not save what the form shows without what it does not.
func TestFormOfWhatIsNotRead(t *testing.T) {
	t.Parallel()
	o, control := open(), newShelf()
	o.Control = control
	h := Handler(o)
	saved := schemas.Connector{Name: "hooli", Type: "onelogin", Domain: "hooli.onelogin.com", ClientID: "id", Generation: 3, Settings: map[string]json.RawMessage{"page_size": json.RawMessage("50")}}
	form := map[string]string{"name": "hooli", "domain": "hooli.onelogin.com", "client_id": "id", "poll.min": "7s", "generation": "3", "action": "save"}
	before := saved
	before.Generation, before.Settings = 2, nil
	for what, known := range map[string]map[string]schemas.Connector{"nothing": {}, "an older one": {"hooli": before}} {
		control.all = known
		w := fill(h, "/connectors/hooli/edit", form)
		if w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "does not know of what you have edited") || !strings.Contains(w.Body.String(), `value="7s"`) {
			t.Errorf("knowing %s: got status %d, %s", what, w.Code, w.Body)
		}
	}
	control.all = map[string]schemas.Connector{"hooli": saved}
	if w := fill(h, "/connectors/hooli/edit", form); w.Code != http.StatusSeeOther || string(control.all["hooli"].Settings["page_size"]) != "50" {
		t.Errorf("got status %d, saved %+v", w.Code, control.all["hooli"])
	}
}

// TestWayIn: a browser that has not signed in is shown the way, and goes on where
// it wanted to.
func TestWayIn(t *testing.T) {
	t.Parallel()
	h := Handler(withTokens())
	w := ask(h, "GET", "/connectors/acme?x=1", "", "Accept: text/html")
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/login?next=%2Fconnectors%2Facme%3Fx%3D1" {
		t.Fatalf("got status %d to %s", w.Code, w.Header().Get("Location"))
	}
	w = ask(h, "GET", w.Header().Get("Location"), "")
	if next := hidden(t, w, "next"); next != "/connectors/acme?x=1" {
		t.Errorf("got %q", next)
	}
}

// TestForm: what is typed can be tested before it is saved; the secret is in no
// page; two people at once lose nothing.
func TestForm(t *testing.T) {
	t.Parallel()
	o := open()
	control := newShelf()
	o.Control = control
	var tested []Draft
	o.CheckDraft = func(_ context.Context, d Draft) (Check, []FieldProblem) {
		tested = append(tested, d)
		if d.ClientSecret != "right-secret" {
			return Check{Stage: "Authentication", Message: "Credentials error", Advice: "Check client id and secret."}, nil
		}
		return Check{OK: true, Message: "Connection successful"}, nil
	}
	h := Handler(o)
	see := func(w *httptest.ResponseRecorder, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if !strings.Contains(w.Body.String(), text) {
				t.Errorf("the page lacks %q: %s", text, w.Body)
			}
		}
		for _, secret := range []string{"wrong-secret", "right-secret"} {
			if strings.Contains(w.Body.String(), secret) {
				t.Errorf("the page shows the secret: %s", w.Body)
			}
		}
	}
	form := map[string]string{"name": "hooli", "type": "onelogin", "domain": "hooli.onelogin.com", "client_id": "id-of-hooli", "client_secret": "wrong-secret", "poll.min": "3s", "rate_limit.share": "0.25", "action": "test"}
	see(fill(h, "/new", form), "⚠ Authentication Stage: Credentials error", "Check client id and secret.", `value="hooli.onelogin.com"`, `value="3s"`, `value="0.25"`)
	form["client_secret"] = "right-secret"
	w := fill(h, "/new", form)
	see(w, "Connection successful", "kept for ten minutes")
	// Without script the secret is not typed again.
	form["client_secret"], form["held"], form["action"] = "", hidden(t, w, "held"), "save"
	if w = fill(h, "/new", form); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/connectors/hooli" {
		t.Fatalf("saving: got status %d, %s", w.Code, w.Body)
	}
	saved := control.all["hooli"]
	if string(saved.Settings["poll"]) != `{"min":"3s"}` || string(saved.Settings["rate_limit"]) != `{"share":0.25}` || saved.Settings["start_from"] != nil {
		t.Errorf("saved the settings %s", saved.Settings)
	}
	if last := tested[len(tested)-1]; last.ClientSecret != "right-secret" {
		t.Errorf("tested %+v", last)
	}
	if w = fill(h, "/new", form); w.Code != http.StatusPreconditionFailed {
		t.Errorf("one of the same name: got status %d", w.Code)
	}
	see(w, "is there already")

	// Two edit it; the one who comes second sees what the first has done.
	w = ask(h, "GET", "/connectors/hooli/edit", "")
	see(w, "Leave blank to use current value", `value="id-of-hooli"`, "readonly")
	seen := hidden(t, w, "generation")
	first := map[string]string{"domain": "hooli.onelogin.com", "client_id": "id-of-hooli", "poll.min": "5s", "generation": seen, "action": "save"}
	if w = fill(h, "/connectors/hooli/edit", first); w.Code != http.StatusSeeOther {
		t.Fatalf("editing: got status %d, %s", w.Code, w.Body)
	}
	second := map[string]string{"domain": "hooli.onelogin.com", "client_id": "id-of-hooli", "poll.min": "7s", "generation": seen, "action": "save"}
	w = fill(h, "/connectors/hooli/edit", second)
	see(w, "Changed meanwhile by admin at", "Poll at most every: now “5s”", `value="7s"`)
	second["generation"] = hidden(t, w, "generation")
	if w = fill(h, "/connectors/hooli/edit", second); w.Code != http.StatusSeeOther {
		t.Errorf("saving all the same: got status %d", w.Code)
	}
	second["generation"], second["domain"] = "3", "other.onelogin.com"
	see(fill(h, "/connectors/hooli/edit", second), "enter the client secret", `aria-invalid="true"`)
	control.err = errors.New("no broker can be reached")
	second["client_secret"] = "right-secret"
	see(fill(h, "/connectors/hooli/edit", second), "no broker can be reached")
	control.err = registry.ErrSealingKey
	see(fill(h, "/connectors/hooli/edit", second), "onelogin-kafka secrets keygen")
	control.err = nil

	if w = fill(h, "/connectors/hooli/pause", map[string]string{"generation": "3", "paused": "true"}); w.Code != http.StatusSeeOther || !control.all["hooli"].Paused {
		t.Errorf("pausing: got status %d", w.Code)
	}
	see(ask(h, "GET", "/connectors/hooli", ""), "Resume", "no instance has reported it yet")
	see(fill(h, "/connectors/hooli/remove", map[string]string{"generation": "3"}), "was changed meanwhile")
	see(ask(h, "GET", "/connectors/hooli/remove", ""), "Remove hooli?")
	if w = fill(h, "/connectors/hooli/remove", map[string]string{"generation": "4"}); w.Code != http.StatusSeeOther || len(control.all) != 0 {
		t.Errorf("removing: got status %d", w.Code)
	}
}

// TestHeldSecret: a secret that was typed goes to the account that it was typed
// for, and to no other.
func TestHeldSecret(t *testing.T) {
	t.Parallel()
	h := &holds{}
	d := Draft{Domain: "a", ClientID: "id", ClientSecret: "s"}
	handle := h.keep(d)
	for other, want := range map[account]string{{"a", "", "id"}: "s", {"b", "", "id"}: "", {"a", "https://evil.example", "id"}: "", {"a", "", "other"}: ""} {
		if got := h.of(handle, Draft{Domain: other.domain, BaseURL: other.base, ClientID: other.id}); got != want {
			t.Errorf("%v: got %q", other, got)
		}
	}
	for range 3 * maxKept {
		h.keep(d)
	}
	if len(h.kept.all) > maxKept {
		t.Errorf("%d are held", len(h.kept.all))
	}
}

// account is what a secret is typed for.
type account struct{ domain, base, id string }

// TestHostileTenant: what OneLogin and tenants say is text on every page.
func TestHostileTenant(t *testing.T) {
	t.Parallel()
	o := open()
	evil := `<script>alert(1)</script><img src=x onerror=alert(2)>"'` + "\u202e" + strings.Repeat("W", 10_000) + `{{.}} javascript:alert(3)`
	say(o.Board, schemas.ConnectorStatus{Connector: "acme", State: schemas.StateFailing, Stage: "Fetch Logs", Message: evil, Advice: evil, Domain: evil, Instance: evil, LagSeconds: -1})
	o.Trail.take(&schemas.Record{Value: schemas.AuditEntry{At: time.Now(), By: evil, Via: "api", Action: evil, Connector: "acme", Shard: -1, Reason: evil, Before: []byte(`{"x":"</pre><script>"}`)}.Marshal()})
	o.Shards = func() []Shard { return []Shard{{Shard: 1, State: evil, Error: evil}} }
	h := Handler(o)
	for _, path := range []string{"/", "/?q=" + url.QueryEscape(evil), "/connectors/acme", "/fleet", "/audit", "/audit?connector=" + url.QueryEscape(evil), "/login?next=" + url.QueryEscape(evil)} {
		w := ask(h, "GET", path, "")
		for _, raw := range []string{"<script>alert", "<img", "<script>\"", `href="javascript`} {
			if strings.Contains(w.Body.String(), raw) {
				t.Errorf("%.40s has %s", path, raw)
			}
		}
		if w.Code != http.StatusOK && w.Code != http.StatusSeeOther {
			t.Errorf("%.40s: got status %d", path, w.Code)
		}
	}
}

// TestPageOfMany: a page of 100 out of 10,000 is small.
func TestPageOfMany(t *testing.T) {
	t.Parallel()
	o := open()
	o.Board = NewBoard(fleet.Topic{}, func() []string { return nil }, zerolog.Nop())
	for i := range 10_000 {
		name := fmt.Sprintf("tenant-%05d", i)
		for events := range int64(3) {
			say(o.Board, schemas.ConnectorStatus{Connector: name, State: schemas.StateActive, Events: events * 7, Domain: name + ".onelogin.com", Instance: "instance-of-the-fleet-1", LastEventAt: time.Now(), CompleteThrough: time.Now(), LagSeconds: 1.2})
		}
	}
	w := ask(Handler(o), "GET", "/?page=50", "")
	if n := strings.Count(w.Body.String(), "<tr data-connector"); n != perPage {
		t.Errorf("%d rows", n)
	}
	if w.Body.Len() > 100<<10 {
		t.Errorf("the page has %d bytes", w.Body.Len())
	}
	// With all that a row can say, as it is sent to a browser.
	failing := ask(Handler(many()), "GET", "/", "", "Accept-Encoding: gzip, br")
	if failing.Body.Len() > 100<<10 || failing.Header().Get("Content-Encoding") != "gzip" {
		t.Errorf("the worst page has %d bytes, %v", failing.Body.Len(), failing.Header())
	}
	z, err := gzip.NewReader(failing.Body)
	if err != nil {
		t.Fatal(err)
	}
	if page, err := io.ReadAll(z); err != nil || strings.Count(string(page), "<tr data-connector") != perPage || !strings.Contains(string(page), "</html>") {
		t.Errorf("unpacked: %d bytes, %v", len(page), err)
	}
	for _, text := range []string{"10000", `href="/?page=49"`, `href="/?page=51"`, "4901 to 5000 of 10000"} {
		if !strings.Contains(w.Body.String(), text) {
			t.Errorf("the page lacks %s", text)
		}
	}
}
