package config_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/schemas"
)

func record(settings string) schemas.Connector {
	c := schemas.Connector{
		Name: "acme", Type: "onelogin", Domain: "acme.onelogin.com", ClientID: "0123", Generation: 7,
		Secret: schemas.SealedSecret{Sealed: "ok1.a.b", Generation: 3},
	}
	if json.Unmarshal([]byte(settings), &c.Settings) != nil {
		c.Settings = map[string]json.RawMessage{"poll": json.RawMessage(settings)}
	}
	return c
}

func opened() (string, error) { return canary, nil }

func TestRecorded(t *testing.T) {
	t.Parallel()
	c, problems := config.Recorded(record(`{"poll":{"min":"3s"},"page_size":"auto"}`), "log/acme", opened)
	if len(problems) > 0 || !c.Recorded || c.SecretGeneration != 3 || c.Poll.Min != 3*time.Second || c.Poll.Max != 30*time.Second || c.Source != "log/acme" || c.File != "" {
		t.Errorf("got %+v, %v", c, problems)
	}
	if secret, err := c.ClientSecret.Reveal(); err != nil || secret != canary {
		t.Errorf("the secret is %q, %v", secret, err)
	}
	again, _ := config.Recorded(record(`{"poll":{"min":"3s"}}`), "log/acme", opened)
	if !c.Equal(again) {
		t.Error("the same record is another connector")
	}
	other := record(`{"poll":{"min":"3s"}}`)
	other.Secret.Sealed = "ok1.a.c"
	if again, _ = config.Recorded(other, "log/acme", opened); c.Equal(again) {
		t.Error("another sealed secret is the same connector")
	}
	for settings, want := range map[string]string{
		`{"poll":{"min":"1ns"}}`:                "log/acme: poll.min: ",
		`{"pol":1}`:                             "log/acme: pol: unknown key",
		`{"client_secret_file":"/etc/passwd"}`:  "log/acme: client_secret_file: names a file or a plain secret",
		`{"client_secret":"x"}`:                 "log/acme: client_secret: names a file or a plain secret",
		`{"poll":{"min":"env:HOME"}}`:           "log/acme: poll.min: names a variable",
		`{"poll":[{"a_file":"b"}]}`:             "log/acme: poll[0].a_file: names a file",
		`{"start_from":"2999-01-01T00:00:00Z"}`: "log/acme: start_from: ",
	} {
		_, problems := config.Recorded(record(settings), "log/acme", opened)
		if len(problems) == 0 || !strings.HasPrefix(problems[0].String(), want) {
			t.Errorf("%s: got %v, want %s…", settings, problems, want)
		}
	}
}

func FuzzRecorded(f *testing.F) {
	f.Add(`{"poll":{"min":"3s"}}`)
	f.Add(`{"a":{"b_file":"env:X"},"<<":{"client_id":"y"}}`)
	f.Fuzz(func(t *testing.T, settings string) {
		c, problems := config.Recorded(record(settings), "log/acme", opened)
		if len(problems) > 0 {
			return
		}
		if secret, err := c.ClientSecret.Reveal(); err != nil || secret != canary || c.ClientSecret.File() != "" || c.ClientID != "0123" || c.Name != "acme" || c.Domain != "acme.onelogin.com" {
			t.Fatalf("%s makes %+v", settings, c)
		}
	})
}

// TestClosed: the secret is not looked at until it is used, and judged by Recorded
// with one look.
func TestClosed(t *testing.T) {
	t.Parallel()
	looks := 0
	closed := errors.New("is sealed")
	open := func() (string, error) { looks++; return "", closed }
	c, problems := config.Closed(record(`{"page_size":50}`), "log/acme", open)
	if len(problems) > 0 || looks > 0 || c.PageSize != 50 {
		t.Errorf("got %+v, %v after %d looks", c, problems, looks)
	}
	if _, err := c.ClientSecret.Reveal(); !errors.Is(err, closed) || looks != 1 {
		t.Errorf("used: %v after %d looks", err, looks)
	}
	looks = 0
	_, problems = config.Recorded(record(`{}`), "log/acme", open)
	if len(problems) != 1 || problems[0].String() != "log/acme: client_secret: is sealed" || looks != 1 {
		t.Errorf("got %v after %d looks", problems, looks)
	}
	_, problems = config.Recorded(record(`{}`), "log/acme", func() (string, error) { return "a\tb", nil })
	if len(problems) != 1 || !strings.HasPrefix(problems[0].String(), "log/acme: client_secret: ") || strings.Contains(problems[0].String(), "a\tb") {
		t.Errorf("got %v", problems)
	}
}
