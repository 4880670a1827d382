package simulator

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// TenantState is a tenant as it is now, its secret included.
type TenantState struct {
	Tenant
	Stopped bool  `json:"stopped"`
	Events  int64 `json:"events"` // that exist, visible or not
}

// Tenants lists the tenants with all fields filled and their present traffic
// and secret.
func (s *Server) Tenants() []TenantState {
	var all []TenantState
	for _, t := range s.list("") {
		all = append(all, s.state(t))
	}
	return all
}

func (s *Server) state(t *tenant) TenantState {
	v := t.view(s.now())
	traffic, stopped := t.traffic()
	t.mu.Lock()
	defer t.mu.Unlock()
	state := TenantState{Tenant: t.config, Stopped: stopped, Events: v.count}
	state.Traffic = traffic
	return state
}

// Credentials are a tenant's present client id and secret; empty if there is
// no such tenant.
func (s *Server) Credentials(tenant string) (id, secret string) {
	t := s.tenant(tenant)
	if t == nil {
		return "", ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.config.ClientID, t.config.ClientSecret
}

var errNoTenant = errors.New("there is no such tenant")

// SetTraffic changes how a tenant's events come from now on.
func (s *Server) SetTraffic(tenant string, edit func(*Traffic)) error {
	t := s.tenant(tenant)
	if t == nil {
		return errNoTenant
	}
	return t.change(s.now(), 0, func(tr *Traffic, _ *bool) error { edit(tr); return nil })
}

// SetAnswers changes how a tenant's answers are made from now on.
func (s *Server) SetAnswers(tenant string, edit func(*Page, *Since, *Until)) error {
	t := s.tenant(tenant)
	if t == nil {
		return errNoTenant
	}
	r := t.rules()
	edit(&r.page, &r.since, &r.until)
	if err := r.validate(); err != nil {
		return err
	}
	t.setRules(r)
	return nil
}

// Burst makes n events come into being now, at once.
func (s *Server) Burst(tenant string, n int64) error {
	t := s.tenant(tenant)
	if t == nil {
		return errNoTenant
	}
	if n < 0 {
		return errors.New("a burst cannot be negative")
	}
	return t.change(s.now(), n, nil)
}

// Freeze ends the coming of events, so that a client can read them all. Late
// ones still become visible, until SettledAt.
func (s *Server) Freeze() { s.stop(true) }

// Thaw undoes Freeze.
func (s *Server) Thaw() { s.stop(false) }

func (s *Server) stop(stopped bool) {
	for _, t := range s.list("") {
		// The traffic is valid, and stopping leaves it so.
		_ = t.change(s.now(), 0, func(_ *Traffic, now *bool) error { *now = stopped; return nil })
	}
}

// RevokeToken makes a tenant's token invalid.
func (s *Server) RevokeToken(tenant string) error {
	t := s.tenant(tenant)
	if t == nil {
		return errNoTenant
	}
	s.revoke(t)
	return nil
}

// RotateSecret replaces a tenant's secret, revokes its token and returns the
// new secret.
func (s *Server) RotateSecret(tenant string) (string, error) {
	t := s.tenant(tenant)
	if t == nil {
		return "", errNoTenant
	}
	return s.rotate(t), nil
}

// SpendBudget uses up to n calls of a tenant's account, as another integration
// of the customer would.
func (s *Server) SpendBudget(tenant string, n int) error {
	t := s.tenant(tenant)
	if t == nil {
		return errNoTenant
	}
	t.budget.spend(s.now(), n)
	return nil
}

// Stats are what a tenant did.
type Stats struct {
	// Calls by endpoint and status; status 0 is an answer that never began.
	Calls map[string]map[int]int64 `json:"calls"`
	// Events shown, repetitions included.
	Served int64 `json:"served"`
	Tokens int   `json:"tokens"` // issued
	// EarlyCalls came before the time that Retry-After had told.
	EarlyCalls int     `json:"early_calls"`
	Budget     balance `json:"budget"`
}

// Stats returns them by tenant. Calls without a valid token are under "".
func (s *Server) Stats() map[string]Stats {
	all := map[string]Stats{}
	for _, t := range s.list("") {
		b, _ := t.budget.take(s.now(), 0)
		t.mu.Lock()
		all[t.name] = Stats{
			Calls: byEndpoint(t.calls), Served: t.served, Tokens: t.issued, EarlyCalls: t.early, Budget: b,
		}
		t.mu.Unlock()
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	all[""] = Stats{Calls: byEndpoint(s.noone)}
	return all
}

func byEndpoint(calls map[call]int64) map[string]map[int]int64 {
	m := map[string]map[int]int64{}
	for c, n := range calls {
		if m[c.endpoint] == nil {
			m[c.endpoint] = map[int]int64{}
		}
		m[c.endpoint][c.status] = n
	}
	return m
}

func (s *Server) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_sim/tenants", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, mustJSON(s.Tenants())) })
	mux.HandleFunc("POST /_sim/tenants", s.controlAdd)
	mux.HandleFunc("POST /_sim/tenants/{tenant}", s.controlTenant)
	mux.HandleFunc("GET /_sim/truth/{tenant}", s.controlTruth)
	mux.HandleFunc("GET /_sim/injected/{tenant}", s.controlInjected)
	mux.HandleFunc("GET /_sim/faults", s.controlFaults)
	mux.HandleFunc("POST /_sim/faults", s.controlSetFaults)
	mux.HandleFunc("DELETE /_sim/faults", func(w http.ResponseWriter, r *http.Request) { s.ClearFaults(); s.controlFaults(w, r) })
	mux.HandleFunc("GET /_sim/edge", s.controlEdge)
	mux.HandleFunc("POST /_sim/edge", s.controlSetEdge)
	mux.HandleFunc("POST /_sim/freeze", func(w http.ResponseWriter, r *http.Request) { s.Freeze(); s.controlStats(w, r) })
	mux.HandleFunc("POST /_sim/thaw", func(w http.ResponseWriter, r *http.Request) { s.Thaw(); s.controlStats(w, r) })
	mux.HandleFunc("GET /_sim/stats", s.controlStats)
	return mux
}

func writeError(w http.ResponseWriter, status int, err error) {
	writeJSON(w, status, mustJSON(map[string]string{"error": err.Error()}))
}

// readBody decodes strictly: an unknown field is a mistake of the caller.
func readBody(r *http.Request, v any) error {
	d := json.NewDecoder(io.LimitReader(r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("reading the body: %w", err)
	}
	return nil
}

func (s *Server) controlStats(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, 200, mustJSON(struct {
		Now       time.Time        `json:"now"`
		SettledAt time.Time        `json:"settled_at"`
		Tenants   map[string]Stats `json:"tenants"`
	}{s.now().UTC(), s.SettledAt(), s.Stats()}))
}

func (s *Server) controlAdd(w http.ResponseWriter, r *http.Request) {
	var t Tenant
	if err := readBody(r, &t); err != nil {
		writeError(w, 400, err)
		return
	}
	t, err := s.AddTenant(t)
	if err != nil {
		writeError(w, 400, err)
		return
	}
	writeJSON(w, 200, mustJSON(s.state(s.tenant(t.Name))))
}

// controlTenant takes any fields of Traffic, page, since and until, and what is
// to be done.
func (s *Server) controlTenant(w http.ResponseWriter, r *http.Request) {
	t := s.tenant(r.PathValue("tenant"))
	if t == nil {
		writeError(w, 404, errNoTenant)
		return
	}
	order := struct {
		Traffic
		Burst        int64 `json:"burst"`
		Stop         *bool `json:"stop"`
		RevokeToken  bool  `json:"revoke_token"`
		RotateSecret bool  `json:"rotate_secret"`
		SpendBudget  int   `json:"spend_budget"`
		Page         Page  `json:"page"`
		Since        Since `json:"since"`
		Until        Until `json:"until"`
	}{}
	order.Traffic, _ = t.traffic()
	now := t.rules()
	order.Page, order.Since, order.Until = now.page, now.since, now.until
	err := readBody(r, &order)
	if err == nil {
		err = (rules{order.Page, order.Since, order.Until}).validate()
	}
	if err == nil && (order.Burst < 0 || order.SpendBudget < 0) {
		err = errors.New("burst and spend_budget cannot be negative")
	}
	if err == nil {
		err = t.change(s.now(), order.Burst, func(tr *Traffic, stopped *bool) error {
			*tr = order.Traffic
			if order.Stop != nil {
				*stopped = *order.Stop
			}
			return nil
		})
	}
	if err != nil {
		writeError(w, 400, err)
		return
	}
	t.setRules(rules{order.Page, order.Since, order.Until})
	if order.RevokeToken {
		s.revoke(t)
	}
	if order.RotateSecret {
		s.rotate(t)
	}
	t.budget.spend(s.now(), order.SpendBudget)
	writeJSON(w, 200, mustJSON(s.state(t)))
}

func (s *Server) controlFaults(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, 200, mustJSON(struct {
		Names  []string     `json:"names"`
		Faults []FaultState `json:"faults"`
	}{FaultNames(false), s.Faults()}))
}

