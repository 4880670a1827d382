package wire

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

func TestAnswersThatAreNotOurs(t *testing.T) {
	for name, tc := range map[string]struct {
		answer func(x *exchange)
		want   error
	}{
		"another request's":    {func(x *exchange) { x.id++; x.raw(x.frame(make([]byte, 6))) }, ErrMalformed},
		"too large":            {func(x *exchange) { x.raw([]byte{0x7f, 0xff, 0xff, 0xff, 0, 0, 0, byte(x.id)}) }, ErrMalformed},
		"of a negative size":   {func(x *exchange) { x.raw([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, byte(x.id)}) }, ErrMalformed},
		"without an id":        {func(x *exchange) { x.raw([]byte{0, 0, 0, 3, 0, 0, 0, byte(x.id)}) }, ErrMalformed},
		"too short":            {func(x *exchange) { x.raw(x.frame(make([]byte, 5))) }, ErrMalformed},
		"cut in its size":      {func(x *exchange) { x.raw([]byte{0, 0}); x.conn.Close() }, io.ErrUnexpectedEOF},
		"cut in its body":      {func(x *exchange) { x.raw(x.frame(make([]byte, 6))[:10]); x.conn.Close() }, io.ErrUnexpectedEOF},
		"none, but the end":    {func(x *exchange) { x.conn.Close() }, io.EOF},
		"none within the time": {(*exchange).hang, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			var given atomic.Bool
			cluster(t, all(func(x *exchange) {
				if x.key == protocol.Heartbeat && given.CompareAndSwap(false, true) {
					tc.answer(x)
					return
				}
				healthy(x)
			}), func(t *testing.T, n *network, c *Cluster) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := c.Do(ctx, 1, &Heartbeat{})
				if !errors.Is(err, tc.want) {
					t.Errorf("got %v, want %v", err, tc.want)
				}
				if !given.Load() {
					t.Error("the bad answer was never given")
				}
				// The connection is given up: the next request has one of its own.
				before := n.dialled("a:1")
				if err := c.Do(t.Context(), 1, &Heartbeat{}); err != nil {
					t.Errorf("the next request: %v", err)
				}
				if got := n.dialled("a:1") - before; got != 1 {
					t.Errorf("connections made for the next request: got %d, want 1", got)
				}
			})
		})
	}
}

type notOffered struct{ Heartbeat }

func (*notOffered) key() protocol.ApiKey { return protocol.AlterConfigs }

func TestVersionsThatNobodyElseSpeaks(t *testing.T) {
	cluster(t, all(healthy), func(t *testing.T, _ *network, c *Cluster) {
		for name, m := range map[string]Request{
			"the broker's newest is too old": &EndTxn{Version: 5},
			"the broker's oldest is too new": &LeaveGroup{},
			"not offered at all":             &notOffered{},
		} {
			if err := c.Do(t.Context(), 2, m); !errors.Is(err, ErrVersion) {
				t.Errorf("%s: got %v, want ErrVersion", name, err)
			}
		}
		if err := c.Do(t.Context(), 2, &EndTxn{Version: 3}); err != nil {
			t.Errorf("a version that both speak: %v", err)
		}
	})
}

func TestFeaturesAreRead(t *testing.T) {
	cluster(t, all(healthy), func(t *testing.T, _ *network, c *Cluster) {
		features, ranges, err := c.Features(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]int16{"transaction.version": 2}, features); diff != "" {
			t.Errorf("features (-want +got):\n%s", diff)
		}
		if got, want := ranges[protocol.Produce], [2]int16{3, 12}; got != want {
			t.Errorf("versions of Produce: got %v, want %v", got, want)
		}
	})
}

func TestAHangingBrokerDoesNotHoldUpTheOthers(t *testing.T) {
	brokers := map[string]func(*exchange){"a:1": (*exchange).hang, "c:1": healthy} // and b is down
	cluster(t, brokers, func(t *testing.T, n *network, c *Cluster) {
		find := func() time.Duration {
			t.Helper()
			began := time.Now()
			node, err := c.Coordinator(t.Context(), GroupCoordinator, "group")
			if err != nil || node != 2 {
				t.Fatalf("got node %d, %v, want 2", node, err)
			}
			return time.Since(began)
		}
		for n.dialled("a:1") == 0 { // the order is random
			if got := find(); got != 0 && got != anyTimeout {
				t.Errorf("found after %v, want the %v of the hanging broker at most", got, anyTimeout)
			}
		}
		// For a while those that failed are asked last, and then as the others.
		dials := n.dialled("a:1")
		for began := time.Now(); time.Since(began) < failureCounts-time.Second; time.Sleep(time.Second) {
			if got := find(); got != 0 {
				t.Fatalf("found after %v, want none of the hanging broker's time", got)
			}
		}
		if got := n.dialled("a:1"); got != dials {
			t.Errorf("the hanging broker was asked %d more times", got-dials)
		}
		time.Sleep(failureCounts)
		for range 100 {
			find()
		}
		if got := n.dialled("a:1"); got == dials {
			t.Error("the hanging broker was never asked again")
		}
	})
}

