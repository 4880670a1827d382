package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Server is a simulated OneLogin. It is an http.Handler for the API and, under
// /_sim/, its control; API and Control serve one of both. It is safe for
// concurrent use and holds nothing that must be closed.
type Server struct {
	config  Config
	start   time.Time
	faults  *faults
	edge    edge
	handler http.Handler
	api     http.Handler
	control http.Handler
	request atomic.Uint64
	tokens  sync.Map // token -> *tenant

	mu      sync.RWMutex
	tenants []*tenant
	byName  map[string]*tenant
	clients map[string]*tenant // by client id
	budgets map[int64]*budget  // by account id
	noone   map[call]int64     // calls that are no tenant's
}

// The endpoints, as faults and statistics name them.
const (
	endpointEvents    = "events"
	endpointEvent     = "event"
	endpointTypes     = "types"
	endpointRateLimit = "rate_limit"
	endpointToken     = "token"
	endpointRevoke    = "revoke"
	endpointNone      = "none"
)

var endpoints = []string{
	endpointEvents, endpointEvent, endpointTypes, endpointRateLimit, endpointToken, endpointRevoke, endpointNone,
}

// New makes a Server. It fails if c contradicts itself.
func New(c Config) (*Server, error) {
	s := &Server{
		config:  c,
		faults:  newFaults(c.Seed),
		byName:  map[string]*tenant{},
		clients: map[string]*tenant{},
		budgets: map[int64]*budget{},
		noone:   map[call]int64{},
	}
	if c.HourlyLimit < 0 {
		return nil, fmt.Errorf("hourly_limit is negative")
	}
	switch c.Exhausted {
	case "", Exhausted429, Exhausted429HTML, Exhausted400:
	default:
		return nil, fmt.Errorf("exhausted is %q, not 429, 429_html or 400", c.Exhausted)
	}
	if err := s.SetEdge(c.Edge); err != nil {
		return nil, err
	}
	if s.start = c.Start; s.start.IsZero() {
		s.start = s.now()
	}
	for _, t := range c.Tenants {
		// The shape of events is part of what a restarted simulator repeats, so
		// it holds from the first event, not from the time of this call.
		for _, f := range c.Faults {
			if f.Tenant == "" || f.Tenant == t.Name {
				t.Traffic.set(f)
			}
		}
		if _, err := s.add(t, s.start); err != nil {
			return nil, err
		}
	}
	for _, f := range c.Faults {
		f, _, err := s.checkFault(f)
		if err != nil {
			return nil, err
		}
		s.faults.change(f)
	}
	s.route()
	return s, nil
}

// AddTenant adds a tenant while the simulator runs and returns it with all
// fields filled. Its backlog ends now.
func (s *Server) AddTenant(t Tenant) (Tenant, error) { return s.add(t, s.now()) }

func (s *Server) add(c Tenant, start time.Time) (Tenant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	place := len(s.tenants)
	shared := 0
	c = c.complete(s.config.Seed, place)
	if err := c.validate(); err != nil {
		return c, err
	}
	if s.byName[c.Name] != nil || s.clients[c.ClientID] != nil {
		return c, fmt.Errorf("tenant %s: its name or client id is taken", c.Name)
	}
	b := s.budgets[c.AccountID]
	if b == nil {
		b = &budget{limit: s.config.HourlyLimit}
		s.budgets[c.AccountID] = b
	} else {
		// Several tenants of an account must not have an id twice.
		for _, t := range s.tenants {
			if t.maker.account == c.AccountID {
				shared++
			}
		}
		c.FirstID += int64(shared) << 45
	}
	t := newTenant(c, s.config.Seed, start, b)
	s.tenants = append(s.tenants, t)
	s.byName[c.Name] = t
	s.clients[c.ClientID] = t
	return c, nil
}

func (s *Server) now() time.Time {
	if s.config.Now != nil {
		return s.config.Now()
	}
	return time.Now()
}

// Start is where backlog ends and live traffic begins.
func (s *Server) Start() time.Time { return s.start }

func (s *Server) tenant(name string) *tenant {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byName[name]
}

func (s *Server) byClient(id string) *tenant {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.clients[id]
}

// list is the tenant of that name, or all if name is empty.
func (s *Server) list(name string) []*tenant {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if name == "" {
		return append([]*tenant(nil), s.tenants...)
	}
	if t := s.byName[name]; t != nil {
		return []*tenant{t}
	}
	return nil
}

func (s *Server) revoke(t *tenant) {
	s.tokens.Delete(t.revoke().value)
}

func (s *Server) rotate(t *tenant) string {
	secret, gone := t.rotate(s.config.Seed)
	s.tokens.Delete(gone.value)
	if s.config.OnRotate != nil {
		s.config.OnRotate(t.name, secret)
	}
	return secret
}

