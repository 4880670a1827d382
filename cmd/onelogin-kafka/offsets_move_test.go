package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"onelogin-kafka/internal/service"
	"onelogin-kafka/producer"
	"onelogin-kafka/schemas"
)

// dumpOf is all that the first partition of a topic says.
func dumpOf(t *testing.T, file, topic string) string {
	t.Helper()
	cluster, err := service.Cluster(load(t, file))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	return dump(t, &producer.CommittedLog{Cluster: cluster, Topic: topic})
}

// TestOffsetsMove: positions are listed, shown, exported, set back and forward,
// reset and imported beside the service that goes on.
func TestOffsetsMove(t *testing.T) {
	t.Parallel()
	p := newPlace(t, tenants(2, 200, 0))
	file := p.config(t, "")
	name, other := p.sim.Tenants()[0].Name, p.sim.Tenants()[1].Name
	expect(t, exitFail, "onelogin.offsets", "offsets", "list", "--config", file)
	run := startCommand(t, "run", "--config", file)
	exported := func(names ...string) string {
		t.Helper()
		code, out, errs := runCommand(t, append([]string{"offsets", "export", "--config", file}, names...)...)
		if code != exitOK {
			t.Fatalf("export: got exit %d: %s", code, errs)
		}
		return out
	}
	eventually(t, "both positions", func() bool {
		code, out, _ := runCommand(t, "offsets", "list", "--config", file)
		return code == exitOK && strings.Count(out, "  200  ") == 2
	})
	expect(t, exitUsage, "connector nobody has no position, and is not in the configuration", "offsets", "show", "nobody", "--config", file)
	expect(t, exitUsage, "connector nobody has no position, and is not in the configuration", "offsets", "set", "nobody", "--back", "1h", "--config", file)
	expect(t, exitOK, "\nknown ids         ", "offsets", "show", name, "--config", file)
	before := exported(name)
	if _, shown, _ := runCommand(t, "offsets", "show", name, "--json", "--config", file); shown != before {
		t.Errorf("show and export are not one shape:\n%s%s", shown, before)
	}
	doc := write(t, "positions.json", exported())
	expect(t, exitOK, "is there already; nothing to do", "offsets", "import", doc, "--yes", "--config", file)

	for _, bad := range []struct {
		code int
		says string
		args []string
	}{
		{exitUsage, "give either --through", []string{"set", name}},
		{exitUsage, "is no time such as", []string{"set", name, "--through", "yesterday"}},
		{exitFail, "lies in the future", []string{"set", name, "--through", time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}},
		{exitFail, "further back than topic onelogin.events keeps", []string{"set", name, "--back", "20000h"}},
		{exitFail, "the position has changed", []string{"set", name, "--back", "1h", "--if-through", "2026-01-01T00:00:00Z"}},
		{exitUsage, "unknown format version", []string{"import", write(t, "newer.json", strings.Replace(before, `"version":1`, `"version":2`, 1))}},
		{exitUsage, "has no position", []string{"import", write(t, "empty.json", `{"version":1,"connector":"`+name+`","position":null,"minutes":{}}`)}},
		{exitFail, "it is a position in account 1", []string{"import", write(t, "foreign.json", withAccount(t, before, 1))}},
		{exitUsage, "is not in the configuration", []string{"import", write(t, "nobody.json", strings.ReplaceAll(before, `"connector":"`+name, `"connector":"nobody`))}},
	} {
		expect(t, bad.code, bad.says, append(append([]string{"offsets"}, bad.args...), "--config", file)...)
	}

	// A plan changes nothing.
	expect(t, exitOK, "nothing was changed; --yes does it", "offsets", "set", name, "--back", "2h", "--config", file)
	if now := exported(name); now != before {
		t.Errorf("the plan has changed the position:\n%s%s", before, now)
	}
	code, out, errs := runCommand(t, "offsets", "set", name, "--back", "2h", "--yes", "--reason", "a ticket", "--config", file)
	if code != exitOK || !strings.Contains(out, "; 200 such events are in the topic; about 2 calls") || !strings.Contains(out, "goes on from there by itself") {
		t.Fatalf("got exit %d\n%s%s", code, out, errs)
	}
	through := func(doc string) time.Time {
		var st struct {
			Position struct {
				Through time.Time `json:"through"`
			} `json:"position"`
		}
		if err := json.Unmarshal([]byte(doc), &st); err != nil {
			t.Fatalf("%v: %s", err, doc)
		}
		return st.Position.Through
	}
	newest := through(before)
	eventually(t, "the position to come back to where it was", func() bool { return through(exported(name)).Equal(newest) })
	eventually(t, "the change to be counted as the operator's", func() bool {
		_, body := get(consoleOf(run) + "/metrics")
		return strings.Contains(body, `result="operator",`)
	})
	if _, body := get(consoleOf(run) + "/metrics"); strings.Contains(body, `result="fenced"`) {
		t.Error("the change is counted as trouble")
	}
	if audit := dumpOf(t, file, "onelogin.audit"); !strings.Contains(audit, `"action":"offsets.set"`) || !strings.Contains(audit, `"reason":"a ticket"`) {
		t.Errorf("the audit topic says\n%s", audit)
	}

	// Forward: the newest event lies behind the position, and nothing is amiss.
	ahead := time.Now().UTC()
	expect(t, exitOK, "SKIPPED: what was created from", "offsets", "set", other, "--through", ahead.Format(time.RFC3339Nano), "--yes", "--config", file)
	eventually(t, "the connector to be polled from there", func() bool {
		code, out, _ := runCommand(t, "status", other, "--json", "--config", file)
		var st schemas.ConnectorStatus
		return code == exitOK && json.Unmarshal([]byte(out), &st) == nil && st.State == schemas.StateActive && st.LastPollAt.After(ahead)
	})

	expect(t, exitOK, "window_start      ", "offsets", "reset", other, "--config", file)
	expect(t, exitOK, "goes on from there", "offsets", "reset", other, "--yes", "--config", file)
	eventually(t, "the events to be there once more", func() bool {
		_, out, _ := runCommand(t, "offsets", "list", other, "--config", file)
		return strings.Contains(out, "  200  ")
	})
	if code := run.end(); code != exitOK {
		t.Errorf("run: got exit %d", code)
	}
	twice := 0
	for _, n := range eventIDs(t, p.broker.Addrs()) {
		if n > 2 {
			t.Errorf("an event is there %d times", n)
		}
		if n == 2 {
			twice++
		}
	}
	if twice == 0 {
		t.Error("nothing was published once more: the test has moved nothing")
	}
}

func withAccount(t *testing.T, doc string, id int) string {
	t.Helper()
	var st map[string]any
	dec := json.NewDecoder(strings.NewReader(doc))
	dec.UseNumber()
	if err := dec.Decode(&st); err != nil {
		t.Fatal(err)
	}
	st["position"].(map[string]any)["account_id"] = json.Number(fmt.Sprint(id))
	b, err := json.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
