package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/service"
)

// SIGHUP has the configuration read at once, changed or not.
func TestReloadOnSIGHUP(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "onelogin-kafka.yaml")
	text := "kafka: {brokers: [\"127.0.0.1:1\"]}\ninstance: one\nconnectors_dir: connectors\n"
	err := os.WriteFile(path, []byte(text), 0o600)
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "connectors"), 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	from := service.Origin{Path: path, Lookup: os.LookupEnv}
	cfg, err := config.Load(from.Path, from.Lookup)
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 10)
	svc, err := service.New(cfg, service.Options{Log: zerolog.New(lineWriter(lines)), Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	do := follow(from, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { do(ctx, svc) })
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := self.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		if line := <-lines; !strings.Contains(line, "configuration taken over") {
			t.Errorf("got the line %s", line)
		}
	}
	cancel()
	wg.Wait()
}

type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}
