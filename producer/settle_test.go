package producer

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/internal/proof/wait"
	"onelogin-kafka/producer/wire"
)

// createOn creates a topic of one replica, on one node.
func createOn(t testing.TB, k *kafkatest.Cluster, node *kafkatest.Node, topic string, partitions int32) {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 30_000
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, -1, -1
	for i := range partitions {
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		a.Partition, a.Replicas = i, []int32{int32(node.ID)}
		rt.ReplicaAssignment = append(rt.ReplicaAssignment, a)
	}
	one := kmsg.NewCreateTopicsRequestTopicConfig()
	one.Name, one.Value = "min.insync.replicas", new("1")
	rt.Configs = append(rt.Configs, one)
	req.Topics = append(req.Topics, rt)
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	res, err := req.RequestWith(patient(t), client)
	if err != nil || res.Topics[0].ErrorCode != 0 {
		t.Fatalf("creating topic %s on node %d: %v %+v", topic, node.ID, err, res)
	}
}

// A coordinator that finds a partition without a leader ends a transaction
// without a marker there. Whoever is next ends what that leaves open, as it was
// decided: a commit that nobody could read is read, what was aborted stays away,
// and neither depends on what becomes of the transaction after it.
func TestWhatACoordinatorLeavesOpenIsEnded(t *testing.T) {
	k := kafkatest.Shared(t, kafkas[V2])
	cluster, ctx := open(t, k.Brokers()...), patient(t)
	// One id each, all with one coordinator, so that another node can be away.
	ids := map[string]string{}
	var coordinator int32
	for i := 0; len(ids) < 3; i++ {
		id := named(t, string(rune('a'+i)))
		node, err := cluster.Coordinator(ctx, wire.TransactionCoordinator, id)
		if err != nil {
			t.Fatal(err)
		}
		if coordinator == 0 {
			coordinator = node
		}
		if node == coordinator {
			ids[[]string{"committed", "aborted", "resumed"}[len(ids)]] = id
		}
	}
	away := k.Node(int(coordinator)%3 + 1)
	events, offsets := named(t, "events"), named(t, "offsets")
	createOn(t, k, away, events, 3)
	createTopic(t, k.Brokers(), offsets, 3, nil)
	part := map[string]int32{"committed": 0, "aborted": 1, "resumed": 2}
	owner := func(c *wire.Cluster, name string) *transactor {
		txn := newTransactor(c, ids[name], V2)
		txn.home, txn.shared = partition{offsets, part[name]}, []string{events}
		return txn
	}
	write := func(txn *transactor, value string) map[partition][]recordBatch {
		i := txn.home.index
		return map[partition][]recordBatch{{events, i}: batchesOf(t, defaultLimit, value), {offsets, i}: batchesOf(t, defaultLimit, value)}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	first := map[string]*transactor{}
	for name := range ids {
		txn := owner(cluster, name)
		must(txn.init(ctx))
		b := write(txn, "first")
		must(txn.begin(ctx, maps.Keys(b)))
		must(txn.produce(ctx, b))
		first[name] = txn
	}

	must(away.Stop())
	wait.For(t, "the partition to be without a leader", patience, func() bool {
		must(cluster.Refresh(ctx))
		_, err := cluster.Leader(ctx, events, 0)
		return leaderless(err)
	})
	for _, name := range []string{"committed", "resumed"} {
		must(first[name].commit(ctx))
		first[name].last = &answered{partitions: slices.Collect(maps.Keys(write(first[name], ""))), link: cluster.Link(coordinator)}
	}
	second := owner(open(t, k.Brokers()...), "aborted")
	settled := make(chan error, 1)
	go func() { settled <- second.init(ctx) }()
	wait.For(t, "the transactions to be ended where there is a leader", patience, func() bool {
		open, err := undecided(ctx, cluster, []partition{{offsets, 0}, {offsets, 1}, {offsets, 2}})
		return err == nil && len(open) == 0
	})
	must(away.Start())
	must(k.WaitReady(ctx))
	must(<-settled)

	// The fault: two are open for good. The third was ended by who took it over, or is
	// before anything is written behind it, where the node was away for long.
	left := map[partition]int64{{events, 0}: 0, {events, 2}: 0}
	var got map[partition]int64
	wait.For(t, "the partitions to have a leader", patience, func() bool {
		must(cluster.Refresh(ctx))
		var err error
		got, err = undecided(ctx, cluster, []partition{{events, 0}, {events, 1}, {events, 2}})
		return err == nil
	})
	delete(got, partition{events, 1})
	if diff := cmp.Diff(left, got, cmp.AllowUnexported(partition{})); diff != "" {
		t.Fatalf("left open (-want +got):\n%s", diff)
	}

	third := owner(open(t, k.Brokers()...), "committed")
	must(third.init(ctx))
	// The coordinator went away meanwhile, as far as the one at work can tell.
	resumed := first["resumed"]
	resumed.last.link = cluster.Link(int32(away.ID))
	b := write(resumed, "second")
	must(resumed.begin(ctx, maps.Keys(b)))
	must(resumed.produce(ctx, b))
	// What begins behind them is aborted, and takes nothing with it; what was aborted does not come back.
	must(owner(open(t, k.Brokers()...), "resumed").init(ctx))
	b = write(second, "second")
	must(second.begin(ctx, maps.Keys(b)))
	must(second.finish(ctx, b))
	for name, want := range map[string][]string{"committed": {"first"}, "aborted": {"second"}, "resumed": {"first"}} {
		for _, topic := range []string{events, offsets} {
			if diff := cmp.Diff(want, committed(t, cluster, partition{topic, part[name]})); diff != "" {
				t.Errorf("%s on %s (-want +got):\n%s", name, topic, diff)
			}
		}
	}
}
