package preflight

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/internal/proof/wait"
	"onelogin-kafka/internal/service"
	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
)

// secured is a Kafka that lets nobody do what was not granted.
var secured = kafkatest.Options{Nodes: 1, TLS: true, ACL: true, Users: map[string]string{"onelogin-kafka": "least-secret"}}

// A check by who has exactly the rights of docs/kafka-access.md fails where a
// start would: with no topic there, it says at once how each is made. What it
// says is run, and then all is well.
func TestCheckWithTheDocumentedRights(t *testing.T) {
	t.Parallel()
	kafka := kafkatest.Shared(t, secured)
	ctx := wait.Context(t, 5*time.Minute)
	sec := &producer.Security{
		UseTLS: true, CAFile: kafka.CAFile(), Mechanism: producer.MechanismScramSHA512, Username: "onelogin-kafka",
		Password: func() (string, error) { return secured.Users["onelogin-kafka"], nil },
	}
	cluster := wire.Open(wire.Config{Brokers: kafka.BrokersSASL(), TLS: sec.TLS, SASL: sec.SASL})
	t.Cleanup(cluster.Close)
	cfg := config.Default()
	cfg.Topics.ReplicationFactor = 1
	k := &Kafka{Cluster: cluster, Group: cfg.Group, Topics: service.Topics(&cfg)}

	run := func(class, command string) {
		t.Helper()
		words := strings.Fields(strings.NewReplacer("localhost:9092", kafka.Brokers()[0], "…", kafka.Brokers()[0]).Replace(command))
		if out, err := kafka.Run(ctx, class, words[1:]...); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}
	check := func() (failed, text string) {
		for _, r := range k.Check(ctx) {
			if text += r.Check + ": " + r.Detail + "\n"; r.Failure != nil {
				failed += r.Check + " "
				text += r.Failure.String() + "\n"
			}
		}
		return failed, text
	}
	failed, text := check()
	if !strings.Contains(failed, "topics") || !strings.Contains(failed, "group") || !strings.Contains(failed, "rights") {
		t.Errorf("without any right these fail: %q\n%s", failed, text)
	}

	page, err := os.ReadFile("../../docs/kafka-access.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "kafka-acls.sh") {
			run("org.apache.kafka.tools.AclCommand", line)
		}
	}
	wait.For(t, "the rights to be known", time.Minute, func() bool { failed, text = check(); return failed == "topics " })
	commands := regexp.MustCompile(`kafka-topics\.sh [^;\n(]*`).FindAllString(text, -1)
	if len(commands) != len(k.Topics.Specs) {
		t.Fatalf("got %d commands for %d topics:\n%s", len(commands), len(k.Topics.Specs), text)
	}
	for _, c := range commands {
		run("org.apache.kafka.tools.TopicCommand", c)
	}
	wait.For(t, "all to be well", time.Minute, func() bool { failed, text = check(); return failed == "" })
	if strings.Contains(text, "cannot be changed") {
		t.Errorf("the page grants changes:\n%s", text)
	}
}
