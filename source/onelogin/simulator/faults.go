package simulator

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// The faults by name. Those up to FutureTime are drawn for each call; of those
// drawn at most one happens. The rest are the shape of new events: they change
// what is generated from then on, and never an event that exists.
const (
	TokenRevoked      = "token_revoked"       // 401; the token is dead, a new one can be had
	Unauthorized      = "unauthorized"        // 401, though the token is good
	SecretRotated     = "secret_rotated"      // 401; token and secret are dead
	Forbidden         = "forbidden"           // 403
	NotFound          = "not_found"           // 404
	Conflict          = "conflict"            // 409
	ThrottledHTML     = "throttled_html"      // 429 of the edge: HTML, no Retry-After
	ThrottledSeconds  = "throttled_seconds"   // 429 with Retry-After: Delay in seconds (2 s)
	ThrottledDate     = "throttled_date"      // 429 with Retry-After as a date, Delay ahead (2 s)
	RateLimitExceeded = "rate_limit_exceeded" // 400 with that message
	ServerError       = "server_error"        // 500
	BadGateway        = "bad_gateway"         // 502, HTML
	Unavailable       = "unavailable"         // 503
	HTMLOK            = "html_ok"             // 200 with an HTML page
	ErrorOK           = "error_ok"            // 200 with an error in the body
	FlatError         = "flat_error"          // 400 in the flat form
	ErrorObject       = "error_object"        // 400 whose message is an object
	Redirect          = "redirect"            // 302 to another host
	ConnectionReset   = "connection_reset"    // cut before the answer
	SlowHeaders       = "slow_headers"        // the answer begins Delay late (3 s)
	SlowBody          = "slow_body"           // the answer pauses for Delay in its middle (3 s)
	TruncatedBody     = "truncated_body"      // half the body, well framed
	TruncatedGzip     = "truncated_gzip"      // half of a gzip stream, well framed; only where gzip is accepted
	ConnectionCut     = "connection_cut"      // cut in mid-body
	BodyTooLarge      = "body_too_large"      // TooLargeBytes of JSON
	WrongContentType  = "wrong_content_type"  // the right body as text/plain
	ByteOrderMark     = "byte_order_mark"     // the right body behind a byte order mark
	NullBody          = "null_body"           // the JSON value null
	RepeatedPage      = "repeated_page"       // the page before, again; only with a cursor
	RepeatedCursor    = "repeated_cursor"     // the cursor that was sent, again; only with a cursor
	EndlessCursor     = "endless_cursor"      // ever new cursors that lead to the same page
	EmptyPage         = "empty_page"          // no elements, but cursor and next_link
	EmptyEnd          = "empty_end"           // no elements and no next_link, though there are some
	EmptyUnsaid       = "empty_unsaid"        // no elements and no pagination, though there are some
	NoContent         = "no_content"          // 204, though there are some
	EarlyEnd          = "early_end"           // the right elements and no next_link, though a page follows
	NoPagination      = "no_pagination"       // the right elements and no pagination
	BareLink          = "bare_link"           // a next_link without any cursor; only where a page follows
	ErrorText         = "error_text"          // "error":"false"
	StaleReplica      = "stale_replica"       // the page as it was Delay ago (30 s); only where that shows
	DataNull          = "data_null"           // "data":null
	DataMissing       = "data_missing"        // no data
	MalformedElement  = "malformed_element"   // one more element, not an object
	MissingID         = "missing_id"          // one more element, without an integer id
	BadTime           = "bad_time"            // one more element, with a created_at that is none
	FutureTime        = "future_time"         // one more event, created ten years after its neighbour

	EqualTimestamps = "equal_timestamps" // Traffic.Ties; hit when equal times lie on both sides of a page's end
	OutOfOrder      = "out_of_order"     // Traffic.Jitter = Delay (1 s); hit when a page's times descend
	LateEvents      = "late_events"      // Traffic.Late, LateBy = Delay (30 s); hit when one is shown
	UnknownFields   = "unknown_fields"   // Traffic.UnknownFields; hit when one is shown
	UnknownTypes    = "unknown_types"    // Traffic.UnknownTypes; hit when one is shown
	NullEverywhere  = "null_everywhere"  // Traffic.Nulls; hit when one is shown
	WhiteSpace      = "white_space"      // Traffic.Spaced; hit when one is shown
	LargeEvent      = "large_event"      // Traffic.Large; hit when one is shown
	BackdatedEvents = "backdated_events" // Traffic.Backdated, BackdatedBy = Delay (1 h); hit when one is shown
	TextIDs         = "text_ids"         // Traffic.IDAs text; hit when one is shown
	WebhookTimes    = "webhook_times"    // Traffic.CreatedAs webhook; hit when one is shown
	BrokenEvents    = "broken_events"    // Traffic.Broken; hit when one is shown
)

