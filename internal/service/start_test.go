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

// Thousands of connectors begin one after the other, with few requests at a
// time, and those that answer slowly do not keep the others waiting.
func TestStart(t *testing.T) {
	const n, slow = 600, 100
	synctest.Test(t, func(t *testing.T) {
		sc := simulator.Config{Seed: 1}
		for i := range n {
			sc.Tenants = append(sc.Tenants, simulator.Tenant{Name: fmt.Sprintf("t%04d", i)})
		}
		sim, err := simulator.New(sc)
		if err != nil {
			t.Fatal(err)
		}
		slowHosts := map[string]bool{}
		cfg := config.Default()
		cfg.Kafka.Brokers, cfg.Instance = []string{"127.0.0.1:1"}, "one"
		for i, tenant := range sc.Tenants {
			id, secret := sim.Credentials(tenant.Name)
			c := config.DefaultConnector()
			c.Name, c.Domain, c.ClientID, c.ClientSecret = tenant.Name, tenant.Name+".onelogin.com", id, config.NewSecret(secret)
			cfg.Connectors = append(cfg.Connectors, c)
			if i < slow {
				slowHosts[c.Domain] = true
			}
		}
		transport := &crowd{next: sim.Transport(), slow: func(r *http.Request) bool { return slowHosts[r.URL.Host] }}
		s, err := New(&cfg, Options{Log: zerolog.Nop(), Registry: prometheus.NewRegistry(), HTTP: transport})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		began := time.Now()
		for _, c := range s.snapshot() {
			wg.Go(func() {
				if s.starts.wait(ctx) == nil {
					_ = c.poller.Run(ctx, source.State{Fresh: true}, acknowledging{})
				}
			})
		}
		wg.Wait()
		for name, c := range s.snapshot() {
			if polled := !c.poller.Status().LastPoll.IsZero(); polled == slowHosts[c.config.Domain] {
				t.Fatalf("%s: polled %v, slow %v", name, polled, !polled)
			}
		}
		last := time.Duration(0)
		transport.beginnings.Range(func(_, at any) bool { last = max(last, at.(time.Time).Sub(began)); return true })
		if last < n*startSpread*9/10 {
			t.Errorf("all began within %v: a herd", last)
		}
		if most := transport.most.Load(); most > 2*firstCalls {
			t.Errorf("%d requests at a time", most)
		}
		s.cluster.Close()
	})
}
