package preflight

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"onelogin-kafka/producer"
)

// openPatience is as long as the service tries to write a transaction.
const openPatience = 8 * time.Second

// open looks for transactions that stay open on our topics. Nobody gets past
// them: neither the service, which reads its positions, nor any reader of the
// events.
func (k *Kafka) open(ctx context.Context) (string, *Failure) {
	names := make([]string, 0, len(k.Topics.Specs))
	for _, s := range k.Topics.Specs {
		names = append(names, s.Name)
	}
	var found []*producer.OpenTransactionError
	err := retry(ctx, func() (err error) {
		found, err = producer.FindOpen(ctx, k.Cluster, cmp.Or(k.patience, openPatience), names...)
		return err
	})
	if err != nil {
		return "", k.fail("open transactions cannot be looked for", err)
	}
	if len(found) == 0 {
		return "none that stays open", nil
	}
	f := &Failure{Message: oneLine(found[0]), Advice: "End it with kafka-transactions.sh abort, with the start offset named above, once you know whose it is."}
	if n := len(found) - 1; n > 0 {
		f.Message += fmt.Sprintf("; and on %d partitions more", n)
	}
	return "", f
}
