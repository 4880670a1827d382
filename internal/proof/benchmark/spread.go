package benchmark

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// members are the instances that share connectors, in the order of their start.
var members = []string{"one", "two", "three"}

// spread measures how instances share connectors that are hardly ever busy. The
// first has all of them when the others come, so that most change their owner.
func spread(ctx context.Context, b *bench) ([]Result, error) {
	connectors := orDefault(b.connectors, 3000)
	sim, err := b.simulate(fleet(connectors, 0))
	if err != nil {
		return nil, err
	}
	defer sim.stop()
	name, err := b.configure("spread", sim, fmt.Sprintf("poll: {min: %s, max: %s}", b.poll, b.poll))
	if err != nil {
		return nil, err
	}
	defer b.deleteTopics(ctx, topicsOf(name).all()...)
	var group []*instance
	defer func() {
		for _, in := range group {
			in.stop()
		}
	}()
	began := time.Now()
	for _, who := range members {
		b.say("starting %s", who)
		in, err := b.join(ctx, b.this, name, who, "spread-"+who)
		if err != nil {
			return nil, fmt.Errorf("instance %s: %w", who, err)
		}
		group = append(group, in)
	}
	all := time.Now()
	var owned []int
	err = await(ctx, "sharing the connectors", time.Minute, group[0].process, func() (bool, error) {
		owned, err = shares(group, connectors)
		return err == nil, err
	})
	if err != nil {
		return nil, err
	}
	shared := time.Now()
	if err := b.allPolled(ctx, sim, group[0], connectors); err != nil {
		return nil, err
	}
	polled, err := sim.count()
	if err != nil {
		return nil, err
	}
	r := Result{Name: "spread", Title: fmt.Sprintf("Spread: %s connectors, a poll each %s, over three instances", thousands(int64(connectors)), b.poll)}
	for i, who := range members {
		r.note("connectors of instance "+who, float64(owned[i]), "")
	}
	q := float64(slices.Max(owned)*len(owned)) / float64(connectors)
	r.add("most / mean", q, "", "≤ 1.2", q <= 1.2)
	r.note("start of the first process to the last first poll", polled.Last.Sub(began).Seconds(), "s")
	r.note("start of the first process to all three being ready", all.Sub(began).Seconds(), "s")
	r.note("from then until each connector has one owner", shared.Sub(all).Seconds(), "s")
	return b.spreadLater(ctx, sim, group, owned, r)
}

// spreadLater looks at the same instances when all is long settled.
func (b *bench) spreadLater(ctx context.Context, sim *simulation, group []*instance, owned []int, r Result) ([]Result, error) {
	// Steady once everybody has been polled twice more.
	if err := rest(ctx, group[0].process, 2*b.poll); err != nil {
		return nil, err
	}
	if err := sim.get("/_bench/forget", nil); err != nil {
		return nil, err
	}
	period := max(b.poll, orDefault(b.period, time.Minute))
	b.say("measuring for %s", period)
	if err := rest(ctx, group[0].process, period); err != nil {
		return nil, err
	}
	c, err := sim.count()
	if err != nil {
		return nil, err
	}
	connectors := 0
	for _, n := range owned {
		connectors += n
	}
	now, err := shares(group, connectors)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(now, owned) {
		return nil, fmt.Errorf("the connectors moved once more: %v, then %v", owned, now)
	}
	if c.Polled != connectors {
		return nil, fmt.Errorf("%d of %d connectors are polled after they were shared", c.Polled, connectors)
	}
	r.note("polls, steady", float64(c.Requests)/period.Seconds(), "1/s")
	for i, in := range group {
		resident, _, err := in.memory()
		if err != nil {
			return nil, err
		}
		r.note("resident memory of instance "+members[i], mib(resident), "MiB")
	}
	return []Result{r}, nil
}

// shares returns how many connectors each instance has, by what the fleet says.
// It is an error unless every connector has an owner.
func shares(group []*instance, connectors int) ([]int, error) {
	var fleet struct {
		Instances []struct {
			Instance   string `json:"instance"`
			Connectors int    `json:"connectors"`
		} `json:"instances"`
	}
	if err := getJSON(group[0].url+"/api/v1/fleet", &fleet); err != nil {
		return nil, fmt.Errorf("asking instance %s for the fleet: %w", members[0], err)
	}
	counts, owned := make([]int, len(group)), 0
	for _, in := range fleet.Instances {
		if i := slices.Index(members[:], in.Instance); i >= 0 {
			counts[i], owned = in.Connectors, owned+in.Connectors
		}
	}
	if i := slices.Index(counts, 0); i >= 0 {
		return nil, errors.New("instance " + members[i] + " has no connectors")
	}
	if owned != connectors {
		return nil, fmt.Errorf("%d of %d connectors have an owner", owned, connectors)
	}
	return counts, nil
}
