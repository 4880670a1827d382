package service

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"onelogin-kafka/internal/build"
	"onelogin-kafka/internal/config"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
	"onelogin-kafka/source/onelogin"
)

// connector is a configured connector and what stays warm between its sessions.
type connector struct {
	config config.Connector
	client client
	poller *source.Poller
	aside  string        // why it is set aside; empty if it is not
	news   atomic.Bool   // its status has changed
	asked  chan struct{} // the control log says another thing of its jobs
	id     atomic.Int64  // of the account, once a token has told it
	rest   rest

	// The service's lock guards what follows.
	account *account
	runs    int // 1 while its shard is ours and it is polled
}

// rest is what is known of a connector while it is not polled.
type rest struct {
	mu     sync.Mutex
	err    error // what keeps it from being polled
	since  time.Time
	offset schemas.Offset
}

func (r *rest) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if (err == nil) != (r.err == nil) {
		r.since = time.Now()
	}
	r.err = err
}

func (r *rest) at(o schemas.Offset) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.offset, r.since = o, time.Now()
}

func (r *rest) get() (schemas.Offset, time.Time, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.offset, r.since, r.err
}

// changed tells that the status is another.
func (c *connector) changed() { c.news.Store(true) }

// Changes counts what an Apply did.
type Changes struct{ Added, Changed, Removed int }

// Apply makes the connectors of cfg the configured ones, those that are set
// aside included, beside those of the control log. Those that are the same as
// before are not touched: they keep token, connection, interval and session.
func (s *Service) Apply(cfg *config.Config) Changes { return s.takeOver(cfg) }

// apply makes exactly the connectors of cfg the configured ones.
func (s *Service) apply(cfg *config.Config) Changes {
	s.mu.Lock()
	next, aside := s.connectorsOf(cfg)
	news, over := aside.without(s.aside), s.aside.without(aside)
	s.aside = aside
	var n Changes
	for name, c := range next {
		if old := s.connectors[name]; old == nil {
			n.Added++
		} else if old != c {
			n.Changed++
		}
	}
	n.Removed = len(s.connectors) + n.Added - len(next)
	if n != (Changes{}) {
		s.register(s.connectors, next)
		s.connectors = next
		close(s.changed)
		s.changed = make(chan struct{})
	}
	for _, list := range []asides{news, over} {
		for name := range list {
			if c := next[name]; c != nil {
				c.changed() // its status says another thing
			}
		}
	}
	s.mu.Unlock()
	if s.opts.Counted != nil {
		s.opts.Counted(len(next))
	}
	news.tell(&s.opts.Log)
	return n
}

// connectorsOf returns the connectors of cfg by name, the present ones where
// they are the same, and what is set aside. The caller holds the lock.
func (s *Service) connectorsOf(cfg *config.Config) (map[string]*connector, asides) {
	next := make(map[string]*connector, len(cfg.Connectors)+len(cfg.SetAside))
	aside := asidesOf(cfg)
	for _, cc := range cfg.Connectors {
		old := s.connectors[cc.Name]
		if old != nil && old.aside == "" && old.config.Equal(cc) {
			next[cc.Name] = old
			continue
		}
		c, err := s.build(cc, len(next))
		if err == nil {
			next[cc.Name] = c
			continue
		}
		// What the client finds wrong is the connector's own trouble, too.
		a := config.SetAside{Name: cc.Name, File: cc.File, Problems: config.Problems{{File: cc.Source, Message: err.Error()}}}
		if old != nil && old.aside == "" {
			next[cc.Name], a.Runs = old, true
		}
		aside.add(a)
	}
	for _, a := range aside {
		old := s.connectors[a.Name]
		switch {
		case a.Name == "" || next[a.Name] != nil:
		case old != nil && old.aside == a.Reason():
			next[a.Name] = old
		default:
			next[a.Name] = s.setAside(a)
		}
	}
	return next, aside
}

// build makes a connector ready to be polled, one of those that have so many before
// them.
func (s *Service) build(cc config.Connector, before int) (*connector, error) {
	client, err := onelogin.New(Account(cc), onelogin.Options{
		HTTP:      s.ways.of(before),
		Log:       s.opts.Log,
		Edges:     s.edges,
		UserAgent: build.UserAgent(),
		Trace:     s.traced(cc.Name),
		Observe: func(_, code string, _ time.Duration) {
			s.metrics.Requests.WithLabelValues(cc.Name, code).Inc()
		},
	})
	if err != nil {
		return nil, err
	}
	return s.assemble(cc, client), nil
}

// assemble makes a connector of a client.
func (s *Service) assemble(cc config.Connector, client client) *connector {
	c := &connector{config: cc, client: client, asked: make(chan struct{}, 1)}
	c.poller = &source.Poller{
		Connector: cc.Name,
		Settings: source.Settings{
			StartFrom: source.StartFrom{Ago: cc.StartFrom.Ago, At: cc.StartFrom.At},
			PollMin:   cc.Poll.Min, PollMax: cc.Poll.Max,
			SweepEvery: cc.Sweep.Every, SweepWindow: cc.Sweep.Window,
			PageSize: cc.PageSize, Domain: cc.Domain, SecretGeneration: cc.SecretGeneration,
		},
		Client:    &accountClient{s, c},
		Encoder:   &schemas.Encoder{Tenant: cc.Name, Domain: cc.Domain, Key: s.settings.key, Compact: s.settings.compact, Types: s.types},
		Memory:    s.memory,
		Metrics:   s.metrics,
		Log:       s.opts.Log,
		AccountID: client.AccountID,
		OnChange:  c.changed,
	}
	return c
}

func (s *Service) snapshot() map[string]*connector {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.connectors)
}
