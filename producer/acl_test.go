package producer

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	kafka "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/internal/proof/wait"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// sessionLifetime is connections.max.reauth.ms of the mechanisms that are tested
// for it.
const sessionLifetime = 3 * time.Second

// secured is a Kafka as people run it: no client without a name, none with more
// rights than it was given. Its plain listener is the super user's.
var secured = kafkatest.Options{
	Nodes: 1, TLS: true, ACL: true,
	Users: map[string]string{"least": "least-secret", "described": "described-secret", "short": "short-secret"},
	Extra: map[string]string{
		"listener.name.tls.ssl.client.auth":                          "required",
		"listener.name.sasl.plain.connections.max.reauth.ms":         fmt.Sprint(sessionLifetime.Milliseconds()),
		"listener.name.sasl.scram-sha-256.connections.max.reauth.ms": fmt.Sprint(sessionLifetime.Milliseconds()),
		"listener.name.sasl.oauthbearer.connections.max.reauth.ms":   fmt.Sprint(sessionLifetime.Milliseconds()),
	},
}

// right is an ACL of one principal.
type right struct {
	resource  kmsg.ACLResourceType
	name      string
	prefix    bool
	operation kmsg.ACLOperation
}

func (r right) String() string { return fmt.Sprintf("%v on %v %s", r.operation, r.resource, r.name) }

// leastRights are all that an instance needs. Each brings Describe with it.
func leastRights(group string, topics Topics) []right {
	rights := []right{
		{kmsg.ACLResourceTypeTransactionalId, group + "-", true, kmsg.ACLOperationWrite},
		{kmsg.ACLResourceTypeGroup, group, false, kmsg.ACLOperationRead},
		{kmsg.ACLResourceTypeTopic, topics.Specs[schemas.Offsets].Name, false, kmsg.ACLOperationRead},
		{kmsg.ACLResourceTypeTopic, topics.Specs[schemas.Connectors].Name, false, kmsg.ACLOperationRead},
	}
	for _, topic := range []schemas.Topic{schemas.Events, schemas.DeadLetter, schemas.Offsets, schemas.Status} {
		rights = append(rights, right{kmsg.ACLResourceTypeTopic, topics.Specs[topic].Name, false, kmsg.ACLOperationWrite})
	}
	return rights
}

// An instance works with the least rights, names the one that is taken from it,
// and goes on when it is given back: with nothing lost, nothing twice, and
// without asking over and over.
func TestLeastRights(t *testing.T) {
	t.Parallel()
	k := kafkatest.Shared(t, secured)
	// When Write goes, what was seen by it is seen no longer; unless Describe was
	// given by itself. These are different answers at every step.
	for _, user := range []string{"least", "described"} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			topics := testTopics(t, 2, 1)
			if _, err := topics.Ensure(patient(t), open(t, k.Brokers()...)); err != nil {
				t.Fatal(err)
			}
			topics.Create = false
			group := named(t, "group")
			g, rights := newGrants(t, k, user), leastRights(group, topics)
			sec := &Security{
				UseTLS: true, CAFile: k.CAFile(), Mechanism: MechanismScramSHA512, Username: user,
				Password: func() (string, error) { return secured.Users[user], nil },
			}
			f := newFullFeed(t)
			in := startSecure(t, group, topics, k.BrokersSASL(), sec, f.serve)
			in.denied(t, "a right at the start", wire.DeniedError{
				Code: kafka.TopicAuthorizationFailed, Right: "Write", Resource: wire.ResourceTopic, Name: topics.Specs[schemas.Events].Name,
			})
			g.give(rights...)
			if user == "described" {
				for _, r := range rights {
					r.operation = kmsg.ACLOperationDescribe
					g.give(r)
				}
			}
			in.ready(t)
			f.progress(t, 3, 0, 1)
			for _, r := range rights {
				if r.name == topics.Specs[schemas.Connectors].Name {
					continue // it is the registry that reads it
				}
				withdraw(t, k, in, f, g, r, group)
			}
			if err := in.stop(); err != nil {
				t.Error(err)
			}
			f.audit(t, k.Brokers(), topics)
		})
	}
}