func (s *Server) route() {
	api := http.NewServeMux()
	api.HandleFunc("POST /auth/oauth2/v2/token", s.serveToken)
	api.HandleFunc("POST /auth/oauth2/revoke", s.serveRevoke)
	api.HandleFunc("GET /auth/rate_limit", s.serveRateLimit)
	api.HandleFunc("GET /api/1/events", s.serveEvents)
	api.HandleFunc("GET /api/1/events/types", s.serveTypes)
	api.HandleFunc("GET /api/1/events/{id}", s.serveEvent)
	// A wrong method is an unknown route too.
	noRoute := func(w http.ResponseWriter, r *http.Request) {
		s.serve(w, r, nil, endpointNone, func(w http.ResponseWriter, _ *fault) {
			writeStatus(w, 404, "not found", "No Route Exists")
		})
	}
	api.HandleFunc("/", noRoute)
	s.api = s.guard(api)
	s.control = s.controlHandler()
	all := http.NewServeMux()
	all.Handle("/_sim/", s.control)
	all.Handle("/", s.api)
	s.handler = all
}

// ServeHTTP serves the API and its control.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// API serves what OneLogin serves.
func (s *Server) API() http.Handler { return s.api }

// Control serves what lies under /_sim/. Whoever reaches it may read secrets
// and change everything.
func (s *Server) Control() http.Handler { return s.control }

// recorder keeps the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// serve counts a call, lets its fault happen, or else answers it.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, t *tenant, endpoint string,
	answer func(http.ResponseWriter, *fault),
) {
	rec := &recorder{ResponseWriter: w}
	rec.Header().Set("X-Request-Id", strconv.FormatUint(hash(s.config.Seed, int64(s.request.Add(1))), 16))
	rec.Header().Set("Date", s.now().UTC().Format(http.TimeFormat))
	defer func() { s.counted(t, call{endpoint, rec.status}) }()
	c := facts{endpoint: endpoint, gzip: acceptsGzip(r), cursor: r.URL.Query().Get("after_cursor") != ""}
	if t != nil {
		c.tenant = t.name
		t.mind(s.now())
	}
	f := s.faults.draw(c)
	if f.is(SlowHeaders) {
		pause(r, f.wait(3*time.Second))
	}
	if s.fail(rec, t, f) {
		return
	}
	answer(rec, f)
}

func (s *Server) counted(t *tenant, c call) {
	if t != nil {
		t.counted(c)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noone[c]++
}

// serveAPI is serve for what needs a token and spends the budget.
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request, endpoint string,
	answer func(http.ResponseWriter, *tenant, *fault),
) {
	t := s.authenticate(r)
	if t == nil {
		s.serve(w, r, nil, endpointNone, func(w http.ResponseWriter, _ *fault) { unauthorized(w) })
		return
	}
	state, ok := t.budget.take(s.now(), 1)
	state.setHeaders(w.Header())
	if !ok {
		s.exhausted(w, t, endpoint)
		return
	}
	s.serve(w, r, t, endpoint, func(w http.ResponseWriter, f *fault) { answer(w, t, f) })
}

func (s *Server) exhausted(w http.ResponseWriter, t *tenant, endpoint string) {
	rec := &recorder{ResponseWriter: w}
	defer func() { t.counted(call{endpoint, rec.status}) }()
	switch s.config.Exhausted {
	case Exhausted400:
		writeStatus(rec, 400, "bad request", "rate_limit_exceeded")
	case Exhausted429HTML:
		throttle(rec)
	default:
		writeStatus(rec, 429, "Too Many Requests", "rate_limit_exceeded")
	}
}

func (s *Server) serveRateLimit(w http.ResponseWriter, r *http.Request) {
	t := s.authenticate(r)
	if t == nil {
		s.serve(w, r, nil, endpointNone, func(w http.ResponseWriter, _ *fault) { unauthorized(w) })
		return
	}
	s.serve(w, r, t, endpointRateLimit, func(w http.ResponseWriter, f *fault) {
		state, _ := t.budget.take(s.now(), 0)
		body := append([]byte("{"+statusOK+`,"data":`), mustJSON(state)...)
		s.respond(w, r, f, append(body, '}'))
	})
}

var typesBody = append(append([]byte("{"+statusOK+`,"data":`), mustJSON(eventTypes)...), '}')

// serveTypes needs no token; a call with one counts as its tenant's.
func (s *Server) serveTypes(w http.ResponseWriter, r *http.Request) {
	s.serve(w, r, s.authenticate(r), endpointTypes, func(w http.ResponseWriter, f *fault) {
		s.respond(w, r, f, typesBody)
	})
}

var success = []byte("{" + statusOK + "}")

func unauthorized(w http.ResponseWriter) {
	dropRateHeaders(w.Header())
	writeStatus(w, http.StatusUnauthorized, "Unauthorized", "Authentication Failure")
}

// statusBody is the wrapped error form; message is a text or an object.
func statusBody(code int, kind string, message any) []byte {
	type status struct {
		Error   bool   `json:"error"`
		Code    int    `json:"code"`
		Type    string `json:"type"`
		Message any    `json:"message"`
	}
	return mustJSON(map[string]status{"status": {true, code, kind, message}})
}

func writeStatus(w http.ResponseWriter, code int, kind string, message any) {
	writeJSON(w, code, statusBody(code, kind, message))
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client's loss
}

// mustJSON is for values of this package that always can be encoded.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("encoding " + fmt.Sprintf("%T", v) + ": " + err.Error())
	}
	return b
}
