// Package console is the HTTP side of an instance: health, readiness, metrics,
// and the state of connectors and shards as JSON. It changes nothing; it can
// have a connector's connection tested.
package console

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
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
	// "Authorization: Bearer <token>", all but /healthz and /readyz. Its error
	// must not hold it.
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
	tls      *tls.Config // nil for plain HTTP
}

// errPair says no more than it does: what the library says of a certificate and
// a key can quote their files.
var errPair = errors.New("reading http.tls: cert_file and key_file cannot be read, or are no pair of a certificate and its key in PEM form")

// Listen opens the listener, so that a taken port and a certificate that cannot
// be used are errors at the start.
func Listen(opts Options) (*Server, error) {
	s := &Server{opts: opts}
	if opts.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(opts.CertFile, opts.KeyFile)
		if err != nil {
			return nil, errPair
		}
		s.tls = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	}
	l, err := net.Listen("tcp", opts.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening on http.listen: %w", err)
	}
	s.listener = l
	return s, nil
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
		TLSConfig:         s.tls,
		// It was handed a private key and every caller's token. Nothing that it
		// says of its own is about more than one connection.
		ErrorLog: log.New(io.Discard, "", 0),
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
	if s.tls != nil {
		err = srv.ServeTLS(s.listener, "", "")
	} else {
		err = srv.Serve(s.listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving HTTP: %w", err)
}

// route is a path of the console and what answers it.
type route struct {
	pattern string
	open    bool // without the token
	handler http.Handler
}

// Patterns lists what the console answers, as net/http writes patterns:
// "METHOD /path/{name}".
func Patterns() []string {
	o := &Options{Registry: prometheus.NewRegistry()}
	var all []string
	for _, r := range o.routes() {
		all = append(all, r.pattern)
	}
	return all
}

func (o *Options) routes() []route {
	return []route{
		{"GET /healthz", true, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") })},
		{"GET /readyz", true, http.HandlerFunc(o.ready)},
		{"GET /metrics", false, promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{})},
		{"GET /api/v1/connectors", false, http.HandlerFunc(o.connectors)},
		{"GET /api/v1/connectors/{name}", false, http.HandlerFunc(o.connector)},
		{"POST /api/v1/connectors/{name}/check", false, http.HandlerFunc(o.check)},
		{"GET /api/v1/shards", false, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, o.Shards()) })},
	}
}

// Handler answers the console's requests.
func Handler(opts Options) http.Handler {
	mux := http.NewServeMux()
	for _, r := range opts.routes() {
		if !r.open {
			r.handler = opts.guard(r.handler)
		}
		mux.Handle(r.pattern, r.handler)
	}
	// A page of another origin must not make a browser send a POST.
	return opts.recovering(http.NewCrossOriginProtection().Handler(mux))
}

// recovering tells of a panic, which net/http would print as it is.
func (o *Options) recovering(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch v := recover(); v {
			case nil:
			case http.ErrAbortHandler:
				panic(v)
			default:
				o.Log.Error().Str("type", fmt.Sprintf("%T", v)).Str("stack", string(debug.Stack())).Msg("a request to the console ended in a panic")
				panic(http.ErrAbortHandler)
			}
		}()
		h.ServeHTTP(w, r)
	})
}

func (o *Options) ready(w http.ResponseWriter, _ *http.Request) {
	if err := o.Ready(); err != nil {
		text(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	text(w, http.StatusOK, "ready")
}

func (o *Options) connectors(w http.ResponseWriter, _ *http.Request) {
	list := []json.RawMessage{}
	for _, c := range o.Connectors() {
		list = append(list, c.Marshal())
	}
	answer(w, list)
}

func (o *Options) connector(w http.ResponseWriter, r *http.Request) {
	for _, c := range o.Connectors() {
		if c.Connector == r.PathValue("name") {
			answer(w, json.RawMessage(c.Marshal()))
			return
		}
	}
	text(w, http.StatusNotFound, "no such connector on this instance")
}

// checkTimeout leaves time to answer within the server's own.
const checkTimeout = 25 * time.Second

func (o *Options) check(w http.ResponseWriter, r *http.Request) {
	if o.Check == nil {
		http.NotFound(w, r)
		return
	}
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
func (o *Options) guard(h http.Handler) http.Handler {
	if o.Token == nil {
		return h
	}
	var unread atomic.Bool
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		want, err := o.Token()
		// Once, not for each request of whoever asks.
		if was := unread.Swap(err != nil); err != nil && !was {
			o.Log.Error().Err(err).Msg("the console's token cannot be read: nobody is let in")
		}
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
