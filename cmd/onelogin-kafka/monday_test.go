package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/source/onelogin/simulator"
)

// office is the folder of somebody who has just been given the service: a Kafka of
// three nodes, fifty tenants, and a page of documentation.
type office struct {
	*transcript
	sim      *simulator.Server
	base     string
	brokers  []string
	dir      string
	customer simulator.Tenant // that comes and goes
}

const (
	officeTenants = 50
	// inFiles and withKey are lines of a configuration.
	inFiles = "connectors_dir: connectors.d\n"
	withKey = "secrets: {keys: [{private_key_file: keys/2026-11, active: true}]}\n"
)

func newOffice(t *testing.T) *office {
	t.Helper()
	page, err := filepath.Abs(walkPage)
	if err != nil {
		t.Fatal(err)
	}
	k := kafkatest.Shared(t, kafkatest.Options{})
	conf := simulator.Default(officeTenants)
	conf.HourlyLimit = 100_000
	for i := range conf.Tenants {
		conf.Tenants[i].Backlog, conf.Tenants[i].BacklogSpan = 300, simulator.Duration(23*time.Hour)
		conf.Tenants[i].Traffic.Rate, conf.Tenants[i].Traffic.Late = 0.5, 0
	}
	sim, err := simulator.New(conf)
	if err != nil {
		t.Fatal(err)
	}
	o := &office{transcript: &transcript{t: t, page: page}, sim: sim, base: serve(t, sim), brokers: k.Brokers(), dir: t.TempDir()}
	t.Chdir(o.dir)
	for _, tenant := range sim.Tenants() {
		o.write("secrets/"+tenant.Name, tenant.ClientSecret+"\n")
		o.write("connectors.d/"+tenant.Name+".yaml", fmt.Sprintf("name: %s\ndomain: %s\nclient_id: %s\nclient_secret_file: secrets/%s\nbase_url: %s\npoll: {min: 1s, max: 3s}\n",
			tenant.Name, tenant.Domain, tenant.ClientID, tenant.Name, o.base))
	}
	o.main("onelogin-kafka.yaml", "one", inFiles)
	o.main("two.yaml", "two", inFiles)
	return o
}

