package console

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"onelogin-kafka/internal/fleet"
	"onelogin-kafka/schemas"
)

//go:embed templates static
var files embed.FS

// static serves the script and the style sheet.
func static(w http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(w, r, files, "static/"+r.PathValue("file"))
}

// helpers are what templates call.
var helpers = template.FuncMap{
	"ago":   func(t time.Time) string { return ago(time.Since(t)) },
	"stamp": stamp,
	"lag":   lagText, "budget": budgetText, "why": whyText,
	"seconds": func(s float64) string { return ago(time.Duration(s * float64(time.Second))) },
	"blank":   func(row string) any { return blanks[row] },
}

// blanks are what the script makes rows of.
var blanks = map[string]any{"job": jobRow{}, "late": lateBucket{}, "error": errorRow{}, "state": stateRow{}, "change": changeRow{}, "instance": instanceRow{}, "rebalance": rebalanceRow{}, "shard": Shard{}}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func ago(d time.Duration) string {
	if d < 0 {
		return "in " + fleet.Ago(-d)
	}
	if text := fleet.Ago(d); text != "now" {
		return text + " ago"
	}
	return "now"
}

func lagText(seconds float64) string {
	if seconds < 0 {
		return "–"
	}
	if seconds < 10 {
		return strconv.FormatFloat(seconds, 'f', 1, 64) + " s"
	}
	return fleet.Ago(time.Duration(seconds * float64(time.Second)))
}

func budgetText(r schemas.RateLimit) string {
	if r.Limit <= 0 {
		return "–"
	}
	return strconv.Itoa(100*r.Remaining/r.Limit) + " %"
}

// whyText is what is wrong, in DNIF's form, and what to do.
func whyText(s rowView) string {
	text := staged(s.Stage, s.Message)
	if s.Advice != "" {
		text += " → " + s.Advice
	}
	return text
}

func pageOf(name string) *template.Template {
	return template.Must(template.New(name).Funcs(helpers).ParseFS(files, "templates/layout.html", "templates/"+name+".html"))
}

var (
	statusTemplate, connectorTemplate = pageOf("status"), pageOf("connector")
	fleetTemplate, auditTemplate      = pageOf("fleet"), pageOf("audit")
	signInTemplate, formTemplate      = pageOf("login"), pageOf("form")
	removeTemplate, positionTemplate  = pageOf("remove"), pageOf("position")
	jobsTemplate, jobTemplate         = pageOf("jobs"), pageOf("job")
	problemTemplate                   = pageOf("problem")
)

// frame is what all pages have around them.
type frame struct {
	Title string
	// Known is false for who is not let in yet.
	Known, Session bool
	Role           string
	Nav            []navItem
	// Trouble says why what is shown may be old.
	Trouble string
	// Refresh has the page kept up to date: by a stream, which is asked for Live beside
	// the connectors that the page shows, or by loading it again.
	Refresh bool
	Live    string
	// Elsewhere are instances that show the same, Path is what they are asked for.
	Elsewhere []Elsewhere
	Path      string
	// Writes tells that the caller may change things: what would be refused is not
	// offered.
	Writes bool
}

type navItem struct {
	Path, Text string
	Here       bool
}

func (o *Options) frame(r *http.Request, title string) frame {
	c := callerOf(r)
	f := frame{Title: title, Known: c.role != nobody, Session: c.session, Role: c.role.String(), Writes: c.role == admin, Elsewhere: o.elsewhere(r, time.Now()), Path: "/"}
	if r.Method == http.MethodGet {
		f.Path = r.URL.RequestURI()
	}
	for _, n := range []navItem{{Path: "/", Text: "Collection Status"}, {Path: "/jobs", Text: "Jobs"}, {Path: "/fleet", Text: "Fleet"}, {Path: "/audit", Text: "Audit"}} {
		n.Here = n.Path == r.URL.Path
		f.Nav = append(f.Nav, n)
	}
	return f
}

// show writes a page, whole or not at all.
func (o *Options) show(w http.ResponseWriter, status int, t *template.Template, page any) {
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "layout", page); err != nil {
		o.Log.Error().Err(err).Msg("a page of the console cannot be drawn")
		refuse(w, http.StatusInternalServerError, "The page cannot be drawn; the log of this instance says why.")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // fails only when the caller has gone
}

