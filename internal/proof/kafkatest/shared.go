package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"onelogin-kafka/internal/proof/wait"
)

// shared are the clusters of one test binary, by their options.
var shared struct {
	mu       sync.Mutex
	on       bool
	clusters map[string]*sharing
	failed   map[string][]error
}

// mostStarts is how often a start is tried, once a test, before all are told at once that it fails: once may be one test's bad
// luck.
const mostStarts = 2

// sharing is one cluster and how many tests have it at this moment.
type sharing struct {
	*Cluster
	users int
	spent bool // nobody gets it any more
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
	shared.on, shared.clusters, shared.failed = true, map[string]*sharing{}, map[string][]error{}
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
// their topics, groups and transactional ids names of their own (tb.Name()), and start every node again that they end or pause: a
// test that does not fails. The cluster of a test that has failed, whatever state it is in, is given to no other.
// The package's TestMain must use Main.
func Shared(tb testing.TB, opts Options) *Cluster {
	tb.Helper()
	opts, err := opts.complete()
	if err != nil {
		tb.Fatalf("starting Kafka: %v", err)
	}
	key := fmt.Sprintf("%#v", opts) // maps print in the order of their keys
	s, err := take(key, opts)
	if err != nil {
		tb.Fatalf("starting Kafka: %v", err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			s.dump(tb)
		}
		if err := s.giveBack(key, tb.Failed()); err != nil {
			tb.Errorf("giving Kafka back: %v", err)
		}
	})
	return s.Cluster
}

// take finds or starts a cluster for one more test.
func take(key string, opts Options) (*sharing, error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.on {
		return nil, errors.New("kafkatest.Shared needs kafkatest.Main in the package's TestMain")
	}
	if failed := shared.failed[key]; len(failed) >= mostStarts {
		return nil, errors.Join(failed...)
	}
	s := shared.clusters[key]
	if s == nil {
		// Not the test's context: the cluster outlives the test that happens to be the first.
		c, err := New(context.Background(), opts)
		if err != nil {
			shared.failed[key] = append(shared.failed[key], err)
			return nil, err
		}
		s = &sharing{Cluster: c}
		shared.clusters[key] = s
	} else if s.users == 0 {
		// The last test may have started a node again that is not in sync yet.
		ctx, cancel := wait.Within(context.Background(), readyWithin)
		defer cancel()
		if err := s.WaitReady(ctx); err != nil {
			delete(shared.clusters, key)
			return nil, errors.Join(err, s.Close())
		}
	}
	s.users++
	return s, nil
}

// giveBack ends a test's use. A cluster that is spent ends with the last test that has it.
func (s *sharing) giveBack(key string, failed bool) error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	s.users--
	var left error
	if s.users == 0 && !failed && !s.spent { // with others at work, a node may be down for them
		left = s.whole()
	}
	if (failed || left != nil) && !s.spent {
		s.spent = true
		delete(shared.clusters, key)
	}
	if s.spent && s.users == 0 {
		return errors.Join(left, s.Close())
	}
	return left
}

// whole tells which node does not work as it did when the cluster was started.
func (c *Cluster) whole() error {
	for _, n := range c.nodes {
		if !n.atWork() {
			return fmt.Errorf("node %d was left paused or ended", n.ID)
		}
	}
	return nil
}
