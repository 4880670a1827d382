package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

func TestCheckConnector(t *testing.T) {
	failed := Check{Connector: "acme", Stage: "Authentication", Message: "Credentials error", Advice: "Check client id and secret.", Took: 0.5}
	for name, c := range map[string]struct {
		path   string
		header map[string]string
		token  string
		method string
		status int
	}{
		"open":                  {status: http.StatusOK},
		"same origin":           {header: map[string]string{"Sec-Fetch-Site": "same-origin"}, status: http.StatusOK},
		"unknown connector":     {path: "/api/v1/connectors/nobody/check", status: http.StatusNotFound},
		"not by GET":            {method: http.MethodGet, status: http.StatusMethodNotAllowed},
		"from another site":     {header: map[string]string{"Sec-Fetch-Site": "cross-site"}, status: http.StatusForbidden},
		"from another origin":   {header: map[string]string{"Origin": "https://evil.example"}, status: http.StatusForbidden},
		"without the token":     {token: "s3cret", status: http.StatusUnauthorized},
		"with another token":    {token: "s3cret", header: map[string]string{"Authorization": "Bearer s3cre"}, status: http.StatusUnauthorized},
		"with the token":        {token: "s3cret", header: map[string]string{"Authorization": "Bearer s3cret"}, status: http.StatusOK},
		"the token, other site": {token: "s3cret", header: map[string]string{"Authorization": "Bearer s3cret", "Sec-Fetch-Site": "cross-site"}, status: http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			checked := 0
			opts := open()
			opts.Check = func(_ context.Context, connector string) (Check, bool) {
				if connector != "acme" {
					return Check{}, false
				}
				checked++
				return failed, true
			}
			if c.token != "" {
				opts.Token = func() (string, error) { return c.token, nil }
			}
			path, method := "/api/v1/connectors/acme/check", http.MethodPost
			if c.path != "" {
				path = c.path
			}
			if c.method != "" {
				method = c.method
			}
			r := httptest.NewRequest(method, "http://localhost"+path, nil)
			for k, v := range c.header {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			Handler(opts).ServeHTTP(w, r)
			if w.Code != c.status {
				t.Fatalf("got status %d, want %d", w.Code, c.status)
			}
			if want := c.status == http.StatusOK; (checked == 1) != want {
				t.Errorf("checked %d times", checked)
			}
			if c.status != http.StatusOK {
				return
			}
			var got Check
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(failed, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A token that cannot be read opens nothing.
func TestTokenUnreadable(t *testing.T) {
	opts := Options{Registry: prometheus.NewRegistry(), Token: func() (string, error) { return "", errors.New("no such file") }}
	for _, path := range []string{"/metrics", "/api/v1/connectors", "/api/v1/connectors/acme", "/api/v1/shards"} {
		for _, given := range []string{"", "Bearer ", "Bearer x"} {
			r := httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil)
			r.Header.Set("Authorization", given)
			w := httptest.NewRecorder()
			Handler(opts).ServeHTTP(w, r)
			if w.Code != http.StatusUnauthorized {
				t.Errorf("%s with %q: got status %d", path, given, w.Code)
			}
		}
	}
}
