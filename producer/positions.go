package producer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	kafka "github.com/segmentio/kafka-go"

	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// positions are what is committed on one partition of the offsets topic. They are
// kept for as long as the shard is ours: after a doubt only what is new is read.
// The shard's goroutine owns them.
type positions struct {
	cluster *wire.Cluster
	part    partition
	// records are the latest values by connector and key; nil = never read.
	records map[string]map[string][]byte
	// next is up to where the partition was read, or written by us.
	next int64
	// lost tells that the partition has lost committed records, which are still
	// here.
	lost bool
	// byHand are the connectors whose records somebody else has changed by hand
	// since the last read; those of the first read tell nothing.
	byHand map[string]bool
	// owed is what has to be written again, by connector, because it was lost.
	owed map[string][]schemas.Record
}

// read reads what is new and returns the offset behind which the next batch is to
// land. It takes as long as it gets on. After an error what is known is as
// before.
func (p *positions) read(ctx context.Context) (end int64, err error) {
	p.byHand = nil
	log := CommittedLog{Cluster: p.cluster, Topic: p.part.topic, Partition: p.part.index}
	actx, cancel := context.WithTimeout(ctx, stalled)
	defer cancel()
	// Read uncommitted: the last stable offset may lag behind what is committed.
	if end, err = log.End(actx); err != nil {
		return 0, fmt.Errorf("asking for the high watermark: %w", err)
	}
	if p.records != nil && !p.lost && end <= p.next {
		// An end before what we know is told by an old leader, or the partition was
		// cut off. What we know is committed all the same, and the first batch tells
		// which it is.
		return p.next, nil
	}
	from := p.next
	first := p.records == nil || p.lost
	if first {
		if from, err = log.Start(actx); err != nil {
			return 0, fmt.Errorf("asking for the log's start: %w", err)
		}
	}
	found, byHand := map[string][]byte{}, map[string]bool{}
	err = log.patiently(ctx, from, end, func(_ int64, r *schemas.Record) error {
		found[string(r.Key)] = bytes.Clone(r.Value)
		if !first && changeOf(r) != "" {
			byHand[connectorOf(r.Key)] = true
		}
		return nil
	})
	switch {
	case errors.Is(err, kafka.OffsetOutOfRange) && !p.lost:
		p.records = nil // the log begins later than that: next time read what there is
		return 0, err
	case err != nil:
		return 0, err
	case p.lost:
		p.compare(found)
		clear(found)
	case p.records == nil:
		p.records = map[string]map[string][]byte{}
	}
	for key, value := range found {
		fold(p.records, []byte(key), value)
	}
	p.next, p.byHand = end, byHand
	return end, nil
}

// compare finds out what the partition lacks of what we know, and what it should
// have no longer. Whose the topic is, the partition says.
func (p *positions) compare(found map[string][]byte) {
	p.owed = map[string][]schemas.Record{}
	delete(p.records, schemas.OwnerKey)
	fold(p.records, []byte(schemas.OwnerKey), found[schemas.OwnerKey])
	for connector, records := range p.records {
		for key, value := range records {
			if have, ok := found[key]; !ok || !bytes.Equal(have, value) {
				p.owed[connector] = append(p.owed[connector], schemas.Record{Topic: schemas.Offsets, Key: []byte(key), Value: value})
			}
		}
	}
	for key := range found {
		connector := connectorOf([]byte(key))
		if _, ok := p.records[connector][key]; !ok {
			p.owed[connector] = append(p.owed[connector], schemas.Record{Topic: schemas.Offsets, Key: []byte(key)})
		}
	}
}

// debts are the batches to write before anything else: what was lost, and whose
// the topic is where it does not say so.
func (p *positions) debts(d *deed) []*schemas.Batch {
	now := time.Now()
	var all []*schemas.Batch
	if p.records[schemas.OwnerKey] == nil {
		all = append(all, d.batch(now))
	}
	left := len(p.owed)
	for _, connector := range slices.Sorted(maps.Keys(p.owed)) {
		b := &schemas.Batch{Connector: connector, Records: p.owed[connector], Done: func() {
			if left--; left == 0 {
				p.lost, p.owed = false, nil
			}
		}}
		for i := range b.Records {
			b.Records[i].Time = now
		}
		all = append(all, b)
	}
	if left == 0 {
		p.lost = false
	}
	return all
}

// written takes over what was committed, up to next.
func (p *positions) written(records []schemas.Record, next int64) {
	for i := range records {
		if r := &records[i]; r.Topic == schemas.Offsets {
			fold(p.records, r.Key, r.Value)
		}
	}
	p.next = next
}

// connectors lists the connectors that have records.
func (p *positions) connectors() []string {
	names := make([]string, 0, len(p.records))
	for name := range p.records {
		if name != schemas.OwnerKey {
			names = append(names, name)
		}
	}
	return names
}

// fold keeps the latest value of each key, by connector.
func fold(records map[string]map[string][]byte, key, value []byte) {
	connector := connectorOf(key)
	own := records[connector]
	if value == nil {
		if delete(own, string(key)); len(own) == 0 {
			delete(records, connector)
		}
		return
	}
	if own == nil {
		own = map[string][]byte{}
		records[connector] = own
	}
	own[string(key)] = bytes.Clone(value)
}

// connectorOf returns the connector that a key of the offsets topic belongs to.
// What cannot be read is not ours to judge here, but for whoever reads the
// connector's state.
func connectorOf(key []byte) string {
	k, err := schemas.ParseOffsetsKey(key)
	if err != nil {
		return string(key)
	}
	return k.Connector
}
