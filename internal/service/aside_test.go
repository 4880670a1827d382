package service

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/prometheus/client_golang/prometheus"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
	"onelogin-kafka/source/onelogin/simulator"
)

// A connector whose secret lacks at the start is shown with the reason wherever
// connectors are shown, and is polled once the secret is there; the others run.
func TestSetAsideAtTheStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tenants(5, "acme", "globex"))
	secret := w.path("secrets", "acme")
	if err := os.Remove(secret); err != nil {
		t.Fatal(err)
	}
	w.write(w.path("connectors", "No Name.yaml"), "[")
	in := w.start("one")
	w.awaitAll("globex")
	w.await("the status", func() bool { return w.statuses()["acme"].State == schemas.StateFailing })
	where := w.path("connectors", "acme.yaml") + ":4: client_secret_file: " + secret + " does not exist; create it or correct the path"
	st := w.statuses()["acme"]
	if st.Stage != "Configuration" || st.Message != "Configuration Error: "+where || st.Instance != "one" || st.Since.IsZero() {
		t.Errorf("got status %+v, want the message %s", st, where)
	}
	if n := len(in.Statuses()); n != 2 {
		t.Errorf("the console's list has %d connectors", n)
	}
	err := in.Check(t.Context(), "acme")
	if api := (*source.APIError)(nil); !errors.As(err, &api) || api.Stage != "Configuration" || !strings.Contains(api.Message, where) {
		t.Errorf("a check says %v", err)
	}
	for name, labels := range map[string][]string{
		"onelogin_connectors_set_aside":  {"acme", w.path("connectors", "acme.yaml"), "false"},
		"onelogin_state":                 {"acme", "FAILING"},
		"onelogin_connectors_configured": nil,
	} {
		want := 1.0
		if labels == nil {
			want = 2
		}
		if v, _ := in.metric(name, labels...); v != want {
			t.Errorf("%s%q is %v, want %v", name, labels, v, want)
		}
	}
	if v, _ := in.metric("onelogin_connectors_set_aside", "", w.path("connectors", "No Name.yaml"), "false"); v != 1 {
		t.Errorf("the file that has no name counts %v", v)
	}
	if n := len(in.log.with("set aside, the others run", `"line":4`, `"field":"client_secret_file"`, "acme.yaml")); n != 1 {
		t.Errorf("%d lines say it, want 1", n)
	}

	w.connector("acme", "") // with its secret; nobody asks for it to be read
	w.awaitAll("acme", "globex")
	w.await("the status", func() bool { return w.statuses()["acme"].State == schemas.StateActive })
	if _, ok := in.metric("onelogin_connectors_set_aside", "acme"); ok {
		t.Error("the metric still has it")
	}
}

// A configuration with one broken connector is taken over but for that one,
// which runs on as it was, is not touched, and says so until it is mended.
func TestReloadSetsAside(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tenants(5, "acme", "globex", "initech", "new"))
	w.remove("new")
	in := w.start("one")
	w.awaitAll("acme", "globex", "initech")
	before := w.kept(in, "acme")["acme"]

	w.connector("acme", "poll: [")
	w.connector("globex", "page_size: 10")
	w.connector("new", "")
	w.remove("initech")
	in.reload()
	w.await("the change", func() bool {
		return len(in.log.with("configuration taken over", `"added":1,"changed":1,"removed":1,"set_aside":1`)) == 1
	})
	w.awaitAll("acme", "globex", "new")
	w.await("the status", func() bool { return w.statuses()["acme"].Stage == "Configuration" })
	st := w.statuses()["acme"]
	if st.State != schemas.StateActive || !strings.HasPrefix(st.Message, "the last good configuration stays in use: "+w.path("connectors", "acme.yaml")) {
		t.Errorf("got status %+v", st)
	}
	if v, _ := in.metric("onelogin_connectors_set_aside", "acme", "true"); v != 1 {
		t.Errorf("onelogin_connectors_set_aside is %v", v)
	}
	if v, _ := in.metric("onelogin_config_last_reload_successful"); v != 1 {
		t.Errorf("onelogin_config_last_reload_successful is %v", v)
	}
	if now := w.kept(in, "acme")["acme"]; now.Connector != before.Connector || now.Tokens != before.Tokens {
		t.Error("the connector that runs on was touched")
	}
	if n := len(in.log.with("the last good one stays in use", "acme.yaml")); n != 1 {
		t.Errorf("%d lines say it, want 1", n)
	}

	w.connector("acme", "")
	w.await("the status", func() bool { st := w.statuses()["acme"]; return st.Message == "" && st.State == schemas.StateActive })
	if in.snapshot()["acme"] != before.Connector {
		t.Error("mended as it was, and built anew")
	}
}

