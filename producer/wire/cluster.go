// Package wire talks to Kafka brokers: connections of our own with TLS and
// SASL, negotiated versions, cluster metadata, and the messages that kafka-go
// lacks or has wrong. kafka-go's protocol package encodes all the others.
//
// A Cluster has a broker for each address, and over them a store of what they
// tell. A connection carries one request at a time and is given up after any
// error, so an answer can never be taken for another request's. Nothing here
// sends a request again that may have reached a broker: that is for the caller
// to decide.
package wire

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// anyTimeout bounds one broker's try at a request that any broker can answer.
const anyTimeout = 2500 * time.Millisecond

// failureCounts is how long a broker that left us without an answer is asked
// after the others.
const failureCounts = 30 * time.Second

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

// ErrClosed is returned (wrapped) for what is asked of a closed Cluster.
var ErrClosed = errors.New("the connections to the cluster are closed")

// Cluster is the brokers of one cluster and what they tell of it. It is safe
// for concurrent use.
type Cluster struct {
	config Config
	known  store
	ctx    context.Context // ends with Close; connections are made under it
	end    context.CancelFunc
	beside sync.WaitGroup // readers, and connections being made

	throttle [numLanes]atomic.Int64 // ns, see Throttle

	mu      sync.Mutex
	closed  bool
	brokers map[string]*broker // by address
}

// Open returns a Cluster; it connects when first used.
func Open(config Config) *Cluster {
	if config.ClientID == "" {
		config.ClientID = clientSoftware
	}
	config.Timeouts = config.Timeouts.complete()
	c := &Cluster{config: config, brokers: map[string]*broker{}}
	c.known.topics = map[string]map[int32]leadership{}
	c.known.nodes = map[int32]string{}
	c.ctx, c.end = context.WithCancel(context.Background())
	return c
}

// Close ends all connections, those in use too, and returns when nothing of the
// Cluster runs any more.
func (c *Cluster) Close() {
	c.mu.Lock()
	c.closed = true
	brokers := make([]*broker, 0, len(c.brokers))
	for _, b := range c.brokers {
		brokers = append(brokers, b)
	}
	c.mu.Unlock()
	c.end()
	for _, b := range brokers {
		b.close()
	}
	c.beside.Wait()
}

// broker returns the broker at an address.
func (c *Cluster) broker(addr string) *broker {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.brokers[addr]
	if !ok {
		b = &broker{cluster: c, addr: addr, conns: map[*conn]struct{}{}, closed: c.closed}
		c.brokers[addr] = b
	}
	return b
}

// node returns the broker with an id.
func (c *Cluster) node(ctx context.Context, id int32) (*broker, error) {
	addr, ok := c.known.address(id)
	if !ok {
		if err := c.Refresh(ctx); err != nil {
			return nil, notSent{err}
		}
		if addr, ok = c.known.address(id); !ok {
			return nil, notSent{fmt.Errorf("broker %d is not in the cluster's metadata", id)}
		}
	}
	return c.broker(addr), nil
}

// Do sends a request of ours to a broker and fills in its answer. After an
// error other than ErrNotSent the request may or may not have been carried out.
func (c *Cluster) Do(ctx context.Context, node int32, m Request) error {
	b, err := c.node(ctx, node)
	if err == nil {
		c.known.date(m)
		err = b.do(ctx, laneOf(m.key()), func(ctx context.Context, cn *conn) error { return cn.do(ctx, m) })
	}
	if err != nil {
		return fmt.Errorf("%s on broker %d: %w", m.key(), node, err)
	}
	return nil
}