// packed is for a page that has no secret and no handle of a form: the length of
// what is packed tells of them.
func packed(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept-Encoding")
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h(w, r)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
		if err != nil {
			panic("console: " + err.Error()) // impossible: the level is one
		}
		defer z.Close()
		h(&packer{w, z}, r)
	}
}

// packer packs what is written.
type packer struct {
	http.ResponseWriter
	to io.Writer
}

func (p *packer) Write(b []byte) (int, error) { return p.to.Write(b) }

// rowView is a connector as pages show it.
type rowView struct {
	fleet.Status
	// RatePath draws the events of the last minutes in 120 by 24, RateText says them.
	RatePath, RateText string
}

func (o *Options) view(s *fleet.Status, now time.Time) rowView {
	rate := o.Board.Rate(s.Connector, now)
	total := int64(0)
	for _, n := range rate {
		total += n
	}
	return rowView{
		Status: *s, RatePath: ratePath(rate),
		RateText: fmt.Sprintf("%d in %d minutes, at most %d in one", total, len(rate), slices.Max(rate)),
	}
}

// ratePath is an area of one step for each minute; a minute of the most events is
// as high as the picture. The script draws the same.
func ratePath(rate []int64) string {
	most := max(slices.Max(rate), 1)
	width := 120 / len(rate)
	var b strings.Builder
	b.WriteString("M0 24")
	for i, n := range rate {
		if i+1 == len(rate) || 22*rate[i+1]/most != 22*n/most {
			fmt.Fprintf(&b, "V%dH%d", 24-22*n/most, (i+1)*width)
		}
	}
	b.WriteString("V24Z")
	return b.String()
}

type stateCount struct {
	State schemas.State
	N     int
}

type sortItem struct{ Key, Text string }

// sortItems are what the page offers to sort by.
var sortItems = []sortItem{
	{"worst", "Worst first"}, {"name", "Name"}, {"-lag", "Lag"}, {"last_event", "Oldest last event"}, {"-last_event", "Newest event"}, {"complete_through", "Complete through"},
	{"budget", "Least budget left"}, {"-events", "Most events"}, {"owner", "Owner"}, {"-age", "Not heard of for longest"},
}

type statusPage struct {
	frame
	turn
	Query    query
	Counts   []stateCount
	All      int
	Sorts    []sortItem
	Rows     []rowView
	Filtered bool
}

// Link is this page with another value of a parameter, from its first page on.
func (p *statusPage) Link(key, value string) string { return p.Query.path(key, value) }

func (q query) path(key, value string) string {
	return q.link("/", "state", string(q.State), key, value)
}

