package wire

import (
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// Throttled returns until when a broker wants no more requests of key's kind,
// because a quota is spent (KIP-219); the zero time if it never said so. Until
// then it leaves a connection unread that brought it such a request; other
// connections still reach it, at the price of a longer wait later.
func (c *Cluster) Throttled(node int32, key protocol.ApiKey) time.Time {
	addr, ok := c.known.address(node)
	if !ok {
		return time.Time{}
	}
	return c.broker(addr).throttled(laneOf(key))
}

// Throttle returns for how long brokers have wanted no more requests since the
// Cluster was opened, by kind of requests: control, transaction, produce,
// fetch. Brokers are added up.
func (c *Cluster) Throttle() map[string]time.Duration {
	by := make(map[string]time.Duration, numLanes)
	for l, name := range laneNames {
		by[name] = time.Duration(c.throttle[l].Load())
	}
	return by
}