// Exchange sends one of kafka-go's messages to a broker and returns its answer.
// After an error other than ErrNotSent the request may or may not have been
// carried out.
func (c *Cluster) Exchange(ctx context.Context, node int32, m protocol.Message) (protocol.Message, error) {
	b, err := c.node(ctx, node)
	var res protocol.Message
	if err == nil {
		c.known.date(m)
		err = b.do(ctx, laneOf(m.ApiKey()), func(ctx context.Context, cn *conn) (err error) {
			res, err = cn.exchange(ctx, m)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("%s on broker %d: %w", m.ApiKey(), node, err)
	}
	return res, nil
}

// Link tells one spell of dealing with a node from the next: it is another when
// the node has moved, ended a connection of ours by itself, or left a request
// without an answer.
type Link struct {
	node int32
	addr string
	lost time.Time
}

// Link returns that of a node as it is now.
func (c *Cluster) Link(node int32) Link {
	l := Link{node: node}
	if addr, ok := c.known.address(node); ok {
		b := c.broker(addr)
		b.mu.Lock()
		defer b.mu.Unlock()
		l.addr, l.lost = addr, b.lost
	}
	return l
}

// any runs ask on a connection to whichever broker answers. Only for requests
// that may be repeated.
func (c *Cluster) any(ctx context.Context, ask func(context.Context, *conn) error) error {
	var errs []error
	for _, b := range c.inTurn() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// A broker that hangs must not use up the time of those that answer.
		try, cancel := context.WithTimeout(ctx, anyTimeout)
		err := b.do(try, control, ask)
		cancel()
		if err == nil || errors.Is(err, ErrCredentials) || errors.Is(err, ErrClosed) { // no broker would do better
			return err
		}
		errs = append(errs, fmt.Errorf("broker at %s: %w", b.addr, err))
	}
	return errors.Join(errs...)
}

// inTurn lists every broker we know of in the order to ask them: at random, so
// that none is believed for ever, and those that failed of late at the end.
func (c *Cluster) inTurn() []*broker {
	addrs := c.known.addresses()
	for _, a := range c.config.Brokers {
		if !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	brokers, failed := make([]*broker, 0, len(addrs)), map[*broker]time.Time{}
	for _, a := range addrs {
		b := c.broker(a)
		brokers = append(brokers, b)
		if at := b.lastFailed(); time.Since(at) < failureCounts {
			failed[b] = at
		}
	}
	slices.SortStableFunc(brokers, func(a, b *broker) int { return failed[a].Compare(failed[b]) })
	return brokers
}

// ExchangeAny sends one of kafka-go's messages to any broker; one after the
// other is asked until one answers, so the request must be harmless to repeat.
func (c *Cluster) ExchangeAny(ctx context.Context, m protocol.Message) (protocol.Message, error) {
	var res protocol.Message
	err := c.any(ctx, func(ctx context.Context, cn *conn) (err error) {
		res, err = cn.exchange(ctx, m)
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
		return cn.do(ctx, &v)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("asking for the cluster's features: %w", err)
	}
	return v.Features, v.Ranges, nil
}

// Metadata asks for the brokers and the named topics (none = brokers only) and
// keeps what it learns. The answer is what one broker tells, which may be old.
func (c *Cluster) Metadata(ctx context.Context, topics ...string) (*metadata.Response, error) {
	if topics == nil {
		topics = []string{} // null would mean all topics
	}
	res, err := c.ExchangeAny(ctx, &metadata.Request{TopicNames: topics})
	if err != nil {
		return nil, err
	}
	m := res.(*metadata.Response)
	c.known.learn(m, time.Now())
	return m, nil
}

// Refresh asks for the brokers and every topic asked for before.
func (c *Cluster) Refresh(ctx context.Context) error {
	_, err := c.Metadata(ctx, c.known.names()...)
	return err
}

// Partitions returns the number of partitions of a topic.
func (c *Cluster) Partitions(ctx context.Context, topic string) (int32, error) {
	partitions, err := c.topic(ctx, topic)
	return int32(len(partitions)), err
}

// Leader returns the node that leads a partition, as far as is known; Refresh
// or Metadata find out again. The error is a *DeniedError for a topic that we
// may not see.
func (c *Cluster) Leader(ctx context.Context, topic string, partition int32) (int32, error) {
	partitions, err := c.topic(ctx, topic)
	if err != nil {
		return -1, err
	}
	l, ok := partitions[partition]
	if !ok {
		return -1, fmt.Errorf("%s/%d: %w", topic, partition, ErrUnknownTopic)
	}
	if l.node < 0 {
		return -1, fmt.Errorf("%s/%d: %w", topic, partition, ErrNoLeader)
	}
	return l.node, nil
}

func (c *Cluster) topic(ctx context.Context, topic string) (map[int32]leadership, error) {
	if partitions := c.known.partitions(topic); partitions != nil {
		return partitions, nil
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
	partitions := c.known.partitions(topic)
	if partitions == nil {
		return nil, fmt.Errorf("%s: %w", topic, ErrUnknownTopic)
	}
	return partitions, nil
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
	c.known.place(r.NodeID, address(r.Host, r.Port))
	return r.NodeID, nil
}
