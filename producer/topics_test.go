package producer

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/schemas"
)

func TestEnsureCreatesTopics(t *testing.T) {
	onBoth(t, func(t *testing.T, _ Protocol, k *kafkatest.Cluster) {
		replicas := int16(min(3, len(k.Nodes())))
		topics := testTopics(t, 5, replicas)
		cluster := open(t, k.Brokers()...)
		found, err := topics.Ensure(patient(t), cluster)
		if err != nil {
			t.Fatal(err)
		}
		if len(found.Warnings) > 0 {
			t.Errorf("warnings about topics of our own: %q", found.Warnings)
		}
		if diff := cmp.Diff([schemas.NumTopics]int32{2, 2, 5, 2, 1, 1}, found.Partitions); diff != "" {
			t.Errorf("partitions (-want +got):\n%s", diff)
		}
		adm := admin(t, k.Brokers())
		for i, spec := range topics.Specs {
			want := map[string]string{"cleanup.policy": "delete", "message.timestamp.type": "LogAppendTime"}
			if replicas == 3 {
				want["min.insync.replicas"] = "2"
			}
			switch schemas.Topic(i) {
			case schemas.Offsets, schemas.Status:
				want["cleanup.policy"] = "compact"
			case schemas.Connectors:
				want["cleanup.policy"], want["max.compaction.lag.ms"] = "compact", "86400000"
			case schemas.DeadLetter, schemas.Audit:
			case schemas.Events:
				want["message.timestamp.type"] = "CreateTime"
			}
			got, replicasGot := settingsOf(t, adm, spec.Name, want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: settings (-want +got):\n%s", spec.Name, diff)
			}
			if replicasGot != int(replicas) {
				t.Errorf("%s: %d replicas, want %d", spec.Name, replicasGot, replicas)
			}
		}
		// What is there stays as it is.
		again, err := topics.Ensure(patient(t), cluster)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(found.MaxMessageBytes, again.MaxMessageBytes); diff != "" {
			t.Errorf("max.message.bytes the second time (-first +second):\n%s", diff)
		}
	})
}

// settingsOf returns those of a topic's settings that are named in want.
func settingsOf(t *testing.T, adm *kadm.Client, topic string, want map[string]string) (map[string]string, int) {
	t.Helper()
	described, err := adm.DescribeTopicConfigs(patient(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range described[0].Configs {
		if _, ok := want[c.Key]; ok {
			got[c.Key] = c.MaybeValue()
		}
	}
	details, err := adm.ListTopics(patient(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	return got, details[topic].Partitions.NumReplicas()
}

func TestEnsureRefusesWhatCannotServe(t *testing.T) {
	k := kafkatest.Shared(t, kafkas[V2])
	for name, tc := range map[string]struct {
		topic      schemas.Topic
		partitions int32
		configs    map[string]string
		change     func(*Topics)
		want       []string // in the error
	}{
		"offsets that are deleted":               {topic: schemas.Offsets, partitions: 3, configs: map[string]string{"cleanup.policy": "delete"}, want: []string{"cleanup.policy=delete", "--add-config cleanup.policy=compact"}},
		"offsets that are compacted and deleted": {topic: schemas.Offsets, partitions: 3, configs: map[string]string{"cleanup.policy": "compact,delete"}, want: []string{"cleanup.policy=compact,delete"}},
		"status that is deleted":                 {topic: schemas.Status, partitions: 2, want: []string{"--add-config cleanup.policy=compact"}},
		"events that are compacted":              {topic: schemas.Events, partitions: 2, configs: map[string]string{"cleanup.policy": "compact"}, want: []string{"--add-config cleanup.policy=delete"}},
		"dead letters that are compacted":        {topic: schemas.DeadLetter, partitions: 2, configs: map[string]string{"cleanup.policy": "compact,delete"}, want: []string{"--add-config cleanup.policy=delete"}},
		"connectors that are deleted":            {topic: schemas.Connectors, partitions: 1, want: []string{"--add-config cleanup.policy=compact"}},
		"connectors without one order":           {topic: schemas.Connectors, partitions: 2, configs: map[string]string{"cleanup.policy": "compact"}, want: []string{"has 2 partitions and must have one", "--partitions 1"}},
		"audit that is compacted":                {topic: schemas.Audit, partitions: 1, configs: map[string]string{"cleanup.policy": "compact"}, want: []string{"--add-config cleanup.policy=delete"}},
		"too few partitions":                     {topic: schemas.Offsets, partitions: 2, configs: map[string]string{"cleanup.policy": "compact"}, want: []string{"2 partitions", "fewer than the 3"}},
		"more replicas than brokers":             {topic: schemas.Events, partitions: 2, change: func(ts *Topics) { ts.ReplicationFactor = 4 }, want: []string{"replication factor 4", "3 brokers"}},
		"missing and not to be created":          {topic: schemas.Events, partitions: 2, change: func(ts *Topics) { ts.Create = false }, want: []string{"--create", "--partitions", "--replication-factor 3"}},
	} {
		t.Run(name, func(t *testing.T) {
			topics := testTopics(t, 3, 3)
			createTopic(t, k.Brokers(), topics.Specs[tc.topic].Name, tc.partitions, tc.configs)
			if tc.change != nil {
				tc.change(&topics)
			}
			_, err := topics.Ensure(patient(t), open(t, k.Brokers()...))
			if !errors.Is(err, ErrUnfit) {
				t.Fatalf("got %v, want ErrUnfit", err)
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
		})
	}
}

func TestEnsureWarns(t *testing.T) {
	k := kafkatest.Shared(t, kafkas[V2])
	topics := testTopics(t, 3, 3)
	createTopic(t, k.Brokers(), topics.Specs[schemas.Events].Name, 7, map[string]string{"min.insync.replicas": "1", "max.message.bytes": "4000"})
	found, err := topics.Ensure(patient(t), open(t, k.Brokers()...))
	if err != nil {
		t.Fatal(err)
	}
	// The offsets are made beside events that were there.
	about := []string{topics.Specs[schemas.Offsets].Name + " is made anew", "min.insync.replicas=1"}
	ok := len(found.Warnings) == len(about)
	for _, what := range about {
		ok = ok && slices.ContainsFunc(found.Warnings, func(w string) bool {
			return strings.Contains(w, what) && strings.Contains(w, topics.Specs[schemas.Events].Name)
		})
	}
	if !ok {
		t.Errorf("warnings: got %q, want one about each of %q and the events", found.Warnings, about)
	}
	if got := found.Partitions[schemas.Events]; got != 7 {
		t.Errorf("partitions of the events: got %d, want the 7 there are", got)
	}
	if got := found.MaxMessageBytes[schemas.Events]; got != 4000 {
		t.Errorf("max.message.bytes of the events: got %d, want 4000", got)
	}
}
