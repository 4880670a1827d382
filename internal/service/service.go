// Package service joins the assignment with the configured connectors: for each
// shard this instance owns it polls the shard's connectors and hands what they
// bring to the shard. That is all it does.
package service

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go/compress"

	"onelogin-kafka/internal/build"
	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/memory"
	"onelogin-kafka/internal/reconcile"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
	"onelogin-kafka/source/onelogin"
)

// Options are the outside of a Service.
type Options struct {
	Log      zerolog.Logger
	Registry prometheus.Registerer
	// HTTP carries the requests to OneLogin; nil = a transport of its own.
	HTTP http.RoundTripper
	// Files is how many this process may have open at once, sockets included; 0 =
	// not known.
	Files uint64
	// Memory is how the process uses its memory.
	Memory memory.Plan
	// Counted, if not nil, is told the number of connectors each time they change.
	Counted func(connectors int)
	// Console, if not nil, returns where the console of this instance is reached,
	// which its statuses say; empty where that is not known.
	Console func() string
}

// Service is one instance: its connectors and its part of the shards.
type Service struct {
	opts     Options
	instance *producer.Instance
	cluster  *wire.Cluster
	control  control
	types    *schemas.Types
	metrics  *source.Metrics
	verified *reconcile.Metrics
	topic    *reconcile.Topic
	memory   *memory.Budget
	ways     ways
	settings settings

	mu         sync.Mutex
	connectors map[string]*connector
	bells      map[int32]chan<- string // of the shards that are served here
	aside      asides
	changed    chan struct{} // closed and replaced when connectors change
	domains    map[string]*account
	accounts   map[int64]*account
	warned     map[[2]string]bool // pairs of connectors of one account

	edges  *onelogin.Edges
	drafts chan struct{} // holds one for each that is tried
	absent absentees
	reload reloads
}

// settings are what all connectors have in common.
type settings struct {
	instance string
	key      schemas.KeyStrategy
	compact  bool
	requests bool // are logged
	shards   int32
}

// New builds a service; nothing is started or connected to yet.
func New(cfg *config.Config, opts Options) (*Service, error) {
	cluster, err := Cluster(cfg)
	if err != nil {
		return nil, err
	}
	s := &Service{
		opts:     opts,
		cluster:  cluster,
		types:    schemas.NewTypes(),
		metrics:  source.NewMetrics(opts.Registry),
		verified: reconcile.NewMetrics(opts.Registry),
		topic:    reconcile.NewTopic(&reconcile.KafkaLog{Cluster: cluster, Topic: cfg.Topics.Events.Name}, 0),
		memory:   memory.NewBudget(opts.Memory.Pages()),
		ways:     ways{kept: opts.HTTP, brief: opts.HTTP},
		settings: settings{
			instance: cfg.Instance, key: cfg.Key, compact: cfg.Value == config.ValueCompact, requests: cfg.Log.Requests,
			shards: int32(cfg.Topics.Offsets.Partitions),
		},
		connectors: map[string]*connector{},
		bells:      map[int32]chan<- string{},
		aside:      asides{},
		changed:    make(chan struct{}),
		domains:    map[string]*account{},
		accounts:   map[int64]*account{},
		warned:     map[[2]string]bool{},
		edges:      onelogin.NewEdges(opts.Log),
		drafts:     make(chan struct{}, draftTries),
		absent:     newAbsentees(),
	}
	ring, err := cfg.Secrets.Ring()
	if err != nil {
		return nil, err
	}
	s.control.Registry = registry.New(registry.Options{Cluster: cluster, Topics: Topics(cfg), Group: cfg.Group, Ring: ring, Log: opts.Log})
	s.control.Watch(s.rung)
	s.reload.done(cfg.Shared())
	if opts.HTTP == nil {
		s.ways = s.waysOut(cfg)
	}
	codec, err := codecOf(cfg.Compression)
	if err != nil {
		return nil, err
	}
	s.instance = &producer.Instance{
		Cluster: cluster,
		Log:     opts.Log,
		Metrics: producer.NewMetrics(opts.Registry),
		Config: producer.Config{
			Group:          cfg.Group,
			Instance:       cfg.Instance,
			Topics:         Topics(cfg),
			Compression:    codec,
			CommitInterval: cfg.CommitInterval,
			Connectors:     s.perShard,
			Serve:          s.serve,
			Partitions:     func(shards int32) { s.setShards(shards) },
		},
	}
	s.Apply(cfg)
	opts.Registry.MustRegister(newCollector(s))
	s.memory.Register(opts.Registry)
	return s, nil
}

