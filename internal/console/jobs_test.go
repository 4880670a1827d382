package console

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"onelogin-kafka/internal/jobs"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/schemas"
)

// pile is a Jobs in memory.
type pile struct {
	mu  sync.Mutex
	all []jobs.Job
}

func (p *pile) List(context.Context, ...string) ([]jobs.Job, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all), nil
}

func (p *pile) Get(_ context.Context, id string) (jobs.Job, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, j := range p.all {
		if j.ID == id {
			return j, nil
		}
	}
	return jobs.Job{}, fmt.Errorf("job %w", jobs.ErrNotFound)
}

func (p *pile) Plan(_ context.Context, w jobs.Wish) (jobs.Plan, error) {
	if w.From.After(time.Now()) {
		return jobs.Plan{}, fmt.Errorf("%w: in the future", jobs.ErrRefused)
	}
	return jobs.Plan{Wish: w, To: w.From.Add(time.Hour)}, nil
}

func (p *pile) Ask(_ context.Context, w jobs.Wish, who registry.Who) (jobs.Job, error) {
	r := schemas.JobRequest{ID: "20261127-060000-abcde", Kind: w.Kind, Connector: w.Connector, From: w.From, AskedBy: who.By, AskedAt: time.Now(), Reason: who.Reason}
	progress := &schemas.JobProgress{ID: r.ID, Kind: w.Kind, State: schemas.JobRunning, Instance: "two", StartedAt: time.Now(), UpdatedAt: time.Now(), Report: schemas.Report{From: w.From, To: w.From.Add(time.Hour), Through: w.From.Add(15 * time.Minute), Events: 42, Missing: 3, Repaired: 2}}
	j := jobs.Job{ID: r.ID, Connector: r.Connector, State: jobs.Running, Request: r, Progress: progress}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, j)
	return j, nil
}

func (p *pile) Cancel(ctx context.Context, id string, _ registry.Who) (jobs.Job, error) {
	j, err := p.Get(ctx, id)
	if err == nil && j.State.Ended() {
		return j, fmt.Errorf("job %w", jobs.ErrEnded)
	}
	if err == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.all[0].State = jobs.Cancelled
		j = p.all[0]
	}
	return j, err
}

// TestJobs: a job is asked for as it was seen, shown with how far it is, and
// cancelled, by the API and by pages; a viewer is offered none of it.
func TestJobs(t *testing.T) {
	t.Parallel()
	o, d := open(), newDocument(t)
	o.Desk = NewDesk(&pile{}, zerolog.Nop())
	h := Handler(o)
	const body = `{"kind":"repair","connector":"acme","from":"2026-11-26T00:00:00Z","reason":"ticket <4711>"}`
	const id = "20261127-060000-abcde"
	for _, c := range []struct {
		operation, path, body string
		status                int
	}{
		{"GET /api/v1/jobs", "", "", 200}, {"POST /api/v1/job-plan", "", body, 200}, {"POST /api/v1/job-plan", "", strings.Replace(body, "2026", "2926", 1), 422},
		{"POST /api/v1/job-plan", "", `{"kind":"repair","connector":"acme","from":"now"}`, 422}, {"POST /api/v1/jobs", "", body, 201}, {"GET /api/v1/jobs", "", "", 200},
		{"GET /api/v1/jobs/{id}", id, "", 200}, {"GET /api/v1/jobs/{id}", "none", "", 404},
	} {
		method, path, _ := strings.Cut(strings.ReplaceAll(c.operation, "{id}", c.path), " ")
		w := ask(h, method, path, c.body, "Content-Type: application/json")
		if w.Code != c.status {
			t.Errorf("%s: got status %d, want %d: %s", c.operation, w.Code, c.status, w.Body)
		}
		d.hold(c.operation, w)
	}
	for _, path := range []string{"/jobs", "/connectors/acme"} {
		page := ask(h, "GET", path, "").Body.String()
		for _, sign := range []string{id, "42 events, 3 missing, 2 published", `aria-label="25 % compared"`, "ticket &lt;4711&gt;", "/cancel"} {
			if !strings.Contains(page, sign) {
				t.Errorf("%s: %q is not on the page", path, sign)
			}
		}
	}
	form := map[string]string{"action": "plan", "kind": "backfill", "connector": "acme", "from": "2026-11-26T00:00:00Z"}
	if page := fill(h, "/jobs/new", form).Body.String(); !strings.Contains(page, "to 2026-11-26T01:00:00Z") || !strings.Contains(page, `value="ask"`) || !strings.Contains(page, `name="to" value="2026-11-26T01:00:00Z"`) {
		t.Errorf("the plan is not shown: %s", page)
	}
	if page := ask(h, "GET", "/jobs/new?connector=acme", "").Body.String(); !strings.Contains(page, `value="acme"`) {
		t.Errorf("got %s", page)
	}
	form["action"] = "ask"
	if w := fill(h, "/jobs/new", form); w.Code != http.StatusSeeOther {
		t.Errorf("got status %d", w.Code)
	}
	for _, status := range []int{200, 409} {
		w := ask(h, "POST", "/api/v1/jobs/"+id+"/cancel", "")
		if w.Code != status {
			t.Errorf("got status %d, want %d", w.Code, status)
		}
		d.hold("POST /api/v1/jobs/{id}/cancel", w)
	}
	guarded := withTokens()
	guarded.Desk = o.Desk
	if page := ask(Handler(guarded), "GET", "/jobs", "", "Authorization: Bearer "+viewerToken).Body.String(); strings.Contains(page, "/cancel") || strings.Contains(page, "New job") {
		t.Error("a viewer is offered what would be refused")
	}
}
