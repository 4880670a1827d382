package audit

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// BenchmarkAuditor judges transactions of 1,000 events of one connector.
func BenchmarkAuditor(b *testing.B) {
	p := &plan{truth: Truth{}}
	m := newModel(p, "acme", "tenant")
	a := New(Rules{Key: "tenant"})
	a.SetPartitions(Events, testPartitions)
	a.SetPartitions(Offsets, testPartitions)
	next := map[Kind]int64{}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	events := 0
	for b.Loop() {
		b.StopTimer()
		var times []time.Duration
		for range 1000 {
			times = append(times, time.Duration(events)*20*time.Millisecond)
			events++
		}
		var entries []Entry
		for _, r := range m.page(times...) {
			e := Entry{Partition: homeOf("acme"), ProducerID: 7, Transactional: true, Key: []byte(r.key), Value: r.value, Time: r.at}
			if strings.HasSuffix(r.topic, "offsets") {
				e.Kind = Offsets
			}
			for _, h := range r.headers {
				e.Headers = append(e.Headers, Header{h.Key, h.Value})
			}
			entries = append(entries, e)
		}
		for k := range Offsets + 1 {
			entries = append(entries, Entry{Kind: k, Partition: homeOf("acme"), ProducerID: 7, Control: true, Commit: true})
		}
		b.StartTimer()
		for _, e := range entries {
			e.Offset = next[e.Kind]
			next[e.Kind]++
			a.Add(e)
		}
		a.Settle(Cut{Quiet: true})
	}
	p.truth = nil
	runtime.GC()
	runtime.ReadMemStats(&after)
	if r := a.Report(nil, time.Time{}); !r.OK() {
		b.Fatal(r)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(events), "heap-B/event")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/event")
}
