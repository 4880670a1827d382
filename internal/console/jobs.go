package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"onelogin-kafka/internal/jobs"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/schemas"
)

// Jobs are the fleet's jobs, as *jobs.Board has them.
type Jobs interface {
	List(ctx context.Context, connectors ...string) ([]jobs.Job, error)
	Get(ctx context.Context, id string) (jobs.Job, error)
	Plan(ctx context.Context, w jobs.Wish) (jobs.Plan, error)
	Ask(ctx context.Context, w jobs.Wish, who registry.Who) (jobs.Job, error)
	Cancel(ctx context.Context, id string, who registry.Who) (jobs.Job, error)
}

// wish is a job as the API and the form are told of it.
type wish struct {
	Kind      schemas.JobKind `json:"kind"`
	Connector string          `json:"connector"`
	From      string          `json:"from"`
	To        *string         `json:"to"` // nil = as far as there is
	Older     bool            `json:"beyond_retention"`
	Reason    string          `json:"reason"`
}

// read is the wish with its times read.
func (s *wish) read() (jobs.Wish, []FieldProblem) {
	w := jobs.Wish{Kind: s.Kind, Connector: s.Connector, Older: s.Older}
	var wrong []FieldProblem
	for _, t := range []struct {
		name string
		text *string
		into *time.Time
	}{{"from", &s.From, &w.From}, {"to", s.To, &w.To}} {
		if t.text == nil {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, *t.text)
		if err != nil {
			wrong = append(wrong, FieldProblem{t.name, "is no time such as 2026-11-22T07:05:00Z"})
		}
		*t.into = at.UTC()
	}
	return w, wrong
}

// shownPlan is what a wish means, as the API shows it.
type shownPlan struct {
	Kind      schemas.JobKind `json:"kind"`
	Connector string          `json:"connector"`
	From      time.Time       `json:"from"`
	To        time.Time       `json:"to"`
	// Kept is the time from which on the topic keeps events, Why says what is
	// deleted before.
	Kept time.Time `json:"topic_begins,omitzero"`
	Why  string    `json:"why,omitempty"`
}

func failureOfJob(err error) *failure {
	retention, kept := errors.AsType[*jobs.RetentionError](err)
	switch {
	case kept:
		return &failure{status: http.StatusUnprocessableEntity, detail: sentence(retention.Error()), fields: []FieldProblem{{"beyond_retention", "would allow it"}}}
	case errors.Is(err, jobs.ErrRefused):
		return &failure{status: http.StatusUnprocessableEntity, detail: sentence(err.Error())}
	case errors.Is(err, jobs.ErrNotFound):
		return &failure{status: http.StatusNotFound, detail: "There is no such job on the control log."}
	case errors.Is(err, jobs.ErrEnded), errors.Is(err, schemas.ErrVersion):
		return &failure{status: http.StatusConflict, detail: sentence(err.Error())}
	}
	return failureOfKafka(err)
}

func (o *Options) planJob(ctx context.Context, s wish) (jobs.Plan, *failure) {
	w, wrong := s.read()
	if len(wrong) > 0 {
		return jobs.Plan{}, &failure{status: http.StatusUnprocessableEntity, detail: "It is not said which range.", fields: wrong}
	}
	p, err := o.Desk.jobs.Plan(ctx, w)
	if err != nil {
		return p, failureOfJob(err)
	}
	return p, nil
}

func (o *Options) askJob(ctx context.Context, s wish, by registry.Who) (jobs.Job, *failure) {
	w, wrong := s.read()
	if len(wrong) > 0 {
		return jobs.Job{}, &failure{status: http.StatusUnprocessableEntity, detail: "It is not said which range.", fields: wrong}
	}
	by.Reason = s.Reason
	j, err := o.Desk.jobs.Ask(ctx, w, by)
	if err != nil {
		return j, failureOfJob(err)
	}
	o.Desk.file(j)
	return j, nil
}

// connectorsOf is the filter of a list; nil for all.
func connectorsOf(r *http.Request) []string {
	if name := strings.TrimSpace(r.URL.Query().Get("connector")); name != "" {
		return []string{name}
	}
	return nil
}

// jobList is what GET /api/v1/jobs answers, the newest first.
type jobList struct {
	Jobs []jobs.Job `json:"jobs"`
	paged
}

