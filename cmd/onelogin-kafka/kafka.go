package main

import (
	"github.com/rs/zerolog"

	"onelogin-kafka/internal/config"
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

// withCluster runs do on the configured Kafka.
func withCluster(cfg *config.Config, do func(*wire.Cluster) error) error {
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
	return do(cluster)
}