func codecOf(name string) (compress.Compression, error) {
	var c compress.Compression
	if err := c.UnmarshalText([]byte(name)); err != nil {
		return 0, fmt.Errorf("reading compression: %w", err)
	}
	return c, nil
}

// Topics returns what a configuration says of the topics.
func Topics(cfg *config.Config) producer.Topics {
	names := cfg.Topics.Names()
	t := producer.Topics{Create: cfg.Topics.Create, ReplicationFactor: int16(cfg.Topics.ReplicationFactor)}
	for i, name := range names {
		t.Specs[i] = producer.TopicSpec{Name: name, Partitions: 1}
	}
	t.Specs[schemas.Events].Partitions = int32(cfg.Topics.Events.Partitions)
	t.Specs[schemas.Offsets].Partitions = int32(cfg.Topics.Offsets.Partitions)
	return t
}

// Cluster returns the connection to the configured brokers.
func Cluster(cfg *config.Config) (*wire.Cluster, error) {
	wc := wire.Config{Brokers: cfg.Kafka.Brokers, ClientID: cfg.Instance, Timeouts: wire.Timeouts(cfg.Kafka.Timeouts)}
	sec := producer.Security{}
	if t := cfg.Kafka.TLS; t != nil {
		sec.UseTLS, sec.CAFile, sec.CertFile, sec.KeyFile, sec.ServerName = true, t.CAFile, t.CertFile, t.KeyFile, t.ServerName
		if _, err := sec.TLS(); err != nil {
			return nil, err
		}
		wc.TLS = sec.TLS
	}
	if k := cfg.Kafka.SASL; k != nil {
		sec.Mechanism, sec.Username, sec.Password = k.Mechanism, k.Username, k.Password.Reveal
		sec.Tokens, sec.Extensions = producer.FileToken(k.Token.Reveal), k.Extensions
		if k.TokenURL != "" {
			sec.Tokens = &producer.EndpointToken{URL: k.TokenURL, ClientID: k.ClientID, Secret: k.ClientSecret.Reveal, Scope: k.Scope, Parameters: k.Parameters(), UserAgent: build.UserAgent()}
		}
		wc.SASL = sec.SASL
	}
	return wire.Open(wc), nil
}

// Run serves until ctx ends. See producer.Instance.Run for the errors.
func (s *Service) Run(ctx context.Context) error {
	defer s.cluster.Close()
	defer s.ways.closeIdle()
	var wg sync.WaitGroup
	tctx, cancel := context.WithCancel(ctx)
	wg.Go(func() { s.learnTypes(tctx) })
	wg.Go(func() { s.tellAbsent(tctx) })
	wg.Go(func() { s.control.Follow(tctx) })
	wg.Go(func() { s.followControl(tctx) })
	err := s.instance.Run(ctx)
	cancel()
	wg.Wait()
	return err
}

// errControl tells that it is not known yet which connectors there are.
var errControl = errors.New("the control log was not read to its end and taken over yet")

// Ready returns nil when every shard this instance owns is served, and the
// connectors of the control log, read to its end, were taken over.
func (s *Service) Ready() error {
	if err := s.instance.Ready(); err != nil {
		return err
	}
	if !s.control.taken.Load() {
		return errControl
	}
	return nil
}

// Registry is the control log, which this instance follows.
func (s *Service) Registry() *registry.Registry { return s.control.Registry }

// Shards lists the shards this instance owns.
func (s *Service) Shards() []producer.ShardInfo { return s.instance.Shards() }

func (s *Service) setShards(n int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings.shards = n
}

// perShard counts the connectors of each shard.
func (s *Service) perShard() map[int32]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := map[int32]int{}
	for name := range s.connectors {
		w[producer.PartitionFor(schemas.OffsetKey(name), s.settings.shards)]++
	}
	return w
}

// typesEvery is how long OneLogin asks to keep its list of event types.
const typesEvery = 24 * time.Hour

// learnTypes keeps the names of the event types up to date. They are a comfort:
// failing to get them is worth a line at debug.
func (s *Service) learnTypes(ctx context.Context) {
	wait := 5 * time.Second
	for {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		wait = time.Hour
		for _, c := range s.snapshot() {
			if c.aside != "" {
				continue
			}
			types, err := c.client.EventTypes(ctx)
			if err == nil {
				s.types.Set(types)
				wait = typesEvery
			} else {
				s.opts.Log.Debug().Err(err).Msg("the list of event types was not to be had")
			}
			break
		}
	}
}
