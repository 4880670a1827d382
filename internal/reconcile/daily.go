package reconcile

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
)

// Poller is the connector's poller, at work in the shard's session.
type Poller interface {
	Publisher
	// Committed is the position as it is known to be committed; zero for none.
	Committed() schemas.Offset
	// MarkVerified writes verified_through.
	MarkVerified(ctx context.Context, through time.Time) error
}

// Daily verifies and repairs a connector by itself, for the length of one session of
// its poller. Every time it compares all that was not verified yet, up to the start
// of the window; verified is then what is older than Behind. So each event is
// compared at least twice, and one that OneLogin shows late by less than Behind is in
// the topic within Every of its being shown.
type Daily struct {
	Connector string
	Topic     *Topic
	Reader    *source.Reader
	Poller    Poller
	Metrics   *Metrics
	Log       zerolog.Logger
	// Every is how often; Behind how old an event is when it is shown at last.
	Every, Behind time.Duration
}

// settle is how long a session must last before it is looked what is due: shards
// that move often are not compared at each move.
const settle = time.Minute

// Run verifies whatever is due until ctx ends. A comparison that was cut off is made
// anew in the next session.
func (d *Daily) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if sleep(ctx, settle) != nil {
			return
		}
		o := d.Poller.Committed()
		if o.UpdatedAt.IsZero() {
			continue
		}
		if o.VerifiedThrough.IsZero() { // from here on
			if d.Poller.MarkVerified(ctx, o.WindowStart) != nil && sleep(ctx, d.Every/24) != nil {
				return
			}
			continue
		}
		// On a grid, so that connectors that are due together share a scan.
		due := o.VerifiedThrough.Add(d.Behind + d.Every).Truncate(max(d.Every/24, time.Second))
		if wait := time.Until(due); wait > settle {
			if sleep(ctx, wait-settle) != nil {
				return
			}
			continue
		}
		if err := d.once(ctx, o); err != nil && ctx.Err() == nil {
			d.Log.Warn().Err(err).Str("connector", d.Connector).Msg("verifying the topic fails; it is tried again")
			if sleep(ctx, d.Every/24) != nil {
				return
			}
		}
	}
}

// once verifies what is due at position o.
func (d *Daily) once(ctx context.Context, o schemas.Offset) error {
	behind := time.Now().Add(-d.Behind)
	c := &Comparison{
		Wish:  Wish{Connector: d.Connector, From: o.VerifiedThrough, To: o.WindowStart},
		Topic: d.Topic, Reader: d.Reader, Publisher: d.Poller, Tries: 10,
	}
	if !c.From.Before(c.To) {
		return nil
	}
	report, err := c.Run(ctx)
	d.Metrics.count(d.Connector, report)
	if report.Missing+report.Altered+report.Duplicate+report.Unshown > 0 {
		d.Log.Warn().Str("connector", d.Connector).Time("from", report.From).Time("to", report.Through).
			Int64("events", report.Events).Int64("missing", report.Missing).Int64("repaired", report.Repaired).
			Int64("altered", report.Altered).Int64("duplicate", report.Duplicate).Int64("unshown", report.Unshown).
			Msg("the topic was not as OneLogin shows it")
	}
	if err != nil {
		return err
	}
	return d.Poller.MarkVerified(ctx, earlier(behind, c.To))
}

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

func (m *Metrics) count(connector string, r *Report) {
	if m == nil {
		return
	}
	for i, n := range [...]int64{r.Events, r.Missing, r.Repaired, r.Altered, r.Duplicate} {
		m.all[i].WithLabelValues(connector).Add(float64(n))
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
