package producer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/segmentio/kafka-go/compress"

	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// Hand writes the offsets topic by hand, for an operator. It goes by the rules
// of a shard: fence, read, write in a transaction that is committed only if
// nobody else has written since. A service at work finds itself fenced and goes
// on from what it reads.
type Hand struct {
	Cluster *wire.Cluster
	Topics  Topics
	// Group is the deployment that the operator acts for.
	Group string

	found Found // what is known of the topics
}

// Owners returns whose each partition of the offsets topic is; nil for one that
// does not say.
func (h *Hand) Owners(ctx context.Context) ([]*schemas.Owner, error) {
	name := h.offsets()
	n, err := h.Cluster.Partitions(ctx, name)
	if err != nil {
		return nil, lacking("Read", err)
	}
	owners := make([]*schemas.Owner, n)
	for index := range n {
		log := CommittedLog{Cluster: h.Cluster, Topic: name, Partition: index}
		found, err := log.decided(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading partition %d of topic %s: %w", index, name, err)
		}
		if value := found[schemas.OwnerKey]; value != nil {
			o, err := schemas.ParseOwner(value)
			if err != nil {
				return nil, fmt.Errorf("partition %d of topic %s: %w", index, name, err)
			}
			owners[index] = &o
		}
	}
	return owners, nil
}

func (h *Hand) offsets() string { return h.Topics.Specs[schemas.Offsets].Name }

// TakeOver makes the offsets topic that of Group. The deployment it belonged to
// is fenced as far as we may, and cannot commit any more in any case. owners are
// those that the operator was shown: where they have changed since, nothing is
// written. ErrUnfit for a topic that has grown.
func (h *Hand) TakeOver(ctx context.Context, owners []*schemas.Owner) error {
	p, err := DetectProtocol(ctx, h.Cluster)
	if err != nil {
		return err
	}
	d := &deed{topic: h.offsets(), group: h.Group, partitions: int32(len(owners))}
	for index, owner := range owners {
		if owner == nil || owner.Group == h.Group {
			continue
		}
		if err := d.counted(owner.Partitions); err != nil {
			return err
		}
		if strings.HasSuffix(owner.Group, copying) {
			return fmt.Errorf("%w: topic %s is %s of another: delete it, and copy again", ErrUnfit, d.topic, strings.Trim(copying, " ()"))
		}
		if err := h.fence(ctx, p, owner.Group, int32(index)); err != nil {
			return fmt.Errorf("fencing group %s on partition %d: %w", owner.Group, index, err)
		}
		if err := h.rewrite(ctx, p, partition{d.topic, int32(index)}, func(known *positions) ([]schemas.Record, error) {
			now := known.records[schemas.OwnerKey][schemas.OwnerKey]
			if o, err := schemas.ParseOwner(now); err != nil || o != *owner {
				return nil, fmt.Errorf("the owner is another than a moment ago: %.200s", now)
			}
			return d.batch(time.Now()).Records, nil
		}); err != nil {
			return fmt.Errorf("taking over partition %d: %w", index, err)
		}
	}
	return nil
}

// fence ends what a group has under way on a partition. Not to be allowed that
// is no failure: that group finds out when it writes next.
func (h *Hand) fence(ctx context.Context, p Protocol, group string, index int32) error {
	err := h.transactor(p, group, index).init(ctx)
	if _, denied := errors.AsType[*wire.DeniedError](err); denied {
		return nil
	}
	return err
}

func (h *Hand) transactor(p Protocol, group string, index int32) *transactor {
	return &transactor{
		cluster: h.Cluster, id: transactionalID(group, index), protocol: p, timeout: transactionTimeout,
		coordinator: -1, appended: func(string, int64) {},
		home: partition{h.offsets(), index}, shared: append(h.Topics.shared(), h.Topics.Specs[schemas.Audit].Name),
	}
}

// rewrite fences our own shard, reads a partition, and writes what is to be
// changed in one transaction; again where somebody else has written meanwhile,
// or has fenced us, as the shard's owner does when it finds itself fenced.
func (h *Hand) rewrite(ctx context.Context, p Protocol, part partition, change func(*positions) ([]schemas.Record, error)) error {
	wait := newBetween()
	for try := 1; ; try++ {
		began := time.Now()
		err := h.rewriteOnce(ctx, p, part, change)
		if try == mostTries || !errors.Is(err, ErrStale) && !errors.Is(err, ErrFenced) || outcomeOf(err) == Unknown {
			return err
		}
		if wait.pause(ctx, began) != nil {
			return err
		}
	}
}

func (h *Hand) rewriteOnce(ctx context.Context, p Protocol, part partition, change func(*positions) ([]schemas.Record, error)) error {
	txn := h.transactor(p, h.Group, part.index)
	if err := txn.init(ctx); err != nil {
		return err
	}
	known := positions{cluster: h.Cluster, part: part}
	end, err := known.read(ctx)
	if err != nil {
		return fmt.Errorf("reading offsets: %w", err)
	}
	records, err := change(&known)
	if err != nil || len(records) == 0 {
		return err
	}
	batches, err := h.encode(ctx, part.index, records)
	if err != nil {
		return err
	}
	txn.expect(part, end)
	return txn.write(ctx, batches)
}

// encode makes the batches of each partition, for a shard.
func (h *Hand) encode(ctx context.Context, shard int32, records []schemas.Record) (map[partition][]recordBatch, error) {
	pointers := make([]*schemas.Record, len(records))
	for i := range records {
		pointers[i] = &records[i]
	}
	w := &writer{cluster: h.Cluster, topics: h.Topics.names(), codec: compress.Zstd}
	w.limits[schemas.Offsets].shown(h.found.MaxMessageBytes[schemas.Offsets], h.found.Compression[schemas.Offsets])
	groups, err := w.group(ctx, shard, pointers)
	if err != nil {
		return nil, err
	}
	return w.encode(groups)
}
