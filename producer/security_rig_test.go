package producer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go/compress"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// What the tests of security have in common: rights that are given and taken, a
// feed for every topic, an instance whose connections can be cut.

// grants changes what a principal may do, as the super user.
type grants struct {
	t         testing.TB
	client    *kgo.Client
	principal string
}

func newGrants(t testing.TB, k *kafkatest.Cluster, principal string) *grants {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &grants{t, c, "User:" + principal}
}

func pattern(r right) kmsg.ACLResourcePatternType {
	if r.prefix {
		return kmsg.ACLResourcePatternTypePrefixed
	}
	return kmsg.ACLResourcePatternTypeLiteral
}

func (g *grants) give(rights ...right) {
	g.t.Helper()
	req := kmsg.NewPtrCreateACLsRequest()
	for _, r := range rights {
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourceName, c.ResourcePatternType = r.resource, r.name, pattern(r)
		c.Principal, c.Host, c.Operation, c.PermissionType = g.principal, "*", r.operation, kmsg.ACLPermissionTypeAllow
		req.Creations = append(req.Creations, c)
	}
	res, err := req.RequestWith(patient(g.t), g.client)
	if err != nil {
		g.t.Fatal(err)
	}
	for i, r := range res.Results {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			g.t.Fatalf("giving %v: %v", rights[i], err)
		}
	}
}

func (g *grants) take(r right) {
	g.t.Helper()
	req := kmsg.NewPtrDeleteACLsRequest()
	f := kmsg.NewDeleteACLsRequestFilter()
	host := "*"
	f.ResourceType, f.ResourceName, f.ResourcePatternType = r.resource, &r.name, pattern(r)
	f.Principal, f.Host, f.Operation, f.PermissionType = &g.principal, &host, r.operation, kmsg.ACLPermissionTypeAllow
	req.Filters = append(req.Filters, f)
	res, err := req.RequestWith(patient(g.t), g.client)
	if err != nil {
		g.t.Fatal(err)
	}
	if n := len(res.Results[0].MatchingACLs); res.Results[0].ErrorCode != 0 || n != 1 {
		g.t.Fatalf("taking %v: %d taken, error %d", r, n, res.Results[0].ErrorCode)
	}
}

// fullFeed is a feed that writes to the dead-letter and status topics as well.
type fullFeed struct {
	*feed
	letters map[string]bool // written: known to be committed
	next    int
}

func newFullFeed(t testing.TB) *fullFeed {
	return &fullFeed{feed: newFeed(t, 7), letters: map[string]bool{}}
}

func (f *fullFeed) serve(ctx context.Context, s *Session) {
	var wg sync.WaitGroup
	wg.Go(func() { f.feed.serve(ctx, s) })
	wg.Go(func() { f.write(ctx, s) })
	wg.Wait()
}

// write sends a dead letter, and with it a status, each time the last one is
// committed.
func (f *fullFeed) write(ctx context.Context, s *Session) {
	name := fmt.Sprintf("letters-%d", s.Shard)
	written := make(chan struct{}, 1)
	for {
		f.mu.Lock()
		value := fmt.Sprintf("%s %d", name, f.next)
		f.next++
		f.mu.Unlock()
		status := schemas.Record{Topic: schemas.Status, Key: []byte(name), Value: []byte(value), Time: time.Now()}
		letter := status
		letter.Topic = schemas.DeadLetter
		if s.Note(ctx, status) != nil {
			return
		}
		if s.Offer(ctx, &schemas.Batch{Connector: name, Records: []schemas.Record{letter}, Done: func() {
			f.mu.Lock()
			f.letters[value] = true
			f.mu.Unlock()
			written <- struct{}{}
		}}) != nil {
			return
		}
		select {
		case <-written:
		case <-ctx.Done():
			return
		}
	}
}

func (f *fullFeed) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.letters)
}

