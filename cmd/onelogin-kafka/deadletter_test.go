package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestDeadLetters: an event that an earlier version could not read is published
// once, however often and in whatever company it is replayed; what is none stays,
// and what was discarded is not listed.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	p := newPlace(t, tenants(1, 50, 0))
	file := p.config(t, "")
	name := p.sim.Tenants()[0].Name
	run := startCommand(t, "run", "--config", file)
	eventually(t, "the position", func() bool {
		code, out, _ := runCommand(t, "offsets", "list", "--config", file)
		return code == exitOK && strings.Contains(out, "  50  ")
	})
	expect(t, exitOK, "no dead letters", "deadletter", "list", "--config", file)

	var published struct{ id, value string }
	account := ""
	consumer, err := kgo.NewClient(kgo.SeedBrokers(p.broker.Addrs()...), kgo.ConsumeTopics("onelogin.events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	consumer.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) {
		published.id, published.value, account = headerOf(r, "ce_id"), string(r.Value), headerOf(r, "onelogin_account_id")
	})
	const fresh = 990000000000001
	event := func(id int, account string) string {
		return fmt.Sprintf(`{"id":%d,"created_at":"2026-01-02T03:04:05Z","event_type_id":5,"account_id":%s}`, id, account)
	}
	for i, value := range []string{event(fresh, account), published.value, "\x1b[2J\xff", event(fresh, account), event(fresh+1, "1")} {
		r := &kgo.Record{Topic: "onelogin.deadletter", Key: []byte(name), Value: []byte(value), Headers: []kgo.RecordHeader{
			{Key: "tenant", Value: []byte(name)}, {Key: "reason", Value: fmt.Appendf(nil, "reason %d\x1b[2J", i)},
		}}
		if err := consumer.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	code, out, _ := runCommand(t, "deadletter", "list", "--config", file)
	if code != exitOK || strings.Count(out, "  yes ") != 4 || strings.Count(out, "  no  ") != 1 || strings.Contains(out, "\x1b") {
		t.Errorf("list: got exit %d\n%q", code, out)
	}
	code, out, _ = runCommand(t, "deadletter", "show", "0/2", "--config", file)
	if code != exitOK || !strings.Contains(out, `bytes      "\x1b[2J\xff"`) {
		t.Errorf("show: got exit %d\n%q", code, out)
	}
	expect(t, exitOK, `"value_base64":"G1sySv8="`, "deadletter", "show", "2", "--json", "--config", file)
	expect(t, exitUsage, "0/99 is neither a dead letter", "deadletter", "show", "0/99", "--config", file)
	expect(t, exitUsage, "nobody is neither a dead letter", "deadletter", "replay", "nobody", "--config", file)
	expect(t, exitOK, "4 of 5 dead letters can be read now; nothing was changed", "deadletter", "replay", "--config", file)

	code, out, errs := runCommand(t, "deadletter", "replay", "--yes", "--reason", "update", "--config", file)
	want := []string{"  published\n", "  was published before\n", "  stays: is still no event: not JSON\n", "  was published before\n", "  stays: is an event of another account: 1\n"}
	lines := strings.SplitAfter(out, "\n")
	if code != exitFail || len(lines) != len(want)+1 {
		t.Fatalf("replay: got exit %d\n%s%s", code, out, errs)
	}
	for i, w := range want {
		if !strings.HasSuffix(lines[i], w) {
			t.Errorf("letter %d: got %q, want %q", i, lines[i], w)
		}
	}
	for range 2 { // no loop: what was dealt with is not taken up again
		code, out, _ = runCommand(t, "deadletter", "replay", "0/0", "--yes", "--config", file)
		if code != exitOK || !strings.Contains(out, "was published before") {
			t.Errorf("again: got exit %d\n%s", code, out)
		}
	}
	expect(t, exitOK, "1 dead letters discarded", "deadletter", "discard", "0/2", "--yes", "--reason", "noise", "--config", file)
	if _, out, _ = runCommand(t, "deadletter", "list", "--config", file); strings.Count(out, "\n") != 2 || !strings.Contains(out, "0/4 ") {
		t.Errorf("what is left:\n%s", out)
	}
	if _, out, _ = runCommand(t, "deadletter", "list", "--all", "--config", file); strings.Count(out, "replayed") != 3 || strings.Count(out, "discarded") != 1 {
		t.Errorf("all:\n%s", out)
	}
	audit := dumpOf(t, file, "onelogin.audit")
	if strings.Count(audit, `"action":"deadletter.discard"`) != 1 || !strings.Contains(audit, `"action":"deadletter.replay"`) || !strings.Contains(audit, `"reason":"update"`) {
		t.Errorf("the audit topic says\n%s", audit)
	}
	if code := run.end(); code != exitOK {
		t.Errorf("run: got exit %d", code)
	}
	ids := eventIDs(t, p.broker.Addrs())
	if len(ids) != 51 {
		t.Errorf("there are %d events, want 51", len(ids))
	}
	for id, n := range ids {
		if n != 1 {
			t.Errorf("event %s is there %d times", id, n)
		}
	}
}
