package soak

import (
	"bufio"
	"net/http"
	"strings"
	"time"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/internal/proof/wait"
)

// tight is what an instance may have of each broker while quotas are on: less than it takes to catch up, more than events come.
var tight = kafkatest.Quota{"producer_byte_rate": 16 << 10, "consumer_byte_rate": 64 << 10}

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
		url, ok := in.URL()
		if !ok || in.Ended() {
			continue
		}
		client := http.Client{Timeout: answerWithin}
		res, err := client.Get(url + "/metrics")
		if err != nil {
			continue
		}
		hit := false
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			line := lines.Text()
			hit = hit || strings.HasPrefix(line, "onelogin_kafka_throttled_seconds_total{") && !strings.HasSuffix(line, " 0")
		}
		res.Body.Close()
		if hit {
			return true
		}
	}
	return false
}
