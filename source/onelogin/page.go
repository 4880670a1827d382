package onelogin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
)

const (
	// maxLimit is the largest page size that any shipped collector asks for.
	maxLimit = 1000
	// maxCursor bounds what is sent back in a URL. Public cursors have about
	// fifty bytes.
	maxCursor = 4096
)

// timeLayout is the documented form of since and until, in milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// Page implements source.Client. A 401 is answered with a new token and the
// same page, once: tokens end in the middle of runs. It can take minutes where
// the edge refuses calls: each waits for its turn, at most a minute.
func (c *Client) Page(ctx context.Context, q source.Query) (source.Page, error) {
	if !c.begins.Load() {
		return c.askPage(ctx, q, false)
	}
	leave, err := c.edge.enter(ctx)
	if err != nil {
		return source.Page{}, err
	}
	defer leave()
	c.begins.Store(false)
	return c.askPage(ctx, q, true)
}

// askPage is Page; urgent calls come before others at the edge.
func (c *Client) askPage(ctx context.Context, q source.Query, urgent bool) (source.Page, error) {
	target, err := c.pageURL(q)
	if err != nil {
		return source.Page{}, configurationError(err)
	}
	token, err := c.token(ctx, "", urgent)
	if err != nil {
		return source.Page{}, err
	}
	page, err := c.page(ctx, target, token, urgent)
	if !refusedToken(err) {
		return page, err
	}
	c.opts.Log.Debug().Msg("token refused, getting a new one and asking for the same page again")
	if token, err = c.token(ctx, token, urgent); err != nil {
		return source.Page{}, err
	}
	page, err = c.page(ctx, target, token, urgent)
	if refusedToken(err) {
		// So that the next call starts with the secret as it is then.
		c.tokens.forget(token)
	}
	return page, err
}

func refusedToken(err error) bool {
	var e *source.APIError
	return errors.As(err, &e) && e.Kind == source.Credentials
}

// pageURL builds the whole URL from our own parameters for every page of a run:
// whether next_link repeats the filters is not known, and it can name another
// host.
func (c *Client) pageURL(q source.Query) (string, error) {
	if q.Limit < 1 || q.Limit > maxLimit {
		return "", fmt.Errorf("page size %d is not between 1 and %d", q.Limit, maxLimit)
	}
	v := make(url.Values, 5)
	v.Set("limit", strconv.Itoa(q.Limit))
	// Encoded as %2Bid: a plain + means a space in a query.
	v.Set("sort", "+id")
	if !q.Since.IsZero() {
		v.Set("since", q.Since.UTC().Truncate(time.Millisecond).Format(timeLayout))
	}
	if !q.Until.IsZero() {
		// Up, as since goes down: what was asked for is never left out.
		v.Set("until", q.Until.UTC().Add(time.Millisecond-1).Truncate(time.Millisecond).Format(timeLayout))
	}
	if q.Cursor != "" {
		v.Set("after_cursor", q.Cursor)
	}
	return c.base + "/api/1/events?" + v.Encode(), nil
}

// page makes one call with token.
func (c *Client) page(ctx context.Context, target, token string, urgent bool) (source.Page, error) {
	a, err := c.do(ctx, request{
		endpoint: endpointEvents,
		stage:    stageFetchLogs,
		method:   http.MethodGet,
		url:      target,
		// The events page documents "bearer:<token>"; OneLogin's own Go SDK and
		// MCP server send "Bearer <token>" to this very endpoint, and its
		// Python SDK dropped the colon on purpose. The standard form (RFC 6750)
		// is what current OneLogin code depends on and what a proxy on the way
		// understands.
		authorization: "Bearer " + token,
		maxBody:       c.opts.Limits.Body,
		sizeHint:      c.bodySize.Load() * 9 / 8,
		urgent:        urgent,
		again:         urgent, // it has its token
	})
	if err != nil {
		return source.Page{}, err
	}
	var p source.Page
	switch a.status {
	case http.StatusOK:
		c.bodySize.Store(int64(len(a.body)))
		var flt fault
		p, flt, err = decodePage(a.body)
		switch {
		case flt.failed:
			return source.Page{}, c.refusal(stageFetchLogs, a, flt)
		case err != nil:
			return source.Page{}, c.unreadable(stageFetchLogs, a, err)
		}
	case http.StatusNoContent:
		p.Unsaid = true
	default:
		return source.Page{}, c.refusal(stageFetchLogs, a, faultOf(a))
	}
	if t, err := http.ParseTime(a.header.Get("Date")); err == nil {
		p.ServerTime = t.UTC()
	}
	p.RateLimit = a.rateLimit
	return p, nil
}

