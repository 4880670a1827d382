package service

import (
	"testing"
	"time"

	"onelogin-kafka/schemas"
	"onelogin-kafka/source/onelogin/simulator"
)

// A gauge that is set at success stands still in trouble: these are worked out
// when they are asked for.
func TestGaugesMoveInTrouble(t *testing.T) {
	t.Parallel()
	sc := tenants(5, "acme")
	w := newWorld(t, sc)
	in := w.start("one")
	w.awaitPolls(2, "acme")
	throttled := simulator.FaultSetting{Name: simulator.ThrottledSeconds, Tenant: "acme", Probability: 1, Delay: simulator.Duration(time.Hour)}
	if err := w.sim.SetFault(throttled); err != nil {
		t.Fatal(err)
	}
	w.await("the state", func() bool {
		v, _ := in.metric("onelogin_state", "acme", string(schemas.StateThrottled))
		return v == 1
	})
	calls := w.sim.Stats()["acme"].Calls["events"]
	before, ok := in.metric("onelogin_lag_seconds", "acme")
	w.await("the lag to grow", func() bool {
		lag, _ := in.metric("onelogin_lag_seconds", "acme")
		return ok && lag > before+0.5
	})
	if now := w.sim.Stats()["acme"].Calls["events"]; now[429] != calls[429] || now[200] != calls[200] {
		t.Errorf("there were calls meanwhile: %v, then %v", calls, now)
	}
}
