package service

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// BenchmarkIsolation measures the time from visible at the API to readable in
// the topic of 100 normal connectors with the default pace, alone and beside
// the bad ones of TestIsolation.
func BenchmarkIsolation(b *testing.B) {
	for _, c := range []struct {
		name    string
		withBad bool
	}{{"alone", false}, {"beside", true}} {
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				took = append(took, latencies(b, c.withBad)...)
			}
			slices.Sort(took)
			quantile := func(q float64) float64 {
				return float64(took[int(math.Ceil(q*float64(len(took))))-1].Milliseconds())
			}
			b.ReportMetric(quantile(0.5), "p50-ms")
			b.ReportMetric(quantile(0.99), "p99-ms")
			b.ReportMetric(float64(len(took)), "events")
		})
	}
}

const (
	warmUp  = 15 * time.Second
	measure = 30 * time.Second
)

// latencies runs the service for a while and returns what each event of the
// normal tenants took.
func latencies(b *testing.B, withBad bool) []time.Duration {
	sc, names := neighbours(100, withBad)
	for i := range sc.Tenants {
		if t := &sc.Tenants[i]; strings.HasPrefix(t.Name, "normal") {
			t.Traffic.Rate = 1
		}
	}
	w := newWorld(b, sc)
	w.shards, w.settings = 8, "rate_limit: {share: 1}"
	for _, t := range w.sim.Tenants() {
		w.connector(t.Name, "")
	}
	w.start("one")
	w.awaitPolls(1, names...)
	seen, stop := w.follow()
	<-time.After(warmUp)
	from := time.Now()
	<-time.After(measure)
	to := time.Now()
	<-time.After(10 * time.Second) // for the last of them to arrive
	stop()
	var took []time.Duration
	for _, name := range names {
		truth, err := w.sim.Truth(name)
		if err != nil {
			b.Fatal(err)
		}
		for e := range truth {
			if e.VisibleAt.Before(from) || e.VisibleAt.After(to) {
				continue
			}
			at, ok := seen[name+"/"+strconv.FormatInt(e.ID, 10)]
			if !ok {
				b.Fatalf("event %d of %s did not arrive", e.ID, name)
			}
			took = append(took, at.Sub(e.VisibleAt))
		}
	}
	return took
}

// follow notes when each event can be read, until stop is called.
func (w *world) follow() (seen map[string]time.Time, stop func()) {
	w.tb.Helper()
	cluster := wire.Open(wire.Config{Brokers: w.brokers})
	n, err := cluster.Partitions(w.tb.Context(), "onelogin.events")
	if err != nil {
		w.tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.tb.Context())
	var mu sync.Mutex
	var wg sync.WaitGroup
	seen = map[string]time.Time{}
	for p := range n {
		wg.Go(func() {
			log := producer.CommittedLog{Cluster: cluster, Topic: "onelogin.events", Partition: p}
			_ = log.Follow(ctx, 0, func(_ int64, r *schemas.Record) error { // ends with ctx
				for _, h := range r.Headers {
					if h.Key == schemas.HeaderID {
						mu.Lock()
						seen[string(r.Key)+"/"+string(h.Value)] = time.Now()
						mu.Unlock()
					}
				}
				return nil
			})
		})
	}
	return seen, func() {
		cancel()
		wg.Wait()
		cluster.Close()
	}
}
