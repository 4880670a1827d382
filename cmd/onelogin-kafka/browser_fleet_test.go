package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"onelogin-kafka/internal/console"
	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/source/onelogin/simulator"
)

// pair is a fleet of two instances on a Kafka of three nodes.
type pair struct {
	t      *testing.T
	sim    *simulator.Server
	base   string
	files  map[string]string // by instance
	runs   map[string]*process
	at     map[string]string     // their consoles
	tenant simulator.TenantState // that is in no file
}

func newPair(t *testing.T) *pair {
	t.Helper()
	k := kafkatest.Shared(t, kafkatest.Options{})
	sim, err := simulator.New(tenants(9, 100, 2))
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{t: t, sim: sim, base: serve(t, sim), files: map[string]string{}, runs: map[string]*process{}, at: map[string]string{}}
	all := p.sim.Tenants()
	p.tenant = all[len(all)-1]
	secrets := keys(t)
	for _, instance := range []string{"one", "two"} {
		var b strings.Builder
		fmt.Fprintf(&b, "kafka: {brokers: [%s]}\ninstance: %s\ngroup: pair\nhttp: {listen: \"127.0.0.1:0\"}\n%s\n", strings.Join(k.Brokers(), ", "), instance, secrets)
		b.WriteString("topics: {events: {name: pair.events, partitions: 3}, offsets: {name: pair.offsets, partitions: 6}")
		for _, topic := range []string{"status", "deadletter", "connectors", "audit"} {
			fmt.Fprintf(&b, ", %s: {name: pair.%s}", topic, topic)
		}
		b.WriteString("}\nconnectors:\n")
		for _, c := range all[:len(all)-1] {
			fmt.Fprintf(&b, "  - {name: %s, domain: %s, client_id: %q, client_secret: %q, base_url: %q, poll: {min: 100ms, max: 1s}}\n", c.Name, c.Domain, c.ClientID, c.ClientSecret, p.base)
		}
		p.files[instance] = write(t, instance+".yaml", b.String())
		p.runs[instance] = startProcess(t, "run", "--config", p.files[instance])
	}
	eventually(t, "two instances that know of each other's console", func() bool { return p.knows("one", "two") && p.knows("two", "one") })
	return p
}

// knows tells whether an instance is ready and says where another's console is.
func (p *pair) knows(instance, other string) bool {
	p.at[instance] = consoleAt(p.runs[instance].errs.String())
	_, body := get(p.at[instance] + "/api/v1/fleet")
	var f console.Fleet
	if json.Unmarshal([]byte(body), &f) != nil || !f.Ready {
		return false
	}
	for _, in := range f.Instances {
		if in.Instance == other && in.Console != "" {
			return in.Console == consoleAt(p.runs[other].errs.String())
		}
	}
	return false
}

// ask asks an instance for a job.
func (p *pair) ask(instance, connector string) {
	p.t.Helper()
	from := time.Now().Add(-48 * time.Hour).UTC().Format(time.RFC3339)
	wish := fmt.Sprintf(`{"kind":"verify","connector":%q,"from":%q,"reason":"asked at %s"}`, connector, from, instance)
	res, err := http.Post(p.at[instance]+"/api/v1/jobs", "application/json", strings.NewReader(wish))
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusCreated {
		p.t.Fatalf("asking %s for a job: status %d, %s, %v", instance, res.StatusCode, body, err)
	}
}

// TestFleetInTheBrowser: what a new user does on a fleet of two: a wrong secret is
// told, corrected and saved, the connector's events are in the tail; a job that is
// asked for at one instance is seen on the open page of the other; and when the
// instance whose page is open is killed, the page says so, and goes on at the
// other's address.
func TestFleetInTheBrowser(t *testing.T) {
	p := newPair(t)
	b := openBrowser(t)
	name := p.tenant.Name
	b.do("opening the form", chromedp.Navigate(p.at["one"]+"/new"), chromedp.Click("summary"))
	for _, f := range [][2]string{{"name", name}, {"domain", p.tenant.Domain}, {"client_id", p.tenant.ClientID}, {"client_secret", "wrong"}, {"base_url", p.base}} {
		b.do("filling in "+f[0], chromedp.SetValue("#"+f[0], f[1]))
	}
	b.do("testing it", chromedp.Click("#test"))
	b.see("⚠ Authentication Stage: Credentials error")
	b.do("correcting and saving it", chromedp.SetValue("#client_secret", p.tenant.ClientSecret), chromedp.Click("button.main"))
	b.arrive("/connectors/" + name)
	eventually(t, name+" being ACTIVE before the eyes", func() bool { return b.field("state") == "ACTIVE" })
	tail := startCommand(t, "tail", name, "--from", "earliest", "--config", p.files["two"])
	eventually(t, "its events in the tail", func() bool { return strings.Contains(tail.out.String(), name) })
	tail.end()

	owner, other := b.field("instance"), "two"
	if owner == "two" {
		other = "one"
	}
	b.do("opening the jobs", chromedp.Navigate(p.at["one"]+"/jobs"))
	b.see("No job has been asked for")
	p.ask("two", name)
	b.see("asked at two")
	b.do("opening the fleet", chromedp.Navigate(p.at[owner]+"/fleet"))
	b.see(p.at[other])
	b.looks("fleet-of-two")
	b.do("opening the owner's page", chromedp.Navigate(p.at[owner]+"/connectors/"+name))
	eventually(t, "a page that is alive", func() bool {
		return value[string](b, `document.querySelector("#elsewhere a")?.textContent || ""`) == other
	})
	if err := p.runs[owner].cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.runs[owner].done
	if killed, ok := p.runs[owner].cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || killed.Signal() != syscall.SIGKILL {
		t.Fatalf("the instance ended otherwise: %v", p.runs[owner].cmd.ProcessState)
	}
	b.see("Connection lost.")
	if text := value[string](b, `document.getElementById("away").innerText`); !regexp.MustCompile(`What is shown is of \d\d:\d\d:\d\d`).MatchString(text) || !strings.Contains(text, p.at[other]) {
		t.Errorf("the page says %q", text)
	}
	b.looks("lost")
	before := b.field("events")
	b.do("going on at the other's", chromedp.Click("#elsewhere a"))
	eventually(t, "the page of the other instance", func() bool {
		return value[string](b, "document.body ? location.href : ''") == p.at[other]+"/connectors/"+name
	})
	eventually(t, "the other's having taken it over before the eyes, and new events", func() bool {
		return b.field("instance") == other && b.field("state") == "ACTIVE" && b.field("events") != before
	})
	if b.shows("Connection lost.") {
		t.Error("the page that is alive says that it is not")
	}
	if code := p.runs[other].end(); code != exitOK {
		t.Errorf("%s ended with %d: %.2000s", other, code, p.runs[other].errs.String())
	}
}

// field is what a connector's page says.
func (b *browser) field(name string) string {
	b.t.Helper()
	return value[string](b, fmt.Sprintf("document.querySelector('[data-f=%q]')?.textContent || ''", name))
}
