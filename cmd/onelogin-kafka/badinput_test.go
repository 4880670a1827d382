package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"onelogin-kafka/producer/embedded"
)

// oneConnector never gets to be asked.
const oneConnector = "connectors: [{name: acme, domain: acme, client_id: id, client_secret: s3cret, base_url: \"http://127.0.0.1:1\"}]\n"

func brokerConfig(addr, more string) string {
	return fmt.Sprintf("kafka: {brokers: [%q]}\ninstance: test\nhttp: {listen: \"127.0.0.1:0\"}\ntopics: {replication_factor: 1, offsets: {partitions: 3}}\n%s%s", addr, more, oneConnector)
}

// oneLine fails unless text is one line that has every part.
func oneLine(t *testing.T, text string, parts ...string) {
	t.Helper()
	if strings.Count(text, "\n") != 1 {
		t.Errorf("not one line:\n%s", text)
	}
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is not in:\n%s", p, text)
		}
	}
}

// errorsOf keeps the lines of an output that are not at level info.
func errorsOf(text string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !strings.Contains(line, `"level":"info"`) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

func TestRunRefusesBadConfiguration(t *testing.T) {
	t.Parallel()
	broker := "kafka: {brokers: [\"127.0.0.1:1\"]}\n"
	cases := map[string]struct {
		text  string
		parts []string
	}{
		"unknown key": {broker + "nonsense: 1\n" + oneConnector, []string{"nonsense"}},
		"missing password file": {"kafka: {brokers: [\"127.0.0.1:1\"], sasl: {mechanism: SCRAM-SHA-512, username: u, password_file: nowhere}}\n" + oneConnector,
			[]string{"password_file", "nowhere does not exist"}},
		"one name twice": {broker + "connectors:\n- {name: acme, domain: acme, client_id: id, client_secret: a}\n- {name: acme, domain: acme, client_id: id, client_secret: b}\n",
			[]string{`"acme" is already the name`}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			for _, command := range []string{"run", "check", "tail"} {
				code, _, errs := runCommand(t, command, "--config", write(t, "c.yaml", tc.text))
				if code != exitUsage {
					t.Errorf("%s: got exit %d, want %d", command, code, exitUsage)
				}
				oneLine(t, errs, tc.parts...)
			}
		})
	}
}

// troubled is a configuration with a connector that is well and three that are
// not: by their secret, their name and their syntax.
func troubled(t *testing.T, p *place) (file, dir string) {
	t.Helper()
	dir = t.TempDir()
	well := p.sim.Tenants()[0]
	for name, text := range map[string]string{
		"acme.yaml": fmt.Sprintf("name: %s\ndomain: %s\nclient_id: %s\nclient_secret: %s\nbase_url: %s\npoll: {min: 20ms, max: 200ms}\n",
			well.Name, well.Domain, well.ClientID, well.ClientSecret, p.base),
		"b.yaml":      "name: acme\ndomain: acme\nclient_id: id\nclient_secret: s\n",
		"broken.yaml": "name: [",
		"bare.yaml":   "name: bare\ndomain: bare\nclient_id: id\nclient_secret_file: nowhere\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return write(t, "c.yaml", fmt.Sprintf("kafka: {brokers: [%s]}\ninstance: test\nhttp: {listen: \"127.0.0.1:0\"}\n"+
		"topics: {replication_factor: 1, events: {partitions: 3}, offsets: {partitions: 3}}\nconnectors_dir: %s\n", p.broker.Addrs()[0], dir)), dir
}

