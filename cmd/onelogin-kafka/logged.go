package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rs/zerolog"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/internal/service"
	"onelogin-kafka/producer/wire"
)

// withLogged adds the connectors of the control log to those of the files, as far
// as a command needs them that polls nobody: their secrets stay sealed. Who may
// not read the log, or has none, has the files' connectors only.
func withLogged(ctx context.Context, cfg *config.Config, cluster *wire.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, kafkaPatience)
	defer cancel()
	reg := registry.New(registry.Options{Cluster: cluster, Topics: service.Topics(cfg), Group: cfg.Group, Log: zerolog.Nop()})
	err := reg.Read(ctx)
	_, denied := errors.AsType[*wire.DeniedError](err)
	if denied || errors.Is(err, wire.ErrUnknownTopic) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the connectors of the control log: %w", err)
	}
	for _, logged := range reg.List() {
		if configured(cfg, logged.Name) {
			continue // the file is used
		}
		c := config.DefaultConnector()
		c.Name, c.Domain, c.ClientID, c.Paused = logged.Name, logged.Domain, logged.ClientID, logged.Paused
		var text string
		if json.Unmarshal(logged.Settings["start_from"], &text) == nil {
			if start, err := config.ParseStartFrom(text); err == nil {
				c.StartFrom = start
			}
		}
		_ = json.Unmarshal(logged.Settings["page_size"], &c.PageSize) // "auto" is none
		cfg.Connectors = append(cfg.Connectors, c)
	}
	return nil
}
