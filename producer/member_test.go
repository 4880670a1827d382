package producer

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onelogin-kafka/internal/proof/wait"
	"onelogin-kafka/producer/wire"
)

// coordinators are two brokers that take themselves for a group's coordinator:
// one that has slept and whose word is never written down, and the one in its
// place, which knows the instance under another member id.
type coordinators struct {
	mu     sync.Mutex
	asked  []string // member ids of JoinGroup
	synced []string // and of SyncGroup
	fenced bool     // another process has joined under the instance's name
}

const (
	ofTheSleeper = "given-by-the-sleeper"
	ofTheOther   = "given-by-the-other"
)

func (c *coordinators) join(req *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, req.MemberID)
	res := req.ResponseKind().(*kmsg.JoinGroupResponse)
	res.Protocol, res.Generation = new(protocolV1), 18
	switch {
	case len(c.asked) == 1:
		res.MemberID, res.LeaderID, res.Generation = ofTheSleeper, "somebody", 20
	case req.MemberID == "":
		res.MemberID, res.LeaderID = ofTheOther, "somebody"
	default:
		res.ErrorCode = codeFencedInstanceID
	}
	return res
}

func (c *coordinators) sync(req *kmsg.SyncGroupRequest) *kmsg.SyncGroupResponse {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.synced = append(c.synced, req.MemberID)
	res := req.ResponseKind().(*kmsg.SyncGroupResponse)
	if req.MemberID == ofTheSleeper {
		res.ErrorCode = codeNotCoordinator
		return res
	}
	res.MemberAssignment = encodeAssignment("offsets", []int32{3, 7})
	return res
}

func (c *coordinators) heartbeat(req *kmsg.HeartbeatRequest) *kmsg.HeartbeatResponse {
	c.mu.Lock()
	defer c.mu.Unlock()
	res := req.ResponseKind().(*kmsg.HeartbeatResponse)
	if c.fenced {
		res.ErrorCode = codeFencedInstanceID
	}
	return res
}

// TestAMemberIDThatWasNeverWrittenDown: a coordinator that was paused and has
// been replaced lets us join before it learns that; the member id it gave makes
// us an impostor to the new one. No other process has our name for that.
func TestAMemberIDThatWasNeverWrittenDown(t *testing.T) {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	c := &coordinators{}
	control := func(key kmsg.Key, answer func(kmsg.Request) kmsg.Response) {
		broker.ControlKey(key.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			broker.KeepControl()
			return answer(req), nil, true
		})
	}
	control(kmsg.JoinGroup, func(req kmsg.Request) kmsg.Response { return c.join(req.(*kmsg.JoinGroupRequest)) })
	control(kmsg.SyncGroup, func(req kmsg.Request) kmsg.Response { return c.sync(req.(*kmsg.SyncGroupRequest)) })
	control(kmsg.Heartbeat, func(req kmsg.Request) kmsg.Response { return c.heartbeat(req.(*kmsg.HeartbeatRequest)) })

	cluster := wire.Open(wire.Config{Brokers: broker.ListenAddrs()})
	defer cluster.Close()
	m := newMember(cluster, "group", "one", "offsets")
	assigned := make(chan []int32, 10)
	m.assigned = func(_ int32, shards []int32) { assigned <- shards }
	m.trouble = func(error) {}
	ended := make(chan error, 1)
	ctx, cancel := wait.Within(t.Context(), 20*time.Second)
	defer cancel()
	go func() { ended <- m.run(ctx) }()
	var got [][]int32
	for !slices.ContainsFunc(got, func(shards []int32) bool { return len(shards) > 0 }) {
		select {
		case shards := <-assigned:
			got = append(got, shards)
		case err := <-ended:
			t.Fatalf("the member has ended: %v", err)
		}
	}
	if diff := cmp.Diff([][]int32{nil, {3, 7}}, got); diff != "" {
		t.Errorf("assigned (-want +got):\n%s", diff)
	}
	c.mu.Lock()
	if diff := cmp.Diff([]string{"", ofTheSleeper, ""}, c.asked); diff != "" {
		t.Errorf("joined as (-want +got):\n%s", diff)
	}
	// Now that the id is written down, being fenced means what it says.
	c.fenced = true
	c.mu.Unlock()
	if err := <-ended; !errors.Is(err, ErrInstanceFenced) {
		t.Errorf("another process with our name: ended with %v", err)
	}
}

// TestAStrayJoinIsForgotten: an instance that could not join at once when it
// started must, weeks later, still be the one that ends when another takes its
// name: not take that for a late join of its own and throw the new one out.
func TestAStrayJoinIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMember(nil, "group", "one", "offsets")
		m.assigned = func(int32, []int32) {}
		m.id, m.stray, m.strayed = "known", 2, time.Now()
		time.Sleep(strayWithin - time.Second)
		if err := m.judge(codeFencedInstanceID); !errors.Is(err, errLostMembership) {
			t.Errorf("soon after a join that nobody answered: %v", err)
		}
		m.id = "known"
		time.Sleep(2 * time.Second)
		if err := m.judge(codeFencedInstanceID); !errors.Is(err, ErrInstanceFenced) {
			t.Errorf("long after it: %v", err)
		}
	})
}