func (o *office) write(path, text string) {
	o.t.Helper()
	path = filepath.Join(o.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// main writes an instance's configuration.
func (o *office) main(file, instance, more string) string {
	o.t.Helper()
	text := fmt.Sprintf("kafka: {brokers: [%s]}\ninstance: %s\nhttp: {listen: \"127.0.0.1:0\"}\n%s", strings.Join(o.brokers, ", "), instance, more)
	o.write(file, text)
	return text
}

const walkHead = `# A Monday, from the first command to the last tenant

A real Kafka of three nodes, two instances of the service, and fifty tenants of the simulator, three of them broken in different ways. Written by
` + "`TestMonday`" + ` of cmd/onelogin-kafka as it went, and held to it by every run of the tests: only times, numbers and key ids differ. No instance was restarted.
Lines that say the same of many tenants are left out.
`

// TestMonday: what a new user does from an empty folder to the end of a customer's
// contract, on a real Kafka, without a restart. The page of it is this.
func TestMonday(t *testing.T) {
	o := newOffice(t)
	o.text.WriteString(walkHead)
	o.firstLook()
	one, two := startCommand(t, "run"), startCommand(t, "run", "--config", "two.yaml")
	o.running()
	o.onboard()
	o.rotate()
	o.back()
	o.hole()
	o.offboard(one, two)
	o.ended(one)
	o.ended(two)
	for _, tenant := range o.sim.Tenants() {
		if strings.Contains(o.all.String(), tenant.ClientSecret) {
			t.Errorf("the secret of %s was shown", tenant.Name)
		}
	}
	o.hold()
}

// ended stops an instance.
func (o *office) ended(instance *command) {
	o.t.Helper()
	if code := instance.end(); code != exitOK {
		o.t.Errorf("run: got exit %d\n%s", code, instance.errs.String())
	}
	o.all.WriteString(instance.out.String() + instance.errs.String())
}

// firstLook: what is wrong is told before anything runs.
func (o *office) firstLook() {
	o.say("## Before anything runs\n\n`onelogin-kafka.yaml` names the brokers and `connectors_dir: connectors.d`; there is a file for each tenant. `config check` looks at the files:")
	if err := os.Remove(filepath.Join(o.dir, "secrets/tenant-0007")); err != nil {
		o.t.Fatal(err)
	}
	o.run(exitUsage, "tenant-0007.yaml:4: client_secret_file:", "config", "check")
	o.say("`check` tries Kafka and each tenant. One secret was copied wrong, and one tenant's OneLogin is down today:")
	o.write("secrets/globex", "not-the-secret\n")
	if err := o.sim.SetFault(simulator.FaultSetting{Name: simulator.Unavailable, Tenant: "initech", Probability: 1}); err != nil {
		o.t.Fatal(err)
	}
	o.run(3, "3 of 55 checks failed", "check")
	o.say("The three are nobody else's trouble: the service starts all the same, on two machines.")
	o.show("$ onelogin-kafka run &                       # on one machine\n$ onelogin-kafka run --config two.yaml &     # on another\n")
}

// running: 47 are served, and three say what they lack.
func (o *office) running() {
	o.say("## Who is served\n\n`status` reads the topics alone: it works from any machine, and when no instance is alive. Worst first, with the remedy.")
	o.until(exitFail, fmt.Sprintf("%d connectors: 3 FAILING, %d ACTIVE\n", officeTenants, officeTenants-3), "status")
}

// umbrella is the new customer.
const umbrella = "umbrella"

// onboard: a key, and a tenant by command.
func (o *office) onboard() {
	o.say("## A new customer\n\nTenants can live in Kafka instead of files; their secrets are sealed there. Once, a key is made and named in the configuration of every instance,\nwhich they read again by themselves:")
	o.run(exitOK, "name it in the configuration", "secrets", "keygen", "keys/2026-11")
	for file, instance := range map[string]string{"onelogin-kafka.yaml": "one", "two.yaml": "two"} {
		o.main(file, instance, inFiles+withKey)
	}
	var err error
	o.customer, err = o.sim.AddTenant(simulator.Tenant{Name: umbrella, Backlog: 600, BacklogSpan: simulator.Duration(23 * time.Hour), Traffic: simulator.Traffic{Rate: 1}})
	if err != nil {
		o.t.Fatal(err)
	}
	o.write("umbrella.secret", o.customer.ClientSecret+"\n")
	o.say("Then one command puts the tenant on the control log, once its connection was tried:")
	o.add("--test", "--reason", "new customer, order 4711")
	o.until(exitOK, "1 connectors: 1 ACTIVE\n", "status", umbrella)
}

func (o *office) add(how ...string) {
	o.t.Helper()
	o.run(exitOK, "saved, generation 1", append([]string{"connectors", "add", umbrella, "--domain", o.customer.Domain, "--client-id", o.customer.ClientID, "--base-url", o.base,
		"--client-secret-file", "umbrella.secret", "--set", "poll={min: 1s, max: 3s}"}, how...)...)
}

// rotate: the secret is replaced at OneLogin, and here.
func (o *office) rotate() {
	o.say("## Its secret is replaced\n\nThe customer makes a new secret at OneLogin and tells nobody. The old one is refused:")
	secret, err := o.sim.RotateSecret(umbrella)
	if err != nil {
		o.t.Fatal(err)
	}
	o.until(exitFail, "Authentication Stage: Credentials error", "status", umbrella)
	o.write("umbrella.secret", secret+"\n")
	o.say("The new one is entered, tried, sealed, and in use at once:")
	o.run(exitOK, "saved, generation 2", "connectors", "edit", umbrella, "--client-secret-file", "umbrella.secret", "--test", "--reason", "rotated by the customer")
	o.until(exitOK, "1 connectors: 1 ACTIVE\n", "status", umbrella)
}

// back: a position goes back by an hour.
func (o *office) back() {
	eventually(o.t, "everything of the tenant to have been read twice", func() bool {
		_, out := o.try("status", umbrella, "--json")
		return strings.Contains(out, `"complete_through"`)
	})
	o.say("## An hour again\n\nA consumer has lost an hour and cannot read the topic again. The plan is printed first, and says what it costs:")
	o.run(exitOK, "nothing was changed; --yes does it", "offsets", "set", umbrella, "--back", "1h")
	o.run(exitOK, "done: umbrella goes on from there by itself", "offsets", "set", umbrella, "--back", "1h", "--yes", "--reason", "ticket 815")
	o.until(exitOK, "1 connectors: 1 ACTIVE\n", "status", umbrella)
}

// span is the time that is verified: old enough for the re-read window.
func (o *office) span() []string {
	now := time.Now().UTC().Truncate(time.Second)
	return []string{"--from", now.Add(-20 * time.Hour).Format(time.RFC3339), "--to", now.Add(-2 * time.Hour).Format(time.RFC3339)}
}

// hole: what a topic lacks is found.
func (o *office) hole() {
	o.say("## Is anything missing?\n\n`verify` compares the topic with OneLogin, event by event:")
	span := o.span()
	o.run(exitOK, " 0 missing, 0 altered, 0 twice", append([]string{"verify", umbrella}, span...)...)
	o.say("And it would say so. Of a copy of the topic somebody has cut five events out. The tenant rests while it is made, so that its position fits:")
	o.run(exitOK, "paused", "connectors", "pause", umbrella, "--reason", "copying the topic")
	o.until(exitOK, "1 connectors: 1 PAUSED\n", "status", umbrella)
	cut(o.t, o.brokers, "onelogin.events", "onelogin.copy", umbrella, 200, 205)
	o.show("$ onelogin-kafka offsets export umbrella > position.json\n")
	code, position, errs := runCommand(o.t, "offsets", "export", umbrella)
	if code != exitOK {
		o.t.Fatalf("offsets export: got exit %d: %s", code, errs)
	}
	o.write("position.json", position)
	o.run(exitOK, "resumed", "connectors", "resume", umbrella)
	third := o.copied()
	o.run(exitFail, " 5 missing, 0 altered, 0 twice", append([]string{"verify", umbrella, "--config", "copy.yaml"}, span...)...)
	o.say("`--repair` has whoever polls the tenant publish what is missing, beside the live poll, and nothing else:")
	o.run(exitOK, " 5 missing and 5 of them published, 0 altered, 0 twice",
		append([]string{"verify", umbrella, "--config", "copy.yaml", "--repair", "--reason", "ticket 816"}, span...)...)
	o.run(exitOK, " 0 missing, 0 altered, 0 twice", append([]string{"verify", umbrella, "--config", "copy.yaml"}, span...)...)
	o.ended(third)
}

// copied starts a second deployment, which goes on from the position on the copy.
func (o *office) copied() *command {
	o.t.Helper()
	more := withKey + `group: onelogin-copy
topics: {events: {name: onelogin.copy}, offsets: {name: copy.offsets}, status: {name: copy.status},
  deadletter: {name: copy.deadletter}, connectors: {name: copy.connectors}, audit: {name: copy.audit}}
`
	o.say("The copy belongs to a deployment of its own, whose `copy.yaml` names another group and other topics. The tenant is added paused, gets the position, and goes on from there:")
	o.show("$ cat copy.yaml\n" + o.main("copy.yaml", "copy", more) + "$ onelogin-kafka run --config copy.yaml &\n")
	third := startCommand(o.t, "run", "--config", "copy.yaml")
	eventually(o.t, "the topics of the copy", func() bool {
		code, _ := o.try("connectors", "list", "--config", "copy.yaml")
		return code == exitOK
	})
	o.add("--set", "paused=true", "--config", "copy.yaml")
	o.run(exitOK, "done: umbrella", "offsets", "import", "position.json", "--config", "copy.yaml", "--yes")
	o.run(exitOK, "resumed", "connectors", "resume", umbrella, "--config", "copy.yaml")
	o.until(exitOK, "1 connectors: 1 ACTIVE\n", "status", "--config", "copy.yaml")
	return third
}

// offboard: the contract ends, and nothing is left to alert on.
func (o *office) offboard(instances ...*command) {
	o.say("## The contract ends\n\n`remove --forget` takes the tenant, its position and its status back; its events stay in the topic.")
	o.run(exitOK, "nothing was changed; --yes does it", "connectors", "remove", umbrella, "--forget")
	o.run(exitOK, "\ndone\n", "connectors", "remove", umbrella, "--forget", "--yes", "--reason", "contract ended")
	o.until(exitUsage, "connector umbrella has no status, and is not in the configuration", "status", umbrella)
	for _, c := range instances {
		eventually(o.t, "no metric to speak of it", func() bool {
			code, body := get(consoleOf(c) + "/metrics")
			return code == 200 && !strings.Contains(body, `"`+umbrella+`"`)
		})
	}
	o.say("No status, metric or alert speaks of it any more. Who did what, and why, is kept:")
	o.run(exitOK, "contract ended", "audit", umbrella)
}

// cut copies a topic, but some events of one tenant: those from the first up to the
// one before last, counted in the order of the topic.
func cut(t *testing.T, brokers []string, from, to, tenant string, first, last int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(from), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	ends, err := adm.ListCommittedOffsets(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	left := map[int32]int64{} // the offset of each partition's last record; behind it is a marker
	partitions := int32(0)
	ends.Each(func(o kadm.ListedOffset) {
		partitions++
		if o.Offset > 1 {
			left[o.Partition] = o.Offset - 2
		}
	})
	if _, err := adm.CreateTopic(t.Context(), partitions, -1, nil, to); err != nil {
		t.Fatal(err)
	}
	seen := 0
	var copies []*kgo.Record
	for len(left) > 0 {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if end, ok := left[r.Partition]; ok && r.Offset >= end {
				delete(left, r.Partition)
			}
			if headerOf(r, "tenant") == tenant {
				if seen++; seen > first && seen <= last {
					return
				}
			}
			copies = append(copies, &kgo.Record{Topic: to, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp})
		})
	}
	if err := client.ProduceSync(t.Context(), copies...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if seen < last {
		t.Fatalf("only %d events of %s", seen, tenant)
	}
}
