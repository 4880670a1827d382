package producer

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/producer/wire"
)

// A consumer of somebody else's in our group keeps us out of it. That is said, by
// name where we ask, until it goes.
func TestAForeignConsumerInOurGroup(t *testing.T) {
	k := kafkatest.Shared(t, kafkas[V2])
	topics, group := testTopics(t, testShards, 3), named(t, "group")
	cluster := open(t, k.Brokers()...)
	if _, err := topics.Ensure(patient(t), cluster); err != nil {
		t.Fatal(err)
	}
	if err := CheckGroup(patient(t), cluster, group); err != nil {
		t.Errorf("a group that is not there: %v", err)
	}
	stranger, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers()...), kgo.ClientID("a-stranger"), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topics.Specs[0].Name))
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	polled, done := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for polled.Err() == nil {
			stranger.PollFetches(polled)
		}
	}()
	defer func() { done(); <-ended }()
	var said error
	waitFor(t, "the stranger to be seen", func() bool {
		said = CheckGroup(patient(t), cluster, group)
		return errors.Is(said, ErrForeignGroup)
	})
	if !strings.Contains(said.Error(), "a-stranger") || !strings.Contains(said.Error(), group) {
		t.Errorf("%q does not say who is in which group", said)
	}
	f := newFeed(t, 51)
	in := run(t, group, "one", topics, wire.Config{Brokers: k.Brokers()}, f)
	waitFor(t, "the instance to say so", func() bool { return errors.Is(in.Ready(), ErrForeignGroup) })
	stranger.LeaveGroup()
	f.progress(t, 2, allShards(testShards)...)
	if err := CheckGroup(patient(t), cluster, group); err != nil {
		t.Errorf("with ourselves in it: %v", err)
	}
	in.stop()
}
