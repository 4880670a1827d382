// Package console is the HTTP side of an instance: health, readiness, metrics,
// the API under /api/v1, which openapi.json describes, and the pages. What is
// listed is the fleet's, by what the topics say.
package console

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
)

// Shard is an owned shard as the API shows it.
type Shard struct {
	Shard int32     `json:"shard"`
	Since time.Time `json:"since"`
	State string    `json:"state"`
	Error string    `json:"error,omitempty"`
}

// Options say where to listen and what to show.
type Options struct {
	// Listen is host:port. CertFile and KeyFile, if not empty, secure it.
	Listen            string
	CertFile, KeyFile string
	// URL is where people reach it; empty = by Listen.
	URL string
	// Hosts are the names, besides Listen's, URL's and loopback, by which callers
	// may ask for this instance; without port.
	Hosts []string
	// Token, if not nil, returns what callers must present as
	// "Authorization: Bearer <token>", all but /healthz and /readyz, or sign in
	// with. Its error must not hold it. ViewerToken, if not nil, returns what is
	// enough to look.
	Token, ViewerToken func() (string, error)

	Registry prometheus.Gatherer
	Ready    func() error
	// Instance is the name of this one, Version what it was built from.
	Instance, Version string
	// Board is how all connectors fare.
	Board *Board
	// Trail is who changed what.
	Trail *Trail
	// Control changes connectors; nil = it cannot be done here.
	Control Control
	// Positions moves positions; nil = it cannot be done here.
	Positions Positions
	// Desk has the fleet's jobs; nil = there are none here.
	Desk *Desk
	// Suggested is what the form for a new connector begins with.
	Suggested Draft
	// Shards are those of this instance.
	Shards func() []Shard
	// Check tests a connector's connection; false if there is no such
	// connector. nil = tests are not offered.
	Check func(ctx context.Context, connector string) (Check, bool)
	// CheckDraft tests one that is not saved; it may have problems instead.
	CheckDraft func(ctx context.Context, d Draft) (Check, []FieldProblem)
	Log        zerolog.Logger

	// Made by Handler:
	held  *holds
	plans *kept[Move]
}

// route is a path of the console, what answers it, and who may ask.
type route struct {
	pattern string
	needs   role
	handler http.HandlerFunc
}

// Patterns lists what the console answers, as net/http writes patterns:
// "METHOD /path/{name}".
func Patterns() []string {
	o := &Options{Registry: prometheus.NewRegistry()}
	var all []string
	for _, r := range o.routes(newDoors(o)) {
		all = append(all, r.pattern)
	}
	return all
}

func (o *Options) routes(d *doors) []route {
	all := []route{
		{"GET /healthz", nobody, func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") }},
		{"GET /readyz", nobody, o.ready},
		{"GET /static/{file}", nobody, static},
		{"GET /login", nobody, d.signInPage},
		{"POST /login", nobody, d.signIn},
		{"POST /logout", nobody, d.signOut},
		{"GET /metrics", viewer, promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{}).ServeHTTP},
	}
	return append(append(all, o.apiRoutes(d)...), o.pageRoutes()...)
}

