package producer

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go/protocol"

	"onelogin-kafka/internal/proof/faultproxy"
	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/internal/proof/wait"
	"onelogin-kafka/producer/wire"
)

// serving lists the shards an instance serves.
func (r *running) serving() []int32 {
	var shards []int32
	for _, s := range r.Shards() {
		if s.State == Serving {
			shards = append(shards, s.Shard)
		}
	}
	slices.Sort(shards)
	return shards
}

// serves waits until an instance serves as many shards as that, and returns
// them.
func (r *running) serves(n int) []int32 {
	r.t.Helper()
	waitFor(r.t, "the shards of "+r.Config.Instance, func() bool { return len(r.serving()) == n && r.Ready() == nil })
	return r.serving()
}

// counted adds a fault that hits nothing and counts requests.
func counted(proxy *faultproxy.Set, key protocol.ApiKey) *faultproxy.Handle {
	return proxy.Add(faultproxy.Fault{Kind: faultproxy.DropRequest, Key: int16(key), Nth: 1 << 30})
}

func allShards(n int32) []int32 {
	var all []int32
	for s := range n {
		all = append(all, s)
	}
	return all
}

func both(a, b []int32) []int32 {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return all
}

const testShards = 4

func TestShardsMoveWithMembers(t *testing.T) {
	k := kafkatest.Shared(t, kafkas[V2])
	topics, group, direct := testTopics(t, testShards, 3), named(t, "group"), wire.Config{Brokers: k.Brokers()}
	f := newFeed(t, 1)
	one := run(t, group, "one", topics, direct, f)
	one.serves(testShards)
	f.progress(t, 3, allShards(testShards)...)

	two := run(t, group, "two", topics, direct, f)
	moved, kept := two.serves(testShards/2), one.serves(testShards/2)
	if diff := cmp.Diff(allShards(testShards), both(moved, kept)); diff != "" {
		t.Errorf("shards of both (-want +got):\n%s", diff)
	}
	f.progress(t, 3, allShards(testShards)...)
	for _, s := range kept {
		if got := f.get(f.sessions, s); got != 1 {
			t.Errorf("shard %d stayed and was served anew: %d sessions", s, got)
		}
	}
	for _, s := range moved {
		if got := f.get(f.running, s); got != 1 {
			t.Errorf("shard %d is served %d times at once", s, got)
		}
	}

	two.stop()
	one.serves(testShards)
	f.progress(t, 3, allShards(testShards)...)
	for _, s := range kept {
		if got := f.get(f.sessions, s); got != 1 {
			t.Errorf("shard %d stayed and was served anew: %d sessions", s, got)
		}
	}
	one.stop()
	f.audit(t, k.Brokers(), topics)
}

// An instance that was killed and starts again is back with its shards before
// its session ends, and the others do not even join again.
func TestKilledAndStartedAgain(t *testing.T) {
	k := kafkatest.Shared(t, kafkas[V2])
	topics, group := testTopics(t, testShards, 3), named(t, "group")
	proxy, proxied := behind(t, k)
	otherProxy, otherProxied := behind(t, k)
	f := newFeed(t, 2)
	one := run(t, group, "one", topics, proxied, f)
	one.serves(testShards)
	two := run(t, group, "two", topics, otherProxied, f)
	others, own := two.serves(testShards/2), one.serves(testShards/2)
	f.progress(t, 2, allShards(testShards)...)
	joins := counted(otherProxy, protocol.JoinGroup)
	sessions := map[int32]int{}
	for _, s := range others {
		sessions[s] = f.get(f.sessions, s)
	}

	// Dead for everyone else: no connection, old or new.
	if err := proxy.Close(); err != nil {
		t.Fatal(err)
	}
	killed := wait.Begin()
	again := run(t, group, "one", topics, wire.Config{Brokers: k.Brokers()}, f)
	if diff := cmp.Diff(own, again.serves(testShards/2)); diff != "" {
		t.Errorf("shards after the restart (-want +got):\n%s", diff)
	}
	took := killed.Passed()
	t.Logf("back after %v", killed)
	if took > sessionTimeout {
		t.Errorf("back after %v of the machine's time, want before the session's end at %v", took, sessionTimeout)
	}
	f.progress(t, 2, allShards(testShards)...)
	if got := joins.Seen(); got != 0 {
		t.Errorf("the other member joined again %d times", got)
	}
	for _, s := range others {
		if got := f.get(f.sessions, s); got != sessions[s] {
			t.Errorf("shard %d of the other member was served anew", s)
		}
	}
	one.cancel()
	<-one.done
	again.stop()
	two.stop()
	f.audit(t, k.Brokers(), topics)
}

