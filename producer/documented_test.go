package producer

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/schemas"
)

// The page's commands make the topics as the service makes them.
func TestDocumentedTopics(t *testing.T) {
	t.Parallel()
	topics := Topics{ReplicationFactor: 3, Specs: [schemas.NumTopics]TopicSpec{
		schemas.Events: {Name: "onelogin.events", Partitions: 12}, schemas.DeadLetter: {Name: "onelogin.deadletter", Partitions: 1},
		schemas.Offsets: {Name: "onelogin.offsets", Partitions: 32}, schemas.Status: {Name: "onelogin.status", Partitions: 1},
		schemas.Connectors: {Name: "onelogin.connectors", Partitions: 1}, schemas.Audit: {Name: "onelogin.audit", Partitions: 1},
	}}
	var want, got []string
	for topic := range schemas.NumTopics {
		want = append(want, strings.Replace(topics.createCommand(schemas.Topic(topic)), "…", "localhost:9092", 1))
	}
	page, err := os.ReadFile("../docs/kafka-access.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "kafka-topics.sh ") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the topics as the service makes them (-) and in docs/kafka-access.md (+):\n%s", d)
	}
}
