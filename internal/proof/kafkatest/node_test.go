package kafkatest_test

import (
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"onelogin-kafka/internal/proof/kafkatest"
)

// readAll reads a topic until it has n different values, and counts each.
func readAll(t *testing.T, brokers []string, topic string, n int) map[string]int {
	t.Helper()
	reader := client(t, brokers, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	got := map[string]int{}
	for len(got) < n {
		fetches := reader.PollFetches(ctx(t))
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { got[string(r.Value)]++ })
	}
	return got
}

func TestNodeMoves(t *testing.T) {
	cluster := kafkatest.Shared(t, kafkatest.Options{})
	topic := createTopic(t, client(t, cluster.Brokers()), 3)
	transact(t, cluster.Brokers(), topic, "before")
	n := cluster.Node(2)
	old := n.Addr()
	if err := n.Move(); err != nil {
		t.Fatal(err)
	}
	if err := cluster.WaitReady(ctx(t)); err != nil {
		t.Fatal(err)
	}
	if n.Addr() == old {
		t.Errorf("the node is still at %s", old)
	}
	if conn, err := net.Dial("tcp", old); err == nil {
		conn.Close()
		t.Errorf("something still listens at %s", old)
	}
	produce(t, client(t, []string{n.Addr()}), topic, "after")
	got := readAll(t, []string{n.Addr()}, topic, 2)
	if diff := cmp.Diff(map[string]int{"before": 1, "after": 1}, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}
