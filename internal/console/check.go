package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"
)

// Check is the result of a connection test, in DNIF's words.
type Check struct {
	Connector string `json:"connector"`
	OK        bool   `json:"ok"`
	// Stage is where it failed; empty for a success.
	Stage   string `json:"stage"`
	Message string `json:"message"`
	// Cause is the technical side of Message, Advice what to do.
	Cause  string `json:"cause,omitempty"`
	Advice string `json:"advice,omitempty"`
	// RequestID is what OneLogin's support asks for.
	RequestID string `json:"request_id,omitempty"`
	// At is when it began.
	At   time.Time `json:"at"`
	Took float64   `json:"took_seconds"`
}

// Draft is a connector as it is typed in, before it is one.
type Draft struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Domain   string `json:"domain"`
	ClientID string `json:"client_id"`
	// ClientSecret may be empty where there is one already for the same account.
	ClientSecret string `json:"client_secret"`
	BaseURL      string `json:"base_url"`
	Paused       bool   `json:"paused"`
	// Settings are all other fields, as in a connector's file.
	Settings map[string]json.RawMessage `json:"settings,omitempty"`
	// Held stands for a secret that was typed into a form before.
	Held string `json:"held"`
}

// checkTimeout leaves time to answer within the server's own.
const checkTimeout = 25 * time.Second

func checkContext(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), checkTimeout)
}

func (o *Options) check(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := checkContext(r)
	defer cancel()
	result, ok := o.Check(ctx, r.PathValue("name"))
	if !ok {
		refuse(w, http.StatusNotFound, "This instance has no configuration for a connector of this name.")
		return
	}
	answer(w, result)
}

func (o *Options) checkDraft(w http.ResponseWriter, r *http.Request) {
	d := Draft{Type: "onelogin"}
	if !read(w, r, &d) {
		return
	}
	ctx, cancel := checkContext(r)
	defer cancel()
	if d.ClientSecret == "" {
		d.ClientSecret = o.held.of(d.Held, d)
	}
	result, wrong := o.CheckDraft(ctx, d)
	if len(wrong) > 0 {
		refuse(w, http.StatusUnprocessableEntity, "What was sent is no connector.", wrong...)
		return
	}
	answer(w, result)
}

// read reads a request's body, which is JSON, and answers for what is none.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		refuse(w, http.StatusUnsupportedMediaType, "Send application/json.")
		return false
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = decode(body, into)
	}
	var large *http.MaxBytesError
	switch {
	case err == nil:
		return true
	case errors.As(err, &large):
		refuse(w, http.StatusRequestEntityTooLarge, "The body is too large.")
	default: // without the cause, which can quote a secret
		refuse(w, http.StatusBadRequest, "The body is not the JSON object that the API's document describes.")
	}
	return false
}

// decode reads one JSON object. A null is not what a field was left out for.
func decode(body []byte, into any) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return fmt.Errorf("reading an object: %w", err)
	}
	if fields == nil {
		return errors.New("null is no object")
	}
	for name, value := range fields {
		if string(value) == "null" {
			return fmt.Errorf("field %q is null", name)
		}
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("reading its fields: %w", err)
	}
	return nil
}
