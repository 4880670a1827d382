package producer

import (
	"context"
	"errors"
	"fmt"

	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// Positions returns what is committed on the offsets topic, by connector and
// key, as far as transactions are decided, and the number of its partitions. Of
// the topic's partitions those that belong to connectors are read, all if none
// are named.
func (h *Hand) Positions(ctx context.Context, connectors ...string) (ShardRecords, int32, error) {
	n, err := h.Cluster.Partitions(ctx, h.offsets())
	if err != nil {
		return nil, 0, lacking("Read", err)
	}
	wanted := map[int32]bool{}
	for _, name := range connectors {
		wanted[PartitionFor(schemas.OffsetKey(name), n)] = true
	}
	all := ShardRecords{}
	for index := range n {
		if len(connectors) > 0 && !wanted[index] {
			continue
		}
		log := CommittedLog{Cluster: h.Cluster, Topic: h.offsets(), Partition: index}
		found, err := log.decided(ctx)
		if err != nil {
			return nil, 0, fmt.Errorf("reading partition %d of topic %s: %w", index, h.offsets(), err)
		}
		for key, value := range found {
			fold(all, []byte(key), value)
		}
	}
	delete(all, schemas.OwnerKey)
	return all, n, nil
}

// Rewrite decides by what is committed of one shard what is to be changed, all
// of it in one transaction: records of the shard's own partition of the offsets
// topic, of the status topic and of the audit topic. None: nothing is to be done.
type Rewrite func(known ShardRecords) ([]schemas.Record, error)

// ShardRecords are the latest values on a partition of the offsets topic, by
// connector and key. They are to be looked at only.
type ShardRecords map[string]map[string][]byte

// Shard returns the shard that a connector belongs to.
func (h *Hand) Shard(ctx context.Context, connector string) (int32, error) {
	n, err := h.Cluster.Partitions(ctx, h.offsets())
	if err != nil {
		return 0, lacking("Read", err)
	}
	return PartitionFor(schemas.OffsetKey(connector), n), nil
}

// Change fences a shard, reads it, has decide say what is to be written, with a
// record for the audit topic, and commits that: again where somebody else has
// written meanwhile, or has fenced us. An instance that serves the shard goes on
// from what it reads. Where the outcome of a try is not known the audit topic
// tells it.
//
// nil means that it is committed, or that there was nothing to do; an error of
// decide's is returned as it is. After any other error nothing was written,
// unless it says that the outcome is unknown. ErrUnfit where the topic is not
// that of Group, or has grown.
func (h *Hand) Change(ctx context.Context, shard int32, decide Rewrite) error {
	p, err := DetectProtocol(ctx, h.Cluster)
	if err != nil {
		return err
	}
	n, err := h.Cluster.Partitions(ctx, h.offsets())
	if err != nil {
		return lacking("Read", err)
	}
	if err := h.audited(ctx); err != nil {
		return err
	}
	m := move{
		trial: newTrial(), hand: h, protocol: p, decide: decide, part: partition{h.offsets(), shard},
		deed: &deed{topic: h.offsets(), group: h.Group, partitions: n},
	}
	// The owner takes over again as soon as it is fenced, and fences us then.
	return m.run(ctx, m.once, ErrStale, ErrFenced)
}

// audited sees to it that the audit topic is there.
func (h *Hand) audited(ctx context.Context) error {
	_, err := h.Cluster.Partitions(ctx, h.Topics.Specs[schemas.Audit].Name)
	if errors.Is(err, wire.ErrUnknownTopic) {
		_, err = h.Topics.Ensure(ctx, h.Cluster)
	}
	return lacking("Write", err)
}

// move is one change of a shard by hand, tried until its outcome is known.
type move struct {
	trial
	hand     *Hand
	protocol Protocol
	part     partition
	deed     *deed
	decide   Rewrite
	// since is where the audit topic ended before the first try.
	since *int64
}

func (m *move) once(ctx context.Context) error {
	h := m.hand
	txn := h.transactor(m.protocol, h.Group, m.part.index)
	// Whatever was open under this name is decided by then, ours included.
	if err := txn.init(ctx); err != nil {
		return err
	}
	if done, err := m.committed(ctx); err != nil || done {
		return err
	}
	m.doubt = nil
	known := positions{cluster: h.Cluster, part: m.part}
	end, err := known.read(ctx)
	if err != nil {
		return fmt.Errorf("reading offsets: %w", err)
	}
	if err := m.deed.judge(m.part.index, known.records); err != nil {
		return err
	}
	records, err := m.decide(known.records)
	if err != nil || len(records) == 0 {
		return err
	}
	batches, err := m.encode(ctx, records)
	if err != nil {
		return err
	}
	txn.expect(m.part, end)
	return txn.write(ctx, batches)
}

// committed tells whether a try whose outcome was unknown is on the audit topic,
// which is never compacted: its records became visible together with those.
func (m *move) committed(ctx context.Context) (done bool, err error) {
	log := CommittedLog{Cluster: m.hand.Cluster, Topic: m.hand.Topics.Specs[schemas.Audit].Name}
	if m.since == nil {
		end, err := log.End(ctx)
		if err != nil {
			return false, fmt.Errorf("looking at the audit topic: %w", err)
		}
		m.since = &end
	}
	if m.doubt == nil {
		return false, nil
	}
	_, err = log.ReadFrom(ctx, *m.since, func(_ int64, r *schemas.Record) error {
		done = done || changeOf(r) == m.id
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("reading the audit topic: %w", err)
	}
	return done, nil
}

// encode makes the batches of each partition.
func (m *move) encode(ctx context.Context, records []schemas.Record) (map[partition][]recordBatch, error) {
	audited := false
	for i := range records {
		r := &records[i]
		audited = audited || r.Topic == schemas.Audit
		if r.Topic == schemas.Offsets || r.Topic == schemas.Audit {
			m.mark(r)
		}
	}
	if !audited {
		return nil, errors.New("a change by hand without a record for the audit topic")
	}
	return m.hand.encode(ctx, m.part.index, records)
}
