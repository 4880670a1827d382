package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const value = `{"id":5,"created_at":"2026-11-22T07:00:00.250Z","event_type_id":8,"account_id":1}`

// publish writes one event with its position in one transaction.
func publish(t *testing.T, brokers []string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.TransactionalID("t"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	event := &kgo.Record{
		Topic: "onelogin.events", Key: []byte("acme"), Value: []byte(value),
		Timestamp: time.Date(2026, 11, 22, 7, 0, 0, 250e6, time.UTC),
	}
	for _, h := range []string{
		"ce_specversion=1.0", "ce_id=5", "ce_source=https://acme.onelogin.com/api/1/events", "ce_type=com.onelogin.event.8",
		"ce_time=2026-11-22T07:00:00.250Z", "content-type=application/json", "tenant=acme", "onelogin_account_id=1",
	} {
		k, v, _ := strings.Cut(h, "=")
		event.Headers = append(event.Headers, kgo.RecordHeader{Key: k, Value: []byte(v)})
	}
	ctx := context.Background()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	err = cl.ProduceSync(ctx, event,
		&kgo.Record{Topic: "onelogin.offsets", Key: []byte("acme/2026-11-22T07:00Z"), Value: []byte(`{"version":1,"count":1,"ids":"BQ=="}`)},
		&kgo.Record{Topic: "onelogin.offsets", Key: []byte("acme"), Value: []byte(`{"version":1,"domain":"acme.onelogin.com","account_id":1,` +
			`"through":"2026-11-22T07:00:00.25Z","last_id":5,"events":1,"window_start":"2026-11-22T06:45:00Z","updated_at":"2026-11-22T07:00:02Z"}`)},
	).FirstErr()
	if err != nil {
		t.Fatal(err)
	}
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
}

// simulator has the event, and more if told so.
func simulator(t *testing.T, more string) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_sim/tenants", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `[{"name":"acme","x":1}]`) })
	mux.HandleFunc("GET /_sim/truth/acme", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"id":5,"created_at":"2026-11-22T07:00:00.25Z","visible_at":"2026-11-22T07:00:01Z","sha256":"%x"}`+"\n%s", sha256.Sum256([]byte(value)), more)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(func() {
		s.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return s.URL
}

func TestRun(t *testing.T) {
	missing := fmt.Sprintf(`{"id":6,"created_at":"2026-11-22T07:00:00.25Z","visible_at":"2026-11-22T07:00:01Z","sha256":"%064d"}`, 0)
	future := strings.Replace(missing, "07:00:01", "23:59:59", 1)
	future = strings.Replace(future, `"visible_at":"2026`, `"visible_at":"2126`, 1)
	for _, c := range []struct {
		name, more string
		empty      bool
		args       []string
		ok         bool
		text       string
	}{
		{"right", "", false, nil, true, "1 events, 0 missing, 0 duplicate, 0 altered, 0 unknown"},
		{"right, waited for", "", false, []string{"-wait", "1m"}, true, "OK: no rule broken"},
		{"missing", missing, false, nil, false, "A1 missing acme: 1"},
		{"missing, waited for", missing, false, []string{"-wait", "30ms", "-interval", "10ms"}, false, "A1 missing acme: 1"},
		{"not visible yet", future, false, nil, true, "1 excused"},
		{"from later on", missing, false, []string{"-from", "2026-11-22T07:00:01Z"}, true, "2 excused"},
		{"another key strategy", "", false, []string{"-key", "event"}, false, "A4 key acme: 1"},
		{"no data", "", true, nil, false, "NO DATA"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "onelogin.events", "onelogin.offsets", "onelogin.deadletter"))
			if err != nil {
				t.Fatal(err)
			}
			defer k.Close()
			if !c.empty {
				publish(t, k.ListenAddrs())
			}
			args := append([]string{"-brokers", strings.Join(k.ListenAddrs(), ","), "-sim", simulator(t, c.more)}, c.args...)
			o, err := parse(args, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			ok, err := o.run(context.Background(), &out)
			if err != nil {
				t.Fatal(err)
			}
			if ok != c.ok || !strings.Contains(out.String(), c.text) {
				t.Errorf("got %t, want %t and %q:\n%s", ok, c.ok, c.text, &out)
			}
		})
	}
}

// Following ends with its context, with a judgement of all there is.
func TestFollow(t *testing.T) {
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "onelogin.events", "onelogin.offsets", "onelogin.deadletter"))
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	o, err := parse([]string{"-brokers", k.ListenAddrs()[0], "-sim", simulator(t, ""), "-follow", "-interval", "1ms", "-key", "event"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	publish(t, k.ListenAddrs())
	out := &stopper{stop: cancel}
	ok, err := o.run(ctx, out)
	if err != nil || ok {
		t.Fatalf("got %t, %v", ok, err)
	}
	told, report, _ := strings.Cut(out.text.String(), "1 events, ")
	if !strings.Contains(told, "A4 key acme") || !strings.Contains(report, "A4 key acme: 1") {
		t.Errorf("the violation is not told at once and at the end:\n%s", &out.text)
	}
}

// stopper interrupts at the first line.
type stopper struct {
	text bytes.Buffer
	stop func()
}

func (s *stopper) Write(b []byte) (int, error) {
	s.stop()
	return s.text.Write(b)
}

func TestParseRefuses(t *testing.T) {
	for _, args := range [][]string{{"-key", "x"}, {"-from", "now"}, {"more"}, {"-canaries", "/does/not/exist"}, {"-nonsense"}} {
		var text bytes.Buffer
		if _, err := parse(args, &text); err == nil || text.Len() == 0 {
			t.Errorf("%v: got %v and %q", args, err, &text)
		}
	}
}
