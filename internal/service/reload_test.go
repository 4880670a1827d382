package service

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/schemas"
)

// kept is what a connector must not lose because another one changes.
type kept struct {
	Connector   *connector
	Tokens      int
	Connections int64
	Interval    time.Duration
}

func (w *world) kept(in *instance, names ...string) map[string]kept {
	w.tb.Helper()
	all := map[string]kept{}
	stats := w.sim.Stats()
	for _, name := range names {
		c := in.snapshot()[name]
		all[name] = kept{c, stats[name].Tokens, w.hosts[name].connections.Load(), c.poller.Status().Interval}
	}
	return all
}

// Adding, changing, pausing, resuming and removing a connector touches no
// other.
func TestReloadTouchesNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tenants(0, "steady-1", "steady-2", "steady-3", "new", "changing"))
	w.remove("new")
	others := []string{"steady-1", "steady-2", "steady-3"}
	in := w.start("one")
	w.awaitAll(append(others, "changing")...)
	// Idle long enough to be at the longest interval.
	w.await("the others to be idle", func() bool {
		for _, name := range others {
			if in.snapshot()[name].poller.Status().Interval != 200*time.Millisecond {
				return false
			}
		}
		return true
	})
	// The list of event types is asked for once, over a connection of whoever.
	w.await("the list of event types", func() bool { return w.sim.Stats()[""].Calls["types"][200] == 1 })
	before := w.kept(in, others...)
	taken := 0
	reload := func() {
		t.Helper()
		in.reload()
		taken++
		w.await("the configuration", func() bool { return len(in.log.with("configuration taken over")) == taken })
	}

	w.connector("new", "")
	reload()
	w.awaitAll("new")

	w.connector("changing", "page_size: 10")
	reload()
	w.awaitPolls(2, "changing")

	w.connector("changing", "page_size: 10\npaused: true")
	reload()
	w.await("the status PAUSED", func() bool { return w.statuses()["changing"].State == schemas.StatePaused })
	if st := w.statuses()["changing"]; st.Events != 20 || st.LastEventAt.IsZero() || st.AccountID == 0 {
		t.Errorf("the status of a paused connector has lost its numbers: %+v", st)
	}
	if v, _ := in.metric("onelogin_state", "changing", "PAUSED"); v != 1 {
		t.Error("the metric does not say that the connector is paused")
	}
	paused := w.polls("changing")
	if err := w.sim.Burst("changing", 50); err != nil {
		t.Fatal(err)
	}
	w.awaitPolls(3, others...)
	if n := w.polls("changing"); n != paused {
		t.Errorf("a paused connector was polled %d times", n-paused)
	}

	w.connector("changing", "page_size: 10")
	reload()
	w.awaitAll("changing")

	w.remove("changing")
	reload()
	w.await("the status INACTIVE", func() bool { return w.statuses()["changing"].State == schemas.StateInactive })
	if _, ok := in.metric("onelogin_events_total", "changing"); ok {
		t.Error("the metrics of a removed connector are still there")
	}
	if err := w.sim.Burst("changing", 50); err != nil {
		t.Fatal(err)
	}

	w.connector("changing", "")
	reload()
	w.awaitAll("changing")
	if n := len(w.published()["changing"]); n != 120 {
		t.Errorf("%d events of the connector that came and went, want 120", n)
	}
	w.awaitPolls(2, others...)
	if diff := cmp.Diff(before, w.kept(in, others...), cmp.Comparer(func(a, b *connector) bool { return a == b })); diff != "" {
		t.Errorf("the others were touched (-before +after):\n%s", diff)
	}
	if v, _ := in.metric("onelogin_config_last_reload_successful"); v != 1 {
		t.Errorf("onelogin_config_last_reload_successful is %v", v)
	}
}

// sum is what the metrics say of the configuration in use.
func (in *instance) sum(t *testing.T) string {
	t.Helper()
	families, err := in.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "onelogin_config_info" {
			return f.GetMetric()[0].GetLabel()[0].GetValue()
		}
	}
	t.Fatal("there is no onelogin_config_info")
	return ""
}

