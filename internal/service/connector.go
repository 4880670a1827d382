package service

import (
	"fmt"
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
	client *onelogin.Client
	poller *source.Poller
	kick   chan struct{} // its status has changed
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

// changed tells who waits that the status is another.
func (c *connector) changed() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// Changes counts what an Apply did.
type Changes struct{ Added, Changed, Removed int }

// Apply makes the given connectors the configured ones. Those that are the same
// as before are not touched: they keep token, connection, interval and session.
// Nothing is changed if one of them is not valid.
func (s *Service) Apply(configs []config.Connector) (Changes, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var n Changes
	next := make(map[string]*connector, len(configs))
	for _, cc := range configs {
		old, known := s.connectors[cc.Name]
		if known && old.config.Equal(cc) {
			next[cc.Name] = old
			continue
		}
		c, err := s.build(cc)
		if err != nil {
			return Changes{}, fmt.Errorf("connector %s at %s: %w", cc.Name, cc.Source, err)
		}
		next[cc.Name] = c
		if known {
			n.Changed++
		} else {
			n.Added++
		}
	}
	n.Removed = len(s.connectors) + n.Added - len(next)
	if n == (Changes{}) {
		return n, nil
	}
	s.register(s.connectors, next)
	s.connectors = next
	close(s.changed)
	s.changed = make(chan struct{})
	return n, nil
}

// build makes a connector ready to be polled.
func (s *Service) build(cc config.Connector) (*connector, error) {
	c := &connector{config: cc, kick: make(chan struct{}, 1)}
	client, err := onelogin.New(
		onelogin.Config{Domain: cc.Domain, BaseURL: cc.BaseURL, ClientID: cc.ClientID, Secret: cc.ClientSecret.Reveal},
		onelogin.Options{
			HTTP:      s.http,
			Log:       s.opts.Log,
			Edges:     s.edges,
			UserAgent: build.UserAgent(),
			Observe: func(_, code string, _ time.Duration) {
				s.metrics.Requests.WithLabelValues(cc.Name, code).Inc()
			},
		})
	if err != nil {
		return nil, err
	}
	c.client = client
	c.poller = &source.Poller{
		Connector: cc.Name,
		Settings: source.Settings{
			StartFrom: source.StartFrom{Ago: cc.StartFrom.Ago, At: cc.StartFrom.At},
			PollMin:   cc.Poll.Min, PollMax: cc.Poll.Max,
			SweepEvery: cc.Sweep.Every, SweepWindow: cc.Sweep.Window,
			PageSize: cc.PageSize, Domain: cc.Domain,
		},
		Client:    &accountClient{s, c},
		Encoder:   &schemas.Encoder{Tenant: cc.Name, Domain: cc.Domain, Key: s.settings.key, Compact: s.settings.compact, Types: s.types},
		Metrics:   s.metrics,
		Log:       s.opts.Log,
		AccountID: client.AccountID,
		OnChange:  c.changed,
	}
	return c, nil
}

func (s *Service) snapshot() map[string]*connector {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.connectors)
}