func (o *Options) apiRoutes(d *doors) []route {
	return []route{
		{"GET /api/v1/openapi.json", viewer, openAPI},
		{"GET /api/v1/stream", viewer, (&streams{opts: o, doors: d}).serve},
		{"GET /api/v1/fleet", viewer, o.fleet},
		{"GET /api/v1/shards", viewer, func(w http.ResponseWriter, _ *http.Request) { answer(w, o.Shards()) }},
		{"GET /api/v1/audit", viewer, o.audit},
		{"GET /api/v1/connectors", viewer, o.connectors},
		{"POST /api/v1/connectors", admin, o.keeping(o.create)},
		{"GET /api/v1/connectors/{name}", viewer, o.connector},
		{"PUT /api/v1/connectors/{name}", admin, o.keeping(o.replace)},
		{"DELETE /api/v1/connectors/{name}", admin, o.keeping(o.remove)},
		{"GET /api/v1/connectors/{name}/definition", viewer, o.keeping(o.definition)},
		{"POST /api/v1/connectors/{name}/pause", admin, o.keeping(o.pause)},
		{"POST /api/v1/connectors/{name}/check", admin, o.check},
		{"POST /api/v1/connectors/{name}/position/plan", admin, o.moving(o.planMove)},
		{"POST /api/v1/connectors/{name}/position", admin, o.moving(o.applyMove)},
		{"POST /api/v1/check", admin, o.checkDraft},
		{"GET /api/v1/jobs", viewer, o.working(o.listJobs)},
		{"POST /api/v1/jobs", admin, o.working(o.askJobAPI)},
		{"POST /api/v1/job-plan", admin, o.working(o.planJobAPI)},
		{"GET /api/v1/jobs/{id}", viewer, o.working(o.getJob)},
		{"POST /api/v1/jobs/{id}/cancel", admin, o.working(o.cancelJob)},
	}
}

func (o *Options) pageRoutes() []route {
	return []route{
		{"GET /{$}", viewer, packed(o.statusPage)},
		{"GET /fleet", viewer, o.fleetPage},
		{"GET /audit", viewer, o.auditPage},
		{"GET /jobs", viewer, o.working(o.jobsPage)},
		{"GET /jobs/new", admin, o.working(o.newJobPage)},
		{"POST /jobs/new", admin, o.working(o.submitJob)},
		{"POST /jobs/{id}/cancel", admin, o.working(o.cancelJobPage)},
		{"GET /new", admin, o.newPage},
		{"POST /new", admin, o.submit},
		{"GET /connectors/{name}", viewer, o.connectorPage},
		{"POST /connectors/{name}/check", admin, o.checkPage},
		{"GET /connectors/{name}/edit", admin, o.keeping(o.editPage)},
		{"POST /connectors/{name}/edit", admin, o.keeping(o.submit)},
		{"POST /connectors/{name}/pause", admin, o.keeping(o.pausePage)},
		{"GET /connectors/{name}/position", admin, o.moving(o.positionPage)},
		{"POST /connectors/{name}/position", admin, o.moving(o.movePage)},
		{"GET /connectors/{name}/remove", admin, o.keeping(o.askRemove)},
		{"POST /connectors/{name}/remove", admin, o.keeping(o.removePage)},
	}
}

// keeping answers only where connectors are kept as data.
func (o *Options) keeping(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if o.Control == nil {
			refuse(w, http.StatusNotImplemented, "This instance keeps no connectors as data.")
			return
		}
		h(w, r)
	}
}

// moving answers only where positions can be moved.
func (o *Options) moving(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if o.Positions == nil {
			refuse(w, http.StatusNotImplemented, "This instance moves no positions.")
			return
		}
		h(w, r)
	}
}

// working answers only where jobs can be asked for.
func (o *Options) working(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if o.Desk == nil {
			refuse(w, http.StatusNotImplemented, "This instance knows of no jobs.")
			return
		}
		h(w, r)
	}
}

// Handler answers the console's requests.
func Handler(opts Options) http.Handler {
	opts.held, opts.plans = &holds{}, &kept[Move]{}
	d := newDoors(&opts)
	mux := http.NewServeMux()
	for _, r := range opts.routes(d) {
		var h http.Handler = r.handler
		if r.needs != nobody {
			h = d.need(r.needs, h)
		}
		mux.Handle(r.pattern, h)
	}
	// A page of another origin must not make a browser send a POST.
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusForbidden, "A page of another origin may not ask for this.")
	}))
	return opts.recovering(headers(opts.known(bounded(d.readable(origins.Handler(strict(mux)))))))
}

func (o *Options) ready(w http.ResponseWriter, _ *http.Request) {
	if err := o.Ready(); err != nil {
		text(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	text(w, http.StatusOK, "ready")
}

func text(w http.ResponseWriter, code int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = fmt.Fprintln(w, s)
}
