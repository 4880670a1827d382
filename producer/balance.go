package producer

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/consumer"
	"github.com/segmentio/kafka-go/protocol/joingroup"
)

// claim is what a member says when it joins: which shards it held, in which
// generation it was given them, and what they cost it.
type claim struct {
	member     string // member id
	instance   string
	generation int32
	owned      []int32
	events     map[int32]int32 // by shard: events a second of late
}

// The forms of a claim. A group speaks the newest that all its members know, so
// that versions of the service can be side by side: a new form is added, and
// those before it stay for as long as such versions are about.
const (
	// protocolV1 is a fixed layout: generation, then shard and events in pairs.
	protocolV1 = "onelogin-sticky-v1"
	// protocolV2 is a list of fields, of which those not known are passed over.
	protocolV2 = "onelogin-sticky-v2"
)

// The fields of a claim in protocolV2: each a number and a length, as uvarints,
// and so many bytes.
const (
	fieldGeneration = 1 // int32
	fieldShards     = 2 // pairs of int32: shard, events a second
)

// encodeClaims writes a claim in every form, the newest first, as the user data
// of a consumer's subscription to the offsets topic, so that Kafka's own tools can
// describe the group.
func encodeClaims(topic string, generation int32, owned []int32, events func(shard int32) int32) []joingroup.RequestProtocol {
	number := binary.BigEndian.AppendUint32(nil, uint32(generation))
	var shards []byte
	for _, s := range owned {
		shards = binary.BigEndian.AppendUint32(shards, uint32(s))
		shards = binary.BigEndian.AppendUint32(shards, uint32(events(s)))
	}
	fields := appendField(nil, fieldGeneration, number)
	fields = appendField(fields, fieldShards, shards)
	return []joingroup.RequestProtocol{
		{Name: protocolV2, Metadata: subscription(topic, fields)},
		{Name: protocolV1, Metadata: subscription(topic, append(number, shards...))},
	}
}

func appendField(data []byte, number uint64, value []byte) []byte {
	data = binary.AppendUvarint(data, number)
	data = binary.AppendUvarint(data, uint64(len(value)))
	return append(data, value...)
}

func subscription(topic string, data []byte) []byte {
	b, err := protocol.Marshal(1, consumer.Subscription{Version: 1, Topics: []string{topic}, UserData: data})
	if err != nil {
		panic(err) // a fixed structure
	}
	return b
}

// decodeClaim reads a member's claim in the form that the group speaks; one that
// cannot be read claims nothing.
func decodeClaim(form, member, instance string, metadata []byte) claim {
	c := claim{member: member, instance: instance, generation: -1, events: map[int32]int32{}}
	var s consumer.Subscription
	if err := protocol.Unmarshal(metadata, 1, &s); err != nil {
		return c
	}
	if form == protocolV2 {
		c.fields(s.UserData)
	} else if len(s.UserData) >= 4 {
		c.held(s.UserData[:4], s.UserData[4:])
	}
	return c
}

func (c *claim) fields(data []byte) {
	var generation, shards []byte
	for len(data) > 0 {
		number, n := binary.Uvarint(data)
		if n <= 0 {
			return
		}
		data = data[n:]
		size, n := binary.Uvarint(data)
		if n <= 0 || size > uint64(len(data)-n) {
			return
		}
		value := data[n : n+int(size)]
		switch data = data[n+int(size):]; number {
		case fieldGeneration:
			generation = value
		case fieldShards:
			shards = value
		}
	}
	if len(generation) == 4 {
		c.held(generation, shards)
	}
}

func (c *claim) held(generation, shards []byte) {
	c.generation = int32(binary.BigEndian.Uint32(generation))
	for ; len(shards) >= 8; shards = shards[8:] {
		shard := int32(binary.BigEndian.Uint32(shards))
		c.owned = append(c.owned, shard)
		c.events[shard] = max(int32(binary.BigEndian.Uint32(shards[4:])), 0)
	}
}

func encodeAssignment(topic string, shards []int32) []byte {
	b, err := protocol.Marshal(1, consumer.Assignment{Version: 1, AssignedPartitions: []consumer.TopicPartition{{Topic: topic, Partitions: shards}}})
	if err != nil {
		panic(err) // a fixed structure
	}
	return b
}

