package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/schemas"
)

func TestParseFrom(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]from{
		"earliest":             {earliest: true},
		"latest":               {},
		"0s":                   {at: now},
		"90m":                  {at: now.Add(-90 * time.Minute)},
		"2026-11-22T07:05:00Z": {at: time.Date(2026, 11, 22, 7, 5, 0, 0, time.UTC)},
	} {
		if got, err := parseFrom(text, now); err != nil || got != want {
			t.Errorf("%q: got %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1h", "yesterday", "2026-11-22", "12"} {
		if _, err := parseFrom(text, now); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", text)) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func record(value string, headers ...string) *schemas.Record {
	r := &schemas.Record{Key: []byte("acme"), Value: []byte(value), Time: time.Date(2026, 11, 23, 12, 0, 0, 5e6, time.UTC)}
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, schemas.Header{Key: headers[i], Value: []byte(headers[i+1])})
	}
	return r
}

func TestFilter(t *testing.T) {
	r := record("{}", "tenant", "acme", "ce_type", "com.onelogin.event.5", "onelogin_event_type", "USER_LOGGED_INTO_ONELOGIN")
	for f, want := range map[filter]bool{
		{}:                                  true,
		{connector: "acme"}:                 true,
		{connector: "globex"}:               false,
		{typ: "5"}:                          true,
		{typ: "15"}:                         false,
		{typ: "user_logged_into_onelogin"}:  true,
		{typ: "USER_LOGGED_INTO"}:           false,
		{connector: "globex", typ: "5"}:     false,
		{connector: "acme", typ: "5"}:       true,
		{connector: "acme", typ: "nothing"}: false,
	} {
		if got := f.match(r); got != want {
			t.Errorf("%+v: got %v, want %v", f, got, want)
		}
	}
}

