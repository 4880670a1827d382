package producer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"

	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// ControlWriter changes the control log, one writer at a time over all
// instances and commands: by the rules of a shard it fences, reads to the end,
// has its caller decide what is to be written by what is there, and commits that
// in one transaction with its audit record. It may be used by several
// goroutines.
type ControlWriter struct {
	Cluster *wire.Cluster
	Topics  Topics
	// Group is the deployment whose log it is.
	Group string

	mu       sync.Mutex
	protocol Protocol
	known    map[string][]byte // latest values; nil = never read
	next     int64             // up to where it was read
}

// Decision returns what is to be written by what the control log says: records
// of the control log and the audit topic. known is the latest value of each key,
// to be looked at only. It may be asked again, where somebody else has written
// meanwhile. No records: nothing is to be done.
type Decision func(known map[string][]byte) ([]schemas.Record, error)

// Change writes what decide says. nil means that it is committed, or that there
// was nothing to do; an error of decide's is returned as it is. After any other
// error nothing was written, unless the error says that the outcome is unknown.
func (c *ControlWriter) Change(ctx context.Context, decide Decision) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.protocol == 0 {
		p, err := DetectProtocol(ctx, c.Cluster)
		if err != nil {
			return err
		}
		c.protocol = p
	}
	ch := change{trial: newTrial(), writer: c, decide: decide}
	// Others that write at the same time fence us, as we do them.
	return ch.run(ctx, ch.once, ErrStale, ErrFenced, ErrCutOff)
}

// change is one change of the control log, tried until its outcome is known.
type change struct {
	trial
	writer *ControlWriter
	decide Decision
}

func (c *change) once(ctx context.Context) error {
	w := c.writer
	h := Hand{Cluster: w.Cluster, Topics: w.Topics, Group: w.Group}
	txn := h.transactor(w.protocol, w.Group, 0)
	part := partition{w.Topics.Specs[schemas.Connectors].Name, 0}
	txn.id, txn.home, txn.shared = w.Group+"-control", part, []string{w.Topics.Specs[schemas.Audit].Name}
	// Whatever was open under our name is decided by then.
	if err := txn.init(ctx); err != nil {
		return err
	}
	committed, err := c.read(ctx, part)
	if err != nil {
		return fmt.Errorf("reading the control log: %w", err)
	}
	c.doubt = nil
	if committed {
		return nil
	}
	records, err := c.decide(w.known)
	if err != nil || len(records) == 0 {
		return err
	}
	batches, err := c.encode(records)
	if err != nil {
		return err
	}
	txn.expect(part, w.next)
	return txn.write(ctx, batches)
}

// read reads what is new and tells whether this change is among it.
func (c *change) read(ctx context.Context, part partition) (committed bool, err error) {
	w := c.writer
	log := CommittedLog{Cluster: w.Cluster, Topic: part.topic}
	from := w.next
	if w.known == nil {
		if from, err = log.Start(ctx); err != nil {
			return false, err
		}
	}
	found := map[string][]byte{}
	end, err := log.ReadFrom(ctx, from, func(_ int64, r *schemas.Record) error {
		found[string(r.Key)] = bytes.Clone(r.Value)
		committed = committed || changeOf(r) == c.id
		return nil
	})
	if errors.Is(err, kafka.OffsetOutOfRange) || err == nil && end < from {
		// The log was made anew, or begins later: what there is counts.
		w.known = nil
		return false, fmt.Errorf("%w: the log ends at %d and was read up to %d: %w", ErrCutOff, end, from, err)
	}
	if err != nil {
		return false, err
	}
	if w.known == nil {
		w.known = map[string][]byte{}
	}
	for key, value := range found {
		if w.known[key] = value; value == nil {
			delete(w.known, key)
		}
	}
	w.next = end
	return committed, nil
}

// encode makes the batches of each partition.
func (c *change) encode(records []schemas.Record) (map[partition][]recordBatch, error) {
	w := c.writer
	groups := map[partition][]*schemas.Record{}
	for i := range records {
		r := &records[i]
		if !alone(r.Topic) {
			return nil, fmt.Errorf("a record of topic %s does not belong to the control log", r.Topic)
		}
		if r.Topic == schemas.Connectors {
			c.mark(r)
		}
		p := partition{w.Topics.Specs[r.Topic].Name, 0}
		groups[p] = append(groups[p], r)
	}
	batches := map[partition][]recordBatch{}
	for p, group := range groups {
		var limit sizeLimit
		encoded, err := encodeBatches(group, compress.Zstd, limit.bounds(compress.Zstd))
		if err != nil {
			return nil, fmt.Errorf("topic %s: %w", p.topic, err)
		}
		batches[p] = encoded
	}
	return batches, nil
}
