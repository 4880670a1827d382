package producer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go/compress"

	"onelogin-kafka/internal/proof/faultproxy"
	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// feed is a source for tests: one connector per shard, whose events are the
// numbers from 0 on without a gap. Its offset is the count of numbers written,
// and it goes on from the committed one and from nothing else.
type feed struct {
	t testing.TB

	mu        sync.Mutex
	rng       *rand.Rand
	committed map[int32]int // by shard: numbers known to be committed
	commits   map[int32]int // and batches
	sessions  map[int32]int // and calls of serve
	running   map[int32]int // and those that have not returned
}

func newFeed(t testing.TB, seed uint64) *feed {
	return &feed{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)),
		committed: map[int32]int{}, commits: map[int32]int{}, sessions: map[int32]int{}, running: map[int32]int{},
	}
}

// feedName is a name that belongs to a shard.
func feedName(shard, shards int32) string {
	for i := 0; ; i++ {
		if name := fmt.Sprintf("feed-%d-%d", shard, i); PartitionFor(schemas.OffsetKey(name), shards) == shard {
			return name
		}
	}
}

// ahead is how many batches are offered before the first is committed.
const ahead = 3

func (f *feed) serve(ctx context.Context, s *Session) {
	f.count(f.sessions, s.Shard, 1)
	f.count(f.running, s.Shard, 1)
	defer f.count(f.running, s.Shard, -1)
	name := feedName(s.Shard, s.Shards)
	state, err := s.State(ctx, name)
	if err != nil {
		return
	}
	n := 0
	if v, ok := state[name]; ok {
		if n, err = strconv.Atoi(string(v)); err != nil {
			f.t.Errorf("offset of %s: %v", name, err)
			return
		}
	}
	tokens := make(chan struct{}, ahead)
	for {
		select {
		case tokens <- struct{}{}:
		case <-ctx.Done():
			return
		}
		next := n + f.page()
		b := &schemas.Batch{Connector: name, Events: next - n, Done: func() {
			f.mu.Lock()
			f.committed[s.Shard] = next
			f.commits[s.Shard]++
			f.mu.Unlock()
			<-tokens
		}}
		now := time.Now()
		for i := n; i < next; i++ {
			b.Records = append(b.Records, schemas.Record{Topic: schemas.Events, Key: []byte(name), Value: fmt.Append(nil, i), Time: now})
		}
		b.Records = append(b.Records, schemas.Record{Topic: schemas.Offsets, Key: []byte(name), Value: fmt.Append(nil, next), Time: now})
		if s.Offer(ctx, b) != nil {
			return
		}
		n = next
	}
}

func (f *feed) page() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return 1 + f.rng.IntN(20)
}

func (f *feed) count(m map[int32]int, shard int32, by int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m[shard] += by
}

func (f *feed) get(m map[int32]int, shard int32) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return m[shard]
}

// progress waits until each shard has committed more batches than it has now.
func (f *feed) progress(t testing.TB, more int, shards ...int32) {
	t.Helper()
	for _, s := range shards {
		from := f.get(f.commits, s)
		waitFor(t, fmt.Sprintf("%d more batches of shard %d", more, s), func() bool { return f.get(f.commits, s) >= from+more })
	}
}

// audit reads the topics with a client that is not ours: every number once and
// in order, and an offset that equals their count.
func (f *feed) audit(t testing.TB, brokers []string, topics Topics) {
	t.Helper()
	numbers := map[string][]string{}
	for _, records := range independent(t, brokers, topics.Specs[schemas.Events].Name) {
		for _, r := range records {
			numbers[string(r.Key)] = append(numbers[string(r.Key)], string(r.Value))
		}
	}
	offsets, shards := map[string]string{}, topics.Specs[schemas.Offsets].Partitions
	for shard, records := range independent(t, brokers, topics.Specs[schemas.Offsets].Name) {
		last := 0
		for _, r := range records {
			if !strings.HasPrefix(string(r.Key), "feed-") {
				continue // not of a feed
			}
			if got, want := string(r.Key), feedName(shard, shards); got != want {
				t.Errorf("partition %d of the offsets topic holds the offset of %s", shard, got)
			}
			n, err := strconv.Atoi(string(r.Value))
			if err != nil || n < last {
				t.Errorf("offset of shard %d goes from %d to %q", shard, last, r.Value)
			}
			last = n
			offsets[string(r.Key)] = string(r.Value)
		}
	}
	for shard := range shards {
		name, known := feedName(shard, shards), f.get(f.committed, shard)
		got := numbers[name]
		if len(got) < known {
			t.Errorf("%s: %d numbers in the topic, %d were acknowledged", name, len(got), known)
		}
		if want := dense(len(got)); !cmp.Equal(want, got) {
			for i := range got {
				if got[i] != want[i] {
					t.Errorf("%s: at %d of %d: got %s, want %s", name, i, len(got), got[i], want[i])
					break
				}
			}
		}
		if want := fmt.Sprint(len(got)); offsets[name] != want {
			t.Errorf("%s: offset %s, want %s", name, offsets[name], want)
		}
	}
}

func dense(n int) []string { return numbers(0, n) }

// behind starts a fault proxy of the test's own before every broker of k and
// returns it with a configuration whose connections all go through it.
func behind(t testing.TB, k *kafkatest.Cluster) (*faultproxy.Set, wire.Config) {
	t.Helper()
	var routes []faultproxy.Route
	for _, n := range k.Nodes() {
		routes = append(routes, faultproxy.Route{Node: n.ID, Listen: "127.0.0.1:0", Target: n.Addr()})
	}
	set, err := faultproxy.Start(routes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := set.Close(); err != nil {
			t.Error(err)
		}
	})
	via := map[string]string{}
	for i, r := range routes {
		via[r.Target] = set.Bootstrap()[i]
	}
	return set, wire.Config{Brokers: k.Brokers(), Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, via[addr])
	}}
}

// running is an Instance at work.
type running struct {
	*Instance
	t      testing.TB
	cancel context.CancelFunc
	done   chan struct{}
	err    error // after done
	// expected is what it may end with by itself.
	expected []error
}

// run starts an instance. It is stopped with the test, if not before.
func run(t testing.TB, group, name string, topics Topics, config wire.Config, f *feed, expected ...error) *running {
	t.Helper()
	cluster := wire.Open(config)
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: t, cancel: cancel, done: make(chan struct{}), expected: expected, Instance: &Instance{
		Cluster: cluster,
		Log:     zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel).With().Timestamp().Logger(),
		Config: Config{
			Group: group, Instance: name, Topics: topics, Compression: compress.Zstd,
			CommitInterval: 100 * time.Millisecond, Serve: f.serve,
			Connectors: func() map[int32]int { return alike(topics.Specs[schemas.Offsets].Partitions) },
		},
	}}
	go func() {
		defer close(r.done)
		r.err = r.Run(ctx)
		if ctx.Err() == nil && !slices.ContainsFunc(r.expected, func(e error) bool { return errors.Is(r.err, e) }) {
			t.Errorf("instance %s ended by itself: %v", name, r.err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-r.done
		cluster.Close()
	})
	return r
}

// alike gives every shard so many connectors that its events do not weigh: an
// even share is then an equal number of shards.
func alike(shards int32) map[int32]int {
	connectors := map[int32]int{}
	for s := range shards {
		connectors[s] = 1000
	}
	return connectors
}

// stop ends the instance in good order.
func (r *running) stop() {
	r.t.Helper()
	r.cancel()
	<-r.done
	if r.err != nil {
		r.t.Errorf("the instance ended with %v", r.err)
	}
}
