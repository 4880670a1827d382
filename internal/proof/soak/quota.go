package soak

import (
	"strings"
	"time"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/internal/proof/wait"
)

// tight is what an instance may have of each broker while quotas are on: less than it takes to catch up, more than events come.
var tight = kafkatest.Quota{"producer_byte_rate": 32 << 10, "consumer_byte_rate": 64 << 10}

// held is how much longer a tenant may take under them: a broker hears nothing of a client, by whatever connection, until its rate
// over 11 s is the quota again. After a transaction of a megabyte that is half a minute.
const held = 45 * time.Second

// quotas sets the bounds of the instances, or lifts them.
func (w *World) quotas(on bool, instances ...string) error {
	ctx, cancel := wait.Within(w.tb.Context(), 30*time.Second)
	defer cancel()
	if on {
		return w.plan.Cluster.SetQuota(ctx, tight, instances...)
	}
	return w.plan.Cluster.LiftQuota(ctx, tight, instances...)
}

// throttled tells whether a running instance was held back by a quota since it was started.
func (w *World) throttled() bool {
	for _, in := range w.all() {
		if in.Ended() {
			continue
		}
		text, err := in.metrics()
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "onelogin_kafka_throttled_seconds_total{") && !strings.HasSuffix(strings.TrimSuffix(line, "\n"), " 0") {
				return true
			}
		}
	}
	return false
}
