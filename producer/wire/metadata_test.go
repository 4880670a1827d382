package wire

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// led is an answer on topic t, whose partitions are led by node and epoch.
func led(partitions ...[2]int32) *metadata.Response {
	m := *threeBrokers
	topic := metadata.ResponseTopic{Name: "t"}
	for i, p := range partitions {
		rp := metadata.ResponsePartition{PartitionIndex: int32(i), LeaderID: p[0], LeaderEpoch: p[1]}
		if p[0] < 0 {
			rp.ErrorCode = codeNoLeader
		}
		topic.Partitions = append(topic.Partitions, rp)
	}
	m.Topics = []metadata.ResponseTopic{topic}
	return &m
}

// What is known of a partition's leader never goes back, as long as somebody
// still knows it.
func TestLeadersNeverGoBack(t *testing.T) {
	const never, late = 0, forgetAfter
	type word struct {
		after time.Duration
		says  *metadata.Response
		want  [][2]int32 // node and epoch of each partition
	}
	for name, words := range map[string][]word{
		"a newer epoch": {{never, led([2]int32{1, 4}), [][2]int32{{1, 4}}}, {never, led([2]int32{2, 5}), [][2]int32{{2, 5}}}},
		"an older epoch": {
			{never, led([2]int32{2, 5}), [][2]int32{{2, 5}}}, {never, led([2]int32{1, 4}), [][2]int32{{2, 5}}},
			{late - time.Second, led([2]int32{1, 4}), [][2]int32{{2, 5}}},
		},
		"an older epoch, while others affirm": {
			{never, led([2]int32{2, 5}), [][2]int32{{2, 5}}}, {late - time.Second, led([2]int32{2, 5}), [][2]int32{{2, 5}}},
			{late - time.Second, led([2]int32{1, 4}), [][2]int32{{2, 5}}},
		},
		"an older epoch, and nobody affirms": {
			{never, led([2]int32{2, 5}), [][2]int32{{2, 5}}}, {late, led([2]int32{1, 0}), [][2]int32{{1, 0}}},
		},
		"nobody leads": {
			{never, led([2]int32{2, 5}), [][2]int32{{2, 5}}}, {never, led([2]int32{-1, -1}), [][2]int32{{-1, 5}}},
			{never, led([2]int32{1, 4}), [][2]int32{{-1, 5}}}, {never, led([2]int32{3, 6}), [][2]int32{{3, 6}}},
		},
		"nobody leads, of an older epoch": {{never, led([2]int32{2, 5}), [][2]int32{{2, 5}}}, {never, led([2]int32{-1, 4}), [][2]int32{{2, 5}}}},
		"no epochs": {
			{never, led([2]int32{2, 5}), [][2]int32{{2, 5}}}, {never, led([2]int32{1, -1}), [][2]int32{{1, -1}}},
			{never, led([2]int32{3, 0}), [][2]int32{{3, 0}}},
		},
		"more partitions": {{never, led([2]int32{1, 1}), [][2]int32{{1, 1}}}, {never, led([2]int32{1, 1}, [2]int32{2, 1}), [][2]int32{{1, 1}, {2, 1}}}},
		"fewer partitions": {
			{never, led([2]int32{1, 1}, [2]int32{2, 1}), [][2]int32{{1, 1}, {2, 1}}},
			{never, led([2]int32{1, 1}), [][2]int32{{1, 1}, {2, 1}}}, {late, led([2]int32{1, 1}), [][2]int32{{1, 1}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := store{nodes: map[int32]string{}, topics: map[string]map[int32]leadership{}}
			now := time.Now()
			for i, w := range words {
				now = now.Add(w.after)
				s.learn(w.says, now)
				var got [][2]int32
				for p := range int32(len(s.partitions("t"))) {
					l := s.partitions("t")[p]
					got = append(got, [2]int32{l.node, l.epoch})
				}
				if diff := cmp.Diff(w.want, got); diff != "" {
					t.Errorf("after word %d (-want +got):\n%s", i+1, diff)
				}
			}
		})
	}
}

// A broker that is cut off from its peers answers with what was true once. It is
// asked no more often than the others, even when each has failed some time, and
// not believed.
func TestAStaleBrokerIsNotBelieved(t *testing.T) {
	stale := func(x *exchange) { x.message(led([2]int32{1, 1})) }
	good := func(x *exchange) { x.message(led([2]int32{2, 2})) }
	asked := map[string]int{}
	brokers := map[string]func(*exchange){"a:1": stale, "b:1": good, "c:1": good}
	for addr, script := range brokers {
		brokers[addr] = func(x *exchange) { asked[addr]++; script(x) }
	}
	cluster(t, brokers, func(t *testing.T, n *network, c *Cluster) {
		for _, addr := range []string{"a:1", "b:1", "c:1"} { // a rolling restart, the stale one first
			n.mu.Lock()
			script := n.brokers[addr]
			delete(n.brokers, addr)
			n.mu.Unlock()
			n.cut(addr)
			for c.broker(addr).lastFailed().IsZero() {
				if _, err := c.Metadata(t.Context(), "t"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
			}
			n.mu.Lock()
			n.brokers[addr] = script
			n.mu.Unlock()
		}
		time.Sleep(failureCounts)
		for node := int32(0); node != 2; { // nobody has affirmed anything for long
			if err := c.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			var err error
			if node, err = c.Leader(t.Context(), "t", 0); err != nil {
				t.Fatal(err)
			}
		}
		clear(asked)
		const rounds = 300
		for range rounds {
			if err := c.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if node, err := c.Leader(t.Context(), "t", 0); err != nil || node != 2 {
				t.Fatalf("leader: got %d, %v, want 2", node, err)
			}
			time.Sleep(currentEvery)
		}
		for addr := range brokers {
			if got := asked[addr]; got < rounds/6 || got > rounds/2 {
				t.Errorf("%s was asked %d times of %d, want about a third", addr, got, rounds)
			}
		}
	})
}

// Whoever reads says which leader it means, so that one who was it once refuses.
func TestReadersNameTheLeadersEpoch(t *testing.T) {
	var fetched, listed int32
	tells := threeBrokers
	script := func(x *exchange) {
		switch x.key {
		case protocol.Metadata:
			x.message(tells)
		case protocol.Fetch:
			d := &decoder{buf: x.body}
			d.take(4 + 4 + 4 + 4 + 1 + 4 + 4 + 4) // up to the topics
			_ = d.string()
			d.take(4 + 4) // the partitions, the index
			fetched = d.int32()
			x.raw(x.frame(append(make([]byte, 4+2+4), 0, 0, 0, 0)))
		case protocol.ListOffsets:
			d := &decoder{buf: x.body}
			d.take(4 + 1 + 4)
			_ = d.string()
			d.take(4 + 4)
			listed = d.int32()
			x.message(&listoffsets.Response{})
		}
	}
	cluster(t, all(script), func(t *testing.T, _ *network, c *Cluster) {
		for _, want := range []int32{-1, 7} {
			fetched, listed = -2, -2
			// The answer lacks the partition: that is not what is asked here.
			if err := c.Do(t.Context(), 2, &Fetch{Topic: "t"}); !errors.Is(err, ErrMalformed) {
				t.Errorf("fetching: got %v", err)
			}
			req := &listoffsets.Request{Topics: []listoffsets.RequestTopic{{Topic: "t", Partitions: []listoffsets.RequestPartition{{}}}}}
			if _, err := c.Exchange(t.Context(), 2, req); err != nil {
				t.Error(err)
			}
			if fetched != want || listed != want {
				t.Errorf("leader epochs in Fetch and ListOffsets: got %d and %d, want %d", fetched, listed, want)
			}
			tells = led([2]int32{2, 7})
			if _, err := c.Metadata(t.Context(), "t"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestAnswersWithoutLeaderEpochs(t *testing.T) {
	for version, want := range map[int16]int32{epochsSince - 1: -1, epochsSince: 3} {
		m := led([2]int32{1, 3})
		forgetEpochs(m, version)
		if got := m.Topics[0].Partitions[0].LeaderEpoch; got != want {
			t.Errorf("version %d: leader epoch: got %d, want %d", version, got, want)
		}
	}
}
