// Package source polls an event API and turns what it shows into batches:
// pages of records together with the offset that becomes true when those
// records are committed. It decides what is new (the window of seen ids), when
// to ask (the pace) and how far back (tail and sweep). It never imports Kafka
// and knows OneLogin only through the Client interface.
package source

import (
	"context"
	"errors"
	"time"

	"onelogin-kafka/schemas"
)

// Client asks one account's API for pages of events.
type Client interface {
	// Page returns one page. It makes at most one API call besides those a
	// token needs. The error is an *APIError for everything the API said and
	// for everything that kept us from hearing it; ctx errors are returned as
	// they are. A page is whole or it is an error, never half-used.
	Page(ctx context.Context, q Query) (Page, error)
}

// Query is what one page is asked with. It is frozen for the life of a cursor:
// only Cursor changes from page to page of a run.
type Query struct {
	// Since asks for events created at or after it (the API may round it down).
	Since time.Time
	// Until, if not zero, asks for events created before it.
	Until time.Time
	// Cursor continues a run; empty for its first page.
	Cursor string
	// Limit is the page size asked for, 1 to 1000.
	Limit int
}

// Page is one answer.
type Page struct {
	// Events are the elements in the order of the answer.
	Events []schemas.Event
	// Malformed are the elements that are not events, raw, in the order of the
	// answer.
	Malformed []Malformed
	// Next continues the run; empty on its last page.
	Next string
	// Unsaid tells that the page, empty or not, does not say how to go on: the
	// answer says nothing of a next page, or that one follows without a cursor for
	// it, or has nothing where an empty list should be (data null, 204). Next is
	// then empty. What the page shows is so; that it is all may be the end, or an
	// answer that is not whole.
	Unsaid bool
	// ServerTime is the answer's Date header; zero if there was none.
	ServerTime time.Time
	// RateLimit is what the answer said of the account's budget; zero Limit if
	// it said nothing.
	RateLimit RateLimit

	held Hold // the memory that it takes; nil = without bounds
}

// Len is the number of elements of the answer, malformed ones included.
func (p *Page) Len() int { return len(p.Events) + len(p.Malformed) }

// Malformed is an element of an answer that is not an event.
type Malformed struct {
	Raw    []byte
	Reason string
}

// RateLimit is the state of an account's hourly budget of calls.
type RateLimit struct {
	Limit     int           // calls per window; 0 = unknown
	Remaining int           // calls left in the window
	Reset     time.Duration // time until the window ends
	At        time.Time     // when the answer came
}

// Sink takes batches on their way to the topic.
type Sink interface {
	// Offer hands b on and returns before it is committed. It blocks while the
	// sink holds as much of this connector as it may. ErrTooLarge means that
	// nothing of b was taken because a record can never be written; the caller
	// keeps its state and may offer again later. Any other error (ErrVoid, a
	// ctx error) means that everything the caller believes about what was
	// written is void: it must return, and is started again with the state
	// found in the topic.
	Offer(ctx context.Context, b *schemas.Batch) error
}

// ErrVoid is returned by Sink.Offer when the state the poller was started with
// no longer holds.
var ErrVoid = errors.New("state is void")

// ErrTooLarge is returned (wrapped, with the sizes) by Sink.Offer for a batch
// with a record that is larger than the topic allows.
var ErrTooLarge = errors.New("record is larger than the topic allows")

// Kind says what went wrong with an API call, from a closed list. It decides
// how a poller goes on.
type Kind uint8

// The kinds of API errors.
const (
	// Unknown: none of the others.
	Unknown Kind = iota
	// Configuration: the request cannot be made (secret missing, bad domain).
	Configuration
	// Credentials: the API refused the client id or secret.
	Credentials
	// Forbidden: authenticated, but without the right to read events (403).
	Forbidden
	// Unreachable: no connection, or it broke before a whole answer came.
	Unreachable
	// Timeout: no whole answer in time.
	Timeout
	// Throttled: the budget is used up; see RetryAfter.
	Throttled
	// BadLimit: the API refused the page size.
	BadLimit
	// Refused: any other answer that is not a success (4xx, 5xx, a success
	// with an error in its body, a redirect).
	Refused
	// Unreadable: a success whose body is not what was promised (truncated,
	// not JSON, no data array, too large, wrong content type).
	Unreadable
)

var kindNames = [...]string{"unknown", "configuration", "credentials", "forbidden", "unreachable", "timeout", "throttled", "bad_limit", "refused", "unreadable"}

// String returns the kind as it appears in metric labels.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// APIError is what a Client returns. Its text never holds a response body, a
// secret or a query string.
type APIError struct {
	Kind Kind
	// Stage is where it happened, in DNIF's words: "Configuration",
	// "Authentication", "Fetch Logs" or "Validation".
	Stage string
	// Message is DNIF's message for it, e.g. "Request Failed - response code
	// 503, reason Service Unavailable", "Credentials error".
	Message string
	// Advice is one sentence on what to do.
	Advice string
	// Status is the HTTP status code; 0 if there was no answer.
	Status int
	// RetryAfter is how long the API asked us to wait; 0 if it did not say.
	RetryAfter time.Duration
	// Narrow tells that a smaller page may come through where this one does not,
	// however often it is asked for: the answer was too large, or one of its
	// elements is broken so that it cannot be told from its neighbours.
	Narrow bool
	// RequestID is the answer's x-request-id, if any.
	RequestID string
	// RateLimit is what the answer said of the budget.
	RateLimit RateLimit
	// Err is the cause, if any.
	Err error
}

// Error implements error: "<Stage> Stage: <Message>" and the cause.
func (e *APIError) Error() string {
	s := e.Stage + " Stage: " + e.Message
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *APIError) Unwrap() error { return e.Err }