// lookOn is how long one right is kept away, to see how often the shards try.
const lookOn = 6 * time.Second

// withdraw takes a right away until the instance says so, and gives it back.
func withdraw(t *testing.T, k *kafkatest.Cluster, in *secureInstance, f *fullFeed, g *grants, r right, group string) {
	t.Helper()
	began, before := time.Now(), in.recoveries(t)
	want := wire.DeniedError{Resource: wire.ResourceTopic, Code: kafka.TopicAuthorizationFailed, Name: r.name, Right: "Write"}
	if r.operation == kmsg.ACLOperationRead {
		want.Right = "Read"
	}
	g.take(r)
	switch {
	case r.resource == kmsg.ACLResourceTypeTransactionalId:
		want.Resource, want.Code = wire.ResourceTransactionalID, kafka.TransactionalIDAuthorizationFailed
		want.Name = group + "-0"
	case r.resource == kmsg.ACLResourceTypeGroup:
		want.Resource, want.Code = wire.ResourceGroup, kafka.GroupAuthorizationFailed
	case r.operation == kmsg.ACLOperationRead:
		// The offsets are read at a take-over only: someone fences the shard.
		if err := newTransactor(open(t, k.Brokers()...), group+"-0", V2).init(patient(t)); err != nil {
			t.Fatal(err)
		}
	}
	in.denied(t, r.String(), want)
	named := time.Since(began)
	if r.resource == kmsg.ACLResourceTypeGroup {
		// The shards are worked on meanwhile; in the end the group gives us up.
		f.progress(t, 2, 0, 1)
		waitFor(t, "the group to give the instance up", func() bool {
			d, err := kadm.NewClient(g.client).DescribeGroups(patient(t), group)
			return err == nil && len(d[group].Members) == 0
		})
	}
	// With the waits growing to 5 s, two shards try few times while we look on.
	if r.operation == kmsg.ACLOperationWrite && want.Name == in.Config.Topics.Specs[schemas.Events].Name {
		waitFor(t, "more tries", func() bool { return time.Since(began) > lookOn && in.recoveries(t) > before+2 })
	}
	n, elapsed := in.recoveries(t)-before, time.Since(began)
	if most := 16 + int(max(0, elapsed-lookOn).Seconds()); n > most {
		t.Errorf("without %v: taken over %d times in %v, want at most %d", r, n, elapsed, most)
	}
	g.give(r)
	given, letters := time.Now(), f.count()
	in.ready(t)
	f.progress(t, 2, 0, 1)
	waitFor(t, "a dead letter", func() bool { return f.count() > letters })
	t.Logf("%v: named after %v, at work again %v after it was given back, %d take-overs",
		r, named.Round(time.Millisecond), time.Since(given).Round(time.Millisecond), in.recoveries(t)-before)
}