// A main file that is not valid refuses the configuration as a whole, whatever
// else it changes, with every problem's place; the next valid one is taken.
func TestReloadRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tenants(5, "acme", "globex"))
	in := w.start("one")
	w.awaitAll("acme", "globex")
	first := in.sum(t)
	at, _ := in.metric("onelogin_config_last_reload_success_timestamp_seconds")

	w.remove("globex") // which must not come through
	w.connector("acme", "page_size: many")
	w.main("one", "key: account\nlog: {level: loud}")
	in.reload()
	w.await("the refusal", func() bool { return len(in.log.with("refused")) > 0 })
	for _, want := range [][]string{
		{"one.yaml", `"line":6`, `"field":"key"`, "is not one of tenant, user, event"},
		{"one.yaml", `"line":7`, `"field":"log.level"`, "is not one of"},
		{"connectors/acme.yaml", `"line":9`, `"field":"page_size"`, "is no whole number"},
	} {
		if got := in.log.with(append(want, "refused")...); len(got) != 1 {
			t.Errorf("%d lines with %q, want 1", len(got), want)
		}
	}
	if v, _ := in.metric("onelogin_config_last_reload_successful"); v != 0 {
		t.Errorf("onelogin_config_last_reload_successful is %v", v)
	}
	if now, _ := in.metric("onelogin_config_last_reload_success_timestamp_seconds"); now != at || in.sum(t) != first {
		t.Error("the metrics say that a configuration was taken")
	}
	w.awaitPolls(3, "acme", "globex")
	if n := len(in.log.with("refused")); n != 3 {
		t.Errorf("%d lines of refusal, want one for each problem", n)
	}

	w.main("one", "")
	w.await("the valid one to be taken without being asked", func() bool { return len(in.log.with("configuration taken over", `"removed":1`)) == 1 })
	if v, _ := in.metric("onelogin_config_last_reload_successful"); v != 1 || in.sum(t) == first {
		t.Error("the metrics do not say that a configuration was taken")
	}
}

// What else has changed is named once and not taken.
func TestReloadOnlyConnectors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tenants(1, "acme"))
	in := w.start("one")
	w.awaitAll("acme")
	first := in.sum(t)
	w.main("two", "http: {listen: '127.0.0.1:9'}")
	two := w.start("two")
	if got := two.sum(t); got != first {
		t.Errorf("an instance of the same files has the sum %s, and not %s", got, first)
	}
	two.stop()
	w.main("one", "key: event\nlog: {level: debug}")
	in.reload()
	w.await("the warning", func() bool { return len(in.log.with("restart", `"settings":["key","log"]`)) == 1 })
	in.reload()
	w.await("the second", func() bool { return len(in.log.with("configuration taken over")) == 2 })
	if n := len(in.log.with("restart")); n != 1 {
		t.Errorf("%d warnings, want 1", n)
	}
	if got := in.sum(t); got != first {
		t.Errorf("the sum is %s and was %s, though nothing of the change is in use", got, first)
	}
	w.awaitAll("acme") // found by the key of a tenant: the strategy is the old one
}

// Kubernetes swaps a symbolic link; nothing in the folder is written.
func TestReloadFollowsLinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tenants(1, "acme", "globex"))
	for generation, names := range map[string][]string{"..1": {"acme"}, "..2": {"acme", "globex"}} {
		for _, name := range names {
			text, err := os.ReadFile(w.path("connectors", name+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			w.write(w.path("mount", generation, name+".yaml"), string(text))
		}
	}
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, w.path("mount", name+"~")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(w.path("mount", name+"~"), w.path("mount", name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..1", "..data")
	for _, name := range []string{"acme", "globex"} {
		link("..data/"+name+".yaml", name+".yaml")
	}
	path := w.main("one", "")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A link that leads nowhere is a file that cannot be read.
	if err := os.Remove(w.path("mount", "globex.yaml")); err != nil {
		t.Fatal(err)
	}
	w.write(path, strings.Replace(string(text), "connectors_dir: connectors", "connectors_dir: mount", 1))
	in := w.start("one")
	w.awaitAll("acme")
	link("..2", "..data")
	link("..data/globex.yaml", "globex.yaml")
	w.awaitAll("acme", "globex")
	if n := len(in.snapshot()); n != 2 {
		t.Errorf("%d connectors", n)
	}
}

// A rotated secret is no change of the connector: it is read when a token is
// asked for.
func TestReloadSecretAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tenants(5, "acme"))
	in := w.start("one")
	w.awaitAll("acme")
	c := in.snapshot()["acme"]
	secret, err := w.sim.RotateSecret("acme")
	if err != nil {
		t.Fatal(err)
	}
	w.write(w.path("secrets", "acme"), secret)
	w.await("the new file", func() bool {
		return len(in.log.with("configuration taken over", `"added":0,"changed":0,"removed":0`)) == 1
	})
	w.awaitPolls(2, "acme")
	if in.snapshot()["acme"] != c {
		t.Error("the connector was built anew")
	}
}

// A file that is taken for a connector's by its author only is warned of when
// it appears, once.
func TestReloadWarns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tenants(1, "acme"))
	in := w.start("one")
	w.awaitAll("acme")
	w.write(w.path("connectors", "globex.yaml.txt"), "name: globex\n")
	warned := func() int { return len(in.log.with("hardly meant", "globex.yaml.txt", "is passed over")) }
	w.await("the warning", func() bool { return warned() == 1 })
	w.connector("acme", "page_size: 10")
	w.await("the change", func() bool { return len(in.log.with("configuration taken over", `"changed":1`)) == 1 })
	if n := warned(); n != 1 {
		t.Errorf("%d warnings, want 1", n)
	}
}
