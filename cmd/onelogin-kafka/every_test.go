package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onelogin-kafka/internal/position"
	"onelogin-kafka/producer/embedded"
)

// What holds for every command, whatever it does. A command that is not in this
// table fails TestEveryCommandIsTried.

// The ways in which a command meets Kafka.
const (
	noKafka = "none"  // it asks no Kafka
	waits   = "waits" // it goes on until Kafka is there, and says that it waits
	asks    = "asks"
)

// usual is a command as it is given when nothing is wrong.
type usual struct {
	args  []string
	kafka string
	// unknown is it for a connector that nobody knows; nil where it takes none, or
	// any.
	unknown []string
	// newer tells that it reads what a newer version may have written of connector
	// acme: of which topics.
	newer []string
	stdin string
}

// everyCommand is each command by its path. FILE stands for a file of each kind
// that is needed, see fill.
var everyCommand = map[string]usual{
	"run":          {kafka: waits},
	"tail":         {kafka: waits},
	"check":        {kafka: asks, unknown: []string{"nobody"}, newer: []string{"onelogin.connectors"}},
	"status":       {kafka: asks, unknown: []string{"nobody"}, newer: []string{"onelogin.status"}},
	"verify":       {args: []string{"acme"}, kafka: asks, unknown: []string{"nobody"}, newer: []string{"onelogin.offsets"}},
	"backfill":     {args: []string{"acme", "--from", "48h", "--yes", "--detach"}, kafka: asks, unknown: []string{"nobody", "--from", "48h"}, newer: []string{"onelogin.offsets"}},
	"jobs list":    {kafka: asks, unknown: []string{"nobody"}, newer: []string{"onelogin.connectors"}},
	"jobs show":    {args: []string{"1"}, kafka: asks, unknown: []string{"nobody"}, newer: []string{"onelogin.connectors"}},
	"jobs cancel":  {args: []string{"1"}, kafka: asks, unknown: []string{"nobody"}, newer: []string{"onelogin.connectors"}},
	"audit":        {kafka: asks, newer: []string{"onelogin.audit"}},
	"config check": {kafka: noKafka},
	"health":       {kafka: noKafka},
	"simulate":     {kafka: noKafka},
	"demo":         {kafka: noKafka},
	"schemas":      {kafka: noKafka},
	"version":      {kafka: noKafka},
	"man":          {kafka: noKafka},

	"offsets list":      {kafka: asks, unknown: []string{"nobody"}, newer: []string{"onelogin.offsets"}},
	"offsets show":      {args: []string{"acme"}, kafka: asks, unknown: []string{"nobody"}, newer: []string{"onelogin.offsets"}},
	"offsets export":    {kafka: asks, unknown: []string{"nobody"}, newer: []string{"onelogin.offsets"}},
	"offsets set":       {args: []string{"acme", "--back", "1h", "--yes"}, kafka: asks, unknown: []string{"nobody", "--back", "1h"}, newer: []string{"onelogin.offsets"}},
	"offsets reset":     {args: []string{"acme", "--yes"}, kafka: asks, unknown: []string{"nobody"}, newer: []string{"onelogin.offsets"}},
	"offsets import":    {args: []string{"POSITION", "--yes"}, kafka: asks, unknown: []string{"NOBODYS", "--yes"}, newer: []string{"onelogin.offsets"}},
	"offsets take-over": {args: []string{"--yes"}, kafka: asks, newer: []string{"_owner"}},
	"offsets copy":      {args: []string{"--to", "onelogin.copy", "--yes"}, kafka: asks, newer: []string{"_owner"}},

	"deadletter list":    {kafka: asks, unknown: []string{"nobody"}},
	"deadletter show":    {args: []string{"0/0"}, kafka: asks, unknown: []string{"nobody"}},
	"deadletter replay":  {args: []string{"--yes"}, kafka: asks, unknown: []string{"nobody"}, newer: []string{"onelogin.offsets"}},
	"deadletter discard": {args: []string{"0/0", "--yes"}, kafka: asks, unknown: []string{"nobody"}},

	"connectors list":   {kafka: asks, newer: []string{"onelogin.connectors"}},
	"connectors show":   {args: []string{"logged"}, kafka: asks, unknown: []string{"nobody"}, newer: []string{"onelogin.connectors"}},
	"connectors add":    {args: []string{"logged", "--domain", "x", "--client-id", "y", "--client-secret-file", "SECRET"}, kafka: asks, newer: []string{"onelogin.connectors"}},
	"connectors edit":   {args: []string{"logged", "--set", "page_size=7"}, kafka: asks, unknown: []string{"nobody", "--set", "page_size=7"}, newer: []string{"onelogin.connectors"}},
	"connectors pause":  {args: []string{"logged"}, kafka: asks, unknown: []string{"nobody"}, newer: []string{"onelogin.connectors"}},
	"connectors resume": {args: []string{"logged"}, kafka: asks, unknown: []string{"nobody"}, newer: []string{"onelogin.connectors"}},
	"connectors remove": {args: []string{"logged", "--yes"}, kafka: asks, unknown: []string{"nobody"}, newer: []string{"onelogin.connectors"}},
	"connectors import": {args: []string{"CONNECTORS", "--yes"}, kafka: asks, newer: []string{"onelogin.connectors"}},
	"connectors export": {args: []string{"logged"}, kafka: asks, unknown: []string{"nobody"}, newer: []string{"onelogin.connectors"}},

	"secrets keygen": {kafka: noKafka},
	"secrets seal":   {args: []string{"logged", "--domain", "x", "--client-id", "y"}, kafka: asks, stdin: "secret\n"},
	"secrets check":  {kafka: asks, newer: []string{"onelogin.connectors"}},
	"secrets rotate": {args: []string{"--yes"}, kafka: asks, newer: []string{"onelogin.connectors"}},
}

