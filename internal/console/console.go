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
	// Hosts are the names, besides Listen's and loopback, by which callers may
	// ask for this instance; without port.
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
	// Shards are those of this instance.
	Shards func() []Shard
	// Check tests a connector's connection; false if there is no such
	// connector. nil = tests are not offered.
	Check func(ctx context.Context, connector string) (Check, bool)
	// CheckDraft tests one that is not saved; it may have problems instead.
	CheckDraft func(ctx context.Context, d Draft) (Check, []FieldProblem)
	Log        zerolog.Logger
}

// route is a path of the console, what answers it, and who may ask.
type route struct {
	pattern string
	needs   role
	handler http.Handler
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
	return []route{
		{"GET /healthz", nobody, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") })},
		{"GET /readyz", nobody, http.HandlerFunc(o.ready)},
		{"GET /login", nobody, http.HandlerFunc(d.signInPage)},
		{"POST /login", nobody, http.HandlerFunc(d.signIn)},
		{"POST /logout", nobody, http.HandlerFunc(d.signOut)},
		{"GET /metrics", viewer, promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{})},
		{"GET /api/v1/openapi.json", viewer, http.HandlerFunc(openAPI)},
		{"GET /api/v1/stream", viewer, http.HandlerFunc((&streams{opts: o}).serve)},
		{"GET /api/v1/fleet", viewer, http.HandlerFunc(o.fleet)},
		{"GET /api/v1/connectors", viewer, http.HandlerFunc(o.connectors)},
		{"GET /api/v1/connectors/{name}", viewer, http.HandlerFunc(o.connector)},
		{"POST /api/v1/connectors/{name}/check", admin, http.HandlerFunc(o.check)},
		{"GET /api/v1/audit", viewer, http.HandlerFunc(o.audit)},
		{"POST /api/v1/check", admin, http.HandlerFunc(o.checkDraft)},
		{"GET /api/v1/shards", viewer, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, o.Shards()) })},
	}
}

// Handler answers the console's requests.
func Handler(opts Options) http.Handler {
	d := newDoors(&opts)
	mux := http.NewServeMux()
	for _, r := range opts.routes(d) {
		if r.needs != nobody {
			r.handler = d.need(r.needs, r.handler)
		}
		mux.Handle(r.pattern, r.handler)
	}
	// A page of another origin must not make a browser send a POST.
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusForbidden, "A page of another origin may not ask for this.")
	}))
	return opts.recovering(headers(opts.known(bounded(origins.Handler(strict(mux))))))
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
