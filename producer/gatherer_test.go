package producer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	kafka "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onelogin-kafka/schemas"
)

func testGatherer(t *testing.T, interval time.Duration) *gatherer {
	t.Helper()
	s := &shard{
		writer: &writer{commitInterval: interval}, traffic: newTraffic(time.Now()),
		state: func(ShardState, error) {}, deed: &deed{topic: "offsets", group: "group", partitions: 1},
		known: positions{part: partition{"offsets", 0}, records: map[string]map[string][]byte{schemas.OwnerKey: {schemas.OwnerKey: []byte("ours")}}},
	}
	return newGatherer(s, newSession(t.Context(), 0, 0, nil))
}

// Small transactions get rarer where Kafka is slow, and as frequent as
// configured where it is not.
func TestIntervalFollowsASlowKafka(t *testing.T) {
	for _, c := range []struct{ least, took, want time.Duration }{
		{200 * time.Millisecond, 0, 200 * time.Millisecond},
		{200 * time.Millisecond, 20 * time.Millisecond, 200 * time.Millisecond},
		{200 * time.Millisecond, 150 * time.Millisecond, 450 * time.Millisecond},
		{200 * time.Millisecond, 5 * time.Second, 800 * time.Millisecond},
		{0, 5 * time.Second, 0},
	} {
		g := testGatherer(t, c.least)
		g.took = c.took
		if got := g.interval(); got != c.want {
			t.Errorf("interval %s with transactions of %s: got %s, want %s", c.least, c.took, got, c.want)
		}
	}
}

// A transaction takes from every connector in turn, and less of all after one
// that did not come through.
func TestTransactionsGetSmallerAfterDoubt(t *testing.T) {
	g := testGatherer(t, 0)
	fill := func() {
		for _, name := range []string{"busy", "busy", "quiet"} {
			for range 20 {
				b := &schemas.Batch{Connector: name, Records: make([]schemas.Record, 500)}
				g.enqueue(&offer{batch: b, size: 1000})
			}
		}
	}
	take := func() (records int, connectors map[string]int) {
		offers, rs := g.take()
		connectors = map[string]int{}
		for _, o := range offers {
			connectors[o.batch.Connector]++
		}
		return len(rs), connectors
	}
	fill()
	if n, by := take(); n != mostRecords || by["quiet"] != by["busy"] {
		t.Errorf("took %d records by %v, want %d shared evenly", n, by, mostRecords)
	}
	for range 10 {
		g.shard.doubted(context.DeadlineExceeded)
	}
	if n, _ := take(); n < 500 || n > fullRecords {
		t.Errorf("took %d records after much doubt, want about a full batch", n)
	}
	for range mostHalved {
		g.shard.proven()
	}
	fill()
	if n, _ := take(); n != mostRecords {
		t.Errorf("took %d records after success, want %d", n, mostRecords)
	}
}

func TestOnlyDoubtMakesTransactionsSmaller(t *testing.T) {
	s := testGatherer(t, 0).shard
	for what, err := range map[string]error{
		"being fenced": fmt.Errorf("committing: %w", ErrFenced),
		"a refusal":    fmt.Errorf("producing: %w", kafka.InvalidTimestamp),
	} {
		s.doubted(err)
		if n, _ := s.most(); n != mostRecords {
			t.Errorf("%d records after %s, want %d", n, what, mostRecords)
		}
	}
	s.doubted(fmt.Errorf("producing: %w", context.DeadlineExceeded))
	if n, _ := s.most(); n != mostRecords/2 {
		t.Errorf("%d records after a transaction that came to no end, want %d", n, mostRecords/2)
	}
	s.doubted(fmt.Errorf("committing: %w", asUnknown(io.EOF)))
	if n, _ := s.most(); n != mostRecords/4 {
		t.Errorf("%d records after another whose end is not known, want %d", n, mostRecords/4)
	}
}

