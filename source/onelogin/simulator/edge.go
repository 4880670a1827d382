package simulator

import (
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// EdgeLimit is how many calls the edge in front of all accounts takes from one
// address, tokens included. What is more gets the edge's own answer: 429 in
// HTML, without Retry-After and without X-RateLimit headers.
type EdgeLimit struct {
	// Calls within any Window. 0: no limit.
	Calls int `json:"calls" yaml:"calls"`
	// Window; 0: a second.
	Window Duration `json:"window,omitempty" yaml:"window,omitempty"`
	// CountRefused counts refused calls too, so that who does not slow down
	// stays refused.
	CountRefused bool `json:"count_refused,omitempty" yaml:"count_refused,omitempty"`
}

func (l EdgeLimit) validate() error {
	if l.Calls < 0 || l.Window < 0 {
		return errors.New("the edge's calls or window is negative")
	}
	return nil
}

// edge counts calls by the address they come from.
type edge struct {
	mu      sync.Mutex
	limit   EdgeLimit
	calls   map[string][]time.Time // those of the last window, oldest first
	refused int64
}

// take tells whether the edge lets a call through.
func (e *edge) take(address string, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.limit.Calls == 0 {
		return true
	}
	from := now.Add(-time.Duration(orDefault(e.limit.Window, Duration(time.Second))))
	recent := e.calls[address]
	for len(recent) > 0 && !recent[0].After(from) {
		recent = recent[1:]
	}
	ok := len(recent) < e.limit.Calls
	if ok || e.limit.CountRefused {
		recent = append(recent, now)
	}
	e.calls[address] = recent
	if !ok {
		e.refused++
	}
	return ok
}

// guard lets the edge decide before anything else does.
func (s *Server) guard(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		address, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			address = r.RemoteAddr // of a Transport
		}
		if !s.edge.take(address, s.now()) {
			throttle(w)
			return
		}
		api.ServeHTTP(w, r)
	})
}

// SetEdge changes the limit of the edge; the calls so far do not count.
func (s *Server) SetEdge(l EdgeLimit) error {
	if err := l.validate(); err != nil {
		return err
	}
	s.edge.mu.Lock()
	defer s.edge.mu.Unlock()
	s.edge.limit, s.edge.calls = l, map[string][]time.Time{}
	return nil
}

// EdgeState is the limit of the edge and how many calls it has refused.
type EdgeState struct {
	EdgeLimit
	Refused int64 `json:"refused"`
}

// Edge returns the state of the edge.
func (s *Server) Edge() EdgeState {
	s.edge.mu.Lock()
	defer s.edge.mu.Unlock()
	return EdgeState{s.edge.limit, s.edge.refused}
}

func (s *Server) controlEdge(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, 200, mustJSON(s.Edge()))
}

func (s *Server) controlSetEdge(w http.ResponseWriter, r *http.Request) {
	var l EdgeLimit
	err := readBody(r, &l)
	if err == nil {
		err = s.SetEdge(l)
	}
	if err != nil {
		writeError(w, 400, err)
		return
	}
	s.controlEdge(w, r)
}