// fits says where a fault can happen.
type fits uint8

const (
	onAny      fits = iota // on each endpoint
	onTenant               // where a tenant is known
	onPage                 // on pages of events
	onNextPage             // on pages that were asked for with a cursor
	onGzip                 // where the client accepts gzip
	onTraffic              // in the events themselves
)

var kinds = []struct {
	name string
	fits fits
}{
	{TokenRevoked, onTenant}, {Unauthorized, onAny}, {SecretRotated, onTenant}, {Forbidden, onAny}, {NotFound, onAny},
	{Conflict, onAny}, {ThrottledHTML, onAny}, {ThrottledSeconds, onAny}, {ThrottledDate, onAny},
	{RateLimitExceeded, onAny}, {ServerError, onAny}, {BadGateway, onAny}, {Unavailable, onAny}, {HTMLOK, onAny},
	{ErrorOK, onAny}, {FlatError, onAny}, {ErrorObject, onAny}, {Redirect, onAny}, {ConnectionReset, onAny},
	{SlowHeaders, onAny}, {SlowBody, onAny}, {TruncatedBody, onAny}, {TruncatedGzip, onGzip}, {ConnectionCut, onAny},
	{BodyTooLarge, onAny}, {WrongContentType, onAny}, {ByteOrderMark, onAny}, {NullBody, onAny},
	{RepeatedPage, onNextPage}, {RepeatedCursor, onNextPage}, {EndlessCursor, onPage}, {EmptyPage, onPage},
	{EmptyEnd, onPage}, {EmptyUnsaid, onPage}, {NoContent, onPage}, {EarlyEnd, onPage}, {NoPagination, onPage}, {BareLink, onPage},
	{ErrorText, onPage}, {StaleReplica, onPage},
	{DataNull, onPage}, {DataMissing, onPage}, {MalformedElement, onPage}, {MissingID, onPage}, {BadTime, onPage},
	{FutureTime, onPage},
	{EqualTimestamps, onTraffic}, {OutOfOrder, onTraffic}, {LateEvents, onTraffic}, {UnknownFields, onTraffic},
	{UnknownTypes, onTraffic}, {NullEverywhere, onTraffic}, {WhiteSpace, onTraffic}, {LargeEvent, onTraffic},
	{BackdatedEvents, onTraffic}, {TextIDs, onTraffic}, {WebhookTimes, onTraffic}, {BrokenEvents, onTraffic},
}

// FaultNames lists all faults. onEveryCall leaves out those that are a shape of
// events.
func FaultNames(onEveryCall bool) []string {
	var names []string
	for _, k := range kinds {
		if !onEveryCall || k.fits != onTraffic {
			names = append(names, k.name)
		}
	}
	return names
}

func fitsOf(name string) (fits, bool) {
	for _, k := range kinds {
		if k.name == name {
			return k.fits, true
		}
	}
	return 0, false
}

// FaultSetting switches one fault.
type FaultSetting struct {
	Name string `json:"name" yaml:"name"`
	// Tenant; empty: all of them.
	Tenant string `json:"tenant,omitempty" yaml:"tenant,omitempty"`
	// Endpoint is events (also if empty), event, types, rate_limit, token or
	// revoke.
	Endpoint string `json:"endpoint,omitempty" yaml:"endpoint,omitempty"`
	// Probability of a call, or fraction of events. 0 switches the fault off.
	Probability float64 `json:"probability" yaml:"probability"`
	// Times ends the fault after so many hits. 0: never. Not for events' shape.
	Times int `json:"times,omitempty" yaml:"times,omitempty"`
	// Row is how many calls in a row to which it can happen a hit lasts; Times
	// counts such rows. 0: 1. Not for events' shape.
	Row int `json:"row,omitempty" yaml:"row,omitempty"`
	// Delay is the fault's time, where it has one. 0: its default.
	Delay Duration `json:"delay,omitempty" yaml:"delay,omitempty"`
}

// FaultState is a fault that is set or was hit.
type FaultState struct {
	FaultSetting
	Hits int64 `json:"hits"`
}