// listingError is JSON that is not a page of events.
type listingError string

func (e listingError) Error() string { return string(e) }

// Why a body is not a page.
const (
	errNotObject  listingError = "the answer is not an object"
	errTwice      listingError = "the answer has a key twice"
	errNoData     listingError = "the answer has no data array"
	errNullData   listingError = "the answer has no data but says that a page follows"
	errLongCursor listingError = "the answer's cursor is too long"
)

// syntaxError says where a body stops being JSON, and nothing of what is there.
type syntaxError struct{ at, length int }

func (e syntaxError) Error() string {
	return fmt.Sprintf("the answer is not JSON at byte %d of %d", e.at, e.length)
}

// envelope is the outside of an answer: the raw values of the keys that any of
// OneLogin's families of answers uses, nil where missing.
type envelope struct {
	status, pagination, data  []byte
	statusCode, message, oerr []byte
	twice                     bool
}

// readEnvelope validates body whole and calls data for the value of "data".
func readEnvelope(body []byte, data func(at int) (int, bool)) (envelope, error) {
	var env envelope
	i := skipSpace(body, 0)
	object := i < len(body) && body[i] == '{'
	var end int
	var ok bool
	if !object {
		end, ok = skipValue(body, i, 0)
	} else {
		end, ok = eachMember(body, i, 0, func(key []byte, at int) (int, bool) {
			var slot *[]byte
			read := func(at int) (int, bool) { return skipValue(body, at, 1) }
			switch string(key) {
			case "data":
				slot, read = &env.data, data
			case "status":
				slot = &env.status
			case "pagination":
				slot = &env.pagination
			case "statusCode":
				slot = &env.statusCode
			case "message":
				slot = &env.message
			case "error":
				slot = &env.oerr
			default:
				return read(at)
			}
			env.twice = env.twice || *slot != nil
			end, ok := read(at)
			*slot = body[at:max(at, end):max(at, end)]
			return end, ok
		})
	}
	if ok {
		end = skipSpace(body, end)
	}
	switch {
	case !ok || end != len(body):
		return envelope{}, syntaxError{end, len(body)}
	case !object:
		return envelope{}, errNotObject
	case env.twice:
		return envelope{}, errTwice
	}
	return env, nil
}

// ErrUnparted is the cause of an error for an answer whose elements cannot be
// told apart: one of them is broken, and where it ends is in doubt. A smaller
// page has fewer neighbours for it to spoil, see source.APIError.Narrow.
var ErrUnparted = errors.New("the elements of the answer cannot be told apart")

