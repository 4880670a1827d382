package console

import (
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
	// Errors says what is wrong with single fields of what was sent.
	Errors []FieldProblem `json:"errors,omitempty"`
}

// FieldProblem is what is wrong with one field.
type FieldProblem struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// refuse answers with a problem of the status.
func refuse(w http.ResponseWriter, status int, detail string, fields ...FieldProblem) {
	title := http.StatusText(status)
	if title == "" {
		title = "Error"
	}
	send(w, status, "application/problem+json", Problem{Type: "about:blank", Title: title, Status: status, Detail: detail, Errors: fields})
}

// answer answers with v as JSON.
func answer(w http.ResponseWriter, v any) { send(w, http.StatusOK, "application/json", v) }

func send(w http.ResponseWriter, status int, kind string, v any) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // fails only when the caller has gone
}
