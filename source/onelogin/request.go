package onelogin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"onelogin-kafka/source"
)

// The stages of a check, in DNIF's words.
const (
	stageConfiguration  = "Configuration"
	stageAuthentication = "Authentication"
	stageFetchLogs      = "Fetch Logs"
	stageValidation     = "Validation"
)

// The values of Observe's endpoint.
const (
	endpointToken  = "token"
	endpointEvents = "events"
	endpointTypes  = "event_types"
)

const (
	maxTokenBody = 1 << 20  // bytes of a token answer
	maxTypesBody = 4 << 20  // bytes of the list of event types; it has about 540
	maxErrorBody = 64 << 10 // bytes read of an answer that is not a success
)

// Endpoints returns every value of the endpoint that Observe is called with.
func Endpoints() []string { return []string{endpointToken, endpointEvents, endpointTypes} }

// Codes returns every value of the code that Observe is called with: the HTTP
// status where it is a usual one, else its class, else how the request ended
// without a whole answer.
func Codes() []string {
	return []string{
		"200", "400", "401", "403", "404", "409", "422", "429", "500", "502", "503", "504",
		"1xx", "2xx", "3xx", "4xx", "5xx", "other", "timeout", "unreachable", "unreadable", "canceled",
	}
}

func codeLabel(status int) string {
	switch status {
	case 200, 400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504:
		return fmt.Sprint(status)
	}
	if status >= 100 && status < 600 {
		return fmt.Sprint(status/100) + "xx"
	}
	return "other"
}

// BodyTooLargeError says that an answer was given up because of its size.
type BodyTooLargeError struct {
	Limit int64 // bytes, after decompression
}

func (e *BodyTooLargeError) Error() string {
	return fmt.Sprintf("the answer is larger than the limit of %d bytes", e.Limit)
}

// request is one HTTP request to be made.
type request struct {
	endpoint      string
	stage         string
	method        string
	url           string
	authorization string // empty: none is sent
	body          []byte
	maxBody       int64
	sizeHint      int64
	// urgent calls come before those of connectors that have begun.
	urgent bool
	// again tells that the caller goes on with what it began.
	again bool
}

// answer is a whole answer with status 200, or any other status with as much of
// its body as says why.
type answer struct {
	status    int
	header    http.Header
	body      []byte
	at        time.Time
	rateLimit source.RateLimit
}

// edgeTries is how often a call is made that the edge refuses. Others have been
// slowed down by then, and an edge that counts in windows of ten seconds has begun
// another: who is refused still has a trouble of its own.
const edgeTries = 8

// do makes one HTTP request when its turn has come, and makes it again, a few
// times, where the edge refuses it: nothing has counted it but the edge.
func (c *Client) do(ctx context.Context, r request) (*answer, error) {
	if c.edge == nil {
		return c.doOnce(ctx, r)
	}
	wait := edgeRetry
	for try := 1; ; try++ {
		sent, err := c.edge.turn(ctx, c, r.urgent, r.again || try > 1)
		if busy, ok := errors.AsType[busyError](err); ok {
			return nil, throttledByEdge(r.stage, busy)
		}
		if err != nil {
			return nil, err
		}
		a, err := c.doOnce(ctx, r)
		if err != nil {
			return nil, err
		}
		if !refusedByEdge(a) {
			c.refused.Store(0)
			return a, nil
		}
		c.edge.refusal(c, sent, c.refused.Add(1))
		told := readRetryAfter(a.header, a.at)
		if try == edgeTries || told > edgeRetryMost {
			return a, nil
		}
		if err := sleep(ctx, max(told, wait/2+rand.N(wait))); err != nil {
			return nil, err
		}
		wait = min(2*wait, 16*edgeRetry)
	}
}

