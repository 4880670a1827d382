package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onelogin-kafka/internal/fleet"
	"onelogin-kafka/schemas"
)

// TestStatus: what the topics say, while the service runs, of a connector that
// is none, and when nobody is there any more.
func TestStatus(t *testing.T) {
	t.Parallel()
	p := newPlace(t, tenants(2, 50, 0))
	file := p.config(t, "")
	expect(t, exitFail, "no instance has ever reported it", "status", "--config", file)
	service := startCommand(t, "run", "--config", file)
	eventually(t, "both to be well", func() bool {
		code, out, _ := runCommand(t, "status", "--config", file)
		return code == exitOK && strings.HasPrefix(out, "2 connectors: 2 ACTIVE\n")
	})
	expect(t, exitUsage, "connector nobody has no status, and is not in the configuration", "status", "nobody", "--config", file)

	watch := startCommand(t, "status", "--watch", "--json", "--config", file)
	eventually(t, "the first objects", func() bool { return strings.Count(watch.out.String(), "\n") >= 2 })
	name := p.sim.Tenants()[0].Name
	if _, err := p.sim.RotateSecret(name); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the failure", func() bool {
		code, out, _ := runCommand(t, "status", "--config", file, name)
		return code == exitFail && strings.Contains(out, "1 connectors: 1 FAILING\n") &&
			strings.Contains(out, "Authentication Stage: Credentials error\n") && strings.Contains(out, "    → Check client id and secret")
	})
	eventually(t, "the change in what is watched", func() bool { return strings.Contains(watch.out.String(), `"state":"FAILING"`) })
	if code := watch.end(); code != exitOK {
		t.Errorf("--watch: got exit %d", code)
	}
	for line := range strings.Lines(watch.out.String()) {
		var s struct{ Connector, State, Reported string }
		if err := json.Unmarshal([]byte(line), &s); err != nil || s.Connector == "" || s.State == "" || s.Reported == "" {
			t.Errorf("got %s (%v)", line, err)
		}
	}
	other := p.sim.Tenants()[1].Name
	expect(t, exitOK, other, "status", other, "--config", file)
	service.end()
}

// TestStatusOfADeadFleet: a status that is old says INACTIVE and how old, and no
// line is wider than the screen.
func TestStatusOfADeadFleet(t *testing.T) {
	t.Parallel()
	p := newPlace(t, tenants(1, 0, 0))
	file := p.config(t, "")
	client, err := kgo.NewClient(kgo.SeedBrokers(p.broker.Addrs()...), kgo.DefaultProduceTopic("onelogin.status"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, "onelogin.status"); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("a", 63)
	at := time.Now().Add(-49 * time.Hour)
	for i, name := range []string{"acme", long} {
		st := schemas.ConnectorStatus{
			Connector: name, State: schemas.StateActive, LastPollAt: at, LastEventAt: at, Since: at, UpdatedAt: at, LagSeconds: 3,
			Instance: strings.Repeat("i", 40), RateLimit: schemas.RateLimit{Limit: 5000, Remaining: 4000 * i},
		}
		r := &kgo.Record{Key: []byte(name), Value: st.Marshal(), Timestamp: at}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	code, out, _ := runCommand(t, "status", "--config", file)
	if code != exitFail || !strings.HasPrefix(out, "2 connectors: 2 INACTIVE\nno instance is alive: nobody has reported anything since "+at.UTC().Format(time.RFC3339)+", 2d ago\n    → Start one") ||
		strings.Count(out, "→") != 1 || !strings.Contains(out, "nobody has reported it for 2d; the last word was ACTIVE\n") {
		t.Errorf("got exit %d\n%s", code, out)
	}
	for line := range strings.Lines(out) {
		if utf8.RuneCountInString(line)-1 > columns {
			t.Errorf("%d columns: %s", utf8.RuneCountInString(line)-1, line)
		}
	}
	if !strings.Contains(out, "\n"+long+"\n") {
		t.Errorf("the long name is not whole:\n%s", out)
	}
}

// TestManyStatuses: of a large fleet that is well only the number is told, and
// all that is not is on top.
func TestManyStatuses(t *testing.T) {
	t.Parallel()
	v := fleet.NewView()
	now := time.Now()
	for i := range 10_000 {
		st := schemas.ConnectorStatus{Connector: fmt.Sprintf("c%05d", i), State: schemas.StateActive, UpdatedAt: now}
		if i%1000 == 7 {
			st.State, st.Stage, st.Message, st.Advice = schemas.StateFailing, "Fetch Logs", strings.Repeat("reason ", 30), strings.Repeat("remedy ", 30)
		}
		v.Take(&schemas.Record{Key: []byte(st.Connector), Value: st.Marshal(), Time: now})
	}
	list := v.List(now)
	text := (&statusPrinter{}).text(list, now)
	lines := strings.Split(text, "\n")
	if lines[0] != "10000 connectors: 10 FAILING, 9990 ACTIVE" || !strings.HasPrefix(lines[2], "c00007 ") || !strings.Contains(text, "\n… and 9940 more that are well; --all lists them\n") || len(lines) > 200 {
		t.Errorf("got %d lines, of which the first are\n%s", len(lines), strings.Join(lines[:5], "\n"))
	}
	for _, line := range lines {
		if utf8.RuneCountInString(line) > columns {
			t.Errorf("%d columns: %s", utf8.RuneCountInString(line), line)
		}
	}
	if all := strings.Count((&statusPrinter{all: true}).text(list, now), "\n"); all < 10_000 {
		t.Errorf("--all: got %d lines", all)
	}
}
