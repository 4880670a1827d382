package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/sasl"
)

// Config says how to reach a cluster.
type Config struct {
	// Brokers are bootstrap addresses, host:port.
	Brokers []string
	// ClientID names this process in the brokers' logs and quotas; empty =
	// "onelogin-kafka".
	ClientID string
	// TLS, if not nil, is asked for a configuration of its own for each new
	// connection, so that rotated files need no restart; nil from it means plain
	// text. An empty ServerName stands for the broker's own host name.
	TLS func() (*tls.Config, error)
	// SASL, if not nil, is asked for the mechanism at each new connection, so
	// that a rotated password needs no restart. Its errors, and those of the
	// mechanism, are passed on and must hold no secret.
	SASL func() (sasl.Mechanism, error)
	// Dial replaces the network; nil = net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// DialTimeout bounds connecting, TLS and SASL together; 0 = 5 s.
	DialTimeout time.Duration
	// RequestTimeout bounds a request from its first byte to the last of its
	// answer where the context has no deadline; 0 = 8 s.
	RequestTimeout time.Duration
}

func (c *Config) tls() (*tls.Config, error) {
	if c.TLS == nil {
		return nil, nil
	}
	return c.TLS()
}

// maxIdle is below the nine to ten minutes after which brokers close idle
// connections, so that a request is not sent into a closing one.
const maxIdle = 4 * time.Minute

// anyTimeout bounds one broker's try at a request that any broker can answer.
const anyTimeout = 2500 * time.Millisecond

// Error codes this package acts upon (Kafka's protocol, "Error Codes").
const (
	codeUnknownTopic = 3
	codeNoLeader     = 5
)

// ErrNoLeader is returned (wrapped) while a partition has no leader.
var ErrNoLeader = errors.New("the partition has no leader")

// ErrUnknownTopic is returned (wrapped) for a topic or partition that does not
// exist.
var ErrUnknownTopic = errors.New("the topic or partition does not exist")

// ErrCoordinator is returned (wrapped, with Kafka's error code) while no broker
// coordinates a group or transactional id.
var ErrCoordinator = errors.New("no coordinator")

// Cluster is a pool of connections to the brokers of one cluster and a cache of
// its metadata. It is safe for concurrent use.
type Cluster struct {
	config Config

	mu      sync.Mutex
	closed  bool
	nodes   map[int32]string
	idle    map[string][]*conn
	failed  map[string]time.Time       // when an address last failed
	leaders map[string]map[int32]int32 // topic -> partition -> node
}

// Open returns a Cluster; it connects when first used.
func Open(config Config) *Cluster {
	if config.ClientID == "" {
		config.ClientID = clientSoftware
	}
	if config.DialTimeout == 0 {
		config.DialTimeout = 5 * time.Second
	}
	if config.RequestTimeout == 0 {
		config.RequestTimeout = 8 * time.Second
	}
	return &Cluster{config: config, nodes: map[int32]string{}, idle: map[string][]*conn{}, failed: map[string]time.Time{}, leaders: map[string]map[int32]int32{}}
}

// Close closes the idle connections; those in use are closed when they are put
// back.
func (c *Cluster) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for addr, conns := range c.idle {
		for _, cn := range conns {
			cn.Close()
		}
		delete(c.idle, addr)
	}
}

func (c *Cluster) get(ctx context.Context, addr string) (*conn, error) {
	c.mu.Lock()
	for n := len(c.idle[addr]); n > 0; n = len(c.idle[addr]) {
		cn := c.idle[addr][n-1]
		c.idle[addr] = c.idle[addr][:n-1]
		if now := time.Now(); now.Sub(cn.used) < maxIdle && (cn.expires.IsZero() || now.Before(cn.expires)) {
			c.mu.Unlock()
			return cn, nil
		}
		cn.Close()
	}
	c.mu.Unlock()
	return c.config.dial(ctx, addr)
}

func (c *Cluster) put(addr string, cn *conn, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || c.closed {
		cn.Close()
		return
	}
	cn.used = time.Now()
	c.idle[addr] = append(c.idle[addr], cn)
}

