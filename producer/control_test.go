package producer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"onelogin-kafka/internal/proof/faultproxy"
	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// counting raises a number on the control log by one, and notes it in the audit.
func counting(who string) Decision {
	return func(known map[string][]byte) ([]schemas.Record, error) {
		n := 0
		if value := known["count"]; value != nil {
			var err error
			if n, err = strconv.Atoi(string(value)); err != nil {
				return nil, err
			}
		}
		n++
		now := time.Now()
		return []schemas.Record{
			{Topic: schemas.Connectors, Key: []byte("count"), Value: []byte(strconv.Itoa(n)), Time: now},
			{Topic: schemas.Audit, Key: []byte("count"), Value: fmt.Appendf(nil, "%d by %s", n, who), Time: now},
		}, nil
	}
}

// controlRig is a control log on a broker of its own.
func controlRig(t *testing.T) (addr string, topics Topics) {
	t.Helper()
	broker := fakeBroker(t)
	topics = testTopics(t, 1, 1)
	if _, err := topics.Ensure(patient(t), open(t, broker.ListenAddrs()...)); err != nil {
		t.Fatal(err)
	}
	return broker.ListenAddrs()[0], topics
}

// countedTo reads back how far the count has come, and that the audit has each
// step once.
func countedTo(t *testing.T, addr string, topics Topics, want int) {
	t.Helper()
	cluster := open(t, addr)
	log := committed(t, cluster, partition{topics.Specs[schemas.Connectors].Name, 0})
	audit := committed(t, cluster, partition{topics.Specs[schemas.Audit].Name, 0})
	if len(log) != want || len(audit) != want {
		t.Fatalf("%d changes and %d audit records, want %d of each", len(log), len(audit), want)
	}
	for i, value := range log {
		var n int
		var who string
		if _, err := fmt.Sscanf(audit[i], "%d by %s", &n, &who); err != nil || n != i+1 || value != strconv.Itoa(n) {
			t.Fatalf("change %d is %q, audit %q (%v)", i+1, value, audit[i], err)
		}
	}
}

