package service

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
	"onelogin-kafka/source/onelogin/simulator"
)

// acknowledging is a sink that commits at once.
type acknowledging struct{}

func (acknowledging) Offer(ctx context.Context, b *schemas.Batch) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if b.Done != nil {
		b.Done()
	}
	if b.Release != nil {
		b.Release()
	}
	return nil
}

// pollers runs connectors of a service without Kafka.
type pollers struct {
	*Service
	log  *lines
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// polling makes an instance that is configured with all connectors and owns
// those named.
func polling(t *testing.T, sim *simulator.Server, all []config.Connector, owned ...string) *pollers {
	t.Helper()
	cfg := config.Default()
	cfg.Kafka.Brokers, cfg.Instance, cfg.Connectors = []string{"127.0.0.1:1"}, "one", all
	p := &pollers{log: &lines{}}
	var err error
	p.Service, err = New(&cfg, Options{Log: zerolog.New(p.log), Registry: prometheus.NewRegistry(), HTTP: sim.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	p.ctx, p.stop = context.WithCancel(t.Context())
	for _, name := range owned {
		p.own(name)
	}
	return p
}

// own begins to poll a connector.
func (p *pollers) own(name string) {
	c := p.snapshot()[name]
	p.wg.Go(func() {
		p.polls(c, 1)
		defer p.polls(c, -1)
		_ = c.poller.Run(p.ctx, &source.State{Fresh: true}, acknowledging{})
	})
}

func (p *pollers) end() {
	p.stop()
	p.wg.Wait()
	p.cluster.Close()
}

// oneAccount is an account that n credentials read, at most limit calls an hour.
func oneAccount(t *testing.T, n, limit int, domain func(i int) string) (*simulator.Server, []config.Connector) {
	t.Helper()
	sc := simulator.Config{Seed: 3, HourlyLimit: limit}
	for i := range n {
		sc.Tenants = append(sc.Tenants, simulator.Tenant{
			Name: fmt.Sprintf("key-%d", i), AccountID: 4711, Domain: domain(i),
			// Enough to read for the whole budget.
			Backlog: 100_000, Page: simulator.Page{Max: 50}, Traffic: simulator.Traffic{Rate: 1},
		})
	}
	sim, err := simulator.New(sc)
	if err != nil {
		t.Fatal(err)
	}
	var all []config.Connector
	for i, tenant := range sc.Tenants {
		id, secret := sim.Credentials(tenant.Name)
		c := config.DefaultConnector()
		c.Name, c.Domain, c.ClientID, c.ClientSecret = tenant.Name, domain(i), id, config.NewSecret(secret)
		all = append(all, c)
	}
	return sim, all
}

func calls(sim *simulator.Server) int64 {
	n := int64(0)
	for _, s := range sim.Stats() {
		for status, c := range s.Calls["events"] {
			if status != 429 {
				n += c
			}
		}
	}
	return n
}

// Connectors of one account never use more than its share together, whatever
// their domains, and one warning names both.
func TestOneBudgetPerAccount(t *testing.T) {
	for name, domain := range map[string]func(int) string{
		"one domain":  func(int) string { return "acme.onelogin.com" },
		"two domains": func(i int) string { return fmt.Sprintf("acme-%d.onelogin.com", i) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim, all := oneAccount(t, 2, 1000, domain)
				p := polling(t, sim, all, "key-0", "key-1")
				time.Sleep(59 * time.Minute)
				if n := calls(sim); n > 500 || n < 400 {
					t.Errorf("%d calls in an hour of a share of 500", n)
				}
				p.end()
				if n := len(p.log.with("two connectors read one OneLogin account", `["key-0","key-1"]`)); n != 1 {
					t.Errorf("%d warnings, want 1:\n%s", n, p.log)
				}
			})
		})
	}
}

// Two instances that poll one connector each share the share too.
func TestBudgetOverInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, all := oneAccount(t, 2, 1000, func(int) string { return "acme.onelogin.com" })
		a, b := polling(t, sim, all, "key-0"), polling(t, sim, all, "key-1")
		time.Sleep(59 * time.Minute)
		if n := calls(sim); n > 500 || n < 350 {
			t.Errorf("%d calls in an hour of a share of 500", n)
		}
		a.end()
		b.end()
	})
}

// An instance that takes over goes on with what the one before it has left of
// the share: neither with all of it, nor with nothing.
func TestBudgetAfterHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, all := oneAccount(t, 1, 1000, func(int) string { return "acme.onelogin.com" })
		var last source.State
		for range 6 {
			p := polling(t, sim, all)
			budget := p.snapshot()["key-0"].poller.Budget
			budget.Assume(last.Offset.CallsLimit)
			budget.Resume(last.Offset.Calls, last.Offset.CallsUntil)
			p.own("key-0")
			time.Sleep(9*time.Minute + 50*time.Second)
			p.end()
			last.Offset.Calls, last.Offset.CallsUntil = budget.Used()
			last.Offset.CallsLimit = budget.RateLimit().Limit
		}
		if n := calls(sim); n > 500 || n < 400 {
			t.Errorf("%d calls in an hour of a share of 500", n)
		}
	})
}

// A changed share counts from the reload on.
func TestChangedShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, all := oneAccount(t, 1, 1000, func(int) string { return "acme.onelogin.com" })
		p := polling(t, sim, all, "key-0")
		time.Sleep(30 * time.Minute)
		p.stop()
		p.wg.Wait()
		all[0].RateLimit.Share = 0.9
		p.Apply(&config.Config{Connectors: all})
		before := calls(sim)
		c := p.snapshot()["key-0"]
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		p.wg.Go(func() { _ = c.poller.Run(ctx, &source.State{Fresh: true}, acknowledging{}) })
		p.wg.Wait()
		if n := calls(sim) - before; n < 300 || n > 410 {
			t.Errorf("%d calls at once after the share was raised by 400", n)
		}
		p.end()
	})
}
