package producer

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// deed is what a deployment takes the offsets topic for: its own, with so many
// partitions.
type deed struct {
	topic      string
	group      string
	partitions int32
}

// batch is the record that says so, for one partition.
func (d *deed) batch(now time.Time) *schemas.Batch {
	o := schemas.Owner{Group: d.group, Partitions: d.partitions, Since: now}
	return &schemas.Batch{Connector: schemas.OwnerKey, Records: []schemas.Record{
		{Topic: schemas.Offsets, Key: []byte(schemas.OwnerKey), Value: o.Marshal(), Time: now},
	}}
}

// counted judges the number of partitions that the topic has.
func (d *deed) counted(n int32) error {
	if n == d.partitions {
		return nil
	}
	return d.grown(fmt.Sprintf("had %d partitions and has %d", d.partitions, n))
}

func (d *deed) grown(how string) error {
	return fmt.Errorf("%w: topic %s %s: with another number of partitions connectors belong to other partitions, where they have no position, and would be published again; docs/positions.md has the way back (\"An offsets topic that has grown\")",
		ErrUnfit, d.topic, how)
}

// judge judges what is committed on one partition: it says that it is ours, and
// every connector on it belongs there. ErrUnfit if not.
func (d *deed) judge(index int32, records map[string]map[string][]byte) error {
	if value := records[schemas.OwnerKey][schemas.OwnerKey]; value != nil {
		o, err := schemas.ParseOwner(value)
		switch {
		case err != nil:
			return fmt.Errorf("%w: topic %s, partition %d, does not say whose it is in a way that this version understands: %w", ErrUnfit, d.topic, index, err)
		case strings.HasSuffix(o.Group, copying):
			return fmt.Errorf("%w: topic %s is %s of another: delete it, and copy again", ErrUnfit, d.topic, strings.Trim(copying, " ()"))
		case o.Group != d.group:
			return fmt.Errorf("%w: topic %s belongs to group %q, and this deployment is group %q: both would publish every event; stop the other and run onelogin-kafka offsets take-over, or give each topics of its own",
				ErrUnfit, d.topic, o.Group, d.group)
		case o.Partitions != d.partitions:
			return d.grown(fmt.Sprintf("had %d partitions and has %d", o.Partitions, d.partitions))
		}
	}
	for connector := range records {
		if !schemas.ValidConnector(connector) {
			continue
		}
		if p := PartitionFor(schemas.OffsetKey(connector), d.partitions); p != index {
			return d.grown(fmt.Sprintf("has %d partitions, of which connector %s belongs to %d and is on %d", d.partitions, connector, p, index))
		}
	}
	return nil
}

// scansAtOnce bounds how many partitions are read side by side.
const scansAtOnce = 8

// Owned judges whether the offsets topic, with so many partitions, is that of a
// group. ErrUnfit if it is another's or has grown; nil as well where it does not
// say, and everything on it is where it belongs.
func (t *Topics) Owned(ctx context.Context, cluster *wire.Cluster, group string, partitions int32) error {
	d := &deed{topic: t.Specs[schemas.Offsets].Name, group: group, partitions: partitions}
	said, err := d.look(ctx, cluster, 0)
	if err != nil || said {
		return err
	}
	// It was written by an earlier version, or just made: once, all is looked at.
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(scansAtOnce)
	for index := int32(1); index < partitions; index++ {
		g.Go(func() error {
			_, err := d.look(ctx, cluster, index)
			return err
		})
	}
	return g.Wait()
}

// look judges one partition, as far as it is decided; said tells that it says
// whose it is.
func (d *deed) look(ctx context.Context, cluster *wire.Cluster, index int32) (said bool, err error) {
	log := CommittedLog{Cluster: cluster, Topic: d.topic, Partition: index}
	found, err := log.decided(ctx)
	if err != nil {
		return false, fmt.Errorf("reading whose the offsets are: %w", err)
	}
	records := map[string]map[string][]byte{}
	for key, value := range found {
		fold(records, []byte(key), value)
	}
	return records[schemas.OwnerKey] != nil, d.judge(index, records)
}