func TestEveryCommandIsTried(t *testing.T) {
	t.Parallel()
	n := 0
	commands(newRoot(), func(c *cobra.Command) {
		name := strings.TrimPrefix(c.CommandPath(), "onelogin-kafka ")
		if _, ok := everyCommand[name]; !ok {
			t.Errorf("%s is a command that the table does not have: say how it meets Kafka", name)
		}
		if (c.Flags().Lookup("config") == nil) != (everyCommand[name].kafka == noKafka) && name != "config check" && name != "health" {
			t.Errorf("%s: --config and Kafka do not belong together", name)
		}
		n++
	})
	if n != len(everyCommand) {
		t.Errorf("there are %d commands, and %d in the table", n, len(everyCommand))
	}
}

// fill puts files in the place of their names.
func fill(args []string, files map[string]string) []string {
	args = slices.Clone(args)
	for i, a := range args {
		if f, ok := files[a]; ok {
			args[i] = f
		}
	}
	return args
}

// stdFiles are the files that commands are given.
func stdFiles(t *testing.T) map[string]string {
	t.Helper()
	at := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	position := strings.ReplaceAll(`{"version":1,"connector":%q,"position":{"version":1,"domain":"acme.onelogin.com","account_id":1,"through":"AT","last_id":5,"events":5,"window_start":"AT","updated_at":"AT"},"minutes":{}}`, "AT", at) + "\n"
	return map[string]string{
		"SECRET":     write(t, "secret", "s3cret\n"),
		"POSITION":   write(t, "p.json", fmt.Sprintf(position, "acme")),
		"NOBODYS":    write(t, "n.json", fmt.Sprintf(position, "nobody")),
		"CONNECTORS": write(t, "c.jsonl", `{"version":1,"name":"logged","type":"onelogin","domain":"x.onelogin.com","client_id":"y","client_secret":{"set":true},"paused":true,"generation":1,"updated_at":"2026-11-01T00:00:00Z"}`+"\n"),
	}
}

// give runs a command as the table has it, or with other arguments.
func give(t *testing.T, name string, args []string, file string, files map[string]string) (code int, out, errs string) {
	t.Helper()
	u := everyCommand[name]
	var stdin io.Reader = strings.NewReader(u.stdin)
	list := append(append(strings.Fields(name), fill(args, files)...), "--config", file)
	var o, e output
	root := newRoot()
	root.SetIn(stdin)
	code = execute(t.Context(), root, list, &o, &e)
	return code, o.String(), e.String()
}