// decodePage reads a body with status 200. A fault is an error that the body
// itself tells; it goes before the error, which says why the body is no page.
func decodePage(body []byte) (source.Page, fault, error) {
	var r pageReader
	r.body = body
	env, err := readEnvelope(body, r.data)
	if err != nil {
		// An answer that is cut off is none of its elements' doing.
		if cut, ok := errors.AsType[syntaxError](err); ok && r.torn && (cut.at < cut.length || bytes.HasSuffix(bytes.TrimSpace(body), []byte("}"))) {
			err = fmt.Errorf("%w: %w", ErrUnparted, err)
		}
		return source.Page{}, fault{}, err
	}
	if flt := env.fault(); flt.failed {
		return source.Page{}, flt, nil
	}
	null := string(env.data) == "null"
	if !r.array && !null {
		return source.Page{}, fault{}, errNoData
	}
	n := readNext(env.pagination)
	p := source.Page{Events: r.events, Malformed: r.malformed, Next: n.cursor}
	switch {
	case null && (n.cursor != "" || n.follows):
		// Where nothing is, nothing follows: something was left out.
		return source.Page{}, fault{}, errNullData
	case len(n.cursor) > maxCursor:
		return source.Page{}, fault{}, errLongCursor
	case n.said && !null:
	case p.Len() > 0 && n.cursor != "":
		// Asking with the cursor tells.
	default:
		p.Next, p.Unsaid = "", true
	}
	return p, fault{}, nil
}

// next is what an answer says of the page after it.
type next struct {
	// said tells that it says how to go on: that no page follows, or with which
	// cursor.
	said    bool
	follows bool   // it says that one follows, be it without a cursor
	cursor  string // empty: none
}

// readNext decides whether a page follows. next_link decides, and a missing one
// is not taken for null: that would turn "unknown" into "no more". A cursor that
// stands in the link alone is taken from there.
func readNext(pagination []byte) next {
	if len(pagination) == 0 || pagination[0] != '{' {
		return next{}
	}
	said, ok := members(pagination, "next_link", "after_cursor")
	if !ok {
		return next{}
	}
	cursor := looseString(said[1])
	switch {
	case string(said[0]) == "null":
		return next{said: true}
	case len(said[0]) == 0 || said[0][0] != '"':
		return next{cursor: cursor}
	}
	link := looseString(said[0])
	if cursor == "" {
		cursor = linkCursor(link)
	}
	return next{said: link == "" || cursor != "", follows: link != "", cursor: cursor}
}

// linkCursor is the cursor that a link holds. The link itself is never followed.
func linkCursor(link string) string {
	u, err := url.Parse(link)
	if err != nil {
		return ""
	}
	// A plus that was not escaped reads as a space, which no cursor holds.
	return strings.ReplaceAll(u.Query().Get("after_cursor"), " ", "+")
}

// pageReader gathers the elements of data.
type pageReader struct {
	body      []byte
	array     bool
	events    []schemas.Event
	malformed []source.Malformed
	torn      bool // the array does not come to its end
}

func (r *pageReader) data(at int) (int, bool) {
	if at >= len(r.body) || r.body[at] != '[' {
		return skipValue(r.body, at, 1)
	}
	r.array = true
	end, ok := eachElement(r.body, at, 1, r.element)
	r.torn = !ok
	return end, ok
}

func (r *pageReader) element(at int) (int, bool) {
	var reason string
	var ev schemas.Event
	var end int
	var ok bool
	if at < len(r.body) && r.body[at] == '{' {
		end, reason, ok = readEvent(r.body, at, &ev)
	} else {
		end, ok = skipValue(r.body, at, 2)
		reason = reasonNotObject
	}
	if !ok {
		// Its neighbours are not to be lost for it.
		after, parted := skipBroken(r.body, at)
		if !parted || !endsElement(r.body, after) {
			return end, false
		}
		end, reason = after, reasonNotJSON
	}
	raw := r.body[at:end:end]
	if reason != "" {
		r.malformed = append(r.malformed, source.Malformed{Raw: raw, Reason: reason})
		return end, true
	}
	ev.Raw = raw
	if r.events == nil {
		// The first event's size tells about how many follow.
		n := (len(r.body)-at)/(len(raw)+1)*9/8 + 1
		r.events = make([]schemas.Event, 0, min(n, maxLimit))
	}
	r.events = append(r.events, ev)
	return end, true
}

// endsElement tells whether what follows at b[i] is the next element or the end
// of the array.
func endsElement(b []byte, i int) bool {
	i = skipSpace(b, i)
	return i < len(b) && (b[i] == ',' || b[i] == ']')
}
