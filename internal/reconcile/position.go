package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// ErrNoPosition is wrapped by the error for a connector that has none.
var ErrNoPosition = errors.New("has no position on the offsets topic")

// Position reads where a connector is, from the offsets topic alone.
func Position(ctx context.Context, cluster *wire.Cluster, topic, connector string) (schemas.Offset, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	n, err := cluster.Partitions(ctx, topic)
	if err != nil {
		return schemas.Offset{}, fmt.Errorf("looking at topic %s: %w", topic, err)
	}
	log := &producer.CommittedLog{Cluster: cluster, Topic: topic, Partition: producer.PartitionFor(schemas.OffsetKey(connector), n)}
	var value []byte
	_, err = log.Read(ctx, func(_ int64, r *schemas.Record) error {
		if string(r.Key) == connector {
			value = append(value[:0], r.Value...)
		}
		return nil
	})
	switch {
	case err != nil:
		return schemas.Offset{}, fmt.Errorf("reading the position of connector %s: %w", connector, err)
	case len(value) == 0:
		return schemas.Offset{}, fmt.Errorf("connector %s %w %s", connector, ErrNoPosition, topic)
	}
	return schemas.ParseOffset(value)
}
