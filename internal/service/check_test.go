package service

import (
	"errors"
	"os"
	"testing"

	"onelogin-kafka/source"
	"onelogin-kafka/source/onelogin/simulator"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tenants(1, "acme", "revoked", "secretless", "paused"))
	w.connector("paused", "paused: true")
	if err := w.sim.SetFault(simulator.FaultSetting{Name: simulator.Unauthorized, Tenant: "revoked", Endpoint: "token", Probability: 1}); err != nil {
		t.Fatal(err)
	}
	in := w.start("one")
	if err := os.Remove(w.path("secrets", "secretless")); err != nil {
		t.Fatal(err)
	}
	for name, stage := range map[string]string{"acme": "", "paused": "", "revoked": "Authentication", "secretless": "Configuration"} {
		err := in.Check(t.Context(), name)
		var api *source.APIError
		switch {
		case stage == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case stage != "" && (!errors.As(err, &api) || api.Stage != stage):
			t.Errorf("%s: got %v, want a failure in stage %s", name, err, stage)
		}
	}
	if err := in.Check(t.Context(), "nobody"); !errors.Is(err, ErrNoConnector) {
		t.Errorf("got %v, want ErrNoConnector", err)
	}
	in.snapshot()["acme"].poller.Budget.Throttled(budgetPatience * 2)
	err := in.Check(t.Context(), "acme")
	if api := (*source.APIError)(nil); !errors.As(err, &api) || api.Kind != source.Throttled {
		t.Errorf("got %v, want Throttled", err)
	}
}
