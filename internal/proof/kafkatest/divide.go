package kafkatest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"onelogin-kafka/internal/proof/faultproxy"
)

// divide puts a proxy between the nodes.
func (c *Cluster) divide() error {
	var routes []faultproxy.Route
	for _, n := range c.nodes {
		routes = append(routes,
			faultproxy.Route{Node: n.ID, Listen: local(n.peers), Target: local(n.peersBehind)},
			faultproxy.Route{Node: n.ID, Listen: local(n.voter), Target: local(n.controller)})
	}
	var err error
	if c.between, err = faultproxy.Start(routes); err != nil {
		return fmt.Errorf("putting a proxy between the nodes: %w", err)
	}
	return nil
}

// voterPort is where the others reach the node's controller.
func (n *Node) voterPort() int {
	if n.cluster.opts.Divisible {
		return n.voter
	}
	return n.controller
}

// CutOff divides a node from its peers in both directions, as a broken network between brokers does: clients still reach it, and it
// answers them by what it knew. heal may be called more than once; it is called when the test ends.
func (n *Node) CutOff(tb testing.TB) (heal func()) {
	tb.Helper()
	if n.cluster.between == nil {
		tb.Fatal("cutting a node off needs Options.Divisible")
	}
	id := strconv.Itoa(n.ID)
	to := n.cluster.between.Partition(faultproxy.Filter{Node: n.ID}, faultproxy.Both)
	// Brokers name themselves in their client ids: broker-1-fetcher-0, raft-client-1, 1.
	from := n.cluster.between.Partition(faultproxy.Filter{Client: func(client string) bool {
		return slices.Contains(strings.FieldsFunc(client, func(r rune) bool { return r == '-' || r == ' ' || r == '=' }), id)
	}}, faultproxy.Both)
	heal = func() { to(); from() }
	tb.Cleanup(heal)
	return heal
}
