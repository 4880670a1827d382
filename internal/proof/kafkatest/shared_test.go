package kafkatest_test

import (
	"fmt"
	"slices"
	"testing"

	"onelogin-kafka/internal/proof/kafkatest"
)

// borrower is a test that ends when it is told to.
type borrower struct {
	testing.TB
	failed   bool
	said     []string
	cleanups []func()
}

func (b *borrower) Helper()             {}
func (b *borrower) Failed() bool        { return b.failed }
func (b *borrower) Cleanup(do func())   { b.cleanups = append(b.cleanups, do) }
func (b *borrower) Logf(string, ...any) {}
func (b *borrower) Errorf(format string, args ...any) {
	b.failed = true
	b.said = append(b.said, fmt.Sprintf(format, args...))
}

// end is what happens after a test.
func (b *borrower) end() {
	for _, do := range slices.Backward(b.cleanups) {
		do()
	}
}

// A test finds a cluster as if no other had been before it: what a failed test leaves behind is given to nobody, and who leaves a
// node down has failed.
func TestSharedClusters(t *testing.T) {
	one := kafkatest.Options{Nodes: 1, Extra: map[string]string{"log.retention.hours": "24"}} // as no other test's
	first, second := &borrower{TB: t}, &borrower{TB: t}
	a := kafkatest.Shared(first, one)
	same := one
	same.Version, same.Heap = kafkatest.DefaultVersion, "384m"
	if kafkatest.Shared(second, same) != a {
		t.Error("the same options in other words: got another cluster")
	}

	// One of two users fails: the other keeps what it has, nobody else gets it.
	first.failed = true
	first.end()
	if !a.Node(1).Alive() {
		t.Fatal("a failed test took the cluster of another with it")
	}
	third := &borrower{TB: t}
	b := kafkatest.Shared(third, one)
	if b == a {
		t.Error("the cluster of a failed test was given to another")
	}
	second.end()
	if a.Node(1).Alive() || second.failed {
		t.Errorf("the last user of a spent cluster: still alive %v, failed %v %q", a.Node(1).Alive(), second.failed, second.said)
	}

	if err := b.Node(1).Pause(); err != nil {
		t.Fatal(err)
	}
	third.end()
	if len(third.said) != 1 || b.Node(1).Alive() {
		t.Errorf("a test that leaves a node paused: said %q, node alive %v", third.said, b.Node(1).Alive())
	}
}
