package producer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	kafka "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onelogin-kafka/producer/wire"
)

// opened is a transactor with a transaction open that holds one record.
func opened(t *testing.T, broker *kfake.Cluster, cluster *wire.Cluster, p Protocol) (*transactor, partition) {
	t.Helper()
	part := partition{named(t, "events"), 0}
	createTopic(t, broker.ListenAddrs(), part.topic, 1, nil)
	txn := newTransactor(cluster, named(t, "id"), p)
	if err := txn.init(patient(t)); err != nil {
		t.Fatal(err)
	}
	batches := map[partition][]recordBatch{part: batchesOf(t, defaultLimit, "one")}
	if err := txn.begin(patient(t), maps.Keys(batches)); err != nil {
		t.Fatal(err)
	}
	if err := txn.produce(patient(t), batches); err != nil {
		t.Fatal(err)
	}
	return txn, part
}

func fake(t *testing.T) *kfake.Cluster {
	t.Helper()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DefaultNumPartitions(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	return broker
}

// A coordinator that goes or comes has not ended the transaction, or its
// successor knows that it has. Under protocol v2 the epoch makes it safe to ask
// again; under v1 one path of recovery is enough.
func TestACoordinatorThatGoesIsAskedAgainToCommit(t *testing.T) {
	for _, code := range []int16{codeCoordinatorLoading, codeCoordinatorNotAvailable, codeNotCoordinator} {
		for _, p := range []Protocol{V2, V1} {
			t.Run(fmt.Sprintf("%d/v%d", code, p), func(t *testing.T) {
				broker := fake(t)
				cluster := open(t, broker.ListenAddrs()...)
				txn, part := opened(t, broker, cluster, p)
				var asked atomic.Int32
				broker.ControlKey(kmsg.EndTxn.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
					broker.KeepControl()
					if asked.Add(1) > 2 {
						return nil, nil, false
					}
					res := req.ResponseKind().(*kmsg.EndTxnResponse)
					res.ErrorCode = code
					return res, nil, true
				})
				err := txn.commit(patient(t))
				if p == V1 {
					if !errors.Is(err, kafka.Error(code)) || asked.Load() != 1 {
						t.Errorf("got %v after %d requests, want the answer of the first", err, asked.Load())
					}
					return
				}
				if err != nil || asked.Load() != 3 {
					t.Fatalf("got %v after %d requests, want a commit by the third", err, asked.Load())
				}
				if err := txn.write(patient(t), map[partition][]recordBatch{part: batchesOf(t, defaultLimit, "two")}); err != nil {
					t.Errorf("the next transaction: %v", err)
				}
				if diff := cmp.Diff([]string{"one", "two"}, committed(t, cluster, part)); diff != "" {
					t.Errorf("committed (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// gate is a network that can be shut: what is open ends, and nothing is opened.
type gate struct {
	mu      sync.Mutex
	conns   []net.Conn
	shut    bool
	refused int
}

func (g *gate) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		g.refused++
		return nil, syscall.ECONNREFUSED
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err == nil {
		g.conns = append(g.conns, c)
	}
	return c, err
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	if shut {
		for _, c := range g.conns {
			c.Close()
		}
		g.conns = nil
	}
}

func (g *gate) turnedAway() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refused
}

// What was not sent, since a broker is not there, was not done: it is sent when
// the broker is back, at whatever step, and costs no take-over.
func TestABrokerThatIsNotThereCostsNoTakeOver(t *testing.T) {
	for _, p := range []Protocol{V2, V1} {
		t.Run(fmt.Sprintf("v%d", p), func(t *testing.T) {
			broker, g := fake(t), &gate{}
			cluster := wire.Open(wire.Config{Brokers: broker.ListenAddrs(), Dial: g.dial})
			t.Cleanup(cluster.Close)
			txn, part := opened(t, broker, cluster, p)
			more := map[partition][]recordBatch{part: batchesOf(t, defaultLimit, "two")}
			for _, step := range []struct {
				name string
				do   func() error
			}{
				{"commit", func() error { return txn.commit(patient(t)) }},
				{"begin", func() error { return txn.begin(patient(t), maps.Keys(more)) }},
				{"produce", func() error { return txn.produce(patient(t), more) }},
				{"commit again", func() error { return txn.commit(patient(t)) }},
			} {
				g.set(true)
				before, done := g.turnedAway(), make(chan error, 1)
				go func() { done <- step.do() }()
				waitFor(t, "three connections to be refused", func() bool { return g.turnedAway() > before+3 })
				g.set(false)
				if err := <-done; err != nil {
					t.Fatalf("%s: %v", step.name, err)
				}
			}
			if diff := cmp.Diff([]string{"one", "two"}, committed(t, cluster, part)); diff != "" {
				t.Errorf("committed (-want +got):\n%s", diff)
			}
		})
	}
}

// A coordinator whose quota is spent is waited for before a transaction begins,
// as long as there is time.
func TestASpentQuotaIsWaitedForBeforeATransaction(t *testing.T) {
	const wait = 300 * time.Millisecond
	broker := fake(t)
	broker.ControlKey(kmsg.InitProducerID.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		res := req.ResponseKind().(*kmsg.InitProducerIDResponse)
		res.ProducerID, res.ThrottleMillis = 1, int32(wait.Milliseconds())
		return res, nil, true
	})
	part := partition{named(t, "events"), 0}
	createTopic(t, broker.ListenAddrs(), part.topic, 1, nil)
	txn := newTransactor(open(t, broker.ListenAddrs()...), named(t, "id"), V2)
	parts := map[partition]bool{part: true}
	if err := txn.calm(patient(t), maps.Keys(parts)); err != nil {
		t.Fatalf("before anything was sent: %v", err)
	}
	if err := txn.init(patient(t)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	short, cancel := context.WithTimeout(t.Context(), wait/2)
	defer cancel()
	if err := txn.calm(short, maps.Keys(parts)); !errors.Is(err, errThrottled) || short.Err() != nil {
		t.Errorf("with less time than that: got %v, want errThrottled at once", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := txn.calm(ended, maps.Keys(parts)); !errors.Is(err, errThrottled) || !errors.Is(err, context.Canceled) {
		t.Errorf("told to end: got %v", err)
	}
	if err := txn.calm(patient(t), maps.Keys(parts)); err != nil {
		t.Fatal(err)
	}
	if got := time.Since(began); got < wait-50*time.Millisecond {
		t.Errorf("waited %v, want the rest of %v", got, wait)
	}
}

// A commit that was not sent, and will not be until an operator mends something,
// is refused and not unknown.
func TestACommitThatCannotBeSentIsRefused(t *testing.T) {
	broker, g := fake(t), &gate{}
	var gone atomic.Bool
	broken := errors.New("no key")
	cluster := wire.Open(wire.Config{Brokers: broker.ListenAddrs(), Dial: g.dial, TLS: func() (*tls.Config, error) {
		if gone.Load() {
			return nil, broken
		}
		return nil, nil
	}})
	t.Cleanup(cluster.Close)
	txn, _ := opened(t, broker, cluster, V2)
	gone.Store(true)
	g.set(true) // what is open ends
	err := txn.commit(patient(t))
	if !errors.Is(err, broken) || outcomeOf(err) != Refused {
		t.Errorf("got %v (%v), want a refusal for lack of credentials", err, outcomeOf(err))
	}
}
