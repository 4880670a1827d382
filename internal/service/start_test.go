package service

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
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

// crowd counts the requests under way.
type crowd struct {
	next       http.RoundTripper
	now, most  atomic.Int64
	slow       func(r *http.Request) bool
	beginnings sync.Map // host -> time of its first request
}

func (c *crowd) RoundTrip(r *http.Request) (*http.Response, error) {
	c.beginnings.LoadOrStore(r.URL.Host, time.Now())
	if c.slow(r) {
		select {
		case <-time.After(30 * time.Second):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		return c.next.RoundTrip(r)
	}
	n := c.now.Add(1)
	defer c.now.Add(-1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
	time.Sleep(100 * time.Millisecond) // of the bubble's clock
	return c.next.RoundTrip(r)
}

// many is a service of n connectors on a simulated OneLogin that is reached by
// the given way.
func many(t *testing.T, n int, sc simulator.Config, way func(*simulator.Server) http.RoundTripper) *Service {
	t.Helper()
	for i := range n {
		sc.Tenants = append(sc.Tenants, simulator.Tenant{Name: fmt.Sprintf("t%04d", i), Traffic: simulator.Traffic{Rate: 0.02}})
	}
	sim, err := simulator.New(sc)
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Kafka.Brokers, cfg.Instance = []string{"127.0.0.1:1"}, "one"
	for _, tenant := range sc.Tenants {
		id, secret := sim.Credentials(tenant.Name)
		c := config.DefaultConnector()
		c.Name, c.Domain, c.ClientID, c.ClientSecret = tenant.Name, tenant.Name+".onelogin.com", id, config.NewSecret(secret)
		cfg.Connectors = append(cfg.Connectors, c)
	}
	s, err := New(&cfg, Options{Log: zerolog.Nop(), Registry: prometheus.NewRegistry(), HTTP: way(sim)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// pollAll polls all connectors of s until ctx ends; wait for it.
func pollAll(ctx context.Context, s *Service) *sync.WaitGroup {
	var wg sync.WaitGroup
	for _, c := range s.snapshot() {
		wg.Go(func() {
			if c.client.Begin(ctx) == nil {
				_ = c.poller.Run(ctx, &source.State{Fresh: true}, acknowledging{})
			}
		})
	}
	return &wg
}

// Thousands of connectors begin one after the other, with few requests at a
// time, and those that answer slowly do not keep the others waiting.
func TestStart(t *testing.T) {
	const (
		n, slow = 600, 100
		spread  = 2 * time.Millisecond // between two starts
		first   = 64                   // first calls at a time
	)
	synctest.Test(t, func(t *testing.T) {
		slowHosts := map[string]bool{}
		for i := range slow {
			slowHosts[fmt.Sprintf("t%04d.onelogin.com", i)] = true
		}
		var transport *crowd
		s := many(t, n, simulator.Config{Seed: 1}, func(sim *simulator.Server) http.RoundTripper {
			transport = &crowd{next: sim.Transport(), slow: func(r *http.Request) bool { return slowHosts[r.URL.Host] }}
			return transport
		})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		began := time.Now()
		pollAll(ctx, s).Wait()
		for name, c := range s.snapshot() {
			if polled := !c.poller.Status().LastPoll.IsZero(); polled == slowHosts[c.config.Domain] {
				t.Fatalf("%s: polled %v, slow %v", name, polled, !polled)
			}
		}
		last := time.Duration(0)
		transport.beginnings.Range(func(_, at any) bool { last = max(last, at.(time.Time).Sub(began)); return true })
		if last < n*spread*9/10 {
			t.Errorf("all began within %v: a herd", last)
		}
		if most := transport.most.Load(); most > 2*first {
			t.Errorf("%d requests at a time", most)
		}
		s.cluster.Close()
	})
}

// The edge takes 20 calls a second of one address: 300 connectors are all ACTIVE
// within 45 s of a start, and stay so.
func TestManyBehindAnEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 300
		var sim *simulator.Server
		s := many(t, n, simulator.Config{Seed: 1, HourlyLimit: 5000, Edge: simulator.EdgeLimit{Calls: 20}}, func(of *simulator.Server) http.RoundTripper {
			sim = of
			return &crowd{next: of.Transport(), slow: func(*http.Request) bool { return false }}
		})
		ctx, cancel := context.WithCancel(t.Context())
		all := pollAll(ctx, s)
		time.Sleep(45 * time.Second)
		for minute := range 10 {
			states := map[schemas.State]int{}
			for _, c := range s.snapshot() {
				states[c.poller.Status().State]++
			}
			if states[schemas.StateActive] != n {
				t.Errorf("45 s and %d minutes after the start: %v", minute, states)
			}
			time.Sleep(time.Minute)
		}
		if sim.Edge().Refused == 0 {
			t.Error("the edge refused nothing: no data")
		}
		families, err := s.opts.Registry.(*prometheus.Registry).Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == "onelogin_throttled_total" && m.GetCounter().GetValue() > 0 {
					t.Errorf("throttled: %v", m)
				}
			}
		}
		cancel()
		all.Wait()
		s.cluster.Close()
	})
}
