package kafkatest_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/internal/proof/wait"
)

// leaders is what one node tells of who leads a topic's partitions.
func leaders(t *testing.T, n *kafkatest.Node, topic string) map[int32]int32 {
	t.Helper()
	c := client(t, []string{n.Addr()}, kgo.RequestRetries(0))
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = &topic
	req.Topics = append(req.Topics, rt)
	answer, err := c.SeedBrokers()[0].Request(ctx(t), req)
	if err != nil {
		t.Fatal(err)
	}
	by := map[int32]int32{}
	for _, p := range answer.(*kmsg.MetadataResponse).Topics[0].Partitions {
		by[p.Partition] = p.Leader
	}
	return by
}

// A node that is cut off from its peers goes on answering with what it knew,
// while the others elect leaders among themselves; afterwards all agree again.
func TestCutOff(t *testing.T) {
	k := kafkatest.Start(t, kafkatest.Options{Divisible: true})
	topic := createTopic(t, client(t, k.Brokers()), 3)
	const cut = int32(3)
	node := k.Node(int(cut))
	led := func(n *kafkatest.Node) (by int) {
		for _, leader := range leaders(t, n, topic) {
			if leader == cut {
				by++
			}
		}
		return by
	}
	wait.For(t, "the node to lead partitions", time.Minute, func() bool { return led(k.Node(1)) > 0 })
	before := leaders(t, node, topic)
	heal := node.CutOff(t)
	began := wait.Begin()
	for _, other := range []int{1, 2} {
		wait.For(t, "the others to take its partitions over", time.Minute, func() bool { return led(k.Node(other)) == 0 })
	}
	t.Logf("taken over after %v", began)
	for p, leader := range leaders(t, node, topic) {
		if leader != before[p] {
			t.Errorf("the node that was cut off says that %d leads partition %d, want what it knew: %d", leader, p, before[p])
		}
	}
	heal()
	wait.For(t, "the node to know better", time.Minute, func() bool { return led(node) == 0 })
	if err := k.WaitReady(ctx(t)); err != nil {
		t.Error(err)
	}
}
