package main

import (
	"github.com/rs/zerolog"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/service"
	"onelogin-kafka/producer/embedded"
	"onelogin-kafka/producer/wire"
)

// withCluster runs do on the configured Kafka. An embedded broker is the one
// that another process runs on its folder, or else started for as long.
func withCluster(cfg *config.Config, do func(*wire.Cluster) error) error {
	if addrs, ok := embedded.Running(cfg.Kafka.Embedded); ok && cfg.Kafka.Embedded != "" {
		cfg.Kafka.Brokers = addrs
	} else {
		stop, err := startEmbedded(cfg, true, zerolog.Nop())
		if err != nil {
			return err
		}
		defer stop()
	}
	cluster, err := service.Cluster(cfg)
	if err != nil {
		return usage(err)
	}
	defer cluster.Close()
	return do(cluster)
}
