package service

import (
	"fmt"
	"testing"
	"time"

	"onelogin-kafka/schemas"
	"onelogin-kafka/source/onelogin/simulator"
)

// bad are the tenants that must not disturb the others: by name, what is done
// to them.
var bad = map[string]simulator.FaultSetting{
	"noisy":   {},
	"slow":    {Name: simulator.SlowHeaders, Probability: 1, Delay: simulator.Duration(30 * time.Second)},
	"garbage": {Name: simulator.HTMLOK, Probability: 1},
	"revoked": {Name: simulator.Unauthorized, Probability: 1},
}

// neighbours is a OneLogin with n normal tenants and the bad ones.
func neighbours(n int) (simulator.Config, []string) {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("normal-%03d", i))
	}
	sc := tenants(0.5, names...)
	for name, fault := range bad {
		t := simulator.Tenant{Name: name, Backlog: 20, BacklogSpan: simulator.Duration(time.Hour), Traffic: simulator.Traffic{Rate: 1}}
		if name == "noisy" {
			t.Backlog, t.Traffic.Rate = 5_000, 500
		}
		sc.Tenants = append(sc.Tenants, t)
		if fault.Name != "" {
			fault.Tenant = name
			sc.Faults = append(sc.Faults, fault)
			fault.Endpoint = "token"
			if name == "revoked" {
				sc.Faults = append(sc.Faults, fault)
			}
		}
	}
	return sc, names
}

// One noisy tenant, one that answers in 30 s, one that answers garbage and one
// with a revoked secret change nothing for the others.
func TestIsolation(t *testing.T) {
	t.Parallel()
	sc, names := neighbours(30)
	w := newWorld(t, sc)
	in := w.start("one")
	w.awaitPolls(3, names...)
	w.await("the noisy one to be under way", func() bool { return w.polls("noisy") > 20 })
	w.sim.Freeze()
	w.awaitAll(names...)
	for name, fault := range bad {
		if fault.Name != "" && w.sim.Hits(fault.Name, name) == 0 {
			t.Errorf("fault %s was not hit", fault.Name)
		}
	}
	for name, c := range in.snapshot() {
		_, isBad := bad[name]
		if st := c.poller.Status(); !isBad && st.State != schemas.StateActive {
			t.Errorf("%s is %s: %s", name, st.State, st.Message)
		}
	}
	for _, name := range []string{"garbage", "revoked"} {
		if st := in.snapshot()[name].poller.Status(); st.State != schemas.StateFailing || st.Stage == "" {
			t.Errorf("%s is %s in stage %q", name, st.State, st.Stage)
		}
	}
	w.awaitAll("noisy")
}
