package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

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
