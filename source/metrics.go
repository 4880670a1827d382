package source

import (
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

	events      *prometheus.CounterVec
	duplicates  *prometheus.CounterVec
	deadLetters *prometheus.CounterVec
	late        *prometheus.CounterVec
	beyond      *prometheus.CounterVec
	throttled   *prometheus.CounterVec
	lastEvent   *prometheus.GaugeVec
	lastPoll    *prometheus.GaugeVec
	lateness    *prometheus.HistogramVec

	vanished                                                       *prometheus.CounterVec
	through, completeThrough, verifiedThrough, windowIDs, pageSize *prometheus.GaugeVec
}

// NewMetrics registers the metrics with r. It panics if they already are.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"connector"}, labels...))
		r.MustRegister(v)
		return v
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, append([]string{"connector"}, labels...))
		r.MustRegister(v)
		return v
	}
	m := &Metrics{
		Requests:        counter("onelogin_api_requests_total", "API calls by HTTP status, or by kind of error where there was no answer.", "code"),
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
	r.MustRegister(m.lateness)
	return m
}

// Delete forgets a connector that is not polled here any more.
func (m *Metrics) Delete(connector string) {
	if m == nil {
		return
	}
	for _, v := range []interface {
		DeletePartialMatch(prometheus.Labels) int
	}{m.Requests, m.events, m.duplicates, m.deadLetters, m.late, m.beyond, m.throttled, m.lastEvent, m.lastPoll, m.lateness,
		m.vanished, m.through, m.completeThrough, m.verifiedThrough, m.windowIDs, m.pageSize} {
		v.DeletePartialMatch(prometheus.Labels{"connector": connector})
	}
}

// meters are the metrics of one connector, looked up once.
type meters struct {
	events, duplicates, deadLetters, late, beyond, throttled prometheus.Counter
	vanished                                                 prometheus.Counter
	lastEvent, lastPoll                                      prometheus.Gauge
	through, completeThrough, windowIDs, pageSize            prometheus.Gauge
	// lateness makes the connector's histogram: most have no late event, and
	// seventeen series are many for ten thousand connectors.
	lateness func() prometheus.Observer
	// verifiedThrough makes that gauge: before the first comparison there is none.
	verifiedThrough func() prometheus.Gauge
}

func (m *Metrics) of(connector string) *meters {
	if m == nil {
		m = NewMetrics(prometheus.NewRegistry())
	}
	return &meters{
		events:          m.events.WithLabelValues(connector),
		duplicates:      m.duplicates.WithLabelValues(connector),
		deadLetters:     m.deadLetters.WithLabelValues(connector),
		late:            m.late.WithLabelValues(connector),
		beyond:          m.beyond.WithLabelValues(connector),
		throttled:       m.throttled.WithLabelValues(connector),
		lastEvent:       m.lastEvent.WithLabelValues(connector),
		lastPoll:        m.lastPoll.WithLabelValues(connector),
		vanished:        m.vanished.WithLabelValues(connector),
		through:         m.through.WithLabelValues(connector),
		completeThrough: m.completeThrough.WithLabelValues(connector),
		windowIDs:       m.windowIDs.WithLabelValues(connector),
		pageSize:        m.pageSize.WithLabelValues(connector),
		verifiedThrough: func() prometheus.Gauge { return m.verifiedThrough.WithLabelValues(connector) },
		lateness:        func() prometheus.Observer { return m.lateness.WithLabelValues(connector) },
	}
}

// seconds is t as Prometheus wants it.
func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }
