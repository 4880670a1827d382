package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"

	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source/onelogin/simulator"
)

// published is what was found in a topic: each event by connector and id.
type published map[string]map[int64]entry

type entry struct {
	sum   [sha256.Size]byte // of the first copy's value
	n     int               // copies
	mixed bool              // a later copy has another value
}

// add notes a record; true if its event is new.
func (l published) add(r *schemas.Record) (bool, error) {
	id, err := strconv.ParseInt(header(r, schemas.HeaderID), 10, 64)
	if err != nil {
		return false, fmt.Errorf("a record has no event id: %w", err)
	}
	tenant := header(r, schemas.HeaderTenant)
	if l[tenant] == nil {
		l[tenant] = map[int64]entry{}
	}
	sum := sha256.Sum256(r.Value)
	e := l[tenant][id]
	if e.n++; e.n == 1 {
		e.sum = sum
	}
	e.mixed = e.mixed || e.sum != sum
	l[tenant][id] = e
	return e.n == 1, nil
}

// read reads a topic, read committed, as far as it goes now.
func (l published) read(ctx context.Context, cluster *wire.Cluster, topic string) error {
	partitions, err := cluster.Partitions(ctx, topic)
	if err != nil {
		return err
	}
	for p := range partitions {
		log := &producer.CommittedLog{Cluster: cluster, Topic: topic, Partition: p}
		_, err := log.Read(ctx, func(_ int64, r *schemas.Record) error {
			_, err := l.add(r)
			return err
		})
		if err != nil {
			return fmt.Errorf("reading %s/%d: %w", topic, p, err)
		}
	}
	return nil
}

// verdict is how a topic compares with the truth.
type verdict struct {
	events                                  int64 // that exist
	missing, duplicate, altered, unexpected int64
}

func (v verdict) clean() bool { return v.missing+v.duplicate+v.altered+v.unexpected == 0 }

func (v verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d events, %d missing, %d duplicate, %d altered", v.events, v.missing, v.duplicate, v.altered)
	if v.unexpected > 0 {
		fmt.Fprintf(&b, ", %d unexpected", v.unexpected)
	}
	return b.String()
}

// judge compares what was found with the truth. It takes the published apart.
func (l published) judge(sim *simulator.Server) (verdict, error) {
	var v verdict
	for _, t := range sim.Tenants() {
		truth, err := sim.Truth(t.Name)
		if err != nil {
			return v, err
		}
		found := l[t.Name]
		for e := range truth {
			v.events++
			got, ok := found[e.ID]
			delete(found, e.ID)
			switch {
			case !ok:
				v.missing++
			case got.mixed || got.sum != sha256.Sum256(e.Raw):
				v.altered++
			}
			v.duplicate += int64(max(got.n-1, 0))
		}
	}
	for _, rest := range l {
		for _, e := range rest {
			v.unexpected += int64(e.n)
		}
	}
	return v, nil
}
