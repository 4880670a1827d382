package main

import (
	"os"
	"testing"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/producer/wire"
)

// A command on a Kafka leaves nothing in the folder it is run in.
func TestCommandsLeaveNoFile(t *testing.T) {
	t.Chdir(t.TempDir())
	cfg := &config.Config{Kafka: config.Kafka{Brokers: []string{"127.0.0.1:1"}}}
	ran := false
	if err := withCluster(t.Context(), cfg, func(*wire.Cluster) error { ran = true; return nil }); err == nil || ran {
		t.Fatalf("ran: %v, %v", ran, err)
	}
	left, err := os.ReadDir(".")
	if err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
