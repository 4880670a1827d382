package wire

import (
	"slices"
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

// Throttle returns for how long brokers have wanted no more requests of one of
// Kinds since the Cluster was opened. Brokers are added up.
func (c *Cluster) Throttle(kind string) time.Duration {
	return time.Duration(c.throttle[slices.Index(laneNames[:], kind)].Load())
}

// Kinds are the kinds of requests that are throttled apart from each other.
func Kinds() []string { return slices.Clone(laneNames[:]) }
