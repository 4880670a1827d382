package wire

import (
	"crypto/tls"
	"errors"
	"testing"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// A broker that says that a right is missing is believed at once, with the name
// of what it is missing on.
func TestMissingRights(t *testing.T) {
	refusing := func(x *exchange) {
		switch x.key {
		case protocol.Metadata:
			m := *threeBrokers
			m.Topics = []metadata.ResponseTopic{{ErrorCode: int16(kafka.TopicAuthorizationFailed), Name: "events"}}
			x.message(&m)
		case protocol.FindCoordinator:
			x.message(&findcoordinator.Response{ErrorCode: int16(kafka.TransactionalIDAuthorizationFailed), NodeID: -1})
		}
	}
	cluster(t, map[string]func(*exchange){"a:1": refusing, "b:1": refusing, "c:1": refusing}, func(t *testing.T, n *network, c *Cluster) {
		for name, tt := range map[string]struct {
			ask  func() error
			want DeniedError
		}{
			"leader": {func() error { _, err := c.Leader(t.Context(), "events", 0); return err },
				DeniedError{kafka.TopicAuthorizationFailed, "Describe", ResourceTopic, "events"}},
			"partitions": {func() error { _, err := c.Partitions(t.Context(), "events"); return err },
				DeniedError{kafka.TopicAuthorizationFailed, "Describe", ResourceTopic, "events"}},
			"coordinator": {func() error { _, err := c.Coordinator(t.Context(), TransactionCoordinator, "id"); return err },
				DeniedError{kafka.TransactionalIDAuthorizationFailed, "Write", ResourceTransactionalID, "id"}},
		} {
			err := tt.ask()
			if got, ok := errors.AsType[*DeniedError](err); !ok || *got != tt.want || errors.Is(err, ErrUnknownTopic) || errors.Is(err, ErrCoordinator) {
				t.Errorf("%s: got %v, want %v", name, err, &tt.want)
			}
		}
	})
}

// Credentials that we cannot use ourselves are one error, and no broker is
// troubled with them.
func TestUnusableCredentials(t *testing.T) {
	broken := errors.New("no pair")
	n := newNetwork(map[string]func(*exchange){"a:1": healthy, "b:1": healthy})
	c := Open(Config{Brokers: []string{"a:1", "b:1"}, Dial: n.dial, TLS: func() (*tls.Config, error) { return nil, broken }})
	defer c.Close()
	_, err := c.Metadata(t.Context())
	if want := "Metadata: our own credentials cannot be used: no pair"; !errors.Is(err, ErrCredentials) || !errors.Is(err, broken) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if n.dialled("a:1")+n.dialled("b:1") != 0 {
		t.Error("a broker was dialled")
	}
}

func TestSessionIsNotUsedToItsEnd(t *testing.T) {
	for life, want := range map[time.Duration]time.Duration{
		time.Hour: 48 * time.Minute, 10 * time.Second: 8 * time.Second, 3 * time.Second: 2 * time.Second,
		time.Second: 500 * time.Millisecond, time.Millisecond: 500 * time.Microsecond,
	} {
		if got := usable(life); got != want {
			t.Errorf("of %v: got %v, want %v", life, got, want)
		}
	}
}
