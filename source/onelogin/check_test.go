package onelogin

import (
	"context"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/source"
)

func TestCheck(t *testing.T) {
	all := []string{"Configuration", "Authentication", "Fetch Logs", "Validation"}
	tests := []struct {
		name    string
		change  func(*fakeAPI, *Config)
		stages  int    // how many were begun
		want    string // empty: success
		message string
	}{
		{name: "good", change: func(a *fakeAPI, _ *Config) { a.events = replyJSON(200, body(lastPage, event(1))) }, stages: 4},
		{name: "nothing there", change: func(*fakeAPI, *Config) {}, stages: 4},
		{name: "some malformed", change: func(a *fakeAPI, _ *Config) { a.events = replyJSON(200, body(lastPage, event(1), `{}`)) }, stages: 4},
		{name: "no secret", change: func(_ *fakeAPI, c *Config) { c.Secret = func() (string, error) { return "", nil } }, stages: 1, want: "Configuration", message: "Configuration Error"},
		{name: "bad secret", change: func(a *fakeAPI, _ *Config) { a.token = replyJSON(401, `{}`) }, stages: 2, want: "Authentication", message: "Credentials error"},
		{name: "no right", change: func(a *fakeAPI, _ *Config) { a.events = replyJSON(403, `{}`) }, stages: 3, want: "Fetch Logs", message: "Request Failed - response code 403, reason Forbidden"},
		{name: "no listing", change: func(a *fakeAPI, _ *Config) { a.events = replyJSON(200, `{}`) }, stages: 3, want: "Fetch Logs", message: "Log listing error"},
		{name: "all malformed", change: func(a *fakeAPI, _ *Config) { a.events = replyJSON(200, body(lastPage, `{}`, `7`)) }, stages: 4, want: "Validation", message: "Log reading error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			api := newAPI(t)
			c := api.client(t, func(cfg *Config, _ *Options) { tt.change(api, cfg) })
			var stages []string
			err := c.Check(t.Context(), func(s string) { stages = append(stages, s) })
			if d := cmp.Diff(all[:tt.stages], stages); d != "" {
				t.Error(d)
			}
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if e := apiError(t, err); e.Stage != tt.want || e.Message != tt.message {
				t.Errorf("got %+v", e)
			}
		})
	}
}

// A check tries the secret as it is now, whatever token there is.
func TestCheckAsksForATokenAlways(t *testing.T) {
	api := newAPI(t)
	c := api.client(t)
	for range 2 {
		if err := c.Check(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(api.seen(tokenPath)); n != 2 {
		t.Errorf("%d token requests, want 2", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Check(ctx, nil); err != context.Canceled {
		t.Errorf("got %v", err)
	}
}

func TestEventTypes(t *testing.T) {
	api := newAPI(t)
	serve := func(h http.HandlerFunc) {
		api.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/api/1/events/types" || r.Header.Get("Authorization") != "" {
				t.Errorf("%s with authorization %q", r.URL.Path, r.Header.Get("Authorization"))
			}
			h(w, r)
		})
	}
	c := api.client(t)
	serve(replyJSON(200, `{"status":{"error":false,"code":200},"data":[{"name":"APP_ADDED_TO_ROLE","description":"x","id":1},
		{"id":5,"name":" USER_LOGGED_INTO_ONELOGIN "},{"id":"6","name":"X"},{"id":7},{"id":8,"name":null},{"id":-1,"name":"X"},null,7,[]]}`))
	got, err := c.EventTypes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[int64]string{1: "APP_ADDED_TO_ROLE", 5: "USER_LOGGED_INTO_ONELOGIN"}, got); d != "" {
		t.Error(d)
	}
	for name, tt := range map[string]struct {
		h    http.HandlerFunc
		kind source.Kind
	}{
		"refused":     {replyJSON(500, `{}`), source.Refused},
		"in the body": {replyJSON(200, `{"status":{"error":true,"code":403}}`), source.Forbidden},
		"no data":     {replyJSON(200, `{"data":{}}`), source.Unreadable},
		"no JSON":     {replyJSON(200, `<`), source.Unreadable},
	} {
		serve(tt.h)
		_, err := c.EventTypes(t.Context())
		if e := apiError(t, err); e.Kind != tt.kind {
			t.Errorf("%s: got %+v", name, e)
		}
	}
}
