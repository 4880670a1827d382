package producer

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onelogin-kafka/internal/proof/wait"
	"onelogin-kafka/producer/wire"
)

// TestOvertakenJoins: instances that start at once overtake each other between
// joining and being told their shards. A few of that are no trouble; a group that
// never gets on is.
func TestOvertakenJoins(t *testing.T) {
	for name, tc := range map[string]struct {
		times   int64
		trouble bool
	}{"a healthy start": {mostOvertaken, false}, "one that gets on late": {mostOvertaken + 1, true}} {
		t.Run(name, func(t *testing.T) {
			broker, err := kfake.NewCluster(kfake.NumBrokers(1))
			if err != nil {
				t.Fatal(err)
			}
			defer broker.Close()
			var hits atomic.Int64
			control := func(key kmsg.Key, answer func(kmsg.Response)) {
				broker.ControlKey(key.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
					broker.KeepControl()
					res := req.ResponseKind()
					answer(res)
					return res, nil, true
				})
			}
			control(kmsg.JoinGroup, func(r kmsg.Response) {
				j := r.(*kmsg.JoinGroupResponse)
				j.Protocol, j.Generation, j.MemberID, j.LeaderID = new(protocolV1), 1, "me", "somebody"
			})
			control(kmsg.SyncGroup, func(r kmsg.Response) {
				s := r.(*kmsg.SyncGroupResponse)
				if s.MemberAssignment = encodeAssignment("offsets", []int32{3}); hits.Add(1) <= tc.times {
					s.ErrorCode, s.MemberAssignment = codeRebalanceInProgress, nil
				}
			})
			control(kmsg.Heartbeat, func(kmsg.Response) {})
			control(kmsg.LeaveGroup, func(kmsg.Response) {})
			cluster := wire.Open(wire.Config{Brokers: broker.ListenAddrs()})
			defer cluster.Close()

			m := newMember(cluster, "group", "one", "offsets")
			assigned, ended := make(chan []int32, 10), make(chan error, 1)
			m.assigned = func(_ int32, shards []int32) { assigned <- shards }
			var told atomic.Int64
			m.trouble = func(err error) {
				if err != nil {
					told.Add(1)
				}
			}
			ctx, cancel := wait.Within(t.Context(), 30*time.Second)
			defer cancel()
			go func() { ended <- m.run(ctx) }()
			select {
			case <-assigned:
			case err := <-ended:
				t.Fatalf("the member has ended: %v", err)
			}
			cancel()
			<-ended
			if hits.Load() != tc.times+1 || (told.Load() > 0) != tc.trouble {
				t.Errorf("told of trouble %d times after %d joins", told.Load(), hits.Load())
			}
		})
	}
}