func (o *Options) listJobs(w http.ResponseWriter, r *http.Request) {
	page, wrong := parsePaging(r.URL.Query())
	wrong = append(wrong, empty(r.URL.Query(), "page", "per_page")...)
	if len(wrong) > 0 {
		refuse(w, http.StatusBadRequest, "The query cannot be answered.", wrong...)
		return
	}
	ctx, cancel := writeContext(r)
	defer cancel()
	list, err := o.Desk.jobs.List(ctx, connectorsOf(r)...)
	if err != nil {
		failureOfJob(err).refuse(w)
		return
	}
	from, to := page.cut(len(list))
	answer(w, jobList{append([]jobs.Job{}, list[from:to]...), page.of(len(list))})
}

func (o *Options) getJob(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := writeContext(r)
	defer cancel()
	j, err := o.Desk.jobs.Get(ctx, r.PathValue("id"))
	if err != nil {
		failureOfJob(err).refuse(w)
		return
	}
	answer(w, j)
}

func (o *Options) planJobAPI(w http.ResponseWriter, r *http.Request) {
	var s wish
	if !read(w, r, &s) {
		return
	}
	ctx, cancel := writeContext(r)
	defer cancel()
	p, f := o.planJob(ctx, s)
	if f != nil {
		f.refuse(w)
		return
	}
	answer(w, shownPlan{p.Kind, p.Connector, p.From, p.To, p.Kept, p.Why})
}

func (o *Options) askJobAPI(w http.ResponseWriter, r *http.Request) {
	var s wish
	if !read(w, r, &s) {
		return
	}
	ctx, cancel := writeContext(r)
	defer cancel()
	j, f := o.askJob(ctx, s, who(r, "api"))
	if f != nil {
		f.refuse(w)
		return
	}
	w.Header().Set("Location", "/api/v1/jobs/"+j.ID)
	send(w, http.StatusCreated, "application/json", j)
}

func (o *Options) cancelJob(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := writeContext(r)
	defer cancel()
	j, err := o.Desk.jobs.Cancel(ctx, r.PathValue("id"), who(r, "api"))
	if err != nil {
		failureOfJob(err).refuse(w)
		return
	}
	o.Desk.file(j)
	answer(w, j)
}

// jobRow is a job as pages show it, and as a stream tells of it. Times that are
// zero are not known.
type jobRow struct {
	ID        string          `json:"id"`
	Connector string          `json:"connector"`
	Kind      schemas.JobKind `json:"kind"`
	State     jobs.State      `json:"state"`
	Ended     bool            `json:"ended"`
	AskedBy   string          `json:"asked_by"`
	AskedAt   time.Time       `json:"asked_at,omitzero"`
	Instance  string          `json:"instance"`
	UpdatedAt time.Time       `json:"updated_at,omitzero"`
	Range     string          `json:"range"`
	Percent   int             `json:"percent"` // of the range that was compared
	Found     string          `json:"found"`
	Reason    string          `json:"reason"`
}

func jobRowOf(j *jobs.Job) jobRow {
	r := jobRow{
		ID: j.ID, Connector: j.Connector, Kind: j.Request.Kind, State: j.State, Ended: j.State.Ended(), AskedBy: j.Request.AskedBy, AskedAt: j.Request.AskedAt,
		Range: stamp(j.Request.From), Percent: int(100 * j.Share()), Found: jobText(*j), Reason: j.Request.Reason,
	}
	if p := j.Progress; p != nil {
		r.Instance, r.UpdatedAt, r.Range = p.Instance, p.UpdatedAt, stamp(p.Report.From)+" to "+stamp(p.Report.To)
	}
	return r
}

// jobsTable is the part of a page that shows jobs.
type jobsTable struct {
	Jobs   []jobRow
	JobsAt time.Time // when they were read
	JobsOf string    // the connector; empty = all
	InAll  int       // jobs, on all pages
	Newest bool      // it is the page that a stream tells the news of
}

// table is a page of the jobs of a connector, of all where it is empty.
func (d *Desk) table(connector string, page paging) jobsTable {
	list, at, _ := d.Jobs(connector)
	t := jobsTable{JobsAt: at, JobsOf: connector, InAll: len(list), Newest: page.Page == 1}
	from, to := page.cut(len(list))
	for i := range list[from:to] {
		t.Jobs = append(t.Jobs, jobRowOf(&list[from+i]))
	}
	return t
}

