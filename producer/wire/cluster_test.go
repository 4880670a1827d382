package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
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

// network is a set of scripted brokers by address, to be used as Config.Dial.
type network struct {
	mu      sync.Mutex
	brokers map[string]func(*exchange)
	dials   map[string]int
	conns   map[net.Conn]string
	// answered is how many requests a connection has brought.
	answered map[net.Conn]int
	wg       sync.WaitGroup
	// connecting and answering are how long it takes to connect, and to get an
	// answer.
	connecting, answering time.Duration
	// secured, if not nil, is the brokers' side of TLS.
	secured *tls.Config
}

func newNetwork(brokers map[string]func(*exchange)) *network {
	return &network{brokers: brokers, dials: map[string]int{}, conns: map[net.Conn]string{}, answered: map[net.Conn]int{}}
}

// exchange is one request at a scripted broker. ApiVersions is answered before
// the script sees anything.
type exchange struct {
	key     protocol.ApiKey
	version int16
	id      int32
	body    []byte // of kafka-go's messages and ours that are not flexible
	conn    net.Conn
}

func (x *exchange) frame(body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(4+len(body)))
	b = binary.BigEndian.AppendUint32(b, uint32(x.id))
	return append(b, body...)
}

// raw sends bytes as they are, message an answer in kafka-go's encoding.
func (x *exchange) raw(b []byte) { _, _ = x.conn.Write(b) }

func (x *exchange) message(m protocol.Message) {
	var b bytes.Buffer
	if err := protocol.WriteResponse(&b, x.version, x.id, m); err != nil {
		panic(err)
	}
	x.raw(b.Bytes())
}

// hang answers nothing for as long as the client keeps the connection.
func (x *exchange) hang() { _, _ = io.Copy(io.Discard, x.conn) }

// offered is what the scripted brokers can do.
var offered = []struct{ key, lo, hi int16 }{{0, 3, 12}, {1, 4, 11}, {2, 1, 5}, {3, 0, 8}, {10, 0, 2}, {12, 0, 4}, {13, 4, 5}, {18, 0, 4}, {26, 0, 3}}

func versionsBody() []byte {
	b := []byte{0, 0, byte(len(offered) + 1)}
	for _, o := range offered {
		for _, v := range []int16{o.key, o.lo, o.hi} {
			b = binary.BigEndian.AppendUint16(b, uint16(v))
		}
		b = append(b, 0)
	}
	// Throttle time, then tag 2: transaction.version at level 2.
	name := "transaction.version"
	feature := append([]byte{2, byte(len(name) + 1)}, name...)
	feature = append(feature, 0, 2, 0, 1, 0)
	b = append(b, 0, 0, 0, 0, 1, 2, byte(len(feature)))
	return append(b, feature...)
}

func (n *network) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	n.mu.Lock()
	n.dials[addr]++
	n.mu.Unlock()
	select {
	case <-time.After(n.connecting):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	script, ok := n.brokers[addr]
	if !ok {
		return nil, syscall.ECONNREFUSED
	}
	client, broker := net.Pipe()
	n.conns[broker] = addr
	n.wg.Go(func() { n.serve(broker, script) })
	return client, nil
}

func (n *network) serve(raw net.Conn, script func(*exchange)) {
	defer raw.Close()
	conn := raw
	if n.secured != nil {
		conn = tls.Server(raw, n.secured)
	}
	for {
		f, err := readFrame(conn)
		if err != nil {
			return
		}
		x := &exchange{
			key: protocol.ApiKey(binary.BigEndian.Uint16(f)), version: int16(binary.BigEndian.Uint16(f[2:])),
			id: int32(binary.BigEndian.Uint32(f[4:])), conn: conn,
			body: f[10+len(clientSoftware):],
		}
		time.Sleep(n.answering)
		if x.key == protocol.ApiVersions {
			x.raw(x.frame(versionsBody()))
		} else {
			script(x)
		}
		n.mu.Lock()
		n.answered[raw]++
		n.mu.Unlock()
	}
}

// cut ends the connections of a broker from its side and tells how many.
func (n *network) cut(addr string) (cut int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for conn, at := range n.conns {
		if at == addr {
			conn.Close()
			delete(n.conns, conn)
			cut++
		}
	}
	return cut
}

// open is how many connections a broker has that were not cut.
func (c *Cluster) open(addr string) (open int) {
	b := c.broker(addr)
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.conns)
}

func (n *network) dialled(addr string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dials[addr]
}

// cluster runs do against scripted brokers in a bubble of its own time.
func cluster(t *testing.T, brokers map[string]func(*exchange), do func(t *testing.T, n *network, c *Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(brokers)
		c := Open(Config{Brokers: []string{"a:1", "b:1", "c:1"}, Dial: n.dial})
		defer n.wg.Wait()
		defer c.Close()
		do(t, n, c)
	})
}

var threeBrokers = &metadata.Response{Brokers: []metadata.ResponseBroker{{NodeID: 1, Host: "a", Port: 1}, {NodeID: 2, Host: "b", Port: 1}, {NodeID: 3, Host: "c", Port: 1}}}

// healthy answers metadata, coordinators and heartbeats.
func healthy(x *exchange) {
	switch x.key {
	case protocol.Metadata:
		x.message(threeBrokers)
	case protocol.FindCoordinator:
		x.message(&findcoordinator.Response{NodeID: 2, Host: "b", Port: 1})
	default:
		x.raw(x.frame(make([]byte, 8))) // no error, for Heartbeat and EndTxn
	}
}

func all(script func(*exchange)) map[string]func(*exchange) {
	return map[string]func(*exchange){"a:1": script, "b:1": script, "c:1": script}
}

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
