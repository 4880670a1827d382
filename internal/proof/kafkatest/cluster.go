// Package kafkatest runs a real Apache Kafka on loopback for tests: KRaft nodes that are broker and controller at once, started
// from the jars on Maven Central. Nodes can be killed, paused and started again one by one.
//
// It needs Java 17 and Maven. Where they are missing a test fails: it is not skipped.
package kafkatest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"onelogin-kafka/internal/proof/faultproxy"
	"onelogin-kafka/internal/proof/wait"
)

const (
	// DefaultVersion speaks transaction protocol v2 (KIP-890 part 2).
	DefaultVersion = "4.3.1"
	// Version3 has no transaction.version feature: transaction protocol v1.
	Version3 = "3.9.1"

	readyWithin = 2 * time.Minute // of the machine's time, see package wait
	dirPattern  = "onelogin-kafka-test-"
)

// Options describe a cluster. The zero value is three nodes of DefaultVersion with a plain listener.
type Options struct {
	// Nodes is 1 to 5; 0 means 3. With three or more, topics have three replicas of which two must be in sync.
	Nodes int
	// Version of Kafka, as in 4.3.1.
	Version string
	// Port of the first node's plain listener; node i listens on Port+i-1. 0 means free ports.
	Port int
	// TLS adds two listeners: one with TLS (a client certificate is asked for, not required) and one with SASL over TLS.
	TLS bool
	// Users of the SASL listener, name to password, for PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512. Letters, digits, _ and - only. Needs TLS.
	// OAUTHBEARER takes anybody's unsigned tokens there.
	Users map[string]string
	// ACL switches on Kafka's own authorizer: whoever has no name (plain listeners; TLS without a certificate) may do everything,
	// everybody else what ACLs allow.
	ACL bool
	// Divisible lets a node be cut off from its peers, see CutOff. They reach each other through a proxy then.
	Divisible bool
	// Extra is added to, and wins over, each node's properties.
	Extra map[string]string
	// Heap of one node, in java's notation; "" means 384m.
	Heap string
}

var wordPattern = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func (o Options) complete() (Options, error) {
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	if o.Version == "" {
		o.Version = DefaultVersion
	}
	if o.Heap == "" {
		o.Heap = "384m"
	}
	if o.Nodes < 1 || o.Nodes > 5 {
		return o, fmt.Errorf("a cluster of %d nodes: want 1 to 5", o.Nodes)
	}
	if len(o.Users) > 0 && !o.TLS {
		return o, errors.New("users need TLS")
	}
	for user, password := range o.Users {
		if !wordPattern.MatchString(user) || !wordPattern.MatchString(password) {
			return o, errors.New("users and passwords of a test cluster: want letters, digits, _ and - only")
		}
	}
	if o.ACL {
		extra := maps.Clone(o.Extra)
		if extra == nil {
			extra = map[string]string{}
		}
		extra["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
		extra["super.users"] = "User:ANONYMOUS"
		o.Extra = extra
	}
	return o, nil
}

// Cluster is a running Kafka. Its methods may be called from any goroutine.
type Cluster struct {
	opts  Options
	jars  string
	dir   string
	lock  *os.File
	ports *ports
	nodes []*Node
	ca    authority

	between *faultproxy.Set // the nodes of a divisible cluster

	mu    sync.Mutex
	proxy *faultproxy.Set
}

// Start starts a cluster that ends with the test. Prefer Shared where the test leaves nothing behind that others would notice.
func Start(tb testing.TB, opts Options) *Cluster {
	tb.Helper()
	c, err := New(tb.Context(), opts)
	if err != nil {
		tb.Fatalf("starting Kafka: %v", err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			c.dump(tb)
		}
		if err := c.Close(); err != nil {
			tb.Errorf("stopping Kafka: %v", err)
		}
	})
	return c
}

func (c *Cluster) dump(tb testing.TB) {
	for _, n := range c.nodes {
		tb.Logf("Kafka node %d (alive: %v):\n%s", n.ID, n.Alive(), n.Log(15))
	}
}