// TestRunSetsConnectorsAside: what is wrong with three connectors is told by
// every command, and keeps none but them.
func TestRunSetsConnectorsAside(t *testing.T) {
	t.Parallel()
	p := newPlace(t, tenants(1, 50, 0))
	file, dir := troubled(t, p)
	problems := []string{
		filepath.Join(dir, "b.yaml") + `:1: name: "acme" is already the name of the connector at ` + filepath.Join(dir, "acme.yaml"),
		filepath.Join(dir, "bare.yaml") + ":4: client_secret_file: ",
		filepath.Join(dir, "broken.yaml") + ": is not valid YAML: line 1",
	}
	for _, command := range [][]string{{"config", "check"}, {"run", "--strict"}} {
		code, _, errs := runCommand(t, append(command, "--config", file)...)
		if code != exitUsage || strings.Count(errs, "\n") != len(problems) {
			t.Errorf("%q: got exit %d\n%s", command, code, errs)
		}
		for _, problem := range problems {
			if !strings.Contains(errs, problem) {
				t.Errorf("%q: %s is not in:\n%s", command, problem, errs)
			}
		}
	}
	code, out, _ := runCommand(t, "config", "check", "--config", file, "--json")
	if code != exitUsage || strings.Count(out, "\n") != len(problems) || !strings.Contains(out, `"line":4,"path":"client_secret_file"`) {
		t.Errorf("config check --json: got exit %d\n%s", code, out)
	}
	code, out, _ = runCommand(t, "check", "--config", file)
	if code != len(problems) || !strings.Contains(out, "ok      acme ") {
		t.Errorf("check: got exit %d\n%s", code, out)
	}
	for i, name := range []string{"b", "bare", "broken"} {
		if line := fmt.Sprintf("FAILED  %-20s  Configuration Stage: Configuration Error: %s", name, problems[i]); !strings.Contains(out, line) {
			t.Errorf("check: no line %s in\n%s", line, out)
		}
	}
	if code, out, _ = runCommand(t, "check", "--config", file, "bare"); code != 1 || strings.Contains(out, "acme") {
		t.Errorf("check bare: got exit %d\n%s", code, out)
	}

	c := startCommand(t, "run", "--config", file)
	tail := startCommand(t, "tail", "--config", file, "--from", "earliest")
	eventually(t, "the events of the one that is well", func() bool { return strings.Count(tail.out.String(), "\n") == 50 })
	eventually(t, "all that are not failing", func() bool {
		_, body := get(consoleOf(c) + "/metrics")
		return strings.Count(body, `,state="FAILING"} 1`) == len(problems)
	})
	for _, problem := range problems {
		_, where, _ := strings.Cut(problem, dir)
		where, _, _ = strings.Cut(where, ": ")
		name, line, _ := strings.Cut(where, ":")
		if line != "" {
			line = `"line":` + line
		}
		found := false
		for text := range strings.Lines(c.errs.String()) {
			found = found || strings.Contains(text, name) && strings.Contains(text, line) && strings.Contains(text, "set aside")
		}
		if !found {
			t.Errorf("the log does not say %s:\n%s", problem, c.errs.String())
		}
	}
	if code := c.end(); code != exitOK {
		t.Errorf("got exit %d", code)
	}
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	file := write(t, "c.yaml", brokerConfig("127.0.0.1:1", ""))
	for _, args := range [][]string{
		{}, {"nonsense"}, {"run", "extra"}, {"run", "--nonsense"}, {"check", "--config", file, "nobody"},
		{"tail", "--config", file, "--from", "yesterday"}, {"tail", "a", "b"}, {"demo", "--events", "-1"}, {"demo", "--rate", "NaN"},
		{"demo", "extra"}, {"run", "--config", "nowhere.yaml"},
	} {
		if code, _, _ := runCommand(t, args...); code != exitUsage {
			t.Errorf("%q: got exit %d, want %d", args, code, exitUsage)
		}
	}
}

// listening is the console's address in a log.
var listening = regexp.MustCompile(`"http":"([^"]+)"`)

func consoleOf(c *command) string {
	if m := listening.FindStringSubmatch(c.errs.String()); m != nil {
		return "http://" + m[1]
	}
	return ""
}