func TestTwoInstancesOfOneName(t *testing.T) {
	k := kafkatest.Shared(t, kafkas[V2])
	topics, group, direct := testTopics(t, testShards, 3), named(t, "group"), wire.Config{Brokers: k.Brokers()}
	older, newer := newFeed(t, 3), newFeed(t, 4)
	first := run(t, group, "same", topics, direct, older, ErrInstanceFenced)
	first.serves(testShards)
	older.progress(t, 2, allShards(testShards)...)
	second := run(t, group, "same", topics, direct, newer)
	select {
	case <-first.done:
	case <-patient(t).Done():
		t.Fatal("the older instance goes on")
	}
	second.serves(testShards)
	newer.progress(t, 2, allShards(testShards)...)
	second.stop()
	newer.audit(t, k.Brokers(), topics)
}

// An instance whose heartbeats get no answer loses its shards, writes nothing
// from then on, and comes back when it is heard again.
func TestAnInstanceThatIsNotHeard(t *testing.T) {
	k := kafkatest.Shared(t, kafkas[V2])
	topics, group := testTopics(t, testShards, 3), named(t, "group")
	proxy, proxied := behind(t, k)
	mute, heard := newFeed(t, 5), newFeed(t, 6)
	one := run(t, group, "one", topics, proxied, mute)
	one.serves(testShards)
	two := run(t, group, "two", topics, wire.Config{Brokers: k.Brokers()}, heard)
	two.serves(testShards / 2)
	shards := one.serves(testShards / 2)
	mute.progress(t, 2, shards...)

	heal := make(chan struct{})
	lost := proxy.Add(faultproxy.Fault{Kind: faultproxy.DelayRequest, Key: int16(protocol.Heartbeat), Until: heal})
	two.serves(testShards)
	heard.progress(t, 5, allShards(testShards)...)
	if lost.Hits() == 0 {
		t.Error("no heartbeat was held back")
	}
	waitFor(t, "the fencing of the instance that is not heard", func() bool { return len(one.serving()) == 0 })
	commits := map[int32]int{}
	for _, s := range shards {
		commits[s] = mute.get(mute.commits, s)
	}
	heard.progress(t, 10, shards...)
	for _, s := range shards {
		if got := mute.get(mute.commits, s); got != commits[s] {
			t.Errorf("shard %d: %d more batches committed by the instance that lost it", s, got-commits[s])
		}
	}
	if one.Ready() == nil {
		t.Error("the instance that is not heard calls itself ready")
	}

	proxy.Remove(lost)
	close(heal)
	one.serves(testShards / 2)
	two.serves(testShards / 2)
	mute.progress(t, 3, one.serving()...)
	heard.progress(t, 3, two.serving()...)
	one.stop()
	two.stop()
	heard.audit(t, k.Brokers(), topics)
	mute.audit(t, k.Brokers(), topics)
}

// An instance that is told to stop while the answer to its join is on its way
// is a member without knowing it. Its shards must not wait for its session's
// end.
func TestStoppedWhileJoining(t *testing.T) {
	k := kafkatest.Shared(t, kafkas[V2])
	topics, group := testTopics(t, testShards, 3), named(t, "group")
	proxy, proxied := behind(t, k)
	f := newFeed(t, 7)
	one := run(t, group, "one", topics, wire.Config{Brokers: k.Brokers()}, f)
	one.serves(testShards)

	release := make(chan struct{})
	held := proxy.Add(faultproxy.Fault{Kind: faultproxy.DelayAnswer, Key: int16(protocol.JoinGroup), Until: release})
	two := run(t, group, "two", topics, proxied, f)
	select {
	case <-held.Hit():
	case <-patient(t).Done():
		t.Fatal("no answer to a join was held back")
	}
	two.stop()
	left, err := admin(t, k.Brokers()).DescribeGroups(patient(t), group)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range left[group].Members {
		if m.InstanceID == nil || *m.InstanceID != "one" {
			t.Errorf("still a member: %s", m.MemberID)
		}
	}
	close(release)
	one.serves(testShards)
	f.progress(t, 3, allShards(testShards)...)
	one.stop()
	f.audit(t, k.Brokers(), topics)
}
