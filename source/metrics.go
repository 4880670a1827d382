package source

import (
	"maps"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"onelogin-kafka/schemas"
)

// Metrics are what pollers count, by connector. One Metrics serves all pollers
// of a process. A nil *Metrics counts nothing. State, lag and what is left of a
// budget are not among them: a gauge that is set when something happens stands
// still when nothing does, so whoever shows them asks Poller.Status.
type Metrics struct {
	// Requests counts API calls by connector and code: the HTTP status, or the
	// Kind where there was no answer. The client counts here.
	Requests *prometheus.CounterVec

	events, duplicates, deadLetters, late, beyond, throttled, vanished *family

	lastEvent, lastPoll, through, completeThrough, verifiedThrough, windowIDs, pageSize *family

	lateness *prometheus.HistogramVec
}

// NewMetrics registers the metrics with r. It panics if they already are.
func NewMetrics(r prometheus.Registerer) *Metrics {
	register := func(kind prometheus.ValueType, name, help string) *family {
		f := &family{kind: kind, desc: prometheus.NewDesc(name, help, []string{"connector"}, nil), by: map[string]*meter{}}
		r.MustRegister(f)
		return f
	}
	counter := func(name, help string) *family { return register(prometheus.CounterValue, name, help) }
	gauge := func(name, help string) *family { return register(prometheus.GaugeValue, name, help) }
	m := &Metrics{
		Requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "onelogin_api_requests_total", Help: "API calls by HTTP status, or by kind of error where there was no answer.",
		}, []string{"connector", "code"}),
		events:          counter("onelogin_events_total", "Events committed to the topic."),
		duplicates:      counter("onelogin_duplicates_suppressed_total", "Events the API showed again that were already published; overlapping polls make these all the time."),
		deadLetters:     counter("onelogin_deadletters_total", "Elements of answers that are not events, committed to the dead-letter topic."),
		late:            counter("onelogin_late_events_total", "Events that appeared more than 2 s behind the newest published."),
		beyond:          counter("onelogin_beyond_window_total", "Events seen but not published because they had been asked for, but were created before the window's start: whether they are in the topic is not known any more."),
		throttled:       counter("onelogin_throttled_total", "API answers that refused a call because the account's budget was used up."),
		lastEvent:       gauge("onelogin_last_event_timestamp_seconds", "created_at of the newest event committed."),
		lastPoll:        gauge("onelogin_last_poll_success_timestamp_seconds", "When the API was last read to its end."),
		vanished:        counter("onelogin_vanished_events_total", "Published events that the API does not show any more and that are not waited for any longer."),
		through:         gauge("onelogin_through_timestamp_seconds", "created_at up to which everything that the API shows is committed."),
		completeThrough: gauge("onelogin_complete_through_timestamp_seconds", "created_at up to which everything was read again a sweep window later, and is committed."),
		verifiedThrough: gauge("onelogin_verified_through_timestamp_seconds", "created_at up to which everything was compared with the topic, and what was missing is there."),
		windowIDs:       gauge("onelogin_window_ids", "Ids of published events that are held to know them again."),
		pageSize:        gauge("onelogin_page_size", "Elements that a page of the API holds at most."),
		lateness: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "onelogin_event_lateness_seconds",
			Help:    "Age of late events when they were found.",
			Buckets: schemas.LatenessBounds[:],
		}, []string{"connector"}),
	}
	r.MustRegister(m.Requests, m.lateness)
	return m
}

// Delete forgets a connector that is not polled here any more.
func (m *Metrics) Delete(connector string) {
	if m == nil {
		return
	}
	m.Requests.DeletePartialMatch(prometheus.Labels{"connector": connector})
	m.lateness.DeleteLabelValues(connector)
	for _, f := range []*family{
		m.events, m.duplicates, m.deadLetters, m.late, m.beyond, m.throttled, m.vanished,
		m.lastEvent, m.lastPoll, m.through, m.completeThrough, m.verifiedThrough, m.windowIDs, m.pageSize,
	} {
		f.forget(connector)
	}
}

// family is one metric of all connectors, a number for each. A series of
// Prometheus's own takes half a kilobyte, and there are a dozen for each of ten
// thousand connectors.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType

	mu sync.Mutex
	by map[string]*meter
}

// meter is a connector's number.
type meter struct{ bits atomic.Uint64 }

// Set makes it v.
func (m *meter) Set(v float64) { m.bits.Store(math.Float64bits(v)) }

// Add adds v.
func (m *meter) Add(v float64) {
	for {
		old := m.bits.Load()
		if m.bits.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+v)) {
			return
		}
	}
}

// of returns a connector's number, which is 0 at first.
func (f *family) of(connector string) *meter {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.by[connector]
	if m == nil {
		m = &meter{}
		f.by[connector] = m
	}
	return m
}

func (f *family) forget(connector string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.by, connector)
}

// Describe implements prometheus.Collector.
func (f *family) Describe(ch chan<- *prometheus.Desc) { ch <- f.desc }

// Collect implements prometheus.Collector.
func (f *family) Collect(ch chan<- prometheus.Metric) {
	f.mu.Lock()
	by := maps.Clone(f.by)
	f.mu.Unlock()
	for connector, m := range by {
		ch <- prometheus.MustNewConstMetric(f.desc, f.kind, math.Float64frombits(m.bits.Load()), connector)
	}
}

// meters are the metrics of one connector, looked up once.
type meters struct {
	events, duplicates, deadLetters, late, beyond, throttled, vanished *meter

	lastEvent, lastPoll, through, completeThrough, windowIDs, pageSize *meter
	// lateness makes the connector's histogram: most have no late event, and
	// seventeen series are many for ten thousand connectors.
	lateness func() prometheus.Observer
	// verifiedThrough makes that gauge: before the first comparison there is none.
	verifiedThrough func() *meter
}

func (m *Metrics) of(connector string) *meters {
	if m == nil {
		m = NewMetrics(prometheus.NewRegistry())
	}
	return &meters{
		events:          m.events.of(connector),
		duplicates:      m.duplicates.of(connector),
		deadLetters:     m.deadLetters.of(connector),
		late:            m.late.of(connector),
		beyond:          m.beyond.of(connector),
		throttled:       m.throttled.of(connector),
		lastEvent:       m.lastEvent.of(connector),
		lastPoll:        m.lastPoll.of(connector),
		vanished:        m.vanished.of(connector),
		through:         m.through.of(connector),
		completeThrough: m.completeThrough.of(connector),
		windowIDs:       m.windowIDs.of(connector),
		pageSize:        m.pageSize.of(connector),
		verifiedThrough: func() *meter { return m.verifiedThrough.of(connector) },
		lateness:        func() prometheus.Observer { return m.lateness.WithLabelValues(connector) },
	}
}

// seconds is t as Prometheus wants it.
func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }
