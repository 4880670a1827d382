package console

import (
	"cmp"
	"encoding/json"
	"net/http"
)

// Problem is an error as the API tells it (RFC 9457).
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail says what is wrong and what to do.
	Detail string `json:"detail"`
	// Outcome is what is known of a change that Kafka did not confirm; else empty.
	Outcome Outcome `json:"outcome,omitempty"`
	// Errors says what is wrong with single fields of what was sent.
	Errors []FieldProblem `json:"errors,omitempty"`
}

// Outcome is what became of a change.
type Outcome string

// The outcomes of a change that was not confirmed.
const (
	OutcomeNone    Outcome = "none"    // nothing was changed
	OutcomePart    Outcome = "part"    // it was made, but for what the problem says
	OutcomeUnknown Outcome = "unknown" // it was made or not
)

// FieldProblem is what is wrong with one field.
type FieldProblem struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// refuse answers with a problem of the status.
func refuse(w http.ResponseWriter, status int, detail string, fields ...FieldProblem) {
	tell(w, Problem{Status: status, Detail: detail, Errors: fields})
}

// problemType is the Content-Type of a Problem.
const problemType = "application/problem+json"

// tell answers with a problem.
func tell(w http.ResponseWriter, p Problem) {
	p.Type, p.Title = "about:blank", cmp.Or(http.StatusText(p.Status), "Error")
	send(w, p.Status, problemType, p)
}

// answer answers with v as JSON.
func answer(w http.ResponseWriter, v any) { send(w, http.StatusOK, "application/json", v) }

func send(w http.ResponseWriter, status int, kind string, v any) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // fails only when the caller has gone
}

// strict answers for what a mux does not know with a problem.
func strict(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		s := &statusOnly{header: w.Header(), status: http.StatusNotFound}
		h.ServeHTTP(s, r)
		detail := "There is nothing here. The API is described at /api/v1/openapi.json."
		if s.status == http.StatusMethodNotAllowed {
			detail = "The method is not one of " + w.Header().Get("Allow") + "."
		}
		w.Header().Del("Content-Length")
		refuse(w, s.status, detail)
	})
}

// statusOnly takes the headers and the status of an answer, and not its body.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }
func (s *statusOnly) Write(p []byte) (int, error) { return len(p), nil }
