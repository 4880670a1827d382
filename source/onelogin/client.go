// Package onelogin speaks to OneLogin's Events API: it gets tokens, asks for
// one page at a time, and says in a closed list of kinds what went wrong. It
// keeps no position: when to ask, and how far back, is the caller's. It waits and
// asks again for one reason only, the edge that all accounts share: see Edges.
package onelogin

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"onelogin-kafka/source"
)

// Config is what tells one OneLogin account from another.
type Config struct {
	// Domain is the account's domain: acme, acme.onelogin.com and
	// https://acme.onelogin.com/ mean the same.
	Domain string
	// BaseURL overrides https://<domain>, for tests and proxies. It is https,
	// or http for a loopback host.
	BaseURL string
	// ClientID is the id of the API credential.
	ClientID string
	// Secret reads the client secret. It is called anew for each token request,
	// so that a rotated secret needs no restart. White space around the secret
	// is not part of it. Its error must not hold the secret.
	Secret func() (string, error)
	// Proxy is the way to it.
	Proxy Proxy
}

// Options are the outside of a Client. The zero value is ready to use.
type Options struct {
	// HTTP carries the requests; nil makes a transport of the client's own.
	// Many clients may share one NewTransport. It must not follow redirects
	// (no http.RoundTripper does). Config.Proxy needs a NewTransport.
	HTTP http.RoundTripper
	// Log gets debug lines only.
	Log zerolog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Limits bound every answer; zero fields mean the defaults.
	Limits Limits
	// Observe, if not nil, is told of each HTTP request when it ends. endpoint
	// and code come from closed lists, see Endpoints and Codes.
	Observe func(endpoint, code string, d time.Duration)
	// Trace, if not nil, is told of each HTTP request when it ends.
	Trace func(Exchange)
	// Edges keeps the pace of all calls of the process; nil = none is kept, and
	// what an edge refuses is the caller's to try again.
	Edges *Edges
	// UserAgent is sent with each request; empty means "onelogin-kafka".
	UserAgent string
}

// Limits bound what one request may cost. What goes over a limit is an error
// that says so.
type Limits struct {
	// Body is the most bytes of a page after decompression. Default 32 MiB.
	Body int64
	// Header is the most bytes of an answer's header. Default 64 KiB.
	Header int64
	// Request is the most time from the start of a request to the end of its
	// answer. Default 60 s.
	Request time.Duration
	// ResponseHeader is the most time from the end of a request to the end of
	// its answer's header. Default 30 s.
	ResponseHeader time.Duration
	// Connections is the most that a transport has open at once; whoever needs one
	// more waits. 0 = no bound.
	Connections int
}

// mostSpare is how many connections are left to what is not idle, at most: those
// that begin at once are few, see firstCalls.
const mostSpare = 256

// Kept is how many of Connections may be idle, 0 = no bound. If more take turns with
// them, nearly each call needs a handshake.
func (l Limits) Kept() int { return l.Connections - min(l.Connections/2, mostSpare) }

func (l Limits) withDefaults() Limits {
	if l.Body <= 0 {
		l.Body = 32 << 20
	}
	if l.Header <= 0 {
		l.Header = 64 << 10
	}
	if l.Request <= 0 {
		l.Request = 60 * time.Second
	}
	if l.ResponseHeader <= 0 {
		l.ResponseHeader = 30 * time.Second
	}
	return l
}

// Client asks one account's API. Its methods may be called concurrently.
type Client struct {
	opts     Options
	base     string // scheme, host and path prefix, without a slash at the end
	clientID string
	secret   func() (string, error)
	way      func() *route   // the way out of one request; it returns nil for the direct one
	owned    *http.Transport // nil when the transport came from outside

	edge      *edge        // nil: no pace is kept
	begins    atomic.Bool  // its next page is its first
	promised  time.Time    // when the edge said to come again; the edge's lock guards it
	refused   atomic.Int64 // by the edge, calls in a row
	tokens    tokens
	accountID atomic.Int64
	bodySize  atomic.Int64 // of the last page, to size the next buffer by
}

var _ source.Client = (*Client)(nil)

// New checks cfg and returns a client for it. The error is a
// *source.APIError of kind Configuration. Nothing is sent and the secret is not
// read yet.
func New(cfg Config, opts Options) (*Client, error) {
	base, err := baseURL(cfg)
	if err != nil {
		return nil, configurationError(err)
	}
	if err := checkCredential("client id", cfg.ClientID); err != nil {
		return nil, configurationError(err)
	}
	if cfg.Secret == nil {
		return nil, configurationError(errNoSecret)
	}
	way, err := newRoute(cfg.Proxy)
	if err != nil {
		return nil, configurationError(err)
	}
	c := &Client{
		opts:     opts,
		base:     base,
		clientID: cfg.ClientID,
		secret:   cfg.Secret,
		way:      way,
		tokens:   newTokens(),
	}
	if opts.Edges != nil {
		c.edge = opts.Edges.of(base)
	}
	c.opts.Limits = opts.Limits.withDefaults()
	if c.opts.Now == nil {
		c.opts.Now = time.Now
	}
	if c.opts.UserAgent == "" {
		c.opts.UserAgent = "onelogin-kafka"
	}
	if c.opts.HTTP == nil {
		c.owned = NewTransport(c.opts.Limits, nil)
		c.opts.HTTP = c.owned
	}
	return c, nil
}

// Begin waits until the edge lets one more connector begin: thousands that start
// at once are no herd then. The first page after it, with its token, comes before
// the calls of those that have begun. The error is ctx's.
func (c *Client) Begin(ctx context.Context) error {
	if c.edge == nil {
		return nil
	}
	if err := c.edge.spread(ctx); err != nil {
		return err
	}
	c.begins.Store(true)
	return nil
}

// AccountID is the account the token belongs to; 0 until a token answer has
// said it.
func (c *Client) AccountID() int64 { return c.accountID.Load() }

// Close closes the idle connections of the client's own transport.
func (c *Client) Close() {
	if c.owned != nil {
		c.owned.CloseIdleConnections()
	}
}

// String names the client without what it holds, so that printing one by
// accident shows no token.
func (c *Client) String() string { return "onelogin.Client(" + c.base + ")" }

// GoString is String.
func (c *Client) GoString() string { return c.String() }

// readSecret reads the secret for one token request.
func (c *Client) readSecret() (string, error) {
	s, err := c.secret()
	if err != nil {
		return "", configurationError(secretError{err})
	}
	s = strings.TrimSpace(s)
	if err := checkCredential("client secret", s); err != nil {
		return "", configurationError(err)
	}
	return s, nil
}
