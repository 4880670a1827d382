package kafkatest

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Quota bounds what a client id may have of each broker: producer_byte_rate and consumer_byte_rate in bytes per second,
// request_percentage in percent of a thread's time.
// https://kafka.apache.org/documentation/#design_quotas
type Quota map[string]float64

// SetQuota sets bounds for the client ids, which stay until LiftQuota takes them away.
func (c *Cluster) SetQuota(ctx context.Context, q Quota, clients ...string) error {
	return c.alterQuota(ctx, q, false, clients)
}

// LiftQuota takes bounds away that SetQuota has set.
func (c *Cluster) LiftQuota(ctx context.Context, q Quota, clients ...string) error {
	return c.alterQuota(ctx, q, true, clients)
}

// alterQuota asks again until the cluster does it: setting a bound twice is setting it once.
func (c *Cluster) alterQuota(ctx context.Context, q Quota, remove bool, clients []string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers()...))
	if err != nil {
		return fmt.Errorf("changing a quota: %w", err)
	}
	defer client.Close()
	req := kmsg.NewPtrAlterClientQuotasRequest()
	for _, name := range clients {
		entry, entity := kmsg.NewAlterClientQuotasRequestEntry(), kmsg.NewAlterClientQuotasRequestEntryEntity()
		entity.Type, entity.Name = "client-id", &name
		entry.Entity = append(entry.Entity, entity)
		for key, value := range q {
			op := kmsg.NewAlterClientQuotasRequestEntryOp()
			op.Key, op.Value, op.Remove = key, value, remove
			entry.Ops = append(entry.Ops, op)
		}
		req.Entries = append(req.Entries, entry)
	}
	for {
		res, err := req.RequestWith(ctx, client)
		if err == nil {
			for _, e := range res.Entries {
				if err == nil {
					err = kerr.ErrorForCode(e.ErrorCode)
				}
			}
		}
		if err == nil {
			return nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("changing a quota: %w", err)
		}
	}
}
