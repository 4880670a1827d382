package main

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/preflight"
	"onelogin-kafka/internal/service"
	"onelogin-kafka/producer/embedded"
	"onelogin-kafka/producer/wire"
)

// joinEmbedded points the configuration at its embedded broker, where it has
// one: that which another process runs on the folder, or else one that is started
// until stop is called.
func joinEmbedded(cfg *config.Config, sync bool) (stop func(), err error) {
	if cfg.Kafka.Embedded != "" {
		if addrs, ok := embedded.Running(cfg.Kafka.Embedded); ok {
			cfg.Kafka.Brokers = addrs
			return func() {}, nil
		}
	}
	return startEmbedded(cfg, sync, zerolog.Nop())
}

// reachPatience bounds how long a command looks for Kafka before it says that
// there is none.
const reachPatience = 10 * time.Second

// withCluster runs do on the configured Kafka, once that has answered.
func withCluster(ctx context.Context, cfg *config.Config, do func(*wire.Cluster) error) error {
	stop, err := joinEmbedded(cfg, true)
	if err != nil {
		return err
	}
	defer stop()
	cluster, err := service.Cluster(cfg)
	if err != nil {
		return usage(err)
	}
	defer cluster.Close()
	if err := reach(ctx, cluster); err != nil {
		return err
	}
	return do(cluster)
}

// reach asks a cluster for its brokers.
func reach(ctx context.Context, cluster *wire.Cluster) error {
	rctx, cancel := context.WithTimeout(ctx, reachPatience)
	defer cancel()
	_, failure := preflight.Reachable(rctx, cluster)
	if failure == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.New(failure.String())
}