// New starts a cluster and returns when it can be used, see WaitReady. ctx bounds the start only; the cluster lives until Close.
// ErrMissingTool tells that Java or Maven is not there.
func New(ctx context.Context, opts Options) (*Cluster, error) {
	opts, err := opts.complete()
	if err != nil {
		return nil, err
	}
	jars, err := Fetch(ctx, opts.Version)
	if err != nil {
		return nil, err
	}
	c := &Cluster{opts: opts, jars: jars}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	if err := c.prepare(); err != nil {
		return err
	}
	if err := c.format(ctx); err != nil {
		return err
	}
	return c.StartAll(ctx)
}

// prepare makes the data folder, takes the ports and writes what the nodes read.
func (c *Cluster) prepare() error {
	removeStale()
	var err error
	if c.dir, err = os.MkdirTemp("", dirPattern); err != nil {
		return fmt.Errorf("making the data folder: %w", err)
	}
	if c.lock, err = lockFile(c.path("lock"), syscall.LOCK_NB); err != nil {
		return err
	}
	if c.ports, err = reservePorts(); err != nil {
		return err
	}
	for id := 1; id <= c.opts.Nodes; id++ {
		n := &Node{ID: id, cluster: c}
		taken := []*int{&n.plain, &n.controller, &n.behind, &n.proxied, &n.tls, &n.sasl}
		if c.opts.Divisible {
			taken = append(taken, &n.peers, &n.voter, &n.peersBehind)
		}
		for _, port := range taken {
			if *port, err = c.ports.next(); err != nil {
				return err
			}
		}
		if c.opts.Port > 0 {
			n.plain = c.opts.Port + id - 1
		}
		c.nodes = append(c.nodes, n)
	}
	if c.opts.TLS {
		if err := c.writeCerts(); err != nil {
			return err
		}
	}
	if c.opts.Divisible {
		if err := c.divide(); err != nil {
			return err
		}
	}
	if err := os.WriteFile(c.path("log4j2.properties"), []byte(log4jProperties), 0o600); err != nil {
		return fmt.Errorf("writing the log settings: %w", err)
	}
	for _, n := range c.nodes {
		if err := n.configure(); err != nil {
			return err
		}
	}
	return nil
}

// format gives all nodes one cluster id. The JVMs run side by side.
func (c *Cluster) format(ctx context.Context) error {
	id := make([]byte, 16)
	rand.Read(id)
	id[0] &= 0x7f // a leading '-' would be read as an option
	return c.each(func(n *Node) error {
		args := append([]string{"format", "-t", base64.RawURLEncoding.EncodeToString(id), "-c", n.config()}, c.scram()...)
		if out, err := c.Run(ctx, "kafka.tools.StorageTool", args...); err != nil {
			return fmt.Errorf("formatting node %d: %w\n%s", n.ID, err, lastLines([]byte(out), 20))
		}
		return nil
	})
}

// each does something with every node, side by side.
func (c *Cluster) each(do func(*Node) error) error {
	var wg sync.WaitGroup
	failed := make([]error, len(c.nodes))
	for i, n := range c.nodes {
		wg.Go(func() { failed[i] = do(n) })
	}
	wg.Wait()
	return errors.Join(failed...)
}

// StartAll starts every node and returns when the cluster can be used, see WaitReady. One node alone has no quorum and would not
// get as far as listening, so they start side by side.
func (c *Cluster) StartAll(ctx context.Context) error {
	if err := c.each((*Node).Start); err != nil {
		return err
	}
	ctx, cancel := wait.Within(ctx, readyWithin)
	defer cancel()
	return c.WaitReady(ctx)
}

// KillAll kills every node at once, as a power cut does.
func (c *Cluster) KillAll() error { return c.each((*Node).Kill) }