// TestRunWaitsForTheBroker: one line says that it cannot be reached, /readyz
// says why, and the service goes on once it is there.
func TestRunWaitsForTheBroker(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b, err := embedded.Start(embedded.Options{Dir: dir, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	addr := b.Addrs()[0]
	b.Close()
	c := startCommand(t, "run", "--config", write(t, "c.yaml", brokerConfig(addr, "")))
	ready := func(want int) func() bool {
		return func() bool {
			url := consoleOf(c)
			if url == "" {
				return false
			}
			code, body := get(url + "/readyz")
			return code == want && (code == http.StatusOK || strings.Contains(body, "connection refused"))
		}
	}
	eventually(t, "/readyz saying why", ready(http.StatusServiceUnavailable))
	eventually(t, "the line in the log", func() bool { return strings.Contains(c.errs.String(), "trying again") })
	if b, err = embedded.Start(embedded.Options{Dir: dir, Log: zerolog.Nop()}); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if got := b.Addrs()[0]; got != addr {
		t.Fatalf("the broker came back at %s, not %s", got, addr)
	}
	eventually(t, "/readyz saying yes", ready(http.StatusOK))
	if code := c.end(); code != exitOK {
		t.Errorf("got exit %d", code)
	}
	var lines []string
	for line := range strings.Lines(errorsOf(c.errs.String())) {
		if strings.Contains(line, "Kafka is not ready") {
			lines = append(lines, line)
		}
	}
	oneLine(t, strings.Join(lines, ""), "connection refused", addr)
}

func TestRunRefusesAnUnfitTopic(t *testing.T) {
	t.Parallel()
	for topic, policy := range map[string]string{"onelogin.offsets": "delete", "onelogin.events": "compact"} {
		t.Run(topic, func(t *testing.T) {
			t.Parallel()
			b, err := embedded.Start(embedded.Options{Dir: t.TempDir(), Log: zerolog.Nop()})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			createTopic(t, b.Addrs(), topic, 3, policy)
			file := write(t, "c.yaml", brokerConfig(b.Addrs()[0], ""))
			code, out, _ := runCommand(t, "check", "--config", file)
			if code != 3 || !strings.Contains(out, "FAILED  kafka topics") || !strings.HasSuffix(out, "\n2 of 6 checks failed\n") || !strings.Contains(out, "kafka-configs.sh") {
				t.Errorf("check: got exit %d\n%s", code, out)
			}
			code, _, errs := runCommand(t, "run", "--config", file)
			if code != exitUsage {
				t.Errorf("run: got exit %d, want %d", code, exitUsage)
			}
			oneLine(t, errorsOf(errs), topic, "cleanup.policy="+policy, "kafka-configs.sh")
		})
	}
}

// createTopic creates a topic as an administrator would.
func createTopic(t *testing.T, brokers []string, topic string, partitions int32, policy string) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = []kmsg.CreateTopicsRequestTopic{{
		Topic: topic, NumPartitions: partitions, ReplicationFactor: 1,
		Configs: []kmsg.CreateTopicsRequestTopicConfig{{Name: "cleanup.policy", Value: &policy}},
	}}
	res, err := req.RequestWith(t.Context(), c)
	if err != nil || res.Topics[0].ErrorCode != 0 {
		t.Fatal(err, res)
	}
}

func TestRunRefusesAClusterWithoutTransactions(t *testing.T) {
	t.Parallel()
	old := kversion.Stable()
	for _, key := range []kmsg.Key{kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.EndTxn} {
		old.SetMaxKeyVersion(int16(key), -1)
	}
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.MaxVersions(old))
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	file := write(t, "c.yaml", brokerConfig(k.ListenAddrs()[0], ""))
	code, _, errs := runCommand(t, "run", "--config", file)
	if code != exitUsage {
		t.Errorf("got exit %d, want %d", code, exitUsage)
	}
	oneLine(t, errorsOf(errs), "no transactions", "2.8")
	code, out, _ := runCommand(t, "check", "--config", file)
	if code != 3 || !strings.Contains(out, "FAILED  kafka transactions") {
		t.Errorf("check: got exit %d\n%s", code, out)
	}
}

func TestRunTellsThatThePortIsTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	text := strings.Replace(brokerConfig("127.0.0.1:1", ""), "127.0.0.1:0", l.Addr().String(), 1)
	code, _, errs := runCommand(t, "run", "--config", write(t, "c.yaml", text))
	if code != exitFail {
		t.Errorf("got exit %d, want %d", code, exitFail)
	}
	oneLine(t, errorsOf(errs), "http.listen", "address already in use", l.Addr().String())
}

// TestRunEmbedded: run, tail and check share one embedded broker, and a second
// run on its folder is refused.
func TestRunEmbedded(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	text := "kafka: {embedded: " + dir + "}\ninstance: test\nhttp: {listen: \"127.0.0.1:0\"}\ntopics: {offsets: {partitions: 2}}\n" + oneConnector
	file := write(t, "c.yaml", text)
	tail := startCommand(t, "tail", "--config", file)
	eventually(t, "tail waiting", func() bool { return strings.Contains(tail.errs.String(), "waiting for onelogin-kafka run") })
	c := startCommand(t, "run", "--config", file)
	eventually(t, "readiness", func() bool {
		code, _ := get(consoleOf(c) + "/readyz")
		return code == http.StatusOK
	})
	code, out, _ := runCommand(t, "check", "--config", file)
	if code != 1 || !strings.Contains(out, "may write transactions") || !strings.Contains(out, "Stage: Unable to connect") {
		t.Errorf("check: got exit %d\n%s", code, out)
	}
	if code, _, errs := runCommand(t, "run", "--config", file); code != exitFail {
		t.Errorf("a second run: got exit %d", code)
	} else {
		oneLine(t, errs, "another process uses this folder", dir)
	}
	for _, cmd := range []*command{tail, c} {
		if code := cmd.end(); code != exitOK {
			t.Errorf("got exit %d", code)
		}
	}
	// With nobody there, check starts the broker for itself.
	if code, out, _ := runCommand(t, "check", "--config", file); code != 1 || !strings.Contains(out, "may write transactions") {
		t.Errorf("check alone: got exit %d\n%s", code, out)
	}
}