func decodeAssignment(b []byte) ([]int32, error) {
	if len(b) == 0 {
		return nil, nil
	}
	var a consumer.Assignment
	if err := protocol.Unmarshal(b, 1, &a); err != nil {
		return nil, fmt.Errorf("decoding the assignment: %w", err)
	}
	var shards []int32
	for _, t := range a.AssignedPartitions {
		shards = append(shards, t.Partitions...)
	}
	slices.Sort(shards)
	return shards, nil
}

// balance gives every shard to one member. A shard stays where it is unless
// that leaves the load uneven; the result depends on nothing but the
// arguments. weight is a shard's cost; an empty shard should cost a little.
func balance(shards int32, members []claim, weight func(shard int32) int64) map[string][]int32 {
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.instance, b.instance), cmp.Compare(a.member, b.member))
	})
	a := &allotment{members: members, load: make([]int64, len(members)), owner: make([]int, shards), weight: weight}
	a.keep()
	a.place()
	a.even()
	result := make(map[string][]int32, len(members))
	for _, m := range members {
		result[m.member] = []int32{}
	}
	for s, o := range a.owner {
		result[members[o].member] = append(result[members[o].member], int32(s))
	}
	return result
}

type allotment struct {
	members []claim
	load    []int64
	owner   []int // by shard: index into members
	weight  func(int32) int64
}

// keep lets each shard stay with the member that claims it; of several, with
// the one that was given it last.
func (a *allotment) keep() {
	for s := range a.owner {
		a.owner[s] = -1
	}
	for i, m := range a.members {
		for _, s := range m.owned {
			if s < 0 || int(s) >= len(a.owner) {
				continue
			}
			if o := a.owner[s]; o >= 0 {
				if a.members[o].generation >= m.generation {
					continue
				}
				a.load[o] -= a.weight(s)
			}
			a.owner[s] = i
			a.load[i] += a.weight(s)
		}
	}
}

// place gives the shards nobody holds, the heaviest first, each to the member
// with the least.
func (a *allotment) place() {
	var free []int32
	for s, o := range a.owner {
		if o < 0 {
			free = append(free, int32(s))
		}
	}
	slices.SortFunc(free, func(x, y int32) int { return cmp.Or(cmp.Compare(a.weight(y), a.weight(x)), cmp.Compare(x, y)) })
	for _, s := range free {
		i := a.least()
		a.owner[s] = i
		a.load[i] += a.weight(s)
	}
}

func (a *allotment) least() int {
	return slices.Index(a.load, slices.Min(a.load))
}

// even moves shards from the member with the most to the one with the least,
// each time the one that brings them closest, for as long as that lessens the
// difference by something that is worth a move.
func (a *allotment) even() {
	if len(a.members) < 2 {
		return
	}
	total := int64(0)
	for _, l := range a.load {
		total += l
	}
	tolerance := total / int64(len(a.members)) / 10
	for {
		from, to := slices.Index(a.load, slices.Max(a.load)), a.least()
		gap := a.load[from] - a.load[to]
		if gap <= tolerance {
			return
		}
		best, bestGap := int32(-1), gap
		for s, o := range a.owner {
			if o != from {
				continue
			}
			w := a.weight(int32(s))
			if after := max(gap-2*w, 2*w-gap); after < bestGap {
				best, bestGap = int32(s), after
			}
		}
		if best < 0 {
			return
		}
		a.owner[best] = to
		a.load[from] -= a.weight(best)
		a.load[to] += a.weight(best)
	}
}

// mostEvents a second count: what is more is a backlog that is caught up with,
// and over soon.
const mostEvents = 2000

// weights returns what a shard costs: its connectors, as the leader's
// configuration has them, and the events of late, as their owners say. A
// connector is polled whether it has events or not, which costs about as much as
// writing a hundred. Shards without connectors are spread too, since each costs
// a take-over.
func weights(connectors map[int32]int, members []claim) func(int32) int64 {
	cost := map[int32]int64{}
	for _, m := range members {
		for s, n := range m.events {
			cost[s] = max(cost[s], int64(min(n, mostEvents)))
		}
	}
	for s, n := range connectors {
		cost[s] += 100 * int64(n)
	}
	return func(s int32) int64 { return 1 + cost[s] }
}
