package producer

import (
	"context"
	"fmt"
	"time"

	"onelogin-kafka/schemas"
)

// copying is the group that a copy of an offsets topic belongs to while it is
// not whole, after the group's name: no group can have that name, so nobody
// works with half a copy.
const copying = " (a copy that is not whole)"

// Copied is what CopyOffsets has found.
type Copied struct {
	Connectors int
	// Twice are the connectors that had positions on two partitions. Of each the
	// one that is further on was taken.
	Twice []string
}

// CopyOffsets copies the positions of all connectors to the offsets topic to,
// each to the partition where it belongs there: another number of partitions,
// and the way back from one that has grown. Every instance must have been
// stopped; those that have not are fenced. to is created if it is missing, with
// as many partitions as it says, and must be empty.
func (h *Hand) CopyOffsets(ctx context.Context, to TopicSpec) (Copied, error) {
	p, err := DetectProtocol(ctx, h.Cluster)
	if err != nil {
		return Copied{}, err
	}
	from, err := h.Cluster.Partitions(ctx, h.offsets())
	if err != nil {
		return Copied{}, lacking("Read", err)
	}
	c, err := h.collect(ctx, p, from)
	if err != nil {
		return Copied{}, err
	}
	// Nothing is made for what cannot be copied.
	target, n, err := h.target(ctx, to)
	if err != nil {
		return Copied{}, err
	}
	sorted := c.sorted(n)
	unfinished := &deed{topic: to.Name, group: h.Group + copying, partitions: n}
	whole := &deed{topic: to.Name, group: h.Group, partitions: n}
	write := func(index int32, records []schemas.Record, first bool) error {
		if err := target.rewrite(ctx, p, partition{to.Name, index}, func(known *positions) ([]schemas.Record, error) {
			if first && len(known.records) > 0 {
				return nil, fmt.Errorf("%w: it is not empty any more: somebody else copies to it", ErrUnfit)
			}
			return records, nil
		}); err != nil {
			return fmt.Errorf("writing partition %d of topic %s: %w", index, to.Name, err)
		}
		return nil
	}
	for index := range n {
		if err := write(index, append(unfinished.batch(time.Now()).Records, sorted[index]...), true); err != nil {
			return c.Copied, err
		}
	}
	for index, end := range c.ends {
		if err := h.unchanged(ctx, partition{h.offsets(), int32(index)}, end); err != nil {
			return c.Copied, err
		}
	}
	for index := range n {
		if err := write(index, whole.batch(time.Now()).Records, false); err != nil {
			return c.Copied, err
		}
	}
	return c.Copied, nil
}

// unchanged returns an error if a partition has records behind end.
func (h *Hand) unchanged(ctx context.Context, part partition, end int64) error {
	log := CommittedLog{Cluster: h.Cluster, Topic: part.topic, Partition: part.index}
	now, err := log.End(ctx)
	if err != nil {
		return fmt.Errorf("looking for changes of partition %d: %w", part.index, err)
	}
	for end < now {
		if end, err = log.skipMarkers(ctx, end, now); err != nil {
			return fmt.Errorf("partition %d of topic %s has changed meanwhile; stop every instance, and copy to another topic: %w", part.index, part.topic, err)
		}
	}
	return nil
}

// target is a hand on the topic that is copied to, and its number of partitions.
func (h *Hand) target(ctx context.Context, to TopicSpec) (*Hand, int32, error) {
	if to.Name == h.offsets() {
		return nil, 0, fmt.Errorf("%w: topic %s cannot be copied to itself", ErrUnfit, to.Name)
	}
	t := &Hand{Cluster: h.Cluster, Topics: h.Topics, Group: h.Group}
	t.Topics.Create = true
	t.Topics.Specs[schemas.Offsets] = to
	found, err := t.Topics.Ensure(ctx, h.Cluster)
	if err != nil {
		return nil, 0, err
	}
	t.found = found
	n := found.Partitions[schemas.Offsets]
	for index := range n {
		log := CommittedLog{Cluster: h.Cluster, Topic: to.Name, Partition: index}
		if end, err := log.End(ctx); err != nil {
			return nil, 0, fmt.Errorf("looking at topic %s: %w", to.Name, err)
		} else if end > 0 {
			return nil, 0, fmt.Errorf("%w: topic %s is not empty (partition %d ends at %d); name one that is not there", ErrUnfit, to.Name, index, end)
		}
	}
	return t, n, nil
}

// collected is what there is to copy.
type collected struct {
	Copied
	ends    []int64                      // by partition: up to where it was read
	records map[string]map[string][]byte // by connector and key
}

// collect fences and reads every partition.
func (h *Hand) collect(ctx context.Context, p Protocol, from int32) (*collected, error) {
	all := map[string]map[string][]byte{}
	c := &collected{records: all}
	for index := range from {
		if err := h.transactor(p, h.Group, index).init(ctx); err != nil {
			return nil, err
		}
		known := positions{cluster: h.Cluster, part: partition{h.offsets(), index}}
		end, err := known.read(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading partition %d: %w", index, err)
		}
		c.ends = append(c.ends, end)
		if err := h.owns(index, known.records); err != nil {
			return nil, err
		}
		delete(known.records, schemas.OwnerKey)
		for connector, records := range known.records {
			if other, twice := all[connector]; twice {
				c.Twice = append(c.Twice, connector)
				ahead, err := further(connector, records, other)
				if err != nil {
					return nil, err
				}
				if !ahead {
					continue
				}
			}
			all[connector] = records
		}
	}
	c.Connectors = len(all)
	return c, nil
}

// sorted are the records by the partition of n where they belong.
func (c *collected) sorted(n int32) map[int32][]schemas.Record {
	now, by := time.Now(), map[int32][]schemas.Record{}
	for connector, records := range c.records {
		index := PartitionFor(schemas.OffsetKey(connector), n)
		for key, value := range records {
			by[index] = append(by[index], schemas.Record{Topic: schemas.Offsets, Key: []byte(key), Value: value, Time: now})
		}
	}
	return by
}

// owns refuses to copy what is another deployment's. How many partitions there
// were is no matter here.
func (h *Hand) owns(index int32, records map[string]map[string][]byte) error {
	value := records[schemas.OwnerKey][schemas.OwnerKey]
	if value == nil {
		return nil
	}
	o, err := schemas.ParseOwner(value)
	if err != nil {
		return fmt.Errorf("partition %d: %w", index, err)
	}
	if o.Group != h.Group {
		return fmt.Errorf("%w: topic %s belongs to group %q, not to %q", ErrUnfit, h.offsets(), o.Group, h.Group)
	}
	return nil
}

// further tells whether the positions a of a connector are further on than b.
func further(connector string, a, b map[string][]byte) (bool, error) {
	pa, err := schemas.ParseOffset(a[connector])
	if err != nil {
		return false, fmt.Errorf("comparing two positions of connector %s: %w", connector, err)
	}
	pb, err := schemas.ParseOffset(b[connector])
	if err != nil {
		return false, fmt.Errorf("comparing two positions of connector %s: %w", connector, err)
	}
	return pa.Through.After(pb.Through), nil
}
