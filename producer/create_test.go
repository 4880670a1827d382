package producer

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	kafka "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onelogin-kafka/schemas"
)

// verdict is what a broker says of a topic that is to be created; 0 = yes.
type verdict struct {
	code kafka.Error
	says string
}

// managed makes a broker judge every topic that is to be created before it is.
func managed(broker *kfake.Cluster, judge func(topic kmsg.CreateTopicsRequestTopic) verdict) (asked func() (validated, created int)) {
	var mu sync.Mutex
	validated, created := 0, 0
	broker.ControlKey(kmsg.CreateTopics.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		r := req.(*kmsg.CreateTopicsRequest)
		res, refused := r.ResponseKind().(*kmsg.CreateTopicsResponse), false
		if r.ValidateOnly {
			validated++
		} else {
			created++
		}
		// In an order that is not ours.
		for _, rt := range slices.Backward(r.Topics) {
			ct := kmsg.NewCreateTopicsResponseTopic()
			ct.Topic = rt.Topic
			if v := judge(rt); v.code != 0 {
				ct.ErrorCode, ct.ErrorMessage, refused = int16(v.code), &v.says, true
			}
			res.Topics = append(res.Topics, ct)
		}
		if !refused && !r.ValidateOnly {
			return nil, nil, false
		}
		return res, nil, true
	})
	return func() (int, int) {
		mu.Lock()
		defer mu.Unlock()
		return validated, created
	}
}

func given(t kmsg.CreateTopicsRequestTopic, name string) bool {
	return slices.ContainsFunc(t.Configs, func(c kmsg.CreateTopicsRequestTopicConfig) bool { return c.Name == name })
}

// What a managed service does not let its customers set is left out, and said in
// its own words.
func TestCreatingWhereSettingsAreRefused(t *testing.T) {
	const words = "Config property 'segment.bytes' with value '16777216' is lower than the minimum allowed value of 52428800."
	for name, c := range map[string]struct {
		refused string // a setting
		code    kafka.Error
		left    string // in the warnings
		kept    string // a setting that is set all the same
	}{
		"one that only tunes":          {refused: "segment.bytes", code: kafka.PolicyViolation, left: "segment.bytes", kept: "message.timestamp.type"},
		"one that we would rather set": {refused: "message.timestamp.type", code: kafka.InvalidConfiguration, left: "message.timestamp.type", kept: "cleanup.policy"},
	} {
		t.Run(name, func(t *testing.T) {
			broker, topics := fakeBroker(t), testTopics(t, 4, 1)
			asked := managed(broker, func(rt kmsg.CreateTopicsRequestTopic) verdict {
				if given(rt, c.refused) {
					return verdict{c.code, words}
				}
				return verdict{}
			})
			cluster := open(t, broker.ListenAddrs()...)
			_, missing, err := topics.Check(patient(t), cluster)
			if err != nil || len(missing) != schemas.NumTopics {
				t.Fatalf("checked: %v, missing %v", err, missing)
			}
			if _, created := asked(); created > 0 {
				t.Fatal("a check has created topics")
			}
			found, err := topics.Ensure(patient(t), cluster)
			if err != nil {
				t.Fatal(err)
			}
			warnings := strings.Join(found.Warnings, "\n")
			for _, w := range []string{c.left, words, topics.Specs[schemas.Offsets].Name} {
				if !strings.Contains(warnings, w) {
					t.Errorf("the warnings do not say %q:\n%s", w, warnings)
				}
			}
			want := map[string]string{c.kept: topics.settings(schemas.Offsets)[c.kept], c.refused: ""}
			got, _ := settingsOf(t, admin(t, broker.ListenAddrs()), topics.Specs[schemas.Offsets].Name, want)
			if got[c.kept] != want[c.kept] || got[c.refused] == topics.settings(schemas.Offsets)[c.refused] {
				t.Errorf("the offsets topic has %v", got)
			}
		})
	}
}

// Of the two topics that are written together one is not made anew beside the other without a word.
func TestCreatingOneOfTwoThatBelongTogether(t *testing.T) {
	for gone, says := range map[schemas.Topic]string{schemas.Events: "onelogin-kafka backfill", schemas.Offsets: "onelogin-kafka offsets import", schemas.Status: ""} {
		broker, topics := fakeBroker(t), testTopics(t, 4, 1)
		cluster := open(t, broker.ListenAddrs()...)
		found, err := topics.Ensure(patient(t), cluster)
		if err != nil || strings.Contains(strings.Join(found.Warnings, "\n"), "made anew") {
			t.Fatalf("of all topics: %q, %v", found.Warnings, err)
		}
		if _, err := admin(t, broker.ListenAddrs()).DeleteTopics(patient(t), topics.Specs[gone].Name); err != nil {
			t.Fatal(err)
		}
		again := open(t, broker.ListenAddrs()...)
		checked, missing, err := topics.Check(patient(t), again)
		if err != nil || len(missing) != 1 {
			t.Fatalf("without %v: %v are missing, %v", gone, missing, err)
		}
		found, err = topics.Ensure(patient(t), again)
		for _, warnings := range []string{strings.Join(checked.Warnings, "\n"), strings.Join(found.Warnings, "\n")} {
			if err != nil || strings.Contains(warnings, "made anew") != (says != "") || !strings.Contains(warnings, says) {
				t.Errorf("without topic %d: got %q, %v, want %q", gone, warnings, err, says)
			}
		}
	}
}

