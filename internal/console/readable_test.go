package console

import (
	"net/http"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

// TestReadable: a browser is told as a page what it does not get, with the way back
// and nothing that would be refused; a program is told as a problem, by any path.
func TestReadable(t *testing.T) {
	t.Parallel()
	o := withTokens()
	o.Control, o.Desk = newShelf(), NewDesk(&pile{}, zerolog.Nop())
	h := Handler(o)
	for _, c := range []struct {
		method, path, token string
		status              int
		says                string
	}{
		{"GET", "/connectors/nobody%3Cscript%3E", viewerToken, http.StatusNotFound, "There is no connector of this name"},
		{"GET", "/nothing", viewerToken, http.StatusNotFound, "There is nothing here."},
		{"GET", "/new", viewerToken, http.StatusForbidden, "may look and change nothing"},
		{"POST", "/jobs/none/cancel", adminToken, http.StatusNotFound, "There is no such job"},
		{"POST", "/connectors/acme/pause", adminToken, http.StatusBadRequest, "which generation"},
		{"POST", "/fleet", adminToken, http.StatusMethodNotAllowed, "The method is not one of"},
	} {
		as := "Authorization: Bearer " + c.token
		page := ask(h, c.method, c.path, "", as, "Accept: text/html,*/*;q=0.8")
		body := page.Body.String()
		if page.Code != c.status || !strings.HasPrefix(page.Header().Get("Content-Type"), "text/html") || !strings.Contains(body, c.says) || !strings.Contains(body, `<nav aria-label="Pages">`) || strings.Contains(body, "<script>") {
			t.Errorf("%s %s, to a browser: got status %d, %s", c.method, c.path, page.Code, body)
		}
		if w := ask(h, c.method, c.path, "", as); w.Code != c.status || w.Header().Get("Content-Type") != problemType || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s %s, to a program: got status %d, %s", c.method, c.path, w.Code, w.Body)
		}
	}
	if w := ask(h, "GET", "/api/v1/connectors/nobody", "", "Authorization: Bearer "+viewerToken, "Accept: text/html"); w.Header().Get("Content-Type") != problemType {
		t.Errorf("the API answers with %v", w.Header())
	}
	if w := ask(h, "GET", "/static/console.js", "", "Accept: text/html"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "EventSource") {
		t.Errorf("what is no problem does not pass: status %d", w.Code)
	}
}
