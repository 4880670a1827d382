package kafkatest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
)

// shared are the clusters of one test binary, by their options.
var shared struct {
	mu       sync.Mutex
	on       bool
	clusters map[string]*Cluster
	failed   map[string]error
}

// TestingM is *testing.M, or something that wraps it.
type TestingM interface{ Run() int }

// Main wraps a package's testing.M so that Shared can be used: the clusters end after the last test. It composes:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(kafkatest.Main(m)) }
//	func TestMain(m *testing.M) { os.Exit(kafkatest.Main(m).Run()) }
func Main(m TestingM) TestingM { return runner{m} }

type runner struct{ m TestingM }

func (r runner) Run() int {
	shared.mu.Lock()
	shared.on, shared.clusters, shared.failed = true, map[string]*Cluster{}, map[string]error{}
	shared.mu.Unlock()
	code := r.m.Run()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.on = false
	for _, c := range shared.clusters {
		if err := c.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping Kafka:", err)
			code = max(code, 1)
		}
	}
	return code
}

// Shared returns the cluster of this test binary with these options and starts it at the first call. Tests that share one give
// their topics, groups and transactional ids names of their own (tb.Name()), and start every node again that they end or pause.
// The package's TestMain must use Main.
func Shared(tb testing.TB, opts Options) *Cluster {
	tb.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.on {
		tb.Fatal("kafkatest.Shared needs kafkatest.Main in the package's TestMain")
	}
	key := fmt.Sprintf("%#v", opts) // maps print in the order of their keys
	if err := shared.failed[key]; err != nil {
		tb.Fatalf("starting Kafka: %v", err)
	}
	c := shared.clusters[key]
	if c == nil {
		var err error
		// Not the test's context: the cluster outlives the test that happens to be the first.
		if c, err = New(context.Background(), opts); err != nil {
			shared.failed[key] = err
			tb.Fatalf("starting Kafka: %v", err)
		}
		shared.clusters[key] = c
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			c.dump(tb)
		}
	})
	return c
}