// Writers on several instances, and several goroutines of each: each change is
// made by what the one before has left.
func TestControlWritersTakeTurns(t *testing.T) {
	addr, topics := controlRig(t)
	const writers, each = 3, 12
	var g errgroup.Group
	for i := range writers {
		w := &ControlWriter{Cluster: open(t, addr), Topics: topics, Group: "g"}
		for j := range 2 {
			g.Go(func() error {
				for range each / 2 {
					if err := w.Change(patient(t), counting(fmt.Sprintf("%d-%d", i, j))); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	countedTo(t, addr, topics, writers*each)
}

// What decide refuses is not written, and is its own error.
func TestControlDecision(t *testing.T) {
	addr, topics := controlRig(t)
	w := &ControlWriter{Cluster: open(t, addr), Topics: topics, Group: "g"}
	conflict := errors.New("conflict")
	if err := w.Change(patient(t), func(map[string][]byte) ([]schemas.Record, error) { return nil, conflict }); !errors.Is(err, conflict) {
		t.Errorf("got %v", err)
	}
	if err := w.Change(patient(t), func(map[string][]byte) ([]schemas.Record, error) { return nil, nil }); err != nil {
		t.Errorf("nothing to do: %v", err)
	}
	if err := w.Change(patient(t), func(map[string][]byte) ([]schemas.Record, error) {
		return []schemas.Record{{Topic: schemas.Offsets, Key: []byte("acme")}}, nil
	}); err == nil {
		t.Error("a record of the offsets topic was written")
	}
	countedTo(t, addr, topics, 0)
	// A tombstone takes a key away.
	for range 2 {
		if err := w.Change(patient(t), counting("a")); err != nil {
			t.Fatal(err)
		}
	}
	countedTo(t, addr, topics, 2)
	if err := w.Change(patient(t), func(known map[string][]byte) ([]schemas.Record, error) {
		if string(known["count"]) != "2" {
			t.Errorf("known are %q", known)
		}
		return []schemas.Record{{Topic: schemas.Connectors, Key: []byte("count"), Time: time.Now()}}, nil
	}); err != nil {
		t.Fatal(err)
	}
	other := &ControlWriter{Cluster: open(t, addr), Topics: topics, Group: "g"}
	for _, w := range []*ControlWriter{w, other} {
		if err := w.Change(patient(t), func(known map[string][]byte) ([]schemas.Record, error) {
			if len(known) != 0 {
				t.Errorf("after a tombstone %q are known", known)
			}
			return nil, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// behindProxy reaches the broker at addr through a proxy of which faults can be
// had.
func behindProxy(t *testing.T, addr string) (*wire.Cluster, *faultproxy.Set) {
	t.Helper()
	proxy, err := faultproxy.Start([]faultproxy.Route{{Listen: "127.0.0.1:0", Target: addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	cluster := wire.Open(wire.Config{Brokers: []string{addr}, Timeouts: wire.Timeouts{Request: time.Second}, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, proxy.Bootstrap()[0])
	}})
	t.Cleanup(cluster.Close)
	return cluster, proxy
}

// Whatever becomes of a request, a change is made once: what happened is found
// out by reading.
func TestControlUnknownOutcomes(t *testing.T) {
	for _, key := range []protocol.ApiKey{protocol.EndTxn, protocol.Produce, protocol.AddPartitionsToTxn} {
		for _, k := range faultKinds {
			if k.kind == faultproxy.DelayAnswer || k.kind == faultproxy.DelayRequest {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", key, k.name), func(t *testing.T) {
				t.Parallel()
				addr, topics := controlRig(t)
				cluster, proxy := behindProxy(t, addr)
				w := &ControlWriter{Cluster: cluster, Topics: topics, Group: "g"}
				if err := w.Change(patient(t), counting("a")); err != nil {
					t.Fatal(err)
				}
				fault := proxy.Add(faultproxy.Fault{Kind: k.kind, Key: int16(key), Nth: 1})
				for range 2 {
					if err := w.Change(patient(t), counting("a")); err != nil {
						// A produce or an add that was not answered leaves no doubt: it is said,
						// and the next goes on.
						if key == protocol.EndTxn {
							t.Fatal(err)
						}
						if err := w.Change(patient(t), counting("a")); err != nil {
							t.Fatal(err)
						}
					}
				}
				if fault.Hits() != 1 {
					t.Fatalf("the fault was hit %d times", fault.Hits())
				}
				countedTo(t, addr, topics, 3)
			})
		}
	}
}

// The same on a real Kafka, with each transaction protocol.
func TestControlWritersOnKafka(t *testing.T) {
	onBoth(t, func(t *testing.T, _ Protocol, k *kafkatest.Cluster) {
		topics := testTopics(t, 1, int16(min(3, len(k.Nodes()))))
		if _, err := topics.Ensure(patient(t), open(t, k.Brokers()...)); err != nil {
			t.Fatal(err)
		}
		const writers, each = 2, 10
		var g errgroup.Group
		for i := range writers {
			w := &ControlWriter{Cluster: open(t, k.Brokers()...), Topics: topics, Group: named(t, "group")}
			g.Go(func() error {
				for range each {
					if err := w.Change(patient(t), counting(strconv.Itoa(i))); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		countedTo(t, k.Brokers()[0], topics, writers*each)
	})
}

// Whoever asks for a change and goes away, as a command at Ctrl-C or an instance
// that is stopped, leaves no transaction open: it would hold up the next for 10 s.
func TestAChangeThatWasBegunComesToItsEnd(t *testing.T) {
	broker := fakeBroker(t)
	topics := testTopics(t, 1, 1)
	if _, err := topics.Ensure(patient(t), open(t, broker.ListenAddrs()...)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(patient(t))
	broker.ControlKey(int16(protocol.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cancel()
		return nil, nil, false
	})
	w := &ControlWriter{Cluster: open(t, broker.ListenAddrs()...), Topics: topics, Group: "g"}
	if err := w.Change(ctx, counting("one")); err != nil {
		t.Error(err)
	}
	if ctx.Err() == nil {
		t.Error("the caller did not go away")
	}
	countedTo(t, broker.ListenAddrs()[0], topics, 1)
}
