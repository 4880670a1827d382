// Package faultproxy is a TCP proxy between Kafka clients and brokers that loses, delays and cuts requests and answers by API key.
//
// Tests use it to make the outcome of a call unknown to the client while the test knows it.
package faultproxy

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

const dialWithin = 5 * time.Second

// Direction of bytes.
type Direction int

const (
	// ToBroker are requests.
	ToBroker Direction = 1 << iota
	// ToClient are answers.
	ToClient
	// Both directions.
	Both = ToBroker | ToClient
)

// Route is one broker behind one listener.
type Route struct {
	Node           int // for Request.Node and Filter.Node
	Listen, Target string
}

// Filter chooses connections; zero fields choose all.
type Filter struct {
	Node     int
	ClientID string // as in the last request of the connection
	// Client chooses by the same, where one name is not enough.
	Client func(clientID string) bool
}

// Set is one listener per broker; they share one list of faults. Its methods may be called from any goroutine.
type Set struct {
	routes []Route
	addrs  []string

	stop chan struct{}
	wg   sync.WaitGroup

	mu        sync.Mutex
	listeners []net.Listener
	conns     map[*conn]struct{}
	faults    []*Handle
	walls     map[*wall]struct{}
	closed    bool
}

// wall is a partition of the network.
type wall struct {
	filter Filter
	dir    Direction
	healed chan struct{}
}

// Start listens on every route.
func Start(routes []Route) (*Set, error) {
	s := &Set{routes: routes, stop: make(chan struct{}), conns: map[*conn]struct{}{}, walls: map[*wall]struct{}{}}
	for _, r := range routes {
		l, err := net.Listen("tcp", r.Listen)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listening for node %d: %w", r.Node, err), s.Close())
		}
		s.listeners = append(s.listeners, l)
		s.addrs = append(s.addrs, l.Addr().String())
		s.wg.Go(func() { s.accept(l, r) })
	}
	return s, nil
}

// Bootstrap is the addresses of the listeners.
func (s *Set) Bootstrap() []string { return append([]string(nil), s.addrs...) }

// Close stops listening, cuts every connection and ends every delay.
func (s *Set) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.stop)
	var failed []error
	for _, l := range s.listeners {
		failed = append(failed, l.Close())
	}
	for c := range s.conns {
		c.close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return errors.Join(failed...)
}

// Add arms a fault. Of several that match one request, the one added first that is due takes it; all of them count it as seen.
func (s *Set) Add(f Fault) *Handle {
	if f.Kind < DropAnswer || f.Kind > TearAnswer {
		panic(fmt.Sprintf("faultproxy: unknown kind %d", f.Kind))
	}
	h := &Handle{fault: f, first: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, h)
	return h
}

// Remove disarms a fault. Its hits can still be read.
func (s *Set) Remove(h *Handle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.faults {
		if other == h {
			s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
			return
		}
	}
}

// Clear disarms all faults.
func (s *Set) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

func (s *Set) claim(r Request) *Handle {
	s.mu.Lock()
	faults := s.faults
	s.mu.Unlock()
	var first *Handle
	for _, h := range faults {
		if h.claims(r, first != nil) {
			first = h
		}
	}
	return first
}

// Cut closes the client's side of the connections that match now and tells how many they were. What the client had sent still
// reaches the broker, as it may on any network. New connections are let through.
func (s *Set) Cut(f Filter) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for c := range s.conns {
		if f.matches(c) {
			c.cut()
			n++
		}
	}
	return n
}

// Partition holds back all frames of matching connections, present and new, in the given direction: nothing is closed, nothing
// arrives. heal lets what was held back go on, as a network does; it may be called more than once.
func (s *Set) Partition(f Filter, d Direction) (heal func()) {
	w := &wall{filter: f, dir: d, healed: make(chan struct{})}
	s.mu.Lock()
	s.walls[w] = struct{}{}
	s.mu.Unlock()
	return sync.OnceFunc(func() {
		s.mu.Lock()
		delete(s.walls, w)
		s.mu.Unlock()
		close(w.healed)
	})
}

// Connections is how many connections match and have not been cut.
func (s *Set) Connections(f Filter) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for c := range s.conns {
		if f.matches(c) {
			n++
		}
	}
	return n
}

// pass waits while a wall stands between the two sides of c; false when the set ends.
func (s *Set) pass(c *conn, d Direction) bool {
	for {
		w := s.wallFor(c, d)
		if w == nil {
			return true
		}
		select {
		case <-w.healed:
		case <-s.stop:
			return false
		}
	}
}

func (s *Set) wallFor(c *conn, d Direction) *wall {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.walls {
		if w.dir&d != 0 && w.filter.covers(c) {
			return w
		}
	}
	return nil
}

func (f Filter) matches(c *conn) bool {
	c.mu.Lock()
	gone := c.gone
	c.mu.Unlock()
	return !gone && f.covers(c)
}

func (f Filter) covers(c *conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return (f.Node == 0 || f.Node == c.node) && (f.ClientID == "" || f.ClientID == c.clientID) && (f.Client == nil || f.Client(c.clientID))
}

func (s *Set) accept(l net.Listener, r Route) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() { s.serve(client, r) })
	}
}

func (s *Set) serve(client net.Conn, r Route) {
	broker, err := net.DialTimeout("tcp", r.Target, dialWithin)
	if err != nil {
		client.Close()
		return
	}
	c := &conn{set: s, node: r.Node, client: client, broker: broker, pending: map[int32]*Handle{}, drained: make(chan struct{})}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		c.close()
		return
	}
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(c.requests)
	wg.Go(c.answers)
	wg.Wait()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}
