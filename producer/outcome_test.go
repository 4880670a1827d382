package producer

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"golang.org/x/sync/semaphore"

	"onelogin-kafka/internal/proof/faultproxy"
	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// rpc is a request whose outcome is made unknown.
type rpc struct {
	key protocol.ApiKey
	// patience is longer than ours with this request.
	patience time.Duration
	// provoked tells what makes an instance at work send it.
	provoked provocation
}

type provocation int

const (
	always     provocation = iota // nothing is needed
	byTakeOver                    // a take-over
	byDoubt                       // a take-over with a failed read
	byJoining                     // another member of the group
)

var rpcs = []rpc{
	{protocol.AddPartitionsToTxn, writeTimeout, always},
	{protocol.Produce, writeTimeout, always},
	{protocol.EndTxn, writeTimeout, always},
	{protocol.InitProducerId, initTimeout, byTakeOver},
	{protocol.Fetch, readTimeout, byTakeOver},
	{protocol.ListOffsets, readTimeout, byTakeOver},
	{protocol.FindCoordinator, 3 * time.Second, byTakeOver},
	{protocol.Metadata, 3 * time.Second, byDoubt},
	{protocol.Heartbeat, heartbeatTimeout, always},
	{protocol.JoinGroup, rebalanceTimeout + sessionTimeout, byJoining},
	{protocol.SyncGroup, rebalanceTimeout + sessionTimeout, byJoining},
}

var faultKinds = []struct {
	name string
	kind faultproxy.Kind
}{
	{"answer lost", faultproxy.DropAnswer},
	{"request lost", faultproxy.DropRequest},
	{"answer late", faultproxy.DelayAnswer},
	{"request late", faultproxy.DelayRequest},
	{"answer torn", faultproxy.TearAnswer},
}

// atOnce is how many instances run side by side: most of the time they wait.
const atOnce = 14

// Whatever becomes of any request, every number is in the topic once and in
// order, the offset is their count, and the work goes on.
func TestUnknownOutcomes(t *testing.T) {
	limit := semaphore.NewWeighted(atOnce)
	var wg sync.WaitGroup
	clusters := map[Protocol]*kafkatest.Cluster{V2: kafkatest.Shared(t, kafkas[V2]), V1: kafkatest.Shared(t, kafkas[V1])}
	for _, p := range []Protocol{V2, V1} {
		for i, r := range rpcs {
			if p == V1 && i > 3 {
				break // the others are the same in both protocols
			}
			for _, k := range faultKinds {
				if err := limit.Acquire(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
				wg.Go(func() {
					defer limit.Release(1)
					t.Run(fmt.Sprintf("v%d/%s/%s", p, r.key, k.name), func(t *testing.T) { unknownOutcome(t, clusters[p], r, k.kind) })
				})
			}
		}
	}
	wg.Wait()
}

func unknownOutcome(t *testing.T, k *kafkatest.Cluster, r rpc, kind faultproxy.Kind) {
	hash := fnv.New64()
	hash.Write([]byte(t.Name()))
	rng := rand.New(rand.NewPCG(hash.Sum64(), 7))
	proxy, config := behind(t, k)
	topics := testTopics(t, 1, int16(min(3, len(k.Nodes()))))
	topics.Specs[schemas.Events].Partitions = 1
	group, shard := named(t, "group"), int32(0)
	f := newFeed(t, rng.Uint64())

	direct := wire.Config{Brokers: k.Brokers()}
	var in *running
	for round := range 3 {
		nth := 1 // a second request may not come before the first is answered
		if r.provoked == always || round > 0 && r.provoked != byJoining {
			nth += rng.IntN(4)
		}
		hit := arm(proxy, r, kind, nth)
		if round == 0 { // armed before anything is sent
			in = run(t, group, "one", topics, config, f)
		}
		calm := func() {}
		if round > 0 || r.key == protocol.Fetch { // there is nothing to read at first
			calm = provoke(proxy, r, func() *running { return run(t, group, "two", topics, direct, f) })
		}
		hit.resolve(t, f, shard)
		calm()
		f.progress(t, 3, shard)
	}
	in.stop()
	f.audit(t, k.Brokers(), topics)
}

// armed is one fault that will hit once.
type armed struct {
	*faultproxy.Handle
	rpc     rpc
	kind    faultproxy.Kind
	release chan struct{}
}

func arm(proxy *faultproxy.Set, r rpc, kind faultproxy.Kind, nth int) *armed {
	a := &armed{rpc: r, kind: kind, release: make(chan struct{})}
	a.Handle = proxy.Add(faultproxy.Fault{Kind: kind, Key: int16(r.key), Nth: nth, Until: a.release})
	return a
}

// resolve waits for the hit. What is held back goes on when the instance has
// given up on it and has committed something since.
func (a *armed) resolve(t *testing.T, f *feed, shard int32) {
	t.Helper()
	select {
	case <-a.Hit():
	case <-patient(t).Done():
		t.Fatalf("the fault was not hit; %d requests were seen", a.Seen())
	}
	if a.kind == faultproxy.DelayAnswer || a.kind == faultproxy.DelayRequest {
		<-time.After(a.rpc.patience + 200*time.Millisecond)
		f.progress(t, 2, shard)
		close(a.release)
		waitFor(t, "what was held back", func() bool { return a.Passed() == 1 })
	}
	if got := a.Hits(); got != 1 {
		t.Errorf("hits: got %d, want 1", got)
	}
}

// provoke makes instances send what they would not send by themselves, until
// the returned function is called.
func provoke(proxy *faultproxy.Set, r rpc, join func() *running) (calm func()) {
	var lost []*faultproxy.Handle
	every := func(key protocol.ApiKey, nth int64) {
		var n atomic.Int64
		lost = append(lost, proxy.Add(faultproxy.Fault{Kind: faultproxy.DropAnswer, Key: int16(key), Match: func(faultproxy.Request) bool {
			return n.Add(1)%nth == 0
		}}))
	}
	var second *running
	switch r.provoked {
	case byTakeOver:
		every(protocol.EndTxn, 3)
	case byDoubt:
		every(protocol.EndTxn, 3)
		every(protocol.ListOffsets, 2)
	case byJoining:
		second = join()
	}
	return func() {
		for _, h := range lost {
			proxy.Remove(h)
		}
		if second != nil {
			second.stop()
		}
	}
}
