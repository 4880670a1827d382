package console

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

const (
	// maxRebalances is how many of them are remembered.
	maxRebalances = 50
	// rebalanceLasts is how far apart the moves of one rebalance can be told: its
	// instances take their shards over, and read them, side by side.
	rebalanceLasts = 15 * time.Second
)

// ShardMove is a shard that another instance speaks for.
type ShardMove struct {
	Shard int    `json:"shard"`
	From  string `json:"from"`
	To    string `json:"to"`
}

// Rebalance is when shards moved.
type Rebalance struct {
	// At is when the first of them was heard of from its new instance.
	At    time.Time   `json:"at"`
	Why   string      `json:"why"`
	Moves []ShardMove `json:"moves"`
}

// owners are the instances that speak for the shards, by what the status topic
// says: a shard without a connector is in none.
type owners struct {
	shards     map[int]owner
	rebalances []Rebalance // the last one first
}

type owner struct {
	instance string
	at       time.Time
}

// add takes over that an instance spoke for a shard at a time. What is older than
// the last word says nothing: the topic's partitions are read one after the other.
func (o *owners) add(shard int, instance string, at time.Time) {
	before, known := o.shards[shard]
	if instance == "" || known && !at.After(before.at) {
		return
	}
	if o.shards == nil {
		o.shards = map[int]owner{}
	}
	if known && before.instance != instance {
		came := !o.owns(instance)
		o.shards[shard] = owner{instance, at}
		o.moved(ShardMove{shard, before.instance, instance}, at, came)
		return
	}
	o.shards[shard] = owner{instance, at}
}

func (o *owners) owns(instance string) bool {
	for _, owner := range o.shards {
		if owner.instance == instance {
			return true
		}
	}
	return false
}

// moved counts a move to the rebalance under way, or begins one.
func (o *owners) moved(m ShardMove, at time.Time, came bool) {
	if len(o.rebalances) == 0 || at.Sub(o.rebalances[0].At) > rebalanceLasts {
		o.rebalances = slices.Insert(o.rebalances, 0, Rebalance{At: at})
		o.rebalances = o.rebalances[:min(len(o.rebalances), maxRebalances)]
	}
	r := &o.rebalances[0]
	// Whoever looks at what was there before keeps it.
	r.Moves = append(slices.Clip(r.Moves), m)
	slices.SortFunc(r.Moves, func(a, b ShardMove) int { return cmp.Compare(a.Shard, b.Shard) })
	switch {
	case came:
		r.Why = fmt.Sprintf("%s came", m.To)
	case !o.owns(m.From):
		r.Why = fmt.Sprintf("%s left, or was lost", m.From)
	case r.Why == "":
		r.Why = "the work was shared anew"
	}
}
