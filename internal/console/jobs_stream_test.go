package console

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"onelogin-kafka/internal/jobs"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/schemas"
)

// TestStreamOfJobs: an open page is told how far its jobs are, of new ones, and of
// none that is as before or another connector's.
func TestStreamOfJobs(t *testing.T) {
	t.Parallel()
	o, all := open(), &pile{}
	o.Desk = NewDesk(all, zerolog.Nop())
	look := func() {
		t.Helper()
		if err := o.Desk.look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(connector, id string) {
		t.Helper()
		if _, err := all.Ask(t.Context(), jobs.Wish{Kind: schemas.JobVerify, Connector: connector, From: time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)}, registry.Who{By: "somebody"}); err != nil {
			t.Fatal(err)
		}
		all.all[len(all.all)-1].ID = id
	}
	ask("acme", "first")
	look()
	job := events(t, o, "jobs=acme")
	next := func() (row jobRow) {
		t.Helper()
		if err := json.Unmarshal(job("job"), &row); err != nil {
			t.Fatal(err)
		}
		return row
	}
	if row := next(); row.ID != "first" || row.Percent != 25 || row.Ended || row.Instance != "two" {
		t.Errorf("got %+v", row)
	}
	ask("globex", "other")
	ask("acme", "second")
	look()
	if row := next(); row.ID != "second" {
		t.Errorf("got %+v", row)
	}
	all.mu.Lock()
	progress := *all.all[0].Progress
	progress.Report.Through = progress.Report.To
	all.all[0].Progress, all.all[0].State = &progress, jobs.Done
	all.mu.Unlock()
	look()
	if row := next(); row.ID != "first" || row.Percent != 100 || !row.Ended {
		t.Errorf("got %+v", row)
	}
}
