package console

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"onelogin-kafka/internal/fleet"
	"onelogin-kafka/schemas"
)

// TestElsewhere: a page says where else the same is shown, by what the other
// instances have said lately, if whoever asks can reach it.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	o := open()
	o.URL = "https://one.example.com"
	for _, s := range []struct {
		connector, instance, console string
		ago                          time.Duration
	}{
		{"acme", "one", "https://one.example.com", 0},
		{"a", "two", "https://gone.example.com", time.Minute}, {"b", "two", "https://two.example.com:8443", 0}, {"c", "two", "https://gone.example.com", time.Minute},
		{"d", "near", "http://127.0.0.1:8081", 0}, {"e", "same", "https://one.example.com", 0}, {"f", "silent", "", 0},
		{"g", "hostile", "javascript:alert(1)", 0}, {"h", "dead", "https://dead.example.com", fleet.Stale + time.Second},
	} {
		say(o.Board, schemas.ConnectorStatus{Connector: s.connector, State: schemas.StateActive, Instance: s.instance, Console: s.console, UpdatedAt: time.Now().Add(-s.ago)})
	}
	h := Handler(o)
	const near = `<li><a href="http://127.0.0.1:8081/?q=a&amp;sort=name">near</a> <span class="small">http://127.0.0.1:8081</span></li>`
	const far = `<li><a href="https://two.example.com:8443/?q=a&amp;sort=name">two</a> <span class="small">https://two.example.com:8443</span></li>`
	for host, want := range map[string]string{"127.0.0.1:8080": near + far, "one.example.com": far} {
		w := ask(h, "GET", "/?q=a&sort=name", "", "Host: "+host)
		_, list, _ := strings.Cut(w.Body.String(), `<ul id="elsewhere"`)
		_, list, _ = strings.Cut(list, ">")
		if list, _, _ = strings.Cut(list, "</ul>"); w.Code != http.StatusOK || list != want {
			t.Errorf("for %s: got status %d, %s", host, w.Code, list)
		}
	}
	// What was not asked for by GET is no page of another instance.
	w := ask(h, "POST", "/connectors/acme/check", "")
	if want := `<a href="https://two.example.com:8443/connectors/acme">`; !strings.Contains(w.Body.String(), want) {
		t.Errorf("after a test: there is no %s", want)
	}
	var f Fleet
	if err := json.Unmarshal(ask(h, "GET", "/api/v1/fleet", "").Body.Bytes(), &f); err != nil {
		t.Fatal(err)
	}
	for _, in := range f.Instances {
		if want := map[string]string{"two": "https://two.example.com:8443", "hostile": ""}; in.Instance == "two" && in.Console != want["two"] || in.Instance == "hostile" && in.Console != "" {
			t.Errorf("%s is at %q", in.Instance, in.Console)
		}
	}
}