// with runs do on a connection to addr.
func (c *Cluster) with(ctx context.Context, addr string, do func(*conn) error) error {
	cn, err := c.get(ctx, addr)
	if err != nil {
		return err
	}
	err = do(cn)
	c.put(addr, cn, err)
	return err
}

func (c *Cluster) address(ctx context.Context, node int32) (string, error) {
	c.mu.Lock()
	addr, ok := c.nodes[node]
	c.mu.Unlock()
	if ok {
		return addr, nil
	}
	if err := c.Refresh(ctx); err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if addr, ok = c.nodes[node]; !ok {
		return "", fmt.Errorf("broker %d is not in the cluster's metadata", node)
	}
	return addr, nil
}

// Do sends a request of ours to a broker and fills in its answer. After an
// error the request may or may not have been carried out.
func (c *Cluster) Do(ctx context.Context, node int32, m Request) error {
	addr, err := c.address(ctx, node)
	if err == nil {
		err = c.with(ctx, addr, func(cn *conn) error { return cn.do(ctx, c.config.RequestTimeout, m) })
	}
	if err != nil {
		return fmt.Errorf("%s on broker %d: %w", m.key(), node, err)
	}
	return nil
}

// Exchange sends one of kafka-go's messages to a broker and returns its answer.
// After an error the request may or may not have been carried out.
func (c *Cluster) Exchange(ctx context.Context, node int32, m protocol.Message) (protocol.Message, error) {
	addr, err := c.address(ctx, node)
	var res protocol.Message
	if err == nil {
		err = c.with(ctx, addr, func(cn *conn) (err error) {
			res, err = cn.exchange(ctx, c.config.RequestTimeout, m)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("%s on broker %d: %w", m.ApiKey(), node, err)
	}
	return res, nil
}

// any runs do on a connection to whichever broker answers. Only for requests
// that may be repeated.
func (c *Cluster) any(ctx context.Context, do func(context.Context, *conn) error) error {
	var errs []error
	for _, a := range c.addresses() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// A broker that hangs must not use up the time of those that answer.
		try, cancel := context.WithTimeout(ctx, anyTimeout)
		err := c.with(try, a, func(cn *conn) error { return do(try, cn) })
		cancel()
		if err == nil || errors.Is(err, ErrCredentials) { // no broker would do better
			return err
		}
		c.mu.Lock()
		c.failed[a] = time.Now()
		c.mu.Unlock()
		errs = append(errs, fmt.Errorf("broker at %s: %w", a, err))
	}
	return errors.Join(errs...)
}

// addresses lists every broker we know of, those that failed last at the end.
func (c *Cluster) addresses() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	addrs := slices.Collect(maps.Values(c.nodes))
	for _, a := range c.config.Brokers {
		if !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	slices.SortStableFunc(addrs, func(a, b string) int { return c.failed[a].Compare(c.failed[b]) })
	return addrs
}

// ExchangeAny sends one of kafka-go's messages to any broker; one after the
// other is asked until one answers, so the request must be harmless to repeat.
func (c *Cluster) ExchangeAny(ctx context.Context, m protocol.Message) (protocol.Message, error) {
	var res protocol.Message
	err := c.any(ctx, func(ctx context.Context, cn *conn) (err error) {
		res, err = cn.exchange(ctx, c.config.RequestTimeout, m)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.ApiKey(), err)
	}
	return res, nil
}

// Features returns the cluster's finalised feature levels and the highest
// version of each request, as one broker tells.
func (c *Cluster) Features(ctx context.Context) (map[string]int16, map[protocol.ApiKey][2]int16, error) {
	var v APIVersions
	err := c.any(ctx, func(ctx context.Context, cn *conn) error {
		v = APIVersions{}
		return cn.do(ctx, c.config.RequestTimeout, &v)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("asking for the cluster's features: %w", err)
	}
	return v.Features, v.Ranges, nil
}

// Metadata asks for the brokers and the named topics (none = brokers only) and
// keeps what it learns.
func (c *Cluster) Metadata(ctx context.Context, topics ...string) (*metadata.Response, error) {
	if topics == nil {
		topics = []string{} // null would mean all topics
	}
	res, err := c.ExchangeAny(ctx, &metadata.Request{TopicNames: topics})
	if err != nil {
		return nil, err
	}
	m := res.(*metadata.Response)
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.nodes)
	for _, b := range m.Brokers {
		c.nodes[b.NodeID] = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	}
	for _, t := range m.Topics {
		if t.ErrorCode != 0 {
			delete(c.leaders, t.Name)
			continue
		}
		leaders := make(map[int32]int32, len(t.Partitions))
		for _, p := range t.Partitions {
			if p.ErrorCode == codeNoLeader {
				p.LeaderID = -1
			}
			leaders[p.PartitionIndex] = p.LeaderID
		}
		c.leaders[t.Name] = leaders
	}
	return m, nil
}

// Refresh asks for the brokers and every topic asked for before.
func (c *Cluster) Refresh(ctx context.Context) error {
	c.mu.Lock()
	topics := make([]string, 0, len(c.leaders))
	for t := range c.leaders {
		topics = append(topics, t)
	}
	c.mu.Unlock()
	_, err := c.Metadata(ctx, topics...)
	return err
}

// Partitions returns the number of partitions of a topic.
func (c *Cluster) Partitions(ctx context.Context, topic string) (int32, error) {
	leaders, err := c.topic(ctx, topic)
	return int32(len(leaders)), err
}

// Leader returns the node that leads a partition, as far as is known; Refresh
// or Metadata find out again. The error is a *DeniedError for a topic that we
// may not see.
func (c *Cluster) Leader(ctx context.Context, topic string, partition int32) (int32, error) {
	leaders, err := c.topic(ctx, topic)
	if err != nil {
		return -1, err
	}
	node, ok := leaders[partition]
	if !ok {
		return -1, fmt.Errorf("%s/%d: %w", topic, partition, ErrUnknownTopic)
	}
	if node < 0 {
		return -1, fmt.Errorf("%s/%d: %w", topic, partition, ErrNoLeader)
	}
	return node, nil
}

// topic returns a map that is never changed once it is there.
func (c *Cluster) topic(ctx context.Context, topic string) (map[int32]int32, error) {
	c.mu.Lock()
	leaders, ok := c.leaders[topic]
	c.mu.Unlock()
	if ok {
		return leaders, nil
	}
	m, err := c.Metadata(ctx, topic)
	if err != nil {
		return nil, err
	}
	for _, t := range m.Topics {
		if err := Denied(t.ErrorCode, "Describe", ResourceTopic, t.Name); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if leaders, ok = c.leaders[topic]; !ok {
		return nil, fmt.Errorf("%s: %w", topic, ErrUnknownTopic)
	}
	return leaders, nil
}

// Coordinator kinds.
const (
	GroupCoordinator       int8 = 0
	TransactionCoordinator int8 = 1
)

// Coordinator finds the node that coordinates a group or transactional id. The
// error is a *DeniedError where we may not use that.
func (c *Cluster) Coordinator(ctx context.Context, kind int8, key string) (int32, error) {
	res, err := c.ExchangeAny(ctx, &findcoordinator.Request{Key: key, KeyType: kind})
	if err != nil {
		return -1, err
	}
	r := res.(*findcoordinator.Response)
	right, resource := "Read", ResourceGroup
	if kind == TransactionCoordinator {
		right, resource = "Write", ResourceTransactionalID
	}
	if err := Denied(r.ErrorCode, right, resource, key); err != nil {
		return -1, err
	}
	if r.ErrorCode != 0 {
		return -1, fmt.Errorf("FindCoordinator: %w: error %d", ErrCoordinator, r.ErrorCode)
	}
	c.mu.Lock()
	c.nodes[r.NodeID] = net.JoinHostPort(r.Host, strconv.Itoa(int(r.Port)))
	c.mu.Unlock()
	return r.NodeID, nil
}