func (o *Options) statusPage(w http.ResponseWriter, r *http.Request) {
	q, wrong := parseQuery(r.URL.Query())
	if len(wrong) > 0 {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	q.PerPage = perPage
	now := time.Now()
	all, err := o.Board.List(now)
	f := q.find(all)
	p := &statusPage{frame: o.frame(r, "Collection Status"), Query: q, Sorts: sortItems, Filtered: q.Text != "" || q.State != ""}
	p.Refresh, p.Trouble = true, trouble(err)
	for _, s := range schemas.States {
		p.Counts = append(p.Counts, stateCount{s, f.counts[s]})
		p.All += f.counts[s]
	}
	for _, s := range f.rows {
		p.Rows = append(p.Rows, o.view(s, now))
	}
	p.turn = q.turn(f.total, func(n string) string { return q.path("page", n) })
	o.show(w, http.StatusOK, statusTemplate, p)
}

type notice struct {
	Bad  bool
	Text string
}

type connectorPage struct {
	frame
	details
	Row    rowView
	Saved  *schemas.Connector // on the control log; nil = it is not
	Shadow string
	Check  *Check
	Notice *notice
	// Positions tells that its position can be set back here.
	Positions bool
	// jobsTable is of its own jobs; Works tells that they can be asked for.
	jobsTable
	Works bool
}

func (o *Options) connectorPage(w http.ResponseWriter, r *http.Request) {
	o.showConnector(w, r, http.StatusOK, nil, nil)
}

// showConnector shows a connector with the result of what was asked for.
func (o *Options) showConnector(w http.ResponseWriter, r *http.Request, status int, check *Check, n *notice) {
	name, now := r.PathValue("name"), time.Now()
	s, ok := o.Board.Get(name, now)
	saved, err := o.saved(name)
	if !ok && saved != nil {
		s, ok = fleet.Status{ConnectorStatus: schemas.ConnectorStatus{
			Connector: name, Domain: saved.Domain, State: schemas.StateInactive, LagSeconds: -1,
			Message: "it was saved and no instance has reported it yet", Since: saved.UpdatedAt,
		}}, true
	}
	if !ok {
		refuse(w, http.StatusNotFound, noConnector)
		return
	}
	p := &connectorPage{frame: o.frame(r, name), details: o.details(&s), Row: o.view(&s, now), Saved: saved, Check: check, Notice: n, Positions: o.Positions != nil}
	p.Path = "/connectors/" + name
	p.Refresh = check == nil && n == nil && r.Method == http.MethodGet
	p.Live = url.Values{"details": {name}, "jobs": {name}}.Encode()
	if o.Desk != nil {
		p.jobsTable, p.Works = o.Desk.table(name, paging{1, perPage}), true
	}
	p.Trouble = o.trouble(p.Works, true)
	switch {
	case err != nil:
		p.Shadow = err.Error()
	case saved == nil && o.Control != nil:
		p.Shadow = "It is configured in a file. Change it there: the file is read again."
	}
	o.show(w, status, connectorTemplate, p)
}

type fleetPage struct {
	frame
	turn
	Search search
	Sorts  []sortItem
	Fleet  Fleet
	fleetLists
}

func (o *Options) fleetPage(w http.ResponseWriter, r *http.Request) {
	s, wrong := parseSearch(r.URL.Query(), instanceOrders, "instance")
	if len(wrong) > 0 {
		http.Redirect(w, r, "/fleet", http.StatusSeeOther)
		return
	}
	s.PerPage = perPage
	now := time.Now()
	f := o.theFleet(s, now)
	p := &fleetPage{frame: o.frame(r, "Fleet"), Search: s, Sorts: instanceSorts, Fleet: f, fleetLists: listsOf(&f, now)}
	p.turn = s.turn(f.Total, func(n string) string { return s.link("/fleet", "page", n) })
	p.Trouble, p.Refresh = o.trouble(false, false), true
	p.Live = url.Values{"fleet": {r.URL.RawQuery}}.Encode()
	o.show(w, http.StatusOK, fleetTemplate, p)
}

type auditPage struct {
	frame
	turn
	Query   changeQuery
	Sorts   []sortItem
	Changes []changeRow
}

func (o *Options) auditPage(w http.ResponseWriter, r *http.Request) {
	q, wrong := parseChanges(r.URL.Query())
	if len(wrong) > 0 {
		http.Redirect(w, r, "/audit", http.StatusSeeOther)
		return
	}
	q.PerPage = perPage
	entries, total, _ := o.Trail.Find(q)
	p := &auditPage{frame: o.frame(r, "Audit"), Query: q, Sorts: changeSorts, Changes: changeRows(entries)}
	p.turn = q.turn(total, func(n string) string { return q.link("/audit", "connector", q.Connector, "page", n) })
	p.Trouble, p.Refresh = o.trouble(false, true), true
	p.Live = url.Values{"audit": {r.URL.RawQuery}}.Encode()
	o.show(w, http.StatusOK, auditTemplate, p)
}

// checkPage tests a connector that is saved.
func (o *Options) checkPage(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := checkContext(r)
	defer cancel()
	result, ok := o.Check(ctx, r.PathValue("name"))
	if !ok {
		o.showConnector(w, r, http.StatusOK, nil, &notice{Bad: true, Text: "This instance has no configuration for it yet; try again in a second."})
		return
	}
	o.showConnector(w, r, http.StatusOK, &result, nil)
}
