package console

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
)

type problemPage struct {
	frame
	Problem Problem
}

// readable shows a browser what it does not get as a page: a problem document is for
// programs.
func (d *doors) readable(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") || !strings.Contains(r.Header.Get("Accept"), "text/html") {
			h.ServeHTTP(w, r)
			return
		}
		t := &problemTaker{ResponseWriter: w}
		h.ServeHTTP(t, r)
		if t.status == 0 {
			return
		}
		var p problemPage
		if err := json.Unmarshal(t.body.Bytes(), &p.Problem); err != nil {
			panic("console: " + err.Error()) // impossible: tell wrote it
		}
		known := r.WithContext(context.WithValue(r.Context(), callerKey{}, d.caller(r)))
		p.frame = d.opts.frame(known, p.Problem.Title)
		d.opts.show(w, t.status, problemTemplate, &p)
	})
}

// problemTaker takes a problem, and lets all else pass.
type problemTaker struct {
	http.ResponseWriter
	status int // 0 = it was no problem
	body   bytes.Buffer
}

// WriteHeader implements http.ResponseWriter. What is packed passes: it is not to be
// read here.
func (t *problemTaker) WriteHeader(status int) {
	if h := t.Header(); h.Get("Content-Type") == problemType && h.Get("Content-Encoding") == "" {
		t.status = status
		return
	}
	t.ResponseWriter.WriteHeader(status)
}

func (t *problemTaker) Write(b []byte) (int, error) {
	if t.status != 0 {
		return t.body.Write(b)
	}
	return t.ResponseWriter.Write(b)
}
