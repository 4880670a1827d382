package reconcile

import (
	"github.com/prometheus/client_golang/prometheus"

	"onelogin-kafka/schemas"
)

// Metrics count what comparisons have found. A nil *Metrics counts nothing.
type Metrics struct {
	all [5]*prometheus.CounterVec
}

// NewMetrics registers the metrics with r. It panics if they already are.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{}
	for i, it := range [...][2]string{
		{"events", "Events that were compared with the topic."},
		{"missing", "Events that the topic lacked, of those compared."},
		{"repaired", "Events that were published since the topic lacked them."},
		{"altered", "Events whose bytes in the topic were others than OneLogin shows."},
		{"duplicate", "Repetitions of events in the topic."},
	} {
		m.all[i] = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "onelogin_verify_" + it[0] + "_total", Help: it[1]}, []string{"connector"})
		r.MustRegister(m.all[i])
	}
	return m
}

// count counts what now has and before had not.
func (m *Metrics) count(connector string, before, now *schemas.Report) {
	if m == nil {
		return
	}
	for i, n := range [...]int64{
		now.Events - before.Events, now.Missing - before.Missing, now.Repaired - before.Repaired,
		now.Altered - before.Altered, now.Duplicate - before.Duplicate,
	} {
		m.all[i].WithLabelValues(connector).Add(float64(max(n, 0)))
	}
}

// Delete forgets a connector that is not polled here any more.
func (m *Metrics) Delete(connector string) {
	if m == nil {
		return
	}
	for _, v := range m.all {
		v.DeleteLabelValues(connector)
	}
}
