// Package console is the HTTP side of an instance: health, readiness, metrics,
// and the state of connectors and shards as JSON. It changes nothing; it can
// have a connector's connection tested.
package console

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"

	"onelogin-kafka/schemas"
)

// Shard is an owned shard as the API shows it.
type Shard struct {
	Shard int32     `json:"shard"`
	Since time.Time `json:"since"`
	State string    `json:"state"`
	Error string    `json:"error,omitempty"`
}

// Check is the result of a connection test, in DNIF's words.
type Check struct {
	Connector string `json:"connector"`
	OK        bool   `json:"ok"`
	// Stage is where it failed; empty for a success.
	Stage   string `json:"stage"`
	Message string `json:"message"`
	// Cause is the technical side of Message, Advice what to do.
	Cause  string  `json:"cause,omitempty"`
	Advice string  `json:"advice,omitempty"`
	Took   float64 `json:"took_seconds"`
}

// Options say where to listen and what to show.
type Options struct {
	// Listen is host:port. CertFile and KeyFile, if not empty, secure it.
	Listen            string
	CertFile, KeyFile string
	// Token, if not nil, returns what callers must present as
	// "Authorization: Bearer <token>", all but /healthz and /readyz.
	Token func() (string, error)

	Registry   prometheus.Gatherer
	Ready      func() error
	Connectors func() []schemas.ConnectorStatus
	Shards     func() []Shard
	// Check tests a connector's connection; false if there is no such
	// connector. nil = tests are not offered.
	Check func(ctx context.Context, connector string) (Check, bool)
	Log   zerolog.Logger
}

// Server is a listener that is open.
type Server struct {
	opts     Options
	listener net.Listener
}

// Listen opens the listener, so that a taken port is an error at the start.
func Listen(opts Options) (*Server, error) {
	l, err := net.Listen("tcp", opts.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening on http.listen: %w", err)
	}
	return &Server{opts: opts, listener: l}, nil
}

// Addr is the address listened on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve answers until ctx ends.
func (s *Server) Serve(ctx context.Context) error {
	srv := &http.Server{
		Handler:           Handler(s.opts),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			srv.Close()
		}
	})
	defer stop()
	var err error
	if s.opts.CertFile != "" {
		err = srv.ServeTLS(s.listener, s.opts.CertFile, s.opts.KeyFile)
	} else {
		err = srv.Serve(s.listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving HTTP: %w", err)
}

// Handler answers the console's requests.
func Handler(opts Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := opts.Ready(); err != nil {
			text(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		text(w, http.StatusOK, "ready")
	})
	guarded := func(pattern string, h http.Handler) { mux.Handle(pattern, guard(opts.Token, h)) }
	guarded("GET /metrics", promhttp.HandlerFor(opts.Registry, promhttp.HandlerOpts{}))
	guarded("GET /api/v1/connectors", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		list := []json.RawMessage{}
		for _, c := range opts.Connectors() {
			list = append(list, c.Marshal())
		}
		answer(w, list)
	}))
	guarded("GET /api/v1/connectors/{name}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, c := range opts.Connectors() {
			if c.Connector == r.PathValue("name") {
				answer(w, json.RawMessage(c.Marshal()))
				return
			}
		}
		text(w, http.StatusNotFound, "no such connector on this instance")
	}))
	guarded("GET /api/v1/shards", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, opts.Shards()) }))
	if opts.Check != nil {
		guarded("POST /api/v1/connectors/{name}/check", http.HandlerFunc(opts.check))
	}
	// A page of another origin must not make a browser send a POST.
	return http.NewCrossOriginProtection().Handler(mux)
}

// checkTimeout leaves time to answer within the server's own.
const checkTimeout = 25 * time.Second

func (o *Options) check(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	result, ok := o.Check(ctx, r.PathValue("name"))
	if !ok {
		text(w, http.StatusNotFound, "no such connector in this instance's configuration")
		return
	}
	answer(w, result)
}

func text(w http.ResponseWriter, code int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = fmt.Fprintln(w, s)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_ = json.NewEncoder(w).Encode(v) // fails only when the caller has gone
}

// guard asks for the token. It is read for each request, so that a rotated file
// needs no restart.
func guard(token func() (string, error), h http.Handler) http.Handler {
	if token == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		want, err := token()
		got, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		// Hashed first, so that the time taken tells nothing of the length.
		g, h2 := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
		if err != nil || !ok || want == "" || subtle.ConstantTimeCompare(g[:], h2[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			text(w, http.StatusUnauthorized, "a token is needed")
			return
		}
		h.ServeHTTP(w, r)
	})
}