// The copy of a file takes nothing from the one that it was copied from.
func TestACopyTakesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tenants(5, "acme"))
	in := w.start("one")
	w.awaitAll("acme")
	text, err := os.ReadFile(w.path("connectors", "acme.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c := in.snapshot()["acme"]
	w.write(w.path("connectors", "a-copy.yaml"), string(text)+"paused: true\n")
	in.reload()
	w.await("the copy's status", func() bool { return w.statuses()["a-copy"].State == schemas.StateFailing })
	w.awaitPolls(3, "acme")
	if in.snapshot()["acme"] != c {
		t.Error("the connector was touched")
	}
	if err := os.Remove(w.path("connectors", "a-copy.yaml")); err != nil {
		t.Fatal(err)
	}
	// It was no connector, and nothing of it stays.
	w.await("the tombstone", func() bool { _, there := w.statuses()["a-copy"]; return !there })
	if v, _ := in.metric("onelogin_connectors_unconfigured"); v != 0 {
		t.Errorf("onelogin_connectors_unconfigured is %v", v)
	}
	if _, ok := in.metric("onelogin_state", "a-copy"); ok {
		t.Error("its metrics are still there")
	}
}

// With Strict a broken connector refuses all that has changed.
func TestReloadStrict(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tenants(0, "acme", "globex"))
	w.strict = true
	in := w.start("one")
	w.awaitAll("acme", "globex")
	w.remove("globex")
	w.connector("acme", "nonsense: 1")
	in.reload()
	w.await("the refusal", func() bool { return len(in.log.with("refused", "acme.yaml", `"field":"nonsense"`)) == 1 })
	w.awaitPolls(3, "acme", "globex")
}

// hourly has connectors polled once an hour.
func (w *world) hourly(names ...string) {
	w.tb.Helper()
	for _, name := range names {
		path := w.path("connectors", name+".yaml")
		text, err := os.ReadFile(path)
		if err != nil {
			w.tb.Fatal(err)
		}
		w.write(path, strings.Replace(string(text), quickly, "poll: {min: 1h, max: 1h}\nsweep: {every: 1h, window: 24h}\nrate_limit: {share: 1}", 1))
	}
}

// Who was refused rests for long; a new secret ends that.
func TestANewSecretWakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tenants(0, "acme", "globex"))
	w.hourly("acme", "globex")
	w.write(w.path("secrets", "acme"), "no-longer-right\n")
	in := w.start("one")
	w.awaitAll("globex")
	w.await("the refusal", func() bool {
		st := in.snapshot()["acme"].poller.Status()
		return st.State == schemas.StateFailing && st.Stage == "Authentication"
	})
	_, secret := w.sim.Credentials("acme")
	others := w.polls("globex")
	w.write(w.path("secrets", "acme"), secret+"\n")
	w.awaitAll("acme")
	if n := w.polls("globex"); n != others {
		t.Errorf("another connector was polled %d times", n-others)
	}
}

// A test that goes well shows that there is nothing to wait for.
func TestACheckWakes(t *testing.T) {
	t.Parallel()
	sc := tenants(0, "acme")
	sc.Faults = []simulator.FaultSetting{{Name: simulator.Forbidden, Tenant: "acme", Probability: 1, Times: 1}}
	w := newWorld(t, sc)
	w.hourly("acme")
	in := w.start("one")
	w.await("the refusal", func() bool { return in.snapshot()["acme"].poller.Status().State == schemas.StateFailing })
	if err := in.Check(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	w.awaitAll("acme")
}

// A client that finds what validation did not sets its connector aside, too.
func TestApplySetsAside(t *testing.T) {
	t.Parallel()
	good := config.DefaultConnector()
	good.Name, good.Domain, good.ClientID, good.ClientSecret = "good", "good.onelogin.com", "id", config.NewSecret("s")
	bad := good
	bad.Name, bad.Domain, bad.Source = "bad", "bad domain", "here:7"
	cfg := config.Default()
	cfg.Kafka.Brokers, cfg.Instance, cfg.Connectors = []string{"127.0.0.1:1"}, "one", []config.Connector{bad, good}
	log := &lines{}
	s, err := New(&cfg, Options{Log: zerolog.New(log), Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.cluster.Close()
	all := s.snapshot()
	if len(all) != 2 || all["good"].aside != "" || !strings.HasPrefix(all["bad"].aside, "here:7: ") {
		t.Errorf("got %v\n%s", all, log)
	}
	// What runs stays when its new version cannot be built.
	worse := good
	worse.Domain = "bad domain"
	s.Apply(&config.Config{Connectors: []config.Connector{worse}})
	if s.snapshot()["good"] != all["good"] || len(log.with(`"connector":"good"`, "the last good one stays in use")) != 1 {
		t.Errorf("got %v\n%s", s.snapshot(), log)
	}
}

// Nearly all of many are set aside: each says so once, and those that are
// mended are polled. Alone, since it is work for a busy machine.
func TestManySetAside(t *testing.T) {
	var names []string
	for i := range 300 {
		names = append(names, fmt.Sprintf("t%04d", i))
	}
	w := newWorld(t, tenants(0, names...))
	for _, name := range names[1:] {
		if err := os.Remove(w.path("secrets", name)); err != nil {
			t.Fatal(err)
		}
	}
	in := w.start("one")
	w.awaitAll("t0000")
	w.await("the statuses", func() bool {
		n := 0
		for _, st := range in.Statuses() {
			if st.State == schemas.StateFailing && st.Stage == "Configuration" {
				n++
			}
		}
		return n == 299
	})
	if n := len(in.log.with("set aside, the others run")); n != 299 {
		t.Errorf("%d lines of problems", n)
	}
	mended := names[290:]
	for _, name := range mended {
		w.connector(name, "")
	}
	w.awaitAll(mended...)
	w.await("the others on the topic", func() bool { return len(w.statuses()) == len(names) })
}
