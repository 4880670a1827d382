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

// WaitReady waits until every live node names all live nodes as brokers, every partition with enough live replicas can be
// written, and the coordinators of transactions and groups answer.
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
		err := c.registered(ctx, client, want)
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

func (c *Cluster) registered(ctx context.Context, client *kgo.Client, want map[int32]bool) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	answer, err := client.SeedBrokers()[0].Request(ctx, kmsg.NewPtrMetadataRequest())
	if err != nil {
		return err
	}
	metadata := answer.(*kmsg.MetadataResponse)
	named := map[int32]bool{}
	for _, b := range metadata.Brokers {
		named[b.NodeID] = true
	}
	for id := range want {
		if !named[id] {
			return fmt.Errorf("node %d is not registered", id)
		}
	}
	for i := range metadata.Topics {
		if err := c.writable(&metadata.Topics[i], want); err != nil {
			return err
		}
	}
	return nil
}

// writable tells whether each partition of a topic has a leader and enough replicas in sync, as far as live nodes can give it
// that. After all nodes have failed at once that takes longer than their registration.
func (c *Cluster) writable(t *kmsg.MetadataResponseTopic, live map[int32]bool) error {
	count := func(nodes []int32) (n int) {
		for _, id := range nodes {
			if live[id] {
				n++
			}
		}
		return n
	}
	for i := range t.Partitions {
		p := &t.Partitions[i]
		need := min(count(p.Replicas), c.inSync())
		if need == 0 {
			continue
		}
		if !live[p.Leader] {
			return fmt.Errorf("%s/%d has no leader", *t.Topic, p.Partition)
		}
		if got := count(p.ISR); got < need {
			return fmt.Errorf("%s/%d has %d replicas in sync of %d", *t.Topic, p.Partition, got, need)
		}
	}
	return nil
}

// GroupCoordinator is the node that coordinates a consumer group.
func (c *Cluster) GroupCoordinator(ctx context.Context, group string) (*Node, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers()...))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	id, err := coordinator(ctx, client, group)
	if err != nil {
		return nil, fmt.Errorf("finding the coordinator of group %s: %w", group, err)
	}
	return c.Node(int(id)), nil
}

func coordinator(ctx context.Context, client *kgo.Client, group string) (int32, error) {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey = group
	req.CoordinatorKeys = []string{group}
	answer, err := req.RequestWith(ctx, client)
	if err != nil {
		return -1, err
	}
	if len(answer.Coordinators) > 0 {
		return answer.Coordinators[0].NodeID, kerr.ErrorForCode(answer.Coordinators[0].ErrorCode)
	}
	return answer.NodeID, kerr.ErrorForCode(answer.ErrorCode)
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
	_, err = coordinator(ctx, client, id)
	return err
}
