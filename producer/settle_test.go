package producer

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
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
		txn.timeout = time.Minute // a node may take its time to stop
		must(txn.init(ctx))
		b := write(txn, "first")
		must(txn.begin(ctx, maps.Keys(b)))
		txn.last = &answered{partitions: slices.Collect(maps.Keys(b))}
		txn.last.links = txn.links(ctx, txn.last.partitions)
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
	// The one at work has noticed that a leader went away; its coordinator did not.
	resumed := first["resumed"]
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

// leaver is a cluster that leaves a transaction open on one partition, as far as
// anybody can tell, until a marker comes there.
type leaver struct {
	*kfake.Cluster
	left partition

	mu      sync.Mutex
	away    bool   // the leader does not answer
	again   int    // how often it was asked for more all the same
	unseen  int    // how often the coordinator does not know of it
	state   string // of the transactional id; "" = as it is
	touched bool   // by the transaction that is open
	markers []bool // what ended it there, or whatever it touches: commit
	settled bool
}

func leaves(t *testing.T, left partition) *leaver {
	l := &leaver{Cluster: fake(t), left: left}
	hook := func(key kmsg.Key, do func(kmsg.Request) kmsg.Response) {
		l.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
			l.KeepControl()
			l.mu.Lock()
			defer l.mu.Unlock()
			res := do(req)
			return res, nil, res != nil
		})
	}
	hook(kmsg.ListOffsets, func(req kmsg.Request) kmsg.Response {
		r := req.(*kmsg.ListOffsetsRequest)
		if l.settled {
			return nil
		}
		res := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, topic := range r.Topics {
			p := kmsg.NewListOffsetsResponseTopicPartition()
			if p.Offset = 2; topic.Topic == left.topic {
				p.Offset -= 2 * int64(r.IsolationLevel)
				if l.away {
					p.ErrorCode = codeLeaderNotAvailable
					l.again += 1 - int(r.IsolationLevel)
				}
			}
			res.Topics = append(res.Topics, kmsg.ListOffsetsResponseTopic{Topic: topic.Topic, Partitions: []kmsg.ListOffsetsResponseTopicPartition{p}})
		}
		return res
	})
	hook(kmsg.Metadata, func(req kmsg.Request) kmsg.Response {
		r := req.(*kmsg.MetadataRequest)
		if l.unseen == 0 || len(r.Topics) != 1 || *r.Topics[0].Topic != left.topic {
			return nil
		}
		l.unseen--
		res := req.ResponseKind().(*kmsg.MetadataResponse)
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Partition, p.Leader, p.ErrorCode = left.index, -1, codeLeaderNotAvailable
		res.Topics = []kmsg.MetadataResponseTopic{{Topic: &left.topic, Partitions: []kmsg.MetadataResponseTopicPartition{p}}}
		return res
	})
	hook(kmsg.DescribeTransactions, func(req kmsg.Request) kmsg.Response {
		if l.state == "" {
			return nil
		}
		res := req.ResponseKind().(*kmsg.DescribeTransactionsResponse)
		s := kmsg.NewDescribeTransactionsResponseTransactionState()
		s.TransactionalID, s.State = req.(*kmsg.DescribeTransactionsRequest).TransactionalIDs[0], l.state
		res.TransactionStates = append(res.TransactionStates, s)
		return res
	})
	hook(kmsg.AddPartitionsToTxn, func(req kmsg.Request) kmsg.Response {
		for _, topic := range req.(*kmsg.AddPartitionsToTxnRequest).Topics {
			l.touched = l.touched || topic.Topic == left.topic
		}
		return nil
	})
	hook(kmsg.EndTxn, func(req kmsg.Request) kmsg.Response {
		l.markers = append(l.markers, req.(*kmsg.EndTxnRequest).Commit)
		l.settled = l.settled || l.touched && l.unseen == 0
		l.touched = false
		return nil
	})
	return l
}