func (s *Server) controlSetFaults(w http.ResponseWriter, r *http.Request) {
	raw := json.RawMessage{}
	if err := readBody(r, &raw); err != nil {
		writeError(w, 400, err)
		return
	}
	var settings []FaultSetting
	if err := json.Unmarshal(raw, &settings); err != nil {
		settings = make([]FaultSetting, 1)
		if err := json.Unmarshal(raw, &settings[0]); err != nil {
			writeError(w, 400, fmt.Errorf("reading a fault or a list of faults: %w", err))
			return
		}
	}
	for _, f := range settings {
		if err := s.SetFault(f); err != nil {
			writeError(w, 400, err)
			return
		}
	}
	s.controlFaults(w, r)
}

// truthLine is a line of GET /_sim/truth/{tenant}.
type truthLine struct {
	ID        int64     `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	VisibleAt time.Time `json:"visible_at"`
	SHA256    string    `json:"sha256"`
	Odd       bool      `json:"odd,omitempty"`
}

// controlTruth lists events with an id above ?after=.
func (s *Server) controlTruth(w http.ResponseWriter, r *http.Request) {
	after := int64(0)
	if text := r.URL.Query().Get("after"); text != "" {
		var err error
		if after, err = strconv.ParseInt(text, 10, 64); err != nil {
			writeError(w, 400, errors.New("after is not an id"))
			return
		}
	}
	events, err := s.TruthAfter(r.PathValue("tenant"), after)
	if err != nil {
		writeError(w, 404, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	b := bufio.NewWriterSize(w, 64<<10)
	for e := range events {
		line := mustJSON(truthLine{ID: e.ID, CreatedAt: e.CreatedAt, VisibleAt: e.VisibleAt, SHA256: e.SHA256(), Odd: e.Odd})
		if _, err := b.Write(append(line, '\n')); err != nil {
			return
		}
	}
	_ = b.Flush() // the client's loss
}

func (s *Server) controlInjected(w http.ResponseWriter, r *http.Request) {
	if s.tenant(r.PathValue("tenant")) == nil {
		writeError(w, 404, errNoTenant)
		return
	}
	type line struct {
		Fault string `json:"fault"`
		ID    int64  `json:"id,omitempty"`
		Raw   string `json:"raw"`
	}
	lines := []line{}
	for _, in := range s.Injected(r.PathValue("tenant")) {
		lines = append(lines, line{in.Fault, in.ID, string(in.Raw)})
	}
	writeJSON(w, 200, mustJSON(lines))
}