// TestEveryCommandWithoutKafka: with Kafka away each command says so at once, in
// one line with what to look at, and exits with 1.
func TestEveryCommandWithoutKafka(t *testing.T) {
	t.Parallel()
	file, files := write(t, "c.yaml", brokerConfig("127.0.0.1:1", "")), stdFiles(t)
	for name, u := range everyCommand {
		switch u.kafka {
		case noKafka:
			continue
		case waits:
			c := startCommand(t, append(strings.Fields(name), "--config", file)...)
			eventually(t, name+" to say that it waits", func() bool { return strings.Contains(c.errs.String(), "connection refused") })
			if code := c.end(); code != exitOK {
				t.Errorf("%s: got exit %d", name, code)
			}
			continue
		}
		code, out, errs := give(t, name, u.args, file, files)
		if name == "check" { // it prints what it has tried
			if code != 3 || !strings.Contains(out, "FAILED  kafka reachable") || !strings.Contains(out, "Check kafka.brokers") {
				t.Errorf("check: got exit %d\n%s%s", code, out, errs)
			}
			continue
		}
		if code != exitFail || out != "" {
			t.Errorf("%s: got exit %d, want %d and nothing said to be done:\n%s%s", name, code, exitFail, out, errs)
		}
		oneLine(t, errs, "Kafka cannot be reached", "connection refused", "Check kafka.brokers")
	}
}

// everyWorld is what the commands of the table are tried on: a broker with all topics,
// acme in the file, logged on the control log. Nobody serves it.
type everyWorld struct {
	file  string
	files map[string]string
	addrs []string
}