type jobsPage struct {
	frame
	jobsTable
	turn
}

func (o *Options) jobsPage(w http.ResponseWriter, r *http.Request) {
	page, wrong := parsePaging(r.URL.Query())
	if len(wrong) > 0 {
		http.Redirect(w, r, "/jobs", http.StatusSeeOther)
		return
	}
	page.PerPage = perPage
	table := o.Desk.table(strings.TrimSpace(r.URL.Query().Get("connector")), page)
	p := &jobsPage{frame: o.frame(r, "Jobs"), jobsTable: table}
	p.Trouble, p.Refresh = o.trouble(true, false), true
	if table.Newest {
		p.Live = url.Values{"jobs": {table.JobsOf}}.Encode()
	}
	p.turn = page.turn(table.InAll, func(n string) string { return search{}.link("/jobs", "connector", table.JobsOf, "page", n) })
	o.show(w, http.StatusOK, jobsTemplate, p)
}

type jobPage struct {
	frame
	Wish  wish
	Plan  *shownPlan
	Wrong string
}

func (o *Options) newJobPage(w http.ResponseWriter, r *http.Request) {
	day := time.Now().UTC().Truncate(24 * time.Hour)
	p := &jobPage{frame: o.frame(r, "New job"), Wish: wish{Kind: schemas.JobVerify, Connector: r.URL.Query().Get("connector"), From: day.AddDate(0, 0, -1).Format(time.RFC3339)}}
	o.show(w, http.StatusOK, jobTemplate, p)
}

// submitJob plans first, and asks for what was seen.
func (o *Options) submitJob(w http.ResponseWriter, r *http.Request) {
	v := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	p := &jobPage{frame: o.frame(r, "New job"), Wish: wish{schemas.JobKind(v("kind")), v("connector"), v("from"), nil, v("older") != "", v("reason")}}
	if to := v("to"); to != "" {
		p.Wish.To = &to
	}
	ctx, cancel := writeContext(r)
	defer cancel()
	var f *failure
	if v("action") == "ask" {
		if _, f = o.askJob(ctx, p.Wish, who(r, "console")); f == nil {
			http.Redirect(w, r, "/jobs", http.StatusSeeOther)
			return
		}
	} else {
		var plan jobs.Plan
		if plan, f = o.planJob(ctx, p.Wish); f == nil {
			p.Plan = &shownPlan{plan.Kind, plan.Connector, plan.From, plan.To, plan.Kept, plan.Why}
			// What is asked for ends where it was seen to, however long that takes.
			to := plan.To.UTC().Format(time.RFC3339Nano)
			p.Wish.To = &to
		}
	}
	status := http.StatusOK
	if f != nil {
		status, p.Wrong = f.status, f.detail
		for _, x := range f.fields {
			p.Wrong += " " + x.Field + " " + x.Detail + "."
		}
	}
	o.show(w, status, jobTemplate, p)
}

func (o *Options) cancelJobPage(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := writeContext(r)
	defer cancel()
	j, err := o.Desk.jobs.Cancel(ctx, r.PathValue("id"), who(r, "console"))
	if err != nil {
		failureOfJob(err).refuse(w)
		return
	}
	o.Desk.file(j)
	http.Redirect(w, r, "/jobs", http.StatusSeeOther)
}

// jobText says what a job has found so far, or why nothing.
func jobText(j jobs.Job) string {
	if j.Err != nil {
		return j.Err.Error()
	}
	if j.Progress == nil {
		return ""
	}
	r := &j.Progress.Report
	text := strconv.FormatInt(r.Events, 10) + " events"
	for _, n := range []struct {
		what string
		n    int64
	}{{"missing", r.Missing}, {"published", r.Repaired}, {"altered", r.Altered}, {"more than once", r.Duplicate}, {"not shown any more", r.Unshown}} {
		if n.n > 0 {
			text += ", " + strconv.FormatInt(n.n, 10) + " " + n.what
		}
	}
	if j.Progress.Message != "" {
		text += "; " + j.Progress.Message
	}
	return text
}