func TestAHangingBrokerDoesNotHoldUpRequestsToAnother(t *testing.T) {
	cluster(t, all(func(x *exchange) {
		if x.key == protocol.Heartbeat {
			x.hang()
			return
		}
		healthy(x)
	}), func(t *testing.T, _ *network, c *Cluster) {
		if _, err := c.Metadata(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		hung := make(chan error, 1)
		go func() { hung <- c.Do(ctx, 1, &Heartbeat{}) }()
		synctest.Wait()
		began := time.Now()
		if _, err := c.Metadata(t.Context()); err != nil || time.Since(began) != 0 {
			t.Errorf("metadata while a request hangs: %v after %v", err, time.Since(began))
		}
		cancel()
		if err := <-hung; !errors.Is(err, context.Canceled) {
			t.Errorf("the hanging request: got %v, want its cancellation", err)
		}
		if got := time.Since(began); got != 0 {
			t.Errorf("a cancelled request returned after %v, want at once", got)
		}
	})
}

func TestRequestTimeoutWithoutADeadline(t *testing.T) {
	cluster(t, all(func(x *exchange) {
		if x.key == protocol.Heartbeat {
			x.hang()
			return
		}
		healthy(x)
	}), func(t *testing.T, _ *network, c *Cluster) {
		if _, err := c.Metadata(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := c.Do(t.Context(), 1, &Heartbeat{}); err == nil {
			t.Error("got no error")
		}
		if got, want := time.Since(began), c.config.Timeouts.Request; got != want {
			t.Errorf("gave up after %v, want %v", got, want)
		}
	})
}

func TestConnectionsAreKeptAndIdleOnesDropped(t *testing.T) {
	cluster(t, all(healthy), func(t *testing.T, n *network, c *Cluster) {
		do := func() {
			t.Helper()
			if err := c.Do(t.Context(), 2, &Heartbeat{}); err != nil {
				t.Fatal(err)
			}
		}
		do()
		do()
		if got := n.dialled("b:1"); got != 1 {
			t.Errorf("connections for two requests in a row: got %d, want 1", got)
		}
		time.Sleep(maxIdle - time.Second)
		do()
		if got := n.dialled("b:1"); got != 1 {
			t.Errorf("connections before the idle time: got %d, want 1", got)
		}
		time.Sleep(maxIdle)
		do()
		if got := n.dialled("b:1"); got != 2 {
			t.Errorf("connections after the idle time: got %d, want 2", got)
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(do)
		}
		wg.Wait()
		if got := n.dialled("b:1"); got > 4 {
			t.Errorf("connections for three requests at once: got %d, want at most 2 more", got-2)
		}
	})
}

func TestALeaderThatIsNotThere(t *testing.T) {
	res := *threeBrokers
	res.Topics = []metadata.ResponseTopic{
		{Name: "t", Partitions: []metadata.ResponsePartition{{PartitionIndex: 0, LeaderID: 3}, {PartitionIndex: 1, LeaderID: 2, ErrorCode: codeNoLeader}}},
		{Name: "gone", ErrorCode: codeUnknownTopic},
	}
	cluster(t, all(func(x *exchange) { x.message(&res) }), func(t *testing.T, _ *network, c *Cluster) {
		if node, err := c.Leader(t.Context(), "t", 0); err != nil || node != 3 {
			t.Errorf("leader: got %d, %v, want 3", node, err)
		}
		for _, tc := range []struct {
			topic     string
			partition int32
			want      error
		}{{"t", 1, ErrNoLeader}, {"t", 2, ErrUnknownTopic}, {"gone", 0, ErrUnknownTopic}} {
			if _, err := c.Leader(t.Context(), tc.topic, tc.partition); !errors.Is(err, tc.want) {
				t.Errorf("%s/%d: got %v, want %v", tc.topic, tc.partition, err, tc.want)
			}
		}
		if n, err := c.Partitions(t.Context(), "t"); err != nil || n != 2 {
			t.Errorf("partitions: got %d, %v, want 2", n, err)
		}
	})
}

func TestNoCoordinator(t *testing.T) {
	cluster(t, all(func(x *exchange) { x.message(&findcoordinator.Response{ErrorCode: 15, NodeID: -1}) }), func(t *testing.T, _ *network, c *Cluster) {
		if _, err := c.Coordinator(t.Context(), TransactionCoordinator, "id"); !errors.Is(err, ErrCoordinator) {
			t.Errorf("got %v, want ErrCoordinator", err)
		}
	})
}

func TestEveryBrokerDown(t *testing.T) {
	cluster(t, nil, func(t *testing.T, n *network, c *Cluster) {
		_, err := c.Metadata(t.Context())
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v, want ECONNREFUSED", err)
		}
		for _, addr := range c.config.Brokers {
			if n.dialled(addr) != 1 {
				t.Errorf("%s was tried %d times, want once", addr, n.dialled(addr))
			}
			if err == nil || !strings.Contains(err.Error(), addr) {
				t.Errorf("%v does not name %s", err, addr)
			}
		}
	})
}
