package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onelogin-kafka/source/onelogin/simulator"
)

// topicsOf lists a broker's topics.
func topicsOf(t *testing.T, addrs []string) []string {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(addrs...))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	res, err := kmsg.NewPtrMetadataRequest().RequestWith(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, topic := range res.Topics {
		names = append(names, *topic.Topic)
	}
	return names
}

// TestCheck: each connector's stage in DNIF's words, in the order of the
// configuration, the failures counted; and nothing is created.
func TestCheck(t *testing.T) {
	t.Parallel()
	conf := tenants(5, 10, 0)
	conf.Faults = []simulator.FaultSetting{
		{Name: simulator.Unauthorized, Tenant: "globex", Endpoint: "token", Probability: 1},
		{Name: simulator.Unavailable, Tenant: "initech", Probability: 1},
		{Name: simulator.HTMLOK, Tenant: "tenant-0005", Probability: 1},
	}
	p := newPlace(t, conf)
	file := p.config(t, "")
	code, out, errs := runCommand(t, "check", "--config", file)
	if code != 3 || errs != "" {
		t.Errorf("got exit %d, %q", code, errs)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	want := []string{
		"ok      kafka reachable       1 brokers",
		"ok      kafka transactions    transaction protocol v2",
		"ok      kafka topics          would be created: onelogin.events (3 partitions, replication factor 1), onelogin.deadletter (1 ",
		"ok      kafka group           consumer group onelogin-kafka",
		"ok      kafka rights          may write transactions and read positions (",
		"ok      acme                  Connection successful (",
		"FAILED  globex                Authentication Stage: Credentials error - Check client id and secret",
		"FAILED  initech               Fetch Logs Stage: Request Failed - response code 503, reason ",
		"ok      tenant-0004           Connection successful (",
		"FAILED  tenant-0005           Fetch Logs Stage: Log ",
		"3 of 10 checks failed",
	}
	if len(lines) != len(want) {
		t.Fatalf("got %d lines, want %d:\n%s", len(lines), len(want), out)
	}
	for i, l := range lines {
		if !strings.HasPrefix(l, want[i]) {
			t.Errorf("line %d: got %q, want %q…", i, l, want[i])
		}
	}
	if topics := topicsOf(t, p.broker.Addrs()); len(topics) != 0 {
		t.Errorf("check created %v", topics)
	}
	code, out, _ = runCommand(t, "check", "--config", file, "--json", "globex", "acme")
	if code != 1 {
		t.Errorf("two connectors: got exit %d", code)
	}
	var targets []string
	for line := range strings.Lines(out) {
		var o struct {
			Target, Stage, Message, Advice string
			OK                             bool
			Seconds                        float64
		}
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatal(err)
		}
		if o.OK != (o.Target != "globex") || !o.OK && (o.Stage != "Authentication" || o.Message != "Credentials error" || o.Advice == "") || o.Seconds <= 0 {
			t.Errorf("got %+v", o)
		}
		if o.Target != "kafka" {
			targets = append(targets, o.Target)
		}
	}
	if got := fmt.Sprint(targets); got != "[acme globex]" {
		t.Errorf("got %s, not the order of the configuration", got)
	}
}

// TestCheckBesideTheService: a check fences nobody, and its aborted transaction
// is not seen by readers.
func TestCheckBesideTheService(t *testing.T) {
	t.Parallel()
	p := newPlace(t, tenants(1, 50, 200))
	file := p.config(t, "")
	service := startCommand(t, "run", "--config", file)
	eventually(t, "events", func() bool { return strings.Contains(service.errs.String(), "shards assigned") })
	for range 5 {
		code, out, _ := runCommand(t, "check", "--config", file)
		if code != 0 || !strings.Contains(out, "kafka topics          fit") || !strings.Contains(out, "may write transactions and read positions") {
			t.Errorf("got exit %d\n%s", code, out)
		}
	}
	if log := errorsOf(service.errs.String()); strings.Contains(log, "taking the shard over again") || strings.Contains(log, "fenced") {
		t.Errorf("the service noticed:\n%s", log)
	}
}

func TestCheckUnreachableBroker(t *testing.T) {
	t.Parallel()
	began := time.Now()
	code, out, _ := runCommand(t, "check", "--config", write(t, "c.yaml", brokerConfig("127.0.0.1:1", "")))
	if code != 3 || !strings.Contains(out, "FAILED  kafka reachable       Kafka cannot be reached: ") {
		t.Errorf("got exit %d after %v\n%s", code, time.Since(began), out)
	}
	if strings.Count(out, "\n") != 3 {
		t.Errorf("not one line per failure:\n%s", out)
	}
}
