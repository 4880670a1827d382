package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/internal/service"
	"onelogin-kafka/producer/embedded"
	"onelogin-kafka/producer/wire"
)

// logged is what a command knows of the connectors of the control log.
type logged struct {
	// shadowed are those that a file has the name of.
	shadowed []string
	// unread is why they are not known; nil where they are, and where there is no
	// control log.
	unread error
}

// withLogged adds the connectors of the control log to those of the files, for
// every command alike: a secret stays sealed until it is used, and its error says
// then what is wrong with it. Who may not read the log has the files' connectors
// only.
func withLogged(ctx context.Context, cfg *config.Config, cluster *wire.Cluster) (logged, error) {
	var l logged
	ring, err := cfg.Secrets.Ring()
	if err != nil {
		return l, usage(err)
	}
	ctx, cancel := context.WithTimeout(ctx, kafkaPatience)
	defer cancel()
	_, err = cluster.Partitions(ctx, cfg.Topics.Connectors.Name)
	if err == nil {
		r := registry.New(registry.Options{Cluster: cluster, Topics: service.Topics(cfg), Group: cfg.Group, Ring: ring, Log: zerolog.Nop()})
		if err = r.Read(ctx); err == nil {
			good, aside := r.Known()
			l.shadowed = service.Join(cfg, good, aside)
			return l, nil
		}
	}
	_, denied := errors.AsType[*wire.DeniedError](err)
	switch {
	case errors.Is(err, wire.ErrUnknownTopic):
		return l, nil
	case denied:
		l.unread = err
		return l, nil
	}
	return l, fmt.Errorf("reading the connectors of the control log: %w", err)
}

// errNobody is wrapped by the error for a connector that nobody knows.
var errNobody = errors.New("is not in the configuration")

// unknown is the error for a connector that is neither in a file nor on the control
// log.
func unknown(name string) error { return usage(fmt.Errorf("connector %s %w", clean(name), errNobody)) }

// explain adds to the error for a connector that nobody knows why those of the
// control log are not known, if so.
func (l *logged) explain(err error) error {
	if l.unread == nil || !errors.Is(err, errNobody) {
		return err
	}
	return usage(fmt.Errorf("%w, and whether it is on the control log is not known: %w", err, l.unread))
}

// polled is one connector, of a file or of the control log, as a command needs it
// that asks OneLogin: its secret can be read here.
func polled(ctx context.Context, cfg *config.Config, cluster *wire.Cluster, name string) (*config.Connector, error) {
	known, err := withLogged(ctx, cfg, cluster)
	if err != nil {
		return nil, err
	}
	for _, s := range cfg.SetAside {
		if s.Name == name {
			return nil, usage(fmt.Errorf("connector %s is set aside: %s", clean(name), s.Reason()))
		}
	}
	i := slices.IndexFunc(cfg.Connectors, func(c config.Connector) bool { return c.Name == name })
	if i < 0 {
		return nil, known.explain(unknown(name))
	}
	c := &cfg.Connectors[i]
	if _, err := c.ClientSecret.Reveal(); err != nil {
		return nil, usage(fmt.Errorf("connector %s: its client secret: %w", clean(name), err))
	}
	return c, nil
}

// glancePatience bounds a look at the control log that nobody waits for longer.
const glancePatience = 2 * time.Second

// glance adds the connectors of the control log where that can be read at once. It
// starts no embedded broker.
func glance(ctx context.Context, cfg *config.Config) {
	if cfg.Kafka.Embedded != "" {
		addrs, running := embedded.Running(cfg.Kafka.Embedded)
		if !running {
			return
		}
		cfg.Kafka.Brokers = addrs
	}
	cluster, err := service.Cluster(cfg)
	if err != nil {
		return
	}
	defer cluster.Close()
	ctx, cancel := context.WithTimeout(ctx, glancePatience)
	defer cancel()
	if reach(ctx, cluster) == nil {
		_, _ = withLogged(ctx, cfg, cluster) // what cannot be seen is not known
	}
}
