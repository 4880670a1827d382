package onelogin

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
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

// NewTransport returns a transport fit for OneLogin: HTTP/1.1 with keep-alive
// and gzip, no proxy from the environment, and the limits of l. Clients may
// share it.
func NewTransport(l Limits) *http.Transport {
	l = l.withDefaults()
	var h1 http.Protocols
	h1.SetHTTP1(true)
	dial := (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	if l.Connections > 0 {
		dial = bounded(dial, l.Connections)
	}
	return &http.Transport{
		Proxy:       nil,
		DialContext: dial,
		// What is idle must leave room for what is not.
		MaxIdleConns:           l.Connections / 2,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  l.ResponseHeader,
		MaxResponseHeaderBytes: l.Header,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        90 * time.Second,
		Protocols:              &h1,
	}
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
	a, err := c.exchange(rctx, r)
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
		e := transportFailure(r.stage, err)
		if a != nil {
			e = c.annotate(e, a)
		}
		code, err = e.Kind.String(), e
	}
	if c.opts.Observe != nil {
		c.opts.Observe(r.endpoint, code, c.opts.Now().Sub(start))
	}
	if err != nil {
		return nil, err
	}
	return a, nil
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

// transportFailure says what it means that no whole answer came. Errors of
// net/http can quote the answer and can pass for errors of a context, so only
// texts from a list of harmless types go on, and only as text.
func transportFailure(stage string, err error) *source.APIError {
	e := &source.APIError{Stage: stage}
	var (
		tooLarge *BodyTooLargeError
		op       *net.OpError
		timeout  interface{ Timeout() bool }
		slow     errSlow
		body     bodyError
	)
	switch {
	case errors.Is(err, errRequest):
		e.Kind, e.Message, e.Err = source.Configuration, msgConfiguration, errRequest
		e.Advice = adviceConfiguration
	case errors.As(err, &tooLarge):
		setUnreadable(e, msgReading, tooLarge)
	case errors.Is(err, errEncoding):
		setUnreadable(e, msgReading, errEncoding)
	case errors.As(err, &slow):
		setTimeout(e, slow)
	case errors.As(err, &op) && op.Op == "dial":
		setUnreachable(e, harmless(err))
	case errors.As(err, &timeout) && timeout.Timeout():
		setTimeout(e, errHeaderSlow)
	case errors.As(err, &op), errors.Is(err, syscall.ECONNRESET), errors.Is(err, net.ErrClosed):
		setUnreachable(e, harmless(err))
	case errors.As(err, &body):
		setUnreadable(e, msgReading, errBrokenBody)
	default:
		setUnreachable(e, harmless(err))
	}
	return e
}

// harmless returns the text of err if its type is known to tell nothing but
// addresses, names and reasons of the network's.
func harmless(err error) error {
	var (
		op   *net.OpError
		dns  *net.DNSError
		addr *net.AddrError
		sys  *os.SyscallError
		slow interface{ Timeout() bool }
		no   syscall.Errno
		cert *tls.CertificateVerificationError
		host x509.HostnameError
		auth x509.UnknownAuthorityError
		rec  tls.RecordHeaderError
		alrt tls.AlertError
	)
	switch {
	case errors.As(err, &op):
		return harmlessOp(op)
	case errors.As(err, &dns):
		return errors.New(dns.Error())
	case errors.As(err, &cert):
		return errors.New(cert.Error())
	case errors.As(err, &host):
		return errors.New(host.Error())
	case errors.As(err, &auth):
		return errors.New(auth.Error())
	case errors.As(err, &rec):
		return errors.New(rec.Error())
	case errors.As(err, &alrt):
		return errors.New(alrt.Error())
	case errors.As(err, &sys):
		return errors.New(sys.Error())
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return errBrokenLink
	case errors.As(err, &no):
		return errors.New(no.Error())
	case errors.As(err, &addr):
		return errors.New(addr.Error())
	case errors.As(err, &slow) && slow.Timeout():
		return errHeaderSlow
	default:
		return errNotHTTP
	}
}

// harmlessOp is harmless for an operation of the network's, which wraps what a
// proxy says just as what the network does. An alert of TLS has a type of its
// own that nobody can name.
func harmlessOp(op *net.OpError) error {
	if op.Op == "remote error" || op.Op == "local error" {
		return errors.New(op.Error())
	}
	inner := harmless(op.Err)
	if errors.Is(inner, errNotHTTP) {
		inner = errNotShown
	}
	shown := &net.OpError{Op: op.Op, Net: op.Net, Source: op.Source, Addr: op.Addr, Err: inner}
	return errors.New(shown.Error())
}