func TestOutcomeOfATransaction(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Outcome
	}{
		{nil, Committed},
		{fmt.Errorf("producing: %w", kafka.MessageSizeTooLarge), Refused},
		{fmt.Errorf("producing: %w", context.DeadlineExceeded), Refused},
		{fmt.Errorf("committing: %w", ErrFenced), Fenced},
		{fmt.Errorf("committing: %w", asUnknown(io.EOF)), Unknown},
		{fmt.Errorf("committing: %w", asUnknown(ErrFenced)), Unknown},
	} {
		if got := outcomeOf(c.err); got != c.want {
			t.Errorf("%v: got %v, want %v", c.err, got, c.want)
		}
	}
}

// Where Kafka is slow, a shutdown writes what the time of one transaction allows
// and leaves the rest to be polled again.
func TestAShutdownComesToItsEnd(t *testing.T) {
	t.Parallel()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "events", "offsets"))
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	over := make(chan struct{})
	defer close(over)
	var ended atomic.Int32
	broker.ControlKey(kmsg.EndTxn.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		ended.Add(1)
		broker.SleepControl(func() {
			select {
			case <-time.After(writeTimeout * 2 / 5):
			case <-over:
			}
		})
		return nil, nil, false
	})
	g := testGatherer(t, 0)
	cluster := open(t, broker.ListenAddrs()...)
	g.shard.txn, g.shard.writer.cluster = newTransactor(cluster, "id", V1), cluster
	g.shard.writer.topics[schemas.Events], g.shard.writer.topics[schemas.Offsets] = "events", "offsets"
	if err := g.shard.txn.init(patient(t)); err != nil {
		t.Fatal(err)
	}
	g.shard.txn.expect(g.known.part, 0)
	const offers = 5
	done := 0
	for range offers {
		b := &schemas.Batch{Connector: "acme", Records: make([]schemas.Record, mostRecords), Done: func() { done++ }}
		for i := range b.Records {
			b.Records[i] = schemas.Record{Topic: schemas.Events, Key: []byte("k"), Time: time.Now()}
		}
		o := &offer{batch: b, size: 1, own: g.session.connector("acme")}
		if err := errors.Join(g.session.bytes.Acquire(t.Context(), 1), o.own.Acquire(t.Context(), 1)); err != nil {
			t.Fatal(err)
		}
		g.enqueue(o)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	pollers := make(chan struct{})
	close(pollers)
	err = g.loop(ctx, pollers)
	if errors.Is(err, context.Canceled) || done == 0 || done == offers {
		t.Errorf("got %v with %d of %d transactions committed, want it to end in between", err, done, offers)
	}
	if n := int(ended.Load()); n < done {
		t.Errorf("%d transactions were ended, %d counted", n, done)
	}
}

// Whatever becomes of a batch that was taken, it is let go of once.
func TestEveryBatchIsLetGoOf(t *testing.T) {
	g := testGatherer(t, 0)
	let := map[string]int{}
	offerOf := func(name string) *offer {
		return &offer{batch: &schemas.Batch{Connector: name, Records: make([]schemas.Record, 10), Release: func() { let[name]++ }}}
	}
	g.inFlight = []*offer{offerOf("in flight")}
	encoded := make(chan struct{})
	close(encoded)
	g.next = &parcel{offers: []*offer{offerOf("encoded")}, done: encoded}
	g.enqueue(offerOf("queued"))
	g.abandon()
	g = testGatherer(t, 0)
	g.shard.txn = &transactor{landing: &landing{part: g.known.part}}
	g.flying, g.inFlight = &parcel{}, []*offer{offerOf("committed")}
	if err := g.finish(nil); err != nil {
		t.Fatal(err)
	}
	g.abandon()
	if diff := cmp.Diff(map[string]int{"in flight": 1, "encoded": 1, "queued": 1, "committed": 1}, let); diff != "" {
		t.Errorf("let go of (-want +got):\n%s", diff)
	}
}
