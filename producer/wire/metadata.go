package wire

import (
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// store is what brokers told of the cluster. It never goes back: of two words
// on who leads a partition the one with the higher leader epoch is true,
// whichever came last (KIP-320). A broker that was paused or is cut off tells
// what was true once.
type store struct {
	mu     sync.Mutex
	nodes  map[int32]string
	topics map[string]map[int32]leadership // no inner map is ever changed
}

// leadership is who leads a partition.
type leadership struct {
	node     int32 // -1 = nobody
	epoch    int32 // -1 = not known
	affirmed time.Time
}

// forgetAfter is how long a leader epoch outlives the last broker that affirmed
// it. What all of them tell then is true though it be lower: the topic was made
// anew between two looks, or the brokers that knew better are gone. It is many
// looks long, since by chance one old broker may be asked some times in a row.
const forgetAfter = 5 * time.Minute

// learn takes over what a broker tells.
func (s *store) learn(m *metadata.Response, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(m.Brokers) > 0 { // a broker that has just started may know of none
		s.nodes = make(map[int32]string, len(m.Brokers))
	}
	for _, b := range m.Brokers {
		s.nodes[b.NodeID] = address(b.Host, b.Port)
	}
	for _, t := range m.Topics {
		if t.ErrorCode != 0 {
			delete(s.topics, t.Name)
			continue
		}
		known := s.topics[t.Name]
		partitions := make(map[int32]leadership, len(t.Partitions))
		for _, p := range t.Partitions {
			said := leadership{node: p.LeaderID, epoch: p.LeaderEpoch, affirmed: now}
			if p.ErrorCode == codeNoLeader {
				said.node = -1
			}
			partitions[p.PartitionIndex] = said
			if l, ok := known[p.PartitionIndex]; ok {
				partitions[p.PartitionIndex] = l.or(said)
			}
		}
		for i, l := range known {
			if _, ok := partitions[i]; !ok && now.Sub(l.affirmed) < forgetAfter {
				partitions[i] = l
			}
		}
		s.topics[t.Name] = partitions
	}
}

// or is what is true by what was known and what is said now.
func (l leadership) or(said leadership) leadership {
	switch {
	case said.epoch < 0 && said.node < 0: // nobody leads just now; the next will have a higher epoch
		said.epoch = l.epoch
	case said.epoch >= 0 && said.epoch < l.epoch && said.affirmed.Sub(l.affirmed) < forgetAfter:
		return l
	}
	return said
}

// partitions is nil for a topic that nobody told of.
func (s *store) partitions(topic string) map[int32]leadership {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.topics[topic]
}

// date writes into a request that reads a partition which leader it is meant
// for, so that one who was it once, or is not yet, refuses.
func (s *store) date(request any) {
	epoch := func(topic string, partition int32) int32 {
		if l, ok := s.partitions(topic)[partition]; ok {
			return l.epoch
		}
		return -1
	}
	switch r := request.(type) {
	case *Fetch:
		r.LeaderEpoch = epoch(r.Topic, r.Partition)
	case *listoffsets.Request:
		for _, t := range r.Topics {
			for i := range t.Partitions {
				t.Partitions[i].CurrentLeaderEpoch = epoch(t.Topic, t.Partitions[i].Partition)
			}
		}
	}
}

func (s *store) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, 0, len(s.topics))
	for name := range s.topics {
		names = append(names, name)
	}
	return names
}

func (s *store) address(node int32) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	addr, ok := s.nodes[node]
	return addr, ok
}

func (s *store) place(node int32, addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes[node] = addr
}

// addresses are those of the known brokers, in no order.
func (s *store) addresses() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	addrs := make([]string, 0, len(s.nodes))
	for _, a := range s.nodes {
		addrs = append(addrs, a)
	}
	return addrs
}

func address(host string, port int32) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }

// epochsSince is the version of Metadata that brings leader epochs.
const epochsSince = 7

// forgetEpochs marks the leader epochs of an answer that has none.
func forgetEpochs(res protocol.Message, version int16) {
	m, ok := res.(*metadata.Response)
	if !ok || version >= epochsSince {
		return
	}
	for _, t := range m.Topics {
		for i := range t.Partitions {
			t.Partitions[i].LeaderEpoch = -1
		}
	}
}
