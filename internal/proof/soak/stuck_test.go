package soak

import (
	"errors"
	"strings"
	"testing"
	"time"

	"onelogin-kafka/internal/proof/wait"
)

// TestWhatIsStuckIsFound: the waits of the other tests bear a slow machine, and
// not a connector or a shard that does not get on, however busy the machine is.
func TestWhatIsStuckIsFound(t *testing.T) {
	t.Parallel()
	w, finish := fleet(t, []string{"a"}, 4, 20)
	const bound = 6 * time.Second
	tenant := w.Sim.Tenants()[2].Name

	// One connector of four. What it had offered before may still come.
	w.WriteConnector(tenant, "paused: true")
	w.Await(tenant+" to be paused", 30*time.Second, func() bool { return w.state(tenant) == "PAUSED" })
	w.mustBeStuck(t, bound, tenant)
	w.WriteConnector(tenant, "")
	if err := w.AwaitProgress(cold); err != nil {
		w.dump()
		t.Fatalf("a connector at work again: %v", err)
	}

	// Every shard, and nobody to take them over.
	in := w.Instance("a")
	if err := in.Pause(); err != nil {
		t.Fatal(err)
	}
	for _, other := range w.Sim.Tenants() {
		w.mustBeStuck(t, bound/6, other.Name)
	}
	if err := in.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := w.AwaitProgress(cold); err != nil {
		w.dump()
		t.Fatalf("an instance at work again: %v", err)
	}
	w.conclude(finish)
}

// status is what the fleet says of a tenant.
type status struct {
	Connector string `json:"connector"`
	State     string `json:"state"`
	Shard     int    `json:"shard"`
}

// statuses asks any instance that answers.
func (w *World) statuses() []status {
	for _, in := range w.all() {
		var list struct {
			Connectors []status `json:"connectors"`
		}
		if !in.Ended() && in.get("/api/v1/connectors?per_page=1000", &list) == nil {
			return list.Connectors
		}
	}
	return nil
}

// state is what the fleet says of a tenant.
func (w *World) state(tenant string) string {
	for _, c := range w.statuses() {
		if c.Connector == tenant {
			return c.State
		}
	}
	return ""
}

// mustBeStuck fails the test unless the tenant is found stuck, with the bound
// given.
func (w *World) mustBeStuck(t *testing.T, bound time.Duration, tenant string) {
	t.Helper()
	var err error
	if !wait.Until(time.Minute, func() bool { err = w.AwaitProgress(bound); return err != nil }) {
		w.dump()
		t.Fatalf("%s stands still: nobody has found it", tenant)
	}
	if !errors.Is(err, errStuck) || !strings.Contains(err.Error(), tenant) {
		t.Errorf("%s stands still: got %v, want it named", tenant, err)
	}
	t.Logf("found: %v", err)
}