func TestLine(t *testing.T) {
	headers := []string{"tenant", "acme", "ce_type", "com.onelogin.event.5", "onelogin_event_type", "USER_LOGGED_INTO_ONELOGIN"}
	cases := map[string]struct {
		record *schemas.Record
		want   string
	}{
		"whole": {
			record(`{"user_name":"Jürgen","actor_user_name":"Ada L.","app_name":"AT&T","ipaddr":"10.0.0.1","id":1}`, headers...),
			"2026-11-23T12:00:00.005Z  acme        USER_LOGGED_INTO_ONELOGIN         user=Jürgen  actor=\"Ada L.\"  app=AT&T  ip=10.0.0.1",
		},
		"nulls": {record(`{"user_name":null,"actor_user_name":7,"app_name":""}`, headers[:4]...), "2026-11-23T12:00:00.005Z  acme        5"},
		"terminal commands": {
			record(`{"user_name":"\u001b[2J\u202eevil","ipaddr":"a\nb"}`, headers[:4]...),
			"2026-11-23T12:00:00.005Z  acme        5                                 user=\uFFFD[2J\uFFFDevil  ip=a\uFFFDb",
		},
		"nothing": {record(`not JSON`), "2026-11-23T12:00:00.005Z"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, string(appendLine(nil, tc.record))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzPrint(f *testing.F) {
	f.Add([]byte(`{"user_name":"x"}`), "tenant", []byte("acme"))
	f.Add([]byte("{\n\"user_name\" : \"\\u001b\"}"), "", []byte{0xff})
	f.Fuzz(func(t *testing.T, value []byte, key string, text []byte) {
		r := &schemas.Record{Key: text, Value: value, Headers: []schemas.Header{{Key: key, Value: text}, {Key: "tenant", Value: text}}}
		for _, line := range [][]byte{appendLine(nil, r), appendObject(nil, 1, 2, r)} {
			if bytes.ContainsAny(line, "\r\n") {
				t.Errorf("not one line: %q", line)
			}
		}
		if line := appendObject(nil, 1, 2, r); !json.Valid(line) {
			t.Errorf("not JSON: %q", line)
		}
		if line := string(appendLine(nil, r)); strings.ContainsRune(line, 0x1b) {
			t.Errorf("an escape comes through: %q", line)
		}
	})
}

// TestTail: tail waits for the topic, shows each event once and byte for byte,
// and ends cleanly.
func TestTail(t *testing.T) {
	t.Parallel()
	p := newPlace(t, tenants(2, 200, 0))
	file := p.config(t, "")
	all := startCommand(t, "tail", "--config", file, "--json")
	lines := startCommand(t, "tail", "--config", file, "acme", "--from", "1h")
	other := startCommand(t, "tail", "--config", file, "nobody")
	for _, c := range []*command{all, lines, other} {
		eventually(t, "tail waiting for the topic", func() bool { return strings.Contains(c.errs.String(), "does not exist yet") })
	}
	service := startCommand(t, "run", "--config", file)
	eventually(t, "all events", func() bool {
		return strings.Count(all.out.String(), "\n") >= 400 && strings.Count(lines.out.String(), "\n") >= 200
	})
	if code := service.end(); code != exitOK {
		t.Errorf("run: got exit %d\n%s", code, service.errs.String())
	}
	later := startCommand(t, "tail", "--config", file, "--from", "earliest", "--type", "8")
	eventually(t, "events of one type", func() bool { return strings.Contains(later.out.String(), "USER_LOGGED_INTO_APP") })
	for _, c := range []*command{all, lines, other, later} {
		if code := c.end(); code != exitOK {
			t.Errorf("got exit %d\n%s", code, c.errs.String())
		}
	}
	if n := strings.Count(all.errs.String(), "\n"); n != 1 {
		t.Errorf("the topic's absence was told %d times", n)
	}
	if !strings.Contains(other.errs.String(), "connector nobody is not in the configuration") || other.out.String() != "" {
		t.Errorf("nobody: got %q and %q", other.errs.String(), other.out.String())
	}
	if strings.Contains(lines.out.String(), "globex") || strings.Contains(later.out.String(), "USER_LOGGED_INTO_ONELOGIN") {
		t.Error("a filter let others through")
	}
	found := published{}
	for line := range strings.Lines(all.out.String()) {
		var o struct {
			Partition int32             `json:"partition"`
			Offset    int64             `json:"offset"`
			Key       string            `json:"key"`
			Headers   map[string]string `json:"headers"`
			Value     json.RawMessage   `json:"value"`
		}
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatal(err)
		}
		if o.Key != o.Headers["tenant"] {
			t.Errorf("key %q of tenant %q", o.Key, o.Headers["tenant"])
		}
		if _, err := found.add(record(string(o.Value), "tenant", o.Headers["tenant"], "ce_id", o.Headers["ce_id"])); err != nil {
			t.Fatal(err)
		}
	}
	got, err := found.judge(p.sim)
	if want := (verdict{events: 400}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

// TestCountingCommand runs what docs/formats.md has its readers count with: it
// finds what one tenant has twice, and not what two tenants have once each, as
// after a rename.
func TestCountingCommand(t *testing.T) {
	t.Parallel()
	line := regexp.MustCompile(`(?m)^timeout .* onelogin-kafka tail --from earliest --json \| (.*uniq -d)$`).FindStringSubmatch(readFile(t, "../../docs/formats.md"))
	if line == nil {
		t.Fatal("the page has no such command")
	}
	var topic []byte
	for i, tenant := range []string{"old", "new", "new", "new"} {
		e := schemas.Encoder{Tenant: tenant, Domain: "acme.onelogin.com", Types: schemas.NewTypes()}
		at, created := time.Now().UTC(), "2026-11-23T12:00:00.005Z"
		id := []int64{7, 7, 8, 8}[i]
		r := e.Event(&schemas.Event{Raw: fmt.Appendf(nil, `{"id":%d,"tenant":"other%d"}`, id, i), ID: id, TypeID: 5, CreatedAt: at, CreatedAtText: []byte(created)}, i == 3)
		topic = append(appendObject(topic, 0, int64(i), &r), '\n')
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", line[1])
	cmd.Stdin = bytes.NewReader(topic)
	out, err := cmd.Output()
	if err != nil || bytes.Count(out, []byte("\n")) != 1 || !bytes.HasPrefix(out, []byte(`"ce_id":"8"`)) {
		t.Errorf("got %v and\n%s\nof\n%s", err, out, topic)
	}
}
