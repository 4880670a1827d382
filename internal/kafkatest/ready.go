package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// WaitReady waits until every live node names all live nodes as brokers and the coordinators of transactions and
// groups answer.
// A node that was just killed or paused may be named for a session timeout (6 s) more: that is no obstacle.
func (c *Cluster) WaitReady(ctx context.Context) error {
	want := map[int32]bool{}
	for _, n := range c.nodes {
		if n.Alive() {
			want[int32(n.ID)] = true
		}
	}
	for _, n := range c.nodes {
		if !n.Alive() {
			continue
		}
		if err := c.waitNode(ctx, n, want); err != nil {
			return fmt.Errorf("waiting for Kafka node %d: %w\n%s", n.ID, err, n.Log(15))
		}
	}
	return nil
}

func (c *Cluster) waitNode(ctx context.Context, n *Node, want map[int32]bool) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(n.Addr()), kgo.RequestRetries(0))
	if err != nil {
		return err
	}
	defer client.Close()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := registered(ctx, client, want)
		if err == nil {
			err = coordinates(ctx, client)
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

func registered(ctx context.Context, client *kgo.Client, want map[int32]bool) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	answer, err := client.SeedBrokers()[0].Request(ctx, kmsg.NewPtrMetadataRequest())
	if err != nil {
		return err
	}
	named := map[int32]bool{}
	for _, b := range answer.(*kmsg.MetadataResponse).Brokers {
		named[b.NodeID] = true
	}
	for id := range want {
		if !named[id] {
			return fmt.Errorf("node %d is not registered", id)
		}
	}
	return nil
}

// coordinates asks for the identity of a transactional id of its own: that needs the transaction log with its replicas in sync.
func coordinates(ctx context.Context, client *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	id := "kafkatest-ready"
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID = &id
	req.TransactionTimeoutMillis = 10_000
	answer, err := req.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return err
	}
	// The first question for a group's coordinator makes the brokers create the topic of the groups.
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKey = id
	find.CoordinatorKeys = []string{id}
	group, err := find.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	if len(group.Coordinators) > 0 {
		return kerr.ErrorForCode(group.Coordinators[0].ErrorCode)
	}
	return kerr.ErrorForCode(group.ErrorCode)
}
