// Command cmd measures the service: how fast it catches up, what an event costs,
// how long one takes to become readable, and how much memory connectors need.
//
//	go run ./internal/proof/benchmark/cmd all
//	go run ./internal/proof/benchmark/cmd -events 20000 -rounds 1 catchup
//
// Without -brokers it starts a Kafka of three nodes, which needs Java and Maven.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"onelogin-kafka/internal/proof/benchmark"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := benchmark.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "benchmark:", err)
		os.Exit(1)
	}
}
