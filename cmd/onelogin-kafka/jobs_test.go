package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"onelogin-kafka/schemas"
)

// jobJSON is a job as it is printed with --json.
type jobJSON struct {
	ID       string              `json:"id"`
	State    string              `json:"state"`
	Whole    bool                `json:"whole"`
	Request  json.RawMessage     `json:"request"`
	Progress schemas.JobProgress `json:"-"`
	Raw      json.RawMessage     `json:"progress"`
}

func readJob(t *testing.T, text string) (j jobJSON) {
	t.Helper()
	err := json.Unmarshal([]byte(text), &j)
	if err == nil && j.Raw != nil {
		j.Progress, err = schemas.ParseJobProgress(j.Raw)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return j
}

// TestBackfillByCommand: what lies before start_from is published once, by whoever
// polls the connector, and jobs are listed, watched, cancelled and refused.
func TestBackfillByCommand(t *testing.T) {
	t.Parallel()
	p := newPlace(t, tenants(1, 3000, 5))
	name, file := p.sim.Tenants()[0].Name, p.config(t, "")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	file = write(t, "late.yaml", strings.Replace(string(text), "rate_limit:", "start_from: now, sweep: {every: 1s, window: 1m}, rate_limit:", 1))
	do := func(code int, want string, list ...string) (out string) {
		t.Helper()
		got, out, errs := runCommand(t, append(list, "--config", file)...)
		if got != code || !strings.Contains(out+errs, want) {
			t.Errorf("%q: got exit %d, want %d and %q:\n%s%s", list, got, code, want, out, errs)
		}
		return out
	}
	service := startCommand(t, "run", "--config", file)
	eventually(t, "a position", func() bool {
		code, _, _ := runCommand(t, "backfill", name, "--from", "48h", "--config", file)
		return code == exitOK
	})
	do(exitUsage, "--from says where to begin", "backfill", name)
	do(exitUsage, "belong to --repair", "verify", name, "--detach")
	do(exitFail, "--beyond-retention", "backfill", name, "--from", "20000h")
	do(exitFail, "has no such job", "backfill", name, "--cancel")
	do(exitOK, "nothing was changed", "backfill", name, "--from", "48h")
	do(exitOK, "no jobs", "jobs", "list")

	j := readJob(t, do(exitOK, "", "backfill", name, "--from", "48h", "--to", "1m", "--yes", "--json", "--reason", "ticket 4711"))
	if r := j.Progress.Report; j.State != "done" || !j.Whole || r.Repaired < 1000 || r.Repaired != r.Missing {
		t.Errorf("the backfill came to %+v", j)
	}
	from := j.Progress.Report.From.Format("2006-01-02T15:04:05.999999999Z07:00")
	to := j.Progress.Report.To.Format("2006-01-02T15:04:05.999999999Z07:00")
	do(exitOK, " 0 missing, 0 altered, 0 twice", "verify", name, "--from", from, "--to", to)
	again := readJob(t, do(exitOK, "", "verify", name, "--repair", "--from", from, "--to", to, "--json"))
	if r := again.Progress.Report; r.Missing != 0 || r.Events < j.Progress.Report.Repaired {
		t.Errorf("the repair of what is whole came to %+v", r)
	}
	do(exitOK, j.ID, "jobs", "list", name)
	do(exitOK, "ticket 4711", "jobs", "show", j.ID, "--watch")
	do(exitOK, "job.ask", "audit", name)
	do(exitFail, "has ended already", "jobs", "cancel", j.ID)
	if _, out, _ := runCommand(t, "__complete", "jobs", "show", "--config", file, ""); !strings.Contains(out, again.ID+"\t"+name+" repair") {
		t.Errorf("the ids of jobs complete as %s", out)
	}

	// Nobody serves the connector: the job waits, and can be cancelled.
	if code := service.end(); code != exitOK {
		t.Errorf("run: got exit %d\n%s", code, service.errs.String())
	}
	waiting := readJob(t, do(exitOK, "", "verify", name, "--repair", "--detach", "--json"))
	if waiting.State != "waiting" {
		t.Errorf("with nobody there a job is %s", waiting.State)
	}
	watching := startCommand(t, "jobs", "show", waiting.ID, "--watch", "--config", file)
	defer watching.end()
	do(exitOK, "is cancelled", "verify", name, "--cancel", "--reason", "not needed")
	eventually(t, "the watching to end", func() bool { return strings.Contains(watching.out.String(), "cancelled by") })
}
