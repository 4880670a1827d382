package producer

import (
	"context"
	"fmt"
	"testing"
	"time"

	"onelogin-kafka/schemas"
)

func testGatherer(t *testing.T, interval time.Duration) *gatherer {
	t.Helper()
	return &gatherer{
		shard: &shard{
			writer: &writer{commitInterval: interval}, traffic: newTraffic(time.Now()),
			state: func(ShardState, error) {},
		},
		session:   newSession(t.Context(), 0, 0, nil),
		committed: map[string]map[string][]byte{}, notes: map[string]schemas.Record{}, queues: map[string][]*offer{},
	}
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
	s.doubted(fmt.Errorf("committing: %w", ErrFenced))
	if n, _ := s.most(); n != mostRecords {
		t.Errorf("%d records after being fenced, want %d", n, mostRecords)
	}
	s.doubted(context.DeadlineExceeded)
	if n, _ := s.most(); n != mostRecords/2 {
		t.Errorf("%d records after a transaction that came to no end, want %d", n, mostRecords/2)
	}
}