// leavesHome is a cluster that leaves a transaction open where its owner writes, and
// that owner, who knows of the leader there.
func leavesHome(t *testing.T) (*leaver, *transactor) {
	t.Helper()
	home := partition{named(t, "events"), 0}
	l := leaves(t, home)
	createTopic(t, l.ListenAddrs(), home.topic, 1, nil)
	txn := newTransactor(open(t, l.ListenAddrs()...), named(t, "id"), V2)
	txn.home = home
	if _, err := txn.cluster.Leader(patient(t), home.topic, home.index); err != nil {
		t.Fatal(err)
	}
	return l, txn
}

// set changes how the cluster is, and returns how transactions were ended since
// the last time.
func (l *leaver) set(away bool, unseen int, state string) []bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	ended := l.markers
	l.away, l.unseen, l.state, l.markers = away, unseen, state, nil
	return ended
}

// What is owed to a partition whose leader does not answer is paid as it was
// decided, whatever is committed elsewhere meanwhile, and the coordinator is made
// to remember it for whoever comes next.
func TestWhatIsOwedKeepsItsFate(t *testing.T) {
	ctx := patient(t)
	events, home := partition{named(t, "events"), 0}, partition{named(t, "offsets"), 0}
	l := leaves(t, events)
	for _, p := range []partition{events, home} {
		createTopic(t, l.ListenAddrs(), p.topic, 1, nil)
	}
	txn := newTransactor(open(t, l.ListenAddrs()...), named(t, "id"), V2)
	txn.home, txn.shared = home, []string{events.topic}
	takeOver := func() {
		t.Helper()
		if err := txn.claim(ctx); err != nil {
			t.Fatal(err)
		}
		if err := txn.settle(ctx, 0, home); err != nil {
			t.Fatal(err)
		}
	}
	ended := func(step string, got []bool, want ...bool) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s: the transactions ended with a commit (-want +got):\n%s", step, diff)
		}
	}
	l.set(true, 0, "CompleteAbort")
	takeOver()
	ended("taking over what was aborted", l.set(true, 0, ""), false) // remembered
	if err := txn.write(ctx, map[partition][]recordBatch{home: batchesOf(t, defaultLimit, "one")}); err != nil {
		t.Fatal(err)
	}
	ended("writing elsewhere", l.set(true, 0, "CompleteCommit"), true)
	takeOver()
	ended("taking over again", l.set(false, 0, ""), false)
	if err := txn.write(ctx, map[partition][]recordBatch{events: batchesOf(t, defaultLimit, "two")}); err != nil {
		t.Fatal(err)
	}
	ended("writing behind it", l.set(false, 0, ""), false, true)
	if l.again > 0 {
		t.Errorf("a leader that did not answer was asked for more %d times", l.again)
	}
}

// A coordinator that does not know yet of a partition's leader would leave it out
// again: it is waited for.
func TestACoordinatorIsWaitedForThatKnowsOfNoLeader(t *testing.T) {
	l, txn := leavesHome(t)
	l.set(false, 1, "CompleteCommit")
	if err := txn.init(patient(t)); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.settled || l.unseen != 0 {
		t.Errorf("settled %v, and the coordinator has yet to be asked %d times", l.settled, l.unseen)
	}
}

// Who is to stop while it settles still ends the transaction that it has begun for
// that: the next owner would abort it, and with it what was committed.
func TestWhatIsBeingSettledIsSettledThoughItsOwnerIsToStop(t *testing.T) {
	l, txn := leavesHome(t)
	l.set(false, 0, "CompleteCommit")
	ctx, stop := context.WithCancel(patient(t))
	l.ControlKey(int16(kmsg.AddPartitionsToTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
		stop()
		return nil, nil, false
	})
	_ = txn.init(ctx) // whether it is told or not
	if ctx.Err() == nil {
		t.Error("nobody was to stop")
	}
	if diff := cmp.Diff([]bool{true}, l.set(false, 0, "")); diff != "" {
		t.Errorf("the transactions ended with a commit (-want +got):\n%s", diff)
	}
}
