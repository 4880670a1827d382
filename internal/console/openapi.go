package console

import (
	_ "embed"
	"net/http"
)

// openAPIDocument describes the API; a test holds it against the handlers.
//
//go:embed openapi.json
var openAPIDocument []byte

func openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openAPIDocument) // fails only when the caller has gone
}
