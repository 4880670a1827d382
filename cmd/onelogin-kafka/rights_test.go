package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/internal/proof/wait"
)

// roles say who gives a command: a reader, an operator, or somebody who sets up the
// service itself. An operator may do what a reader may.
var roles = map[string][]string{
	"reader": {
		"status", "tail", "audit", "offsets list", "offsets show", "offsets export", "deadletter list", "deadletter show",
		"connectors list", "connectors show", "connectors export", "secrets check", "secrets seal", "verify", "jobs list", "jobs show",
	},
	"operator": {
		"offsets set", "offsets reset", "offsets import", "deadletter replay", "deadletter discard",
		"connectors add", "connectors edit", "connectors pause", "connectors resume", "connectors import", "secrets rotate", "connectors remove", "backfill", "jobs cancel",
	},
	"service": {"run", "check", "offsets take-over", "offsets copy"},
}

// satisfied are commands of an operator that find nothing to change on what they are
// tried, and so need no more than a reader.
var satisfied = []string{"offsets import", "deadletter replay", "connectors resume", "jobs cancel"}

// guarded is a Kafka whose users have no right but what is granted.
var guarded = kafkatest.Options{
	Nodes: 1, TLS: true, ACL: true,
	Users: map[string]string{"stranger": "stranger-secret", "reader": "reader-secret", "operator": "operator-secret"},
}

// TestRoles: with the rights that docs/kafka-access.md grants, each role does its
// commands; others' are refused in one line with the right that is missing, and
// nothing is half-done.
func TestRoles(t *testing.T) {
	t.Parallel()
	k := kafkatest.Shared(t, guarded)
	w := newEveryWorldOn(t, k.Brokers())
	file := func(user string) string {
		text := strings.Replace(fileText(t, w.file), fmt.Sprintf("brokers: [%q]", k.Brokers()[0]),
			fmt.Sprintf("brokers: [%q], tls: {ca_file: %q}, sasl: {mechanism: SCRAM-SHA-512, username: %s, password: %s}", k.BrokersSASL()[0], k.CAFile(), user, guarded.Users[user]), 1)
		return write(t, user+".yaml", text)
	}
	granted := 0
	for line := range strings.Lines(fileText(t, "../../docs/kafka-access.md")) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "kafka-acls.sh" || !slices.Contains(words, "User:reader") && !slices.Contains(words, "User:operator") {
			continue
		}
		granted++
		words[slices.Index(words, "localhost:9092")] = k.Brokers()[0]
		if out, err := k.Run(wait.Context(t, 2*kafkaPatience), "org.apache.kafka.tools.AclCommand", words[1:]...); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	if granted < 3 {
		t.Fatalf("the page grants the roles too little: %d commands", granted)
	}
	produceTo(t, w.addrs, "onelogin.deadletter", -1, "acme", `[]`, "tenant", "acme", "reason", "no object")
	tried := 0
	refused := func(user string, names []string) {
		t.Helper()
		before := w.ends(t)
		for _, name := range names {
			if name == "tail" { // it goes on
				continue
			}
			if user == "reader" && slices.Contains(satisfied, name) {
				continue
			}
			tried++
			code, out, errs := give(t, name, everyCommand[name].args, file(user), w.files)
			if code != exitFail || strings.Contains(out, "done") {
				t.Errorf("%s as %s: got exit %d\n%s%s", name, user, code, out, errs)
			}
			last := strings.SplitAfter(errs, "onelogin-kafka: ")
			oneLine(t, last[len(last)-1], "not allowed to ", ": grant ")
		}
		if after := w.ends(t); after != before {
			t.Errorf("%s has written something:\n%s\nbefore:\n%s", user, after, before)
		}
	}
	allowed := func(user string, names []string) {
		t.Helper()
		for _, name := range names {
			if name == "tail" {
				c := startCommand(t, "tail", "--from", "earliest", "--config", file(user))
				eventually(t, "tail to be at work", func() bool { return strings.Contains(c.out.String(), "\n") })
				c.end()
				continue
			}
			tried++
			if name == "verify" { // the topic was read when it is OneLogin that it waits for
				c := startCommand(t, "verify", "acme", "--config", file(user))
				eventually(t, "verify to be at work", func() bool { return strings.Contains(c.errs.String(), "trying again") })
				c.end()
				continue
			}
			code, out, errs := give(t, name, everyCommand[name].args, file(user), w.files)
			if strings.Contains(out+errs, "not allowed") {
				t.Errorf("%s as %s: got exit %d\n%s%s", name, user, code, out, errs)
			}
		}
	}
	// An event and a position, for what needs one.
	produceTo(t, w.addrs, "onelogin.events", -1, "acme", `{"id":1,"created_at":"2026-11-01T00:00:00Z","event_type_id":5}`, "tenant", "acme", "ce_id", "1", "ce_time", "2026-11-01T00:00:00Z")
	if code, _, errs := give(t, "offsets import", everyCommand["offsets import"].args, w.file, w.files); code != exitOK {
		t.Fatal(errs)
	}
	refused("stranger", append(slices.Clone(roles["reader"]), roles["operator"]...))
	allowed("reader", roles["reader"])
	refused("reader", roles["operator"])
	allowed("operator", roles["reader"])
	allowed("operator", roles["operator"])
	if n := len(roles["reader"]) + len(roles["operator"]); tried < 2*n {
		t.Errorf("tried %d times only", tried)
	}
	all := slices.Concat(roles["reader"], roles["operator"], roles["service"])
	for name, u := range everyCommand {
		if u.kafka != noKafka && !slices.Contains(all, name) {
			t.Errorf("%s is nobody's: give it to a role, here and in docs/kafka-access.md", name)
		}
	}
}
