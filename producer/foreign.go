package producer

import (
	"context"
	"fmt"
	"strings"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/describegroups"

	"onelogin-kafka/producer/wire"
)

// protocolPrefix begins the name of every form of our group protocol.
const protocolPrefix = "onelogin-sticky-"

// mostForeigners bounds how many are named.
const mostForeigners = 3

// CheckGroup returns ErrForeignGroup (wrapped) if consumers that are no instances
// of this service are in a group.
func CheckGroup(ctx context.Context, cluster *wire.Cluster, group string) error {
	node, err := cluster.Coordinator(ctx, wire.GroupCoordinator, group)
	if err != nil {
		return err
	}
	res, err := cluster.Exchange(ctx, node, &describegroups.Request{Groups: []string{group}})
	if err != nil {
		return err
	}
	for _, g := range res.(*describegroups.Response).Groups {
		if err := wire.Denied(g.ErrorCode, "Read", wire.ResourceGroup, group); err != nil {
			return err
		}
		if g.ErrorCode != codeNone {
			return fmt.Errorf("describing group %s: %w", group, kafka.Error(g.ErrorCode))
		}
		if len(g.Members) == 0 || g.ProtocolData == "" || strings.HasPrefix(g.ProtocolData, protocolPrefix) {
			continue // empty, or in the middle of a rebalance
		}
		var names []string
		for _, m := range g.Members[:min(len(g.Members), mostForeigners)] {
			names = append(names, fmt.Sprintf("client id %.60q at %.60q", m.ClientID, m.ClientHost))
		}
		return fmt.Errorf("%w: group %s has %d members that speak %.60q (%s); give `group` a name of its own", ErrForeignGroup, group, len(g.Members), g.ProtocolData, strings.Join(names, ", "))
	}
	return nil
}
