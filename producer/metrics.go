package producer

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"onelogin-kafka/producer/wire"
)

// Metrics are the producer's metrics, per shard and for the instance. A nil
// *Metrics counts nothing.
type Metrics struct {
	transactions *prometheus.CounterVec
	seconds      *prometheus.HistogramVec
	records      *prometheus.CounterVec
	owned        prometheus.Gauge
	rebalances   prometheus.Counter
	protocol     *prometheus.GaugeVec
	cluster      atomic.Pointer[wire.Cluster]
	restored     *prometheus.CounterVec
}

// NewMetrics registers the producer's metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		transactions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "onelogin_transactions_total", Help: "Transactions by shard and result: committed, refused (not committed), fenced, operator (fenced by a change of positions by hand), unknown (found out by reading)."}, []string{"shard", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "onelogin_transaction_seconds", Help: "Time of committed transactions.",
			Buckets: []float64{.002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10}}, []string{"shard"}),
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "onelogin_transaction_records_total", Help: "Records in committed transactions, of all topics."}, []string{"shard"}),
		owned:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "onelogin_shards_owned", Help: "Shards this instance owns."}),
		rebalances: prometheus.NewCounter(prometheus.CounterOpts{Name: "onelogin_rebalances_total", Help: "Assignments received from the consumer group."}),
		protocol: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "onelogin_transaction_protocol_info", Help: "1 for the transaction protocol in use."}, []string{"protocol"}),
	}
	m.restored = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "onelogin_offsets_lost_total", Help: "How often a partition of the offsets topic was found to have lost committed positions, which were written again."}, []string{"shard"})
	reg.MustRegister(m.restored, m.transactions, m.seconds, m.records, m.owned, m.rebalances, m.protocol)
	for _, kind := range wire.Kinds() {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name:        "onelogin_kafka_throttled_seconds_total",
			Help:        "Time for which brokers wanted no more requests of a kind, since a quota was spent; brokers are added up.",
			ConstLabels: prometheus.Labels{"request": kind},
		}, func() float64 { return m.throttled(kind) }))
	}
	return m
}

func (m *Metrics) throttled(kind string) float64 {
	if c := m.cluster.Load(); c != nil {
		return c.Throttle(kind).Seconds()
	}
	return 0
}

// watch has the metrics tell of a cluster.
func (m *Metrics) watch(c *wire.Cluster) {
	if m != nil {
		m.cluster.Store(c)
	}
}

func (m *Metrics) transaction(shard int32, took time.Duration, offers []*offer, err error) {
	if m == nil {
		return
	}
	label := strconv.Itoa(int(shard))
	if err != nil {
		return // counted by recovery
	}
	m.transactions.WithLabelValues(label, "committed").Inc()
	m.seconds.WithLabelValues(label).Observe(took.Seconds())
	n := 0
	for _, o := range offers {
		n += len(o.batch.Records)
	}
	m.records.WithLabelValues(label).Add(float64(n))
}

// byOperator is the result of a transaction that an operator's change of a
// position has kept from being committed.
const byOperator = "operator"

// recovery counts why a shard is taken over again.
func (m *Metrics) recovery(shard int32, result string) {
	if m == nil {
		return
	}
	m.transactions.WithLabelValues(strconv.Itoa(int(shard)), result).Inc()
}

func (m *Metrics) cutOff(shard int32) {
	if m == nil {
		return
	}
	m.restored.WithLabelValues(strconv.Itoa(int(shard))).Inc()
}

func (m *Metrics) assigned(owned int) {
	if m == nil {
		return
	}
	m.owned.Set(float64(owned))
	m.rebalances.Inc()
}

func (m *Metrics) speaks(p Protocol) {
	if m == nil {
		return
	}
	m.protocol.Reset()
	m.protocol.WithLabelValues("v" + strconv.Itoa(int(p))).Set(1)
}