// What can never succeed is for the operator, with all there is to do and in the
// broker's own words; nothing is created before all can be.
func TestCreatingWhatCannotBe(t *testing.T) {
	topicsOf := func(t *testing.T) (Topics, string, string) {
		topics := testTopics(t, 4, 1)
		return topics, topics.Specs[schemas.Offsets].Name, topics.Specs[schemas.Status].Name
	}
	for code, says := range map[kafka.Error]string{
		kafka.PolicyViolation:            "Topics must be named after their team",
		kafka.InvalidTopic:               "no dots here",
		kafka.TopicAuthorizationFailed:   "Authorization failed.",
		kafka.ClusterAuthorizationFailed: "",
		kafka.InvalidPartitionNumber:     "You may not create more partitions",
	} {
		t.Run(code.Title(), func(t *testing.T) {
			broker := fakeBroker(t)
			topics, offsets, status := topicsOf(t)
			asked := managed(broker, func(rt kmsg.CreateTopicsRequestTopic) verdict {
				if rt.Topic == offsets || rt.Topic == status {
					return verdict{code, says}
				}
				return verdict{}
			})
			cluster := open(t, broker.ListenAddrs()...)
			_, _, checked := topics.Check(patient(t), cluster)
			_, ensured := topics.Ensure(patient(t), cluster)
			for _, err := range []error{checked, ensured} {
				if !errors.Is(err, ErrUnfit) {
					t.Fatalf("got %v, want ErrUnfit", err)
				}
				for _, topic := range []string{offsets, status} {
					command := "--create --topic " + topic + " "
					if !strings.Contains(err.Error(), "creating topic "+topic+": ") || !strings.Contains(err.Error(), command) {
						t.Errorf("it is not said of topic %s what to run: %v", topic, err)
					}
				}
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q does not say %q", err, says)
				}
			}
			if _, created := asked(); created > 0 {
				t.Error("some topics were created")
			}
		})
	}
}

// What may pass is tried again.
func TestCreatingWhatMayPass(t *testing.T) {
	for _, code := range []kafka.Error{kafka.NotController, codeThrottlingQuota, kafka.RequestTimedOut} {
		broker, topics := fakeBroker(t), testTopics(t, 4, 1)
		managed(broker, func(kmsg.CreateTopicsRequestTopic) verdict { return verdict{code, "later"} })
		_, err := topics.Ensure(patient(t), open(t, broker.ListenAddrs()...))
		if err == nil || errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), "later") {
			t.Errorf("%d: got %v, want an error that may pass, in the broker's words", code, err)
		}
	}
}

// All that an existing topic lacks is said at once, and what is only worth a
// warning is one.
func TestJudgingTopicsThatAreThere(t *testing.T) {
	broker, topics := fakeBroker(t), testTopics(t, 4, 1)
	topics.Create = false
	name := func(topic schemas.Topic) string { return topics.Specs[topic].Name }
	createTopic(t, broker.ListenAddrs(), name(schemas.Offsets), 2, map[string]string{"cleanup.policy": "delete"})
	createTopic(t, broker.ListenAddrs(), name(schemas.Events), 2, map[string]string{"cleanup.policy": "compact"})
	_, _, err := topics.Check(patient(t), open(t, broker.ListenAddrs()...))
	u, ok := errors.AsType[*UnfitError](err)
	if !ok || len(u.Problems) != 7 {
		t.Fatalf("got %v, want the four topics that are missing, two policies and the partitions", err)
	}
	for _, w := range []string{"topic " + name(schemas.Status) + " does not exist", "topic " + name(schemas.DeadLetter) + " does not exist",
		"has 2 partitions, fewer than the 4", "--topic " + name(schemas.Offsets) + " --add-config cleanup.policy=compact", "--topic " + name(schemas.Events) + " --add-config cleanup.policy=delete"} {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
}

func TestWarningsOfAnOffsetsTopicThatIsSlowToRead(t *testing.T) {
	f := &Found{replicas: [schemas.NumTopics]int{schemas.Offsets: 3}}
	f.safety(schemas.Offsets, "offsets", map[string]string{
		"min.insync.replicas": "1", "unclean.leader.election.enable": "true", "delete.retention.ms": "86400000", "segment.ms": "604800000",
	})
	var says []string
	for _, w := range f.Warnings {
		says = append(says, w[:strings.IndexAny(w, ":;(")])
	}
	if diff := cmp.Diff([]string{
		"topic offsets has 3 replicas but min.insync.replicas=1",
		"topic offsets has unclean.leader.election.enable=true",
		"topic offsets keeps the tombstone of each minute of each connector for 24h0m0s ",
		"topic offsets is not cleaned before a segment is closed, by time after 168h0m0s ",
	}, says); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	f = &Found{replicas: [schemas.NumTopics]int{schemas.Offsets: 3}}
	f.safety(schemas.Offsets, "offsets", map[string]string{
		"min.insync.replicas": "2", "unclean.leader.election.enable": "false", "delete.retention.ms": offsetsRetention, "segment.ms": offsetsSegment,
	})
	f.safety(schemas.Events, "events", map[string]string{"min.insync.replicas": "2", "delete.retention.ms": "86400000", "segment.ms": "604800000"})
	if len(f.Warnings) > 0 {
		t.Errorf("warned without need: %q", f.Warnings)
	}
}
