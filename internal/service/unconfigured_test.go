package service

import (
	"os"
	"strings"
	"testing"
	"time"

	"onelogin-kafka/schemas"
	"onelogin-kafka/source/onelogin/simulator"
)

// An instance that owns a shard and lacks the configuration of a connector in
// it says so, and goes on where others left off once it has it.
func TestUnconfigured(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tenants(5, "acme", "globex"))
	first := w.start("one")
	w.awaitAll("acme", "globex")
	first.stop()

	w.remove("globex")
	in := w.start("two")
	w.await("the status", func() bool {
		st := w.statuses()["globex"]
		return st.State == schemas.StateInactive && st.Instance == "two"
	})
	st := w.statuses()["globex"]
	if want := "instance two owns its shard but has no configuration for it"; st.Message != want || st.Events < 20 || st.Domain != "globex.onelogin.com" || st.AccountID == 0 {
		t.Errorf("got status %+v, want the message %q and what the offset says", st, want)
	}
	if v, _ := in.metric("onelogin_connectors_unconfigured"); v != 1 {
		t.Errorf("onelogin_connectors_unconfigured is %v, want 1", v)
	}
	shown := false
	for _, st := range in.Statuses() {
		shown = shown || st.Connector == "globex" && st.State == schemas.StateInactive
	}
	if !shown {
		t.Error("the console's list does not have it")
	}
	w.await("the warning", func() bool { return len(in.log.with("no configuration", `"connectors":["globex"]`, `"count":1`)) == 1 })

	// Another change is no news of this one.
	w.connector("acme", "page_size: 100")
	in.reload()
	w.awaitPolls(3, "acme")

	w.connector("globex", "")
	in.reload()
	w.awaitAll("acme", "globex")
	w.await("the status", func() bool { return w.statuses()["globex"].State == schemas.StateActive })
	if v, _ := in.metric("onelogin_connectors_unconfigured"); v != 0 {
		t.Errorf("onelogin_connectors_unconfigured is %v, want 0", v)
	}
	if n := len(in.log.with("no configuration")); n != 1 {
		t.Errorf("%d warnings, want 1", n)
	}
}

// A connector whose file was removed for good is nobody's trouble once that is
// said: no status, no count, not after a restart either. Its position stays.
func TestRetired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tenants(0, "stays", "leaves"))
	path := w.main("one", "")
	in := w.start("one")
	w.awaitAll("stays", "leaves")
	w.remove("leaves")
	in.reload()
	unconfigured := func(in *instance) float64 {
		v, _ := in.metric("onelogin_connectors_unconfigured")
		return v
	}
	w.await("the alert", func() bool { return unconfigured(in) == 1 && w.statuses()["leaves"].State == schemas.StateInactive })
	r := w.control(path)
	if found, err := r.Retire(t.Context(), "never-was", operator); err != nil || found {
		t.Errorf("one that never was: found %v, %v", found, err)
	}
	if found, err := r.Retire(t.Context(), "leaves", operator); err != nil || !found {
		t.Fatalf("found %v, %v", found, err)
	}
	w.await("the owner to know", func() bool { return unconfigured(in) == 0 && in.Ready() == nil })
	before := w.position("leaves")
	if before.RetiredAt.IsZero() || before.Events < 20 {
		t.Errorf("the position is %+v", before)
	}
	in.stop()
	in = w.start("one")
	w.awaitPolls(2, "stays")
	if v := unconfigured(in); v != 0 {
		t.Errorf("after a restart onelogin_connectors_unconfigured is %v", v)
	}
	if st, ok := w.statuses()["leaves"]; ok {
		t.Errorf("the status is there: %+v", st)
	}

	w.connector("leaves", "")
	in.reload()
	w.await("the position to be in use", func() bool { return w.position("leaves").RetiredAt.IsZero() })
	w.awaitAll("stays", "leaves") // and nothing twice
	w.remove("leaves")
	in.reload()
	w.await("the alert once more", func() bool { return unconfigured(in) == 1 })
}

// A connector whose secret is gone fails, and the status says which instance
// lacks which file.
func TestSecretLacking(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tenants(5, "acme", "globex"))
	in := w.start("one")
	w.awaitAll("acme", "globex")
	if err := os.Remove(w.path("secrets", "acme")); err != nil {
		t.Fatal(err)
	}
	if err := w.sim.SetFault(simulator.FaultSetting{Name: simulator.TokenRevoked, Tenant: "acme", Probability: 1, Times: 1}); err != nil {
		t.Fatal(err)
	}
	w.await("the status", func() bool { return w.statuses()["acme"].State == schemas.StateFailing })
	if w.sim.Hits(simulator.TokenRevoked, "acme") == 0 {
		t.Fatal("no token was revoked")
	}
	st := w.statuses()["acme"]
	if st.Stage != "Configuration" || !strings.Contains(st.Message, "instance one lacks the client secret") || !strings.Contains(st.Message, w.path("secrets", "acme")) {
		t.Errorf("got stage %q, message %q", st.Stage, st.Message)
	}
	w.awaitPolls(3, "globex")
	_, secret := w.sim.Credentials("acme")
	w.write(w.path("secrets", "acme"), secret)
	w.awaitAll("acme")
	if len(in.log.with(secret)) > 0 {
		t.Error("the secret is in the log")
	}
}

// What an instance owns, and since when.
func TestShardMetrics(t *testing.T) {
	t.Parallel()
	before := float64(time.Now().Add(-time.Second).Unix())
	w := newWorld(t, tenants(0, "acme"))
	in := w.start("one")
	for _, shard := range []string{"0", "1", "2", "3"} {
		owned, _ := in.metric("onelogin_shard_owned", shard)
		since, _ := in.metric("onelogin_shard_owned_since_timestamp_seconds", shard)
		if owned != 1 || since < before || since > before+60 {
			t.Errorf("shard %s: owned %v since %v", shard, owned, since)
		}
	}
}
