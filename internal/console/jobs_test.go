package console

import (
	"context"
	"encoding/json"
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
	// The script needs somewhere to put the first that is begun.
	if page := ask(h, "GET", "/jobs", "").Body.String(); !strings.Contains(page, `data-live="jobs="`) || !strings.Contains(page, `<section hidden>`) || !strings.Contains(page, `id="jobs"`) {
		t.Errorf("the page without jobs is %s", page)
	}
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

// TestManyJobs: they come by pages, the newest first, and a stream tells of the
// newest.
func TestManyJobs(t *testing.T) {
	t.Parallel()
	src := &pile{}
	for n := range 250 {
		src.all = append(src.all, jobs.Job{ID: fmt.Sprintf("20261127-060000-%05d", 250-n), Connector: "acme", State: jobs.Waiting})
	}
	o, d := open(), newDocument(t)
	o.Desk = NewDesk(src, zerolog.Nop())
	if err := o.Desk.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := Handler(o)
	for _, c := range []struct {
		query, first string
		status, n    int
	}{
		{"", "00250", 200, 100}, {"?page=3", "00050", 200, 50}, {"?page=2&per_page=200&connector=acme", "00050", 200, 50}, {"?page=9", "", 200, 0},
		{"?page=0", "", 400, 0}, {"?per_page=1001", "", 400, 0}, {"?page=", "", 400, 0},
	} {
		w := ask(h, "GET", "/api/v1/jobs"+c.query, "")
		body := slices.Clone(w.Body.Bytes())
		d.hold("GET /api/v1/jobs", w)
		var got struct {
			Jobs  []struct{ ID string }
			Total int
		}
		if w.Code != c.status {
			t.Fatalf("%s: got status %d, want %d: %s", c.query, w.Code, c.status, w.Body)
		}
		if c.status != 200 {
			continue
		}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Jobs) != c.n || got.Total != 250 || c.n > 0 && !strings.HasSuffix(got.Jobs[0].ID, c.first) {
			t.Errorf("%s: got %d jobs of %d, want %d of 250 from %s on", c.query, len(got.Jobs), got.Total, c.n, c.first)
		}
	}
	for path, signs := range map[string][]string{
		"/jobs":                       {`id="jobs"`, "00250", "00151", "/jobs?page=2", "1 to 100 of 250"},
		"/jobs?page=3&connector=acme": {"00050", "00001", "/jobs?connector=acme&amp;page=2"},
		"/connectors/acme":            {`id="jobs"`, "00250", "00151"},
	} {
		page := ask(h, "GET", path, "").Body.String()
		for _, sign := range signs {
			if !strings.Contains(page, sign) {
				t.Errorf("%s lacks %q", path, sign)
			}
		}
		if strings.Contains(page, "00150") {
			t.Errorf("%s shows a job of page 2", path)
		}
	}
	if page := ask(h, "GET", "/jobs?page=3", "").Body.String(); strings.Contains(page, `id="jobs"`) {
		t.Error("a stream would put the newest on the last page")
	}
}