// audit is feed's, and every dead letter at most once, those known to be
// committed exactly once.
func (f *fullFeed) audit(t testing.TB, brokers []string, topics Topics) {
	t.Helper()
	f.feed.audit(t, brokers, topics)
	seen := map[string]int{}
	for _, records := range independent(t, brokers, topics.Specs[schemas.DeadLetter].Name) {
		for _, r := range records {
			seen[string(r.Value)]++
		}
	}
	for value, n := range seen {
		if n > 1 {
			t.Errorf("dead letter %s is there %d times", value, n)
		}
	}
	for value := range f.letters {
		if seen[value] == 0 {
			t.Errorf("dead letter %s is missing", value)
		}
	}
	if n := len(independent(t, brokers, topics.Specs[schemas.Status].Name)); n == 0 {
		t.Error("no status was written")
	}
}

// secureInstance is an Instance at work on a secured cluster, with what it does
// to be counted.
type secureInstance struct {
	*Instance
	registry *prometheus.Registry
	net      *recorder
	stop     func() error
}

// recorder is a network whose connections can be counted and cut.
type recorder struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (n *recorder) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err == nil {
		n.mu.Lock()
		n.conns = append(n.conns, c)
		n.mu.Unlock()
	}
	return c, err
}

func (n *recorder) dialled() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.conns)
}

func (n *recorder) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		c.Close()
	}
}

func startSecure(t testing.TB, group string, topics Topics, brokers []string, sec *Security, serve func(context.Context, *Session)) *secureInstance {
	t.Helper()
	in := &secureInstance{registry: prometheus.NewRegistry(), net: &recorder{}}
	config := wire.Config{Brokers: brokers, TLS: sec.TLS, Dial: in.net.dial}
	if sec.Mechanism != "" {
		config.SASL = sec.SASL
	}
	cluster := wire.Open(config)
	in.Instance = &Instance{
		Cluster: cluster,
		Log:     zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel).With().Timestamp().Logger(),
		Metrics: NewMetrics(in.registry),
		Config:  Config{Group: group, Instance: "one", Topics: topics, Compression: compress.Zstd, CommitInterval: 100 * time.Millisecond, Serve: serve},
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	in.stop = sync.OnceValue(func() error {
		cancel()
		err := <-done
		cluster.Close()
		return err
	})
	t.Cleanup(func() {
		if err := in.stop(); err != nil {
			t.Errorf("the instance ended with %v", err)
		}
	})
	return in
}

// recoveries counts how often a shard was taken over again.
func (in *secureInstance) recoveries(t testing.TB) int {
	t.Helper()
	families, err := in.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range families {
		if f.GetName() != "onelogin_transactions_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "result" && l.GetValue() != "committed" {
					n += int(m.GetCounter().GetValue())
				}
			}
		}
	}
	return n
}

// denied waits until readiness or a shard names a missing right, and returns it.
func (in *secureInstance) denied(t testing.TB, what string, want wire.DeniedError) {
	t.Helper()
	var last error
	is := func(err error) bool {
		if err != nil {
			last = err
		}
		d, ok := errors.AsType[*wire.DeniedError](err)
		return ok && *d == want
	}
	defer func() {
		if t.Failed() {
			t.Logf("last seen: %v", last)
		}
	}()
	waitFor(t, what+" to be named as missing", func() bool {
		return is(in.Ready()) || slices.ContainsFunc(in.Shards(), func(s ShardInfo) bool { return is(s.Err) })
	})
}

func (in *secureInstance) ready(t testing.TB) {
	t.Helper()
	waitFor(t, "the instance to be ready", func() bool { return in.Ready() == nil })
}

// all are the rights that the principal has.
func (g *grants) all() map[right]bool {
	g.t.Helper()
	req := kmsg.NewPtrDescribeACLsRequest()
	req.ResourceType, req.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
	req.Principal, req.Operation, req.PermissionType = &g.principal, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	res, err := req.RequestWith(patient(g.t), g.client)
	if err != nil || res.ErrorCode != 0 {
		g.t.Fatalf("listing rights: %v, error %d", err, res.ErrorCode)
	}
	rights := map[right]bool{}
	for _, r := range res.Resources {
		for _, a := range r.ACLs {
			rights[right{r.ResourceType, r.ResourceName, r.ResourcePatternType == kmsg.ACLResourcePatternTypePrefixed, a.Operation}] = true
		}
	}
	return rights
}
