package service

import (
	"encoding/hex"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"onelogin-kafka/internal/build"
	"onelogin-kafka/schemas"
)

// collector shows what the service knows at the moment it is asked.
type collector struct {
	s *Service

	owned, since, configured, unconfigured, aside, kept, config, reloaded, reloadedAt, build *prometheus.Desc
	shadowed, sealed                                                                         *prometheus.Desc
	state, lag, remaining                                                                    *prometheus.Desc
	edgeRate, edgeWaiting, edgeRefused                                                       *prometheus.Desc
}

func newCollector(s *Service) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &collector{
		s:            s,
		owned:        desc("onelogin_shard_owned", "1 for each shard this instance owns.", "shard"),
		since:        desc("onelogin_shard_owned_since_timestamp_seconds", "Since when this instance owns the shard.", "shard"),
		configured:   desc("onelogin_connectors_configured", "Connectors in this instance's configuration."),
		unconfigured: desc("onelogin_connectors_unconfigured", "Connectors of this instance's shards that it has no configuration for: nobody polls them."),
		aside:        desc("onelogin_connectors_set_aside", "Connectors that cannot be polled as they are configured; those that are polled run on with the last good configuration.", "connector", "file", "polled"),
		kept:         desc("onelogin_connectors_kept", "Connectors whose files have gone with more than half of the folder's, and that run on for five minutes."),
		config:       desc("onelogin_config_info", "1; the label is the beginning of the SHA-256 over what of the configuration in use is to be the same on all instances.", "sha256"),
		reloaded:     desc("onelogin_config_last_reload_successful", "1 if the configuration last read is in use, but for what is set aside; 0 if it was refused."),
		build:        desc("onelogin_build_info", "1; the labels are the version and the commit that this instance was built from, and Go's version.", "version", "commit", "goversion"),
		reloadedAt:   desc("onelogin_config_last_reload_success_timestamp_seconds", "When a configuration was last taken into use."),
		shadowed:     desc("onelogin_connectors_shadowed", "Connectors of the control log that are not used, as a file has one of their name.", "connector"),
		sealed:       desc("onelogin_sealed_secrets", "Connectors of the control log by the key that their client secret is sealed for, and whether this instance has it.", "key_id", "held"),
		state:        desc("onelogin_state", "1 for the connector's state, 0 for the others.", "connector", "state"),
		lag:          desc("onelogin_lag_seconds", "How far what is committed lies behind what the API may show.", "connector"),
		remaining:    desc("onelogin_rate_limit_remaining", "API calls left in the account's window.", "connector"),
		edgeRate:     desc("onelogin_edge_calls_per_second", "The pace of all calls of this instance to one edge that refused some; 0 = as many as come.", "edge"),
		edgeWaiting:  desc("onelogin_edge_calls_waiting", "Calls that wait for their turn at an edge that refused some.", "edge"),
		edgeRefused:  desc("onelogin_edge_refused_total", "Calls that an edge refused because too many came from this address.", "edge"),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.owned, c.since, c.configured, c.unconfigured, c.aside, c.kept, c.config, c.reloaded, c.reloadedAt, c.build, c.shadowed, c.sealed, c.state, c.lag, c.remaining, c.edgeRate, c.edgeWaiting, c.edgeRefused} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for _, sh := range c.s.Shards() {
		label := strconv.Itoa(int(sh.Shard))
		gauge(c.owned, 1, label)
		gauge(c.since, float64(sh.Since.UnixMilli())/1e3, label)
	}
	gauge(c.configured, float64(len(c.s.snapshot())))
	gauge(c.unconfigured, float64(len(c.s.absent.all())))
	for labels, n := range c.s.setAsides() {
		gauge(c.aside, float64(n), labels[:]...)
	}
	gauge(c.kept, float64(c.s.reload.keeping()))
	ok, at, sum := c.s.reload.last()
	b := build.Read()
	gauge(c.build, 1, b.Version, b.Commit, b.Go)
	gauge(c.config, 1, hex.EncodeToString(sum[:6]))
	successful := 0.0
	if ok {
		successful = 1
	}
	gauge(c.reloaded, successful)
	gauge(c.reloadedAt, float64(at.UnixMilli())/1e3)
	for _, name := range c.s.Shadowed() {
		gauge(c.shadowed, 1, name)
	}
	ring := c.s.control.Ring()
	for id, n := range c.s.control.keysInUse() {
		gauge(c.sealed, float64(n), id, strconv.FormatBool(ring.Has(id)))
	}
	c.connectors(gauge)
	for _, e := range c.s.edges.States() {
		gauge(c.edgeRate, e.Rate, e.Edge)
		gauge(c.edgeWaiting, float64(e.Waiting), e.Edge)
		ch <- prometheus.MustNewConstMetric(c.edgeRefused, prometheus.CounterValue, float64(e.Refused), e.Edge)
	}
}

// connectors shows how they fare now, whatever has become of their polls.
func (c *collector) connectors(gauge func(d *prometheus.Desc, value float64, labels ...string)) {
	for _, st := range c.s.configured() {
		for _, state := range schemas.States {
			value := 0.0
			if state == st.State {
				value = 1
			}
			gauge(c.state, value, st.Connector, string(state))
		}
		if st.LagSeconds >= 0 {
			gauge(c.lag, st.LagSeconds, st.Connector)
		}
		if st.RateLimit.Limit > 0 {
			gauge(c.remaining, float64(st.RateLimit.Remaining), st.Connector)
		}
	}
}
