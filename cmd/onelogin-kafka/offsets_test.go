package main

import (
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// expect runs a command and fails the test unless it exits so and says that.
func expect(t *testing.T, code int, says string, args ...string) {
	t.Helper()
	got, out, errs := runCommand(t, args...)
	if got != code || !strings.Contains(out+errs, says) {
		t.Errorf("%v: got exit %d, want %d with %q:\n%s%s", args, got, code, says, out, errs)
	}
}

// inJSON is a text as a log in JSON has it: run's reason for ending is in there.
func inJSON(text string) string { return strings.ReplaceAll(text, `"`, `\"`) }

// TestOffsetsByHand: a topic that is another group's, then one that has grown,
// is refused by run and check, until it is handed over, and copied.
func TestOffsetsByHand(t *testing.T) {
	t.Parallel()
	p := newPlace(t, tenants(3, 50, 0))
	blue, green := p.config(t, "group: blue"), p.config(t, "group: green")
	published := func(file string) {
		t.Helper()
		service := startCommand(t, "run", "--config", file)
		eventually(t, "events", func() bool {
			return strings.Count(service.errs.String(), `"state":"ACTIVE"`) >= 3
		})
		if code := service.end(); code != 0 {
			t.Fatalf("ended with %d:\n%s", code, service.errs.String())
		}
	}
	published(blue)
	const refused = `topic onelogin.offsets belongs to group "blue", and this deployment is group "green"`
	expect(t, 2, inJSON(refused), "run", "--config", green)
	expect(t, 1, refused, "check", "--config", green)

	expect(t, 0, "3 of 3 partitions of topic onelogin.offsets: from group blue to group green", "offsets", "take-over", "--config", green)
	expect(t, 2, inJSON(refused), "run", "--config", green)
	expect(t, 0, "done", "offsets", "take-over", "--yes", "--config", green)
	expect(t, 0, "nothing to do", "offsets", "take-over", "--yes", "--config", green)
	expect(t, 0, "kafka owner           topic onelogin.offsets, 3 partitions", "check", "--config", green)
	published(green)

	client, err := kgo.NewClient(kgo.SeedBrokers(p.broker.Addrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).UpdatePartitions(t.Context(), 5, "onelogin.offsets"); err != nil {
		t.Fatal(err)
	}
	expect(t, 2, "topic onelogin.offsets had 3 partitions and has 5", "run", "--config", green)
	expect(t, 1, "topic onelogin.offsets had 3 partitions and has 5", "check", "--config", green)
	expect(t, 2, "--to names the new topic", "offsets", "copy", "--config", green)
	expect(t, 0, "would copy the positions from topic onelogin.offsets (5 partitions) to topic moved (4 partitions)",
		"offsets", "copy", "--to", "moved", "--partitions", "4", "--config", green)
	expect(t, 0, "copied the positions of 3 connectors", "offsets", "copy", "--to", "moved", "--partitions", "4", "--yes", "--config", green)
	expect(t, 2, "is not empty", "offsets", "copy", "--to", "moved", "--partitions", "4", "--yes", "--config", green)

	text, err := os.ReadFile(green)
	if err != nil {
		t.Fatal(err)
	}
	published(write(t, "moved.yaml", strings.Replace(string(text), "offsets: {partitions: 3}", "offsets: {name: moved, partitions: 4}", 1)))

	for id, n := range eventIDs(t, p.broker.Addrs()) {
		if n != 1 {
			t.Errorf("event %s is there %d times", id, n)
		}
	}
}

// eventIDs counts the committed records of the events topic by their id.
func eventIDs(t *testing.T, brokers []string) map[string]int {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics("onelogin.events"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), "onelogin.events")
	if err != nil {
		t.Fatal(err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	ids := map[string]int{}
	for len(left) > 0 && t.Context().Err() == nil {
		client.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) {
			for _, h := range r.Headers {
				if h.Key == "ce_source" {
					ids[string(h.Value)+" "+headerOf(r, "ce_id")]++
				}
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	if len(ids) == 0 {
		t.Fatal("there are no events")
	}
	return ids
}

func headerOf(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}