func TestDeniedErrorSaysWhatToGrant(t *testing.T) {
	err := error(&wire.DeniedError{Code: kafka.TopicAuthorizationFailed, Right: "Write", Resource: wire.ResourceTopic, Name: "onelogin.events"})
	want := "not allowed to write topic onelogin.events: grant Write on it to the principal we log in as"
	if diff := cmp.Diff(want, err.Error()); diff != "" || !errors.Is(err, kafka.TopicAuthorizationFailed) {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for code, denied := range map[int16]bool{0: false, 3: false, 29: true, 30: true, 31: true, 53: true, 58: false} {
		if err := wire.Denied(code, "Read", wire.ResourceGroup, "g"); (err != nil) != denied {
			t.Errorf("code %d: got %v", code, err)
		}
	}
}

// Without Create an instance says what to run instead; without DescribeConfigs
// it takes the topics' settings on trust.
func TestOptionalRights(t *testing.T) {
	t.Parallel()
	k := kafkatest.Shared(t, secured)
	topics := testTopics(t, 2, 1)
	g := newGrants(t, k, "short")
	sec := &Security{UseTLS: true, CAFile: k.CAFile(), Mechanism: MechanismScramSHA512, Username: "short", Password: func() (string, error) { return secured.Users["short"], nil }}
	cluster := wire.Open(wire.Config{Brokers: k.BrokersSASL(), TLS: sec.TLS, SASL: sec.SASL})
	t.Cleanup(cluster.Close)
	all := func(operation kmsg.ACLOperation) right {
		return right{kmsg.ACLResourceTypeTopic, named(t, ""), true, operation}
	}
	ensure := func() (warnings int, err error) {
		found, err := topics.Ensure(patient(t), cluster)
		return len(found.Warnings), err
	}
	if _, err := ensure(); !errors.Is(err, kafka.TopicAuthorizationFailed) {
		t.Errorf("without any right: got %v, want a DeniedError", err)
	}
	g.give(all(kmsg.ACLOperationWrite))
	waitFor(t, "the right to be known", func() bool { _, err := ensure(); return !errors.Is(err, kafka.TopicAuthorizationFailed) })
	// A check says the same as a start, and both name every topic.
	_, ensured := ensure()
	_, _, checked := topics.Check(patient(t), cluster)
	for _, err := range []error{ensured, checked} {
		if !errors.Is(err, ErrUnfit) {
			t.Errorf("without Create: got %v, want ErrUnfit", err)
		}
		for _, s := range topics.Specs {
			if want := "creating topic " + s.Name + ": it is not allowed to us; create it with: kafka-topics.sh --bootstrap-server … --create --topic " + s.Name + " "; !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%v does not say %q", err, want)
			}
		}
	}
	g.give(all(kmsg.ACLOperationCreate))
	waitFor(t, "the topics to be made", func() bool { _, err := ensure(); return err == nil })
	if n, err := ensure(); err != nil || n != schemas.NumTopics {
		t.Errorf("without DescribeConfigs: got %d warnings, %v, want one of each topic", n, err)
	}
	g.give(all(kmsg.ACLOperationDescribeConfigs))
	waitFor(t, "the settings to be seen", func() bool { n, err := ensure(); return err == nil && n == 0 })
}

// The commands of the documentation grant what TestLeastRights proves to be
// enough, for the default names, and no more.
func TestDocumentedRights(t *testing.T) {
	t.Parallel()
	k := kafkatest.Shared(t, secured)
	page, err := os.ReadFile("../docs/kafka-access.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	for line := range strings.Lines(string(page)) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "kafka-acls.sh" {
			continue
		}
		commands++
		for i, w := range words {
			if w == "localhost:9092" {
				words[i] = k.Brokers()[0]
			}
		}
		if out, err := k.Run(patient(t), "org.apache.kafka.tools.AclCommand", words[1:]...); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	if commands == 0 {
		t.Fatal("the page has no command")
	}
	topics := Topics{}
	for i, name := range []string{schemas.Events: "onelogin.events", schemas.DeadLetter: "onelogin.deadletter", schemas.Offsets: "onelogin.offsets", schemas.Status: "onelogin.status", schemas.Connectors: "onelogin.connectors", schemas.Audit: "onelogin.audit"} {
		topics.Specs[i].Name = name
	}
	want := map[right]bool{}
	for _, r := range leastRights("onelogin-kafka", topics) {
		want[r] = true
	}
	// Who may change connectors from here, beside that.
	for _, topic := range []schemas.Topic{schemas.Connectors, schemas.Audit} {
		want[right{kmsg.ACLResourceTypeTopic, topics.Specs[topic].Name, false, kmsg.ACLOperationWrite}] = true
	}
	var diff string
	if !wait.Until(time.Minute, func() bool { // each broker hears of rights in its own time
		diff = cmp.Diff(want, newGrants(t, k, "onelogin-kafka").all(), cmp.AllowUnexported(right{}))
		return diff == ""
	}) {
		t.Errorf("rights (-want +got):\n%s", diff)
	}
}