const (
	// edgeRetry is about how long a call that the edge refused waits before it is
	// made again; twice as long each further time, up to sixteen times.
	edgeRetry = 500 * time.Millisecond
	// edgeRetryMost is the longest wait that is not told as THROTTLED.
	edgeRetryMost = 10 * time.Second
)

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// doOnce makes one HTTP request. The error is ctx's own when ctx is over, and an
// *source.APIError else; an answer with any status is not an error here.
func (c *Client) doOnce(ctx context.Context, r request) (*answer, error) {
	start := c.opts.Now()
	// The limit is a timeout of our own and must not be mistaken for the
	// caller's: ctx itself is asked first wherever something failed.
	rctx, cancel := context.WithTimeout(ctx, c.opts.Limits.Request)
	defer cancel()
	way := c.way()
	a, err := c.exchange(onRoute(rctx, way), r)
	code := "canceled"
	switch {
	case err == nil:
		code = codeLabel(a.status)
	case ctx.Err() != nil:
		err = ctx.Err()
	default:
		if rctx.Err() != nil {
			err = errSlow{c.opts.Limits.Request}
		}
		e := transportFailure(r.stage, way.failure(err))
		if a != nil {
			e = c.annotate(e, a)
		}
		code, err = e.Kind.String(), e
	}
	took := c.opts.Now().Sub(start)
	if c.opts.Observe != nil {
		c.opts.Observe(r.endpoint, code, took)
	}
	if c.opts.Trace != nil {
		c.opts.Trace(exchangeOf(r, a, code, took))
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// Exchange is what may be told of one HTTP request: no header, no query and no
// body.
type Exchange struct {
	Method, Path string
	// Code is one of Codes; Status the answer's, 0 if there was none.
	Code   string
	Status int
	// Bytes are those of the answer's body as far as it was read, after
	// decompression.
	Bytes int
	Took  time.Duration
	// RequestID is what OneLogin's support asks for; empty if unknown.
	RequestID string
}

func exchangeOf(r request, a *answer, code string, took time.Duration) Exchange {
	path, _, _ := strings.Cut(r.url, "?")
	if _, rest, ok := strings.Cut(path, "://"); ok {
		path = rest[max(0, strings.Index(rest, "/")):]
	}
	x := Exchange{Method: r.method, Path: path, Code: code, Took: took}
	if a != nil {
		x.Status, x.Bytes, x.RequestID = a.status, len(a.body), requestID(a.header)
	}
	return x
}

// exchange returns the answer without its body beside the error when the body
// could not be read.
func (c *Client) exchange(ctx context.Context, r request) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, bytes.NewReader(r.body))
	if err != nil {
		return nil, errRequest
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.opts.UserAgent)
	if r.authorization != "" {
		req.Header.Set("Authorization", r.authorization)
	}
	if r.method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
		// net/http repeats a POST on a kept connection that the server had
		// closed only if it is told that this is harmless, as it is for a
		// token. A key without values is not sent.
		req.Header["Idempotency-Key"] = []string{}
	}
	// RoundTrip and not http.Client: no redirect is followed, no cookie kept.
	resp, err := c.opts.HTTP.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a := &answer{status: resp.StatusCode, header: resp.Header, at: c.opts.Now()}
	a.rateLimit = readRateLimit(a.header, a.at)
	if a.status != http.StatusOK {
		// The status says enough. A body that breaks off only says it worse.
		a.body, _ = readBody(resp.Body, min(resp.ContentLength, maxErrorBody), maxErrorBody)
		a.body = bytes.TrimPrefix(a.body, byteOrderMark)
		return a, nil
	}
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return a, errEncoding
	}
	if resp.ContentLength > r.maxBody {
		return a, &BodyTooLargeError{Limit: r.maxBody}
	}
	hint := r.sizeHint
	if resp.ContentLength >= 0 {
		hint = resp.ContentLength
	}
	// What it calls itself does not matter: the body is validated whole.
	a.body, err = readBody(resp.Body, hint, r.maxBody)
	a.body = bytes.TrimPrefix(a.body, byteOrderMark)
	return a, err
}

// byteOrderMark says nothing: JSON is UTF-8.
var byteOrderMark = []byte("\ufeff")

// readBody reads r to its end. The size hint spares growing: what is read stays
// in memory as long as an event of it does.
func readBody(r io.Reader, hint, limit int64) ([]byte, error) {
	buf := make([]byte, 0, min(max(hint, 0), limit)+bytes.MinRead)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > limit {
			return nil, &BodyTooLargeError{Limit: limit}
		}
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, bodyError{err}
		}
	}
}

// bodyError marks what happened after the header of a success was read.
type bodyError struct{ err error }

func (e bodyError) Error() string { return "reading the answer: " + e.err.Error() }
func (e bodyError) Unwrap() error { return e.err }

// errSlow is our own limit of time. It is deliberately no context error: those
// are the caller's alone.
type errSlow struct{ limit time.Duration }

func (e errSlow) Error() string { return fmt.Sprintf("no whole answer within %s", e.limit) }
func (e errSlow) Timeout() bool { return true }

// Causes of failures that need no further detail.
var (
	errRequest    = errors.New("the request cannot be made")
	errEncoding   = errors.New("the answer has a content encoding that was not asked for")
	errNotHTTP    = errors.New("the answer is not proper HTTP or its header is over the limit")
	errBrokenBody = errors.New("the answer breaks off or cannot be decompressed")
	errBrokenLink = errors.New("the connection broke")
	errHeaderSlow = errors.New("no answer in time")
	errNotShown   = errors.New("the reason is not shown, since its text may hold a secret")
)
