package producer

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// TestALimitThatIsLoweredIsLearned: a topic's max.message.bytes goes down while
// we run. The shard recovers, and from then on the record is refused when it is
// offered, so that nothing but its connector waits.
func TestALimitThatIsLoweredIsLearned(t *testing.T) {
	k := kafkatest.Shared(t, kafkatest.Options{})
	topics := testTopics(t, 1, 3)
	topics.Create = true
	cluster := wire.Open(wire.Config{Brokers: k.Brokers()})
	defer cluster.Close()
	big := schemas.Record{Topic: schemas.Events, Key: []byte("acme"), Value: incompressible(200_000), Time: time.Now()}
	refused, written := make(chan error, 1), make(chan struct{}, 1)
	in := &Instance{Cluster: cluster, Config: Config{
		Group: named(t, "group"), Instance: "one", Topics: topics,
		Serve: func(ctx context.Context, s *Session) {
			for ctx.Err() == nil {
				b := &schemas.Batch{Connector: "acme", Records: []schemas.Record{big}}
				done := make(chan struct{})
				b.Done = func() { close(done) }
				if err := s.Offer(ctx, b); errors.Is(err, ErrTooLarge) {
					select {
					case refused <- err:
					default:
					}
					<-ctx.Done()
					return
				} else if err != nil {
					return
				}
				select {
				case <-done:
					select {
					case written <- struct{}{}:
					default:
					}
				case <-ctx.Done():
				}
			}
		},
	}}
	ctx, stop := inBackground(t, in)
	select {
	case <-written:
	case <-ctx.Done():
		t.Fatal("the record was not written")
	}
	adm := admin(t, k.Brokers())
	limit := "20000"
	res, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "max.message.bytes", Value: &limit}}, topics.Specs[schemas.Events].Name)
	if err != nil || res[0].Err != nil {
		t.Fatalf("lowering the limit: %v %v", err, res)
	}
	select {
	case err := <-refused:
		t.Logf("refused: %v", err)
	case <-ctx.Done():
		t.Error("the record was not refused when offered")
	}
	stop()
}