// Hits is how often a fault happened to a tenant, or to anybody if tenant is
// empty.
func (s *Server) Hits(name, tenant string) int64 {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	n := int64(0)
	for k, v := range s.faults.hits {
		if k.name == name && (tenant == "" || k.tenant == tenant) {
			n += v
		}
	}
	return n
}

// SetFault switches a fault. A setting replaces the one of the same name,
// tenant and endpoint. It fails for a name or tenant that does not exist.
func (s *Server) SetFault(f FaultSetting) error {
	f, kind, err := s.checkFault(f)
	if err != nil {
		return err
	}
	if kind == onTraffic {
		for _, t := range s.list(f.Tenant) {
			edit := func(tr *Traffic, _ *bool) error { tr.set(f); return nil }
			if err := t.change(s.now(), 0, edit); err != nil {
				return fmt.Errorf("tenant %s: %w", t.name, err)
			}
		}
	}
	s.faults.change(f)
	return nil
}

func (s *Server) checkFault(f FaultSetting) (FaultSetting, fits, error) {
	f.Endpoint = orDefault(f.Endpoint, endpointEvents)
	kind, ok := fitsOf(f.Name)
	var err error
	switch {
	case !ok:
		err = fmt.Errorf("there is no fault %q", f.Name)
	case f.Tenant != "" && s.tenant(f.Tenant) == nil:
		err = fmt.Errorf("there is no tenant %q", f.Tenant)
	case !(f.Probability >= 0 && f.Probability <= 1):
		err = fmt.Errorf("fault %s: probability is %v, not 0 to 1", f.Name, f.Probability)
	case f.Times < 0 || f.Row < 0 || f.Delay < 0:
		err = fmt.Errorf("fault %s: times, row or delay is negative", f.Name)
	case !slices.Contains(endpoints, f.Endpoint):
		err = fmt.Errorf("fault %s: there is no endpoint %q", f.Name, f.Endpoint)
	}
	return f, kind, err
}

// ClearFaults switches every fault off. Hits stay.
func (s *Server) ClearFaults() {
	for _, f := range s.Faults() {
		if f.Probability > 0 || f.Row > 0 {
			f.Probability = 0
			_ = s.SetFault(f.FaultSetting) // it was valid when it was set
		}
	}
}

func (t *Traffic) set(f FaultSetting) {
	switch f.Name {
	case EqualTimestamps:
		t.Ties = f.Probability
	case OutOfOrder:
		t.Jitter = 0
		if f.Probability > 0 {
			t.Jitter = orDefault(f.Delay, Duration(time.Second))
		}
	case LateEvents:
		t.Late, t.LateBy = f.Probability, orDefault(f.Delay, Duration(30*time.Second))
	case UnknownFields:
		t.UnknownFields = f.Probability
	case UnknownTypes:
		t.UnknownTypes = f.Probability
	case NullEverywhere:
		t.Nulls = f.Probability
	case WhiteSpace:
		t.Spaced = f.Probability
	case LargeEvent:
		t.Large = f.Probability
	case BackdatedEvents:
		t.Backdated, t.BackdatedBy = f.Probability, orDefault(f.Delay, Duration(time.Hour))
	case TextIDs:
		t.IDAs = IDNumber
		if f.Probability > 0 {
			t.IDAs = IDText
		}
	case WebhookTimes:
		t.CreatedAs = TimeMillis
		if f.Probability > 0 {
			t.CreatedAs = TimeWebhook
		}
	case BrokenEvents:
		t.Broken = f.Probability
	}
}

// Faults lists the settings with their hits, and the hits of what was never
// set (the shape of events may come from the Config).
func (s *Server) Faults() []FaultState {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	var all []FaultState
	rest := maps.Clone(s.faults.hits)
	for _, f := range s.faults.set {
		state := FaultState{FaultSetting: *f}
		for k, n := range s.faults.hits {
			if k.name == f.Name && (f.Tenant == "" || f.Tenant == k.tenant) {
				state.Hits += n
				delete(rest, k)
			}
		}
		all = append(all, state)
	}
	for _, k := range kinds {
		n := int64(0)
		for r, v := range rest {
			if r.name == k.name {
				n += v
			}
		}
		if n > 0 {
			all = append(all, FaultState{FaultSetting{Name: k.name, Endpoint: endpointEvents}, n})
		}
	}
	return all
}
