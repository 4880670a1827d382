package wire

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// movers are three brokers that can change their addresses.
type movers struct {
	mu    sync.Mutex
	hosts [3]string
}

// script is the broker at host: once it has moved it answers nothing there.
func (m *movers) script(host string) func(*exchange) {
	return func(x *exchange) {
		m.mu.Lock()
		defer m.mu.Unlock()
		res, here := &metadata.Response{}, false
		for i, h := range m.hosts {
			res.Brokers = append(res.Brokers, metadata.ResponseBroker{NodeID: int32(i + 1), Host: h, Port: 1})
			here = here || h == host
		}
		switch {
		case !here:
			x.conn.Close()
		case x.key == protocol.Metadata:
			x.message(res)
		default:
			x.message(&findcoordinator.Response{NodeID: 3, Host: m.hosts[2], Port: 1})
		}
	}
}

func (m *movers) move(n *network, i int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	to := fmt.Sprintf("moved-%d", i+1)
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.brokers, m.hosts[i]+":1")
	n.brokers[to+":1"] = m.script(to)
	m.hosts[i] = to
}

// A cluster that nothing is asked of but where the coordinator is, and that
// only of whoever answers, must not end up with addresses that are all dead.
func TestBrokersThatMoveOneByOneAreFoundAgain(t *testing.T) {
	m := &movers{hosts: [3]string{"a", "b", "c"}}
	brokers := map[string]func(*exchange){"a:1": m.script("a"), "b:1": m.script("b"), "c:1": m.script("c")}
	cluster(t, brokers, func(t *testing.T, n *network, c *Cluster) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.KeepCurrent(ctx) }()
		for i := range m.hosts {
			time.Sleep(currentEvery + time.Second)
			m.move(n, i)
		}
		if node, err := c.Coordinator(t.Context(), GroupCoordinator, "group"); err != nil || node != 3 {
			t.Errorf("after every broker has moved: got node %d, %v, want 3", node, err)
		}
		cancel()
		<-done
	})
}