// Close kills the nodes and removes their data.
func (c *Cluster) Close() error {
	c.mu.Lock()
	proxy := c.proxy
	c.mu.Unlock()
	var failed []error
	for _, set := range []*faultproxy.Set{proxy, c.between} {
		if set != nil {
			failed = append(failed, set.Close())
		}
	}
	for _, n := range c.nodes {
		if err := n.Kill(); err != nil && !errors.Is(err, ErrNotRunning) {
			failed = append(failed, err)
		}
	}
	if c.ports != nil {
		c.ports.release()
	}
	if c.dir != "" {
		failed = append(failed, os.RemoveAll(c.dir))
	}
	if c.lock != nil {
		c.lock.Close()
	}
	return errors.Join(failed...)
}

// removeStale removes the data of test processes that were killed: nobody holds the lock of their folders any more.
func removeStale() {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), dirPattern+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		// A folder without a lock file may be one that is being made at this moment.
		if _, err := os.Stat(filepath.Join(dir, "lock")); err != nil {
			continue
		}
		if lock, err := lockFile(filepath.Join(dir, "lock"), syscall.LOCK_NB); err == nil {
			os.RemoveAll(dir)
			lock.Close()
		}
	}
}

func (c *Cluster) path(name string) string { return filepath.Join(c.dir, name) }

// Run runs one of Kafka's own tools, for example org.apache.kafka.tools.TransactionsCommand, and returns what it printed.
func (c *Cluster) Run(ctx context.Context, class string, args ...string) (string, error) {
	cmd := c.java("256m", true, class, args...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	p, err := launch(cmd)
	if err != nil {
		return "", fmt.Errorf("starting %s: %w", class, err)
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		_ = p.signal(syscall.SIGKILL)
		<-p.done
		return out.String(), fmt.Errorf("running %s: %w", class, context.Cause(ctx))
	}
	if p.err != nil {
		return out.String(), fmt.Errorf("running %s: %w", class, p.err)
	}
	return out.String(), nil
}

// Version of Kafka that runs.
func (c *Cluster) Version() string { return c.opts.Version }

// Nodes are all nodes, running or not.
func (c *Cluster) Nodes() []*Node { return slices.Clone(c.nodes) }

// Node is the node with this id, from 1.
func (c *Cluster) Node(id int) *Node { return c.nodes[id-1] }

// Brokers are the addresses of the plain listener, one a node, as are BrokersTLS and BrokersSASL of theirs.
func (c *Cluster) Brokers() []string { return c.addrs((*Node).plainPort) }

// BrokersTLS are the addresses of the TLS listener.
func (c *Cluster) BrokersTLS() []string { return c.addrs(func(n *Node) int { return n.tls }) }

// BrokersSASL are the addresses of the listener with SASL over TLS.
func (c *Cluster) BrokersSASL() []string { return c.addrs(func(n *Node) int { return n.sasl }) }

func (c *Cluster) addrs(port func(*Node) int) []string {
	var all []string
	for _, n := range c.nodes {
		all = append(all, local(port(n)))
	}
	return all
}

// CAFile is the PEM file of the certificate authority that signed the brokers' certificate.
func (c *Cluster) CAFile() string { return c.path("ca.pem") }

// ClientCert is the PEM files of a client certificate (CN client) of the same authority.
func (c *Cluster) ClientCert() (certFile, keyFile string) {
	return c.path("client.pem"), c.path("client.key")
}

// Proxied puts a fault proxy before every node for the time of the test. Clients that start from its Bootstrap stay behind it,
// since that listener of the brokers is advertised with the proxy's address. One test at a time can have it.
func (c *Cluster) Proxied(tb testing.TB) *faultproxy.Set {
	tb.Helper()
	var routes []faultproxy.Route
	for _, n := range c.nodes {
		routes = append(routes, faultproxy.Route{Node: n.ID, Listen: local(n.proxied), Target: local(n.behind)})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.proxy != nil {
		tb.Fatal("the cluster's fault proxy is in use")
	}
	set, err := faultproxy.Start(routes)
	if err != nil {
		tb.Fatalf("starting the fault proxy: %v", err)
	}
	c.proxy = set
	tb.Cleanup(func() {
		c.mu.Lock()
		c.proxy = nil
		c.mu.Unlock()
		if err := set.Close(); err != nil {
			tb.Errorf("stopping the fault proxy: %v", err)
		}
	})
	return set
}
