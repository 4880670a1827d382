package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"onelogin-kafka/internal/proof/wait"
)

// Bounds of the machine's time, see package wait.
const (
	listenWithin = 90 * time.Second
	stopWithin   = 30 * time.Second
)

// ErrNotRunning is returned when a signal is meant for a node that has ended.
var ErrNotRunning = errors.New("node is not running")

// Node is one broker and controller. Its methods may be called from any goroutine.
type Node struct {
	// ID is Kafka's node.id, from 1.
	ID int

	cluster                                *Cluster
	controller, behind, proxied, tls, sasl int // ports
	// Where the cluster is divisible, its peers know a node by peers and voter, and it
	// listens on peersBehind and controller.
	peers, voter, peersBehind int

	mu     sync.Mutex
	plain  int // port
	proc   *process
	paused bool
}

// Addr is the node's plain listener.
func (n *Node) Addr() string { return local(n.plainPort()) }

func (n *Node) plainPort() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.plain
}

func (n *Node) data() string    { return n.cluster.path("n" + strconv.Itoa(n.ID)) }
func (n *Node) config() string  { return n.data() + ".properties" }
func (n *Node) logFile() string { return n.data() + ".log" }

// configure writes what the node reads when it starts.
func (n *Node) configure() error {
	if err := os.WriteFile(n.config(), []byte(n.cluster.properties(n)), 0o600); err != nil {
		return fmt.Errorf("writing the properties of node %d: %w", n.ID, err)
	}
	return nil
}

// Start starts a node that is not running and returns when it accepts connections; see Cluster.WaitReady for more.
func (n *Node) Start() error {
	p, err := n.launch()
	if err != nil {
		return err
	}
	return n.waitListening(p)
}

func (n *Node) launch() (*process, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc != nil && n.proc.alive() {
		return nil, fmt.Errorf("starting node %d: it is running", n.ID)
	}
	log, err := os.OpenFile(n.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of node %d: %w", n.ID, err)
	}
	defer log.Close()
	cmd := n.cluster.java(n.cluster.opts.Heap, false, "kafka.Kafka", n.config())
	cmd.Stdout, cmd.Stderr = log, log
	p, err := launch(cmd)
	if err != nil {
		return nil, fmt.Errorf("starting node %d: %w", n.ID, err)
	}
	n.proc, n.paused = p, false
	return p, nil
}

func (n *Node) waitListening(p *process) error {
	ctx, cancel := wait.Within(context.Background(), listenWithin)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.DialTimeout("tcp", n.Addr(), time.Second)
		if err == nil {
			conn.Close()
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("node %d ended while starting: %w\n%s", n.ID, p.err, n.Log(20))
		case <-ctx.Done():
			return fmt.Errorf("node %d does not listen after %v: %w\n%s", n.ID, listenWithin, err, n.Log(20))
		case <-tick.C:
		}
	}
}

// Kill ends the node with SIGKILL and returns when it is gone. A paused node can be killed.
func (n *Node) Kill() error { return n.end(syscall.SIGKILL) }

// Stop ends the node with SIGTERM: it hands its partitions over first. SIGKILL follows after 30 s of the machine's time.
func (n *Node) Stop() error { return n.end(syscall.SIGTERM) }

func (n *Node) end(s syscall.Signal) error {
	p, err := n.send(s)
	if err != nil {
		return err
	}
	ctx, cancel := wait.Within(context.Background(), stopWithin)
	defer cancel()
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	if _, err := n.send(syscall.SIGKILL); err != nil && !errors.Is(err, ErrNotRunning) {
		return err
	}
	<-p.done
	return nil
}

// Move stops the node and starts it again at another address of its plain listener, which is that of clients and of the other
// brokers. Nothing listens at the old one any more. The controller's port stays, since the voters are named by it.
func (n *Node) Move() error {
	port, err := n.cluster.ports.next()
	if err != nil {
		return fmt.Errorf("moving node %d: %w", n.ID, err)
	}
	if err := n.Stop(); err != nil {
		return err
	}
	n.mu.Lock()
	n.plain = port
	n.mu.Unlock()
	if err := n.configure(); err != nil {
		return err
	}
	return n.Start()
}

// Pause stops the node with SIGSTOP: its connections stay open and nothing answers.
func (n *Node) Pause() error {
	_, err := n.send(syscall.SIGSTOP)
	return err
}

// atWork tells whether the node runs and is not paused.
func (n *Node) atWork() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.proc != nil && n.proc.alive() && !n.paused
}

// Resume lets a paused node go on.
func (n *Node) Resume() error {
	_, err := n.send(syscall.SIGCONT)
	return err
}

func (n *Node) send(s syscall.Signal) (*process, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == nil || !n.proc.alive() {
		return nil, fmt.Errorf("sending %v to node %d: %w", s, n.ID, ErrNotRunning)
	}
	if err := n.proc.signal(s); errors.Is(err, os.ErrProcessDone) {
		return nil, fmt.Errorf("sending %v to node %d: %w", s, n.ID, ErrNotRunning)
	} else if err != nil {
		return nil, fmt.Errorf("sending %v to node %d: %w", s, n.ID, err)
	}
	switch s {
	case syscall.SIGSTOP:
		n.paused = true
	case syscall.SIGCONT:
		n.paused = false
	}
	return n.proc, nil
}

// Alive tells whether the node's process exists; a paused node is alive.
func (n *Node) Alive() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.proc != nil && n.proc.alive()
}

// Log is the last lines of what the node wrote.
func (n *Node) Log(lines int) string {
	text, err := os.ReadFile(filepath.Clean(n.logFile()))
	if err != nil {
		return err.Error()
	}
	return lastLines(text, lines)
}