func newEveryWorld(t *testing.T) *everyWorld {
	t.Helper()
	b, err := embedded.Start(embedded.Options{Dir: t.TempDir(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return newEveryWorldOn(t, b.Addrs())
}

func newEveryWorldOn(t *testing.T, addrs []string) *everyWorld {
	t.Helper()
	key := t.TempDir() + "/key"
	expect(t, exitOK, "", "secrets", "keygen", key)
	w := &everyWorld{addrs: addrs, files: stdFiles(t)}
	w.file = write(t, "c.yaml", brokerConfig(addrs[0], "secrets: {keys: [{private_key_file: "+key+"}]}\n"))
	run := startCommand(t, "run", "--config", w.file)
	eventually(t, "the topics and acme's status", func() bool {
		code, out, _ := runCommand(t, "status", "--config", w.file)
		return code == exitFail && strings.Contains(out, "FAILING")
	})
	add := everyCommand["connectors add"]
	if code, _, errs := give(t, "connectors add", append(add.args, "--set", "page_size=50"), w.file, w.files); code != exitOK {
		t.Fatal(errs)
	}
	if code := run.end(); code != exitOK {
		t.Fatalf("run: got exit %d", code)
	}
	return w
}

// ends are where all topics end, by which it is told whether anything was written.
// Abort and commit markers count: a transaction that was begun is seen.
func (w *everyWorld) ends(t *testing.T) string {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(w.addrs...))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	list, err := kadm.NewClient(c).ListEndOffsets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	list.Each(func(o kadm.ListedOffset) {
		if !strings.HasPrefix(o.Topic, "__") {
			all = append(all, fmt.Sprintf("%s/%d: %d", o.Topic, o.Partition, o.Offset))
		}
	})
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// TestEveryCommandOfNobody: a connector that nobody knows is named in one line, and
// nothing is written.
func TestEveryCommandOfNobody(t *testing.T) {
	t.Parallel()
	w := newEveryWorld(t)
	before, tried := w.ends(t), 0
	for name, u := range everyCommand {
		if u.unknown == nil {
			continue
		}
		tried++
		code, out, errs := give(t, name, u.unknown, w.file, w.files)
		if code == exitOK || out != "" {
			t.Errorf("%s: got exit %d\n%s", name, code, out)
		}
		oneLine(t, errs, "nobody")
	}
	if tried < 15 {
		t.Errorf("tried %d commands only", tried)
	}
	if after := w.ends(t); after != before {
		t.Errorf("something was written:\n%s\nbefore:\n%s", after, before)
	}
}

// TestEveryCommandMeetsANewerVersion: what a newer version has written is said to
// be that, and is not written over.
func TestEveryCommandMeetsANewerVersion(t *testing.T) {
	t.Parallel()
	w := newEveryWorld(t)
	produceTo(t, w.addrs, "onelogin.status", -1, "acme", `{"version":9}`)
	produceTo(t, w.addrs, "onelogin.connectors", -1, "logged", `{"version":9,"name":"logged"}`)
	produceTo(t, w.addrs, "onelogin.connectors", -1, "acme/jobs/1", `{"version":9,"id":"1"}`)
	produceTo(t, w.addrs, "onelogin.audit", -1, "acme", `{"version":9}`)
	shard := position.Shard("acme", 3)
	produceTo(t, w.addrs, "onelogin.offsets", shard, "acme", `{"version":9}`)
	produceTo(t, w.addrs, "onelogin.deadletter", -1, "acme", `{"id":7,"created_at":"2026-11-02T03:04:05Z","event_type_id":5,"account_id":1}`, "tenant", "acme")
	before, tried := w.ends(t), 0
	for name, u := range everyCommand {
		if u.newer == nil || u.newer[0] == "_owner" || name == "check" { // check ends a transaction of its own, see TestRunSetsConnectorsAside
			continue
		}
		tried++
		code, out, errs := give(t, name, u.args, w.file, w.files)
		if !strings.Contains(out+errs, "found 9") {
			t.Errorf("%s: does not say what it met: exit %d\n%s%s", name, code, out, errs)
		}
		if listing := name == "audit" || name == "connectors list" || name == "jobs list"; (code == exitOK) != listing {
			t.Errorf("%s: got exit %d\n%s%s", name, code, out, errs)
		}
	}
	if tried < 12 {
		t.Errorf("tried %d commands only", tried)
	}
	if after := w.ends(t); after != before {
		t.Errorf("something was written:\n%s\nbefore:\n%s", after, before)
	}
	// Whose the topic is, is said by a newer version too.
	produceTo(t, w.addrs, "onelogin.offsets", 0, "_owner", `{"version":9}`)
	before = w.ends(t)
	for _, name := range []string{"offsets take-over", "offsets copy"} {
		code, out, errs := give(t, name, everyCommand[name].args, w.file, w.files)
		if code == exitOK || out != "" {
			t.Errorf("%s: got exit %d\n%s", name, code, out)
		}
		oneLine(t, errs, "found 9")
	}
	if after := w.ends(t); after != before {
		t.Errorf("something was written:\n%s\nbefore:\n%s", after, before)
	}
}

// TestEveryChangeAtOnce: of one change that two operators make at the same moment,
// each is done whole or refused in one line.
func TestEveryChangeAtOnce(t *testing.T) {
	t.Parallel()
	w := newEveryWorld(t)
	changes := []struct {
		name string
		args []string
		most int // may do it
	}{
		{"connectors edit", []string{"logged", "--set", "page_size=7"}, 2},
		{"connectors pause", []string{"logged"}, 2},
		{"connectors resume", []string{"logged"}, 2},
		{"connectors import", []string{"CONNECTORS", "--yes"}, 2},
		{"secrets rotate", []string{"--yes"}, 2},
		{"connectors remove", []string{"logged", "--yes"}, 1},
		{"connectors add", []string{"logged", "--domain", "x", "--client-id", "y", "--client-secret-file", "SECRET"}, 1},
		{"offsets import", []string{"POSITION", "--yes"}, 2},
		{"offsets set", []string{"acme", "--back", "1h", "--yes"}, 2},
		{"offsets reset", []string{"acme", "--yes"}, 2},
		{"connectors remove", []string{"logged", "--forget", "--yes"}, 2},
		{"offsets take-over", []string{"--yes"}, 2},
		{"offsets copy", []string{"--to", "onelogin.copy", "--yes"}, 1},
	}
	for _, ch := range changes {
		var wg sync.WaitGroup
		codes, said := make([]int, 2), make([]string, 2)
		for i := range 2 {
			wg.Go(func() {
				code, out, errs := give(t, ch.name, ch.args, w.file, w.files)
				codes[i], said[i] = code, errs
				if code != exitOK && strings.Contains(out, "done") {
					t.Errorf("%s: said to be done, and exit %d: %s%s", ch.name, code, out, errs)
				}
			})
		}
		wg.Wait()
		done := 0
		for i := range 2 {
			switch {
			case codes[i] == exitOK:
				done++
			case codes[i] == exitFail || codes[i] == exitUsage:
				last := strings.SplitAfter(said[i], "onelogin-kafka: ") // notes of what was planned come before
				oneLine(t, last[len(last)-1])
			default:
				t.Errorf("%s: got exit %d: %s", ch.name, codes[i], said[i])
			}
		}
		if done < 1 || done > ch.most {
			t.Errorf("%s: done by %d of two, want 1 to %d: %q", ch.name, done, ch.most, said)
		}
	}
}

// produceTo writes a record, to a partition unless it is negative.
func produceTo(t *testing.T, addrs []string, topic string, partition int32, key, value string, headers ...string) {
	t.Helper()
	opts := []kgo.Opt{kgo.SeedBrokers(addrs...)}
	if partition >= 0 {
		opts = append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	c, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := &kgo.Record{Topic: topic, Partition: max(partition, 0), Key: []byte(key), Value: []byte(value), Timestamp: time.Now()}
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: headers[i], Value: []byte(headers[i+1])})
	}
	if err := c.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
}
