package producer

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"onelogin-kafka/producer/wire"
)

// Bounds on what a token endpoint can do to us.
const (
	tokenTimeout   = 10 * time.Second
	maxTokenAnswer = 64 << 10 // bytes
	maxTokenHeader = 64 << 10 // bytes
	// tokenRetry is the least time between a failed request and the next: every
	// connection of every shard asks.
	tokenRetry = time.Second
	// unknownTokenLife is how long a token is used whose answer does not say when
	// it ends. A broker that refuses it before ends it before.
	unknownTokenLife = 5 * time.Minute
	// maxTokenLife bounds an expires_in, so that it can be a duration.
	maxTokenLife = 30 * 24 * time.Hour
)

// EndpointToken is a BearerToken from a token endpoint by OAuth's client
// credentials grant (RFC 6749, section 4.4; KIP-768). A token is kept until
// shortly before it ends; one request is in flight at a time. Its fields must
// not change after the first call of Token.
type EndpointToken struct {
	// URL of the endpoint; https, or http to a loopback address.
	URL      string
	ClientID string
	// Secret is read for each request, so that a rotated one needs no restart.
	Secret func() (string, error)
	// Scope is asked for; empty = whatever the endpoint gives.
	Scope string
	// UserAgent is sent with each request; empty = "onelogin-kafka".
	UserAgent string
	// Parameters are sent as well: audience, resource and the like, as some
	// providers want. None takes the place of a parameter of the grant's own.
	Parameters map[string]string
	// Transport replaces the network; nil = one with limits and without a proxy.
	Transport http.RoundTripper
	// Now is the clock; nil = time.Now.
	Now func() time.Time

	flight singleflight.Group

	mu     sync.Mutex
	token  string
	until  time.Time // the token is used before it
	failed error     // of the last request
	retry  time.Time // the next request is not made before it
}

func (e *EndpointToken) now() time.Time {
	if e.Now == nil {
		return time.Now()
	}
	return e.Now()
}

// Token implements BearerToken. The request goes on when ctx ends: whoever asks
// next gets what it brought.
func (e *EndpointToken) Token(ctx context.Context) (string, error) {
	if token, ok, err := e.kept(); ok {
		return token, err
	}
	answer := e.flight.DoChan("", func() (any, error) {
		if token, ok, err := e.kept(); ok { // it came while we were on our way here
			return token, err
		}
		rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tokenTimeout)
		defer cancel()
		token, life, err := e.request(rctx)
		if err != nil {
			err = fmt.Errorf("asking for a token at kafka.sasl.token_url: %w", err)
		}
		e.keep(token, life, err)
		return token, err
	})
	select {
	case r := <-answer:
		if r.Err != nil {
			return "", r.Err
		}
		return r.Val.(string), nil
	case <-ctx.Done():
		return "", fmt.Errorf("asking for a token at kafka.sasl.token_url: %w", ctx.Err())
	}
}

// kept returns the token at hand, or the last error while it is too early to
// ask again. ok is false when it is time to ask.
func (e *EndpointToken) kept() (token string, ok bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	if e.token != "" && now.Before(e.until) {
		return e.token, true, nil
	}
	if e.failed != nil && now.Before(e.retry) {
		return "", true, e.failed
	}
	return "", false, nil
}

// keep uses a token for 80 % of its life and not in its last 30 s, but for half
// its life at least.
func (e *EndpointToken) keep(token string, life time.Duration, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	e.token, e.failed = token, err
	e.until, e.retry = now.Add(max(life/2, life-max(life/5, 30*time.Second))), now.Add(tokenRetry)
}

// Refused implements BearerToken.
func (e *EndpointToken) Refused(token string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.token != token {
		return
	}
	e.token = ""
	// A broker that refuses every token must not have us ask for them at will.
	if now := e.now(); now.Before(e.retry) {
		e.failed = errRefusedAtOnce
	}
}

// Why there is no token.
var (
	errRefusedAtOnce = errors.New("the token of a moment ago was refused by a broker; waiting before asking for another")
	errTokenURL      = errors.New("the URL is not https (http is for loopback only), or has more than a host and a path")
	errTokenRedirect = errors.New("it answered with a redirect, which is not followed")
	errTokenTooLarge = fmt.Errorf("the answer is larger than %d bytes", maxTokenAnswer)
	errNoHTTP        = errors.New("it is no HTTP that we can read")
	errTokenAnswer   = errors.New("the answer is no JSON object with an access_token of type Bearer")
)

// checkTokenURL refuses what would send the client secret in the clear or could
// show it.
func checkTokenURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errTokenURL
	}
	if u.Scheme == "https" {
		return nil
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && addr.Unmap().IsLoopback()) {
		return nil
	}
	return errTokenURL
}

// request asks for a token and returns how long it lives.
func (e *EndpointToken) request(ctx context.Context) (token string, life time.Duration, err error) {
	if err := checkTokenURL(e.URL); err != nil {
		return "", 0, err
	}
	secret, err := e.Secret()
	if err != nil {
		return "", 0, fmt.Errorf("reading the client secret: %w", err)
	}
	form := url.Values{}
	for key, value := range e.Parameters {
		form.Set(key, value)
	}
	form.Set("grant_type", "client_credentials")
	if e.Scope != "" {
		form.Set("scope", e.Scope)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, errTokenURL
	}
	// Both are form-encoded first (RFC 6749, section 2.3.1).
	req.SetBasicAuth(url.QueryEscape(e.ClientID), url.QueryEscape(secret))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", cmp.Or(e.UserAgent, "onelogin-kafka"))
	transport := e.Transport
	if transport == nil {
		t := newTokenTransport()
		defer t.CloseIdleConnections() // the next request is minutes away
		transport = t
	}
	// A round trip follows no redirects.
	res, err := transport.RoundTrip(req)
	if err != nil {
		return "", 0, fmt.Errorf("no answer: %w", shown(err))
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxTokenAnswer+1))
	if err != nil {
		return "", 0, fmt.Errorf("reading the answer: %w", shown(err))
	}
	if len(body) > maxTokenAnswer {
		return "", 0, errTokenTooLarge
	}
	if res.StatusCode != http.StatusOK {
		return "", 0, refusedBy(res.StatusCode, body)
	}
	return decodeBearer(body)
}

// shown returns err if it says nothing that the endpoint sent, or that it was
// sent: net/http quotes what it cannot read.
func shown(err error) error {
	if err = wire.Shown(err); errors.Is(err, wire.ErrNotShown) {
		return errNoHTTP
	}
	return err
}

func newTokenTransport() *http.Transport {
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: tokenTimeout / 2}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    tokenTimeout / 2,
		MaxResponseHeaderBytes: maxTokenHeader,
	}
}

// grantErrors are the codes that an endpoint may refuse a grant with (RFC 6749,
// section 5.2). Nothing else of its answer is shown.
var grantErrors = []string{"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope"}

func refusedBy(status int, body []byte) error {
	if status >= 300 && status < 400 {
		return fmt.Errorf("HTTP status %d: %w", status, errTokenRedirect)
	}
	var answer struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &answer) == nil && slices.Contains(grantErrors, answer.Error) {
		return fmt.Errorf("HTTP status %d (%s)", status, answer.Error)
	}
	return fmt.Errorf("HTTP status %d", status)
}

// decodeBearer reads a success.
func decodeBearer(body []byte) (token string, life time.Duration, err error) {
	var answer struct {
		AccessToken string      `json:"access_token"`
		TokenType   string      `json:"token_type"`
		ExpiresIn   json.Number `json:"expires_in"`
	}
	if json.Unmarshal(body, &answer) != nil || !bearer.MatchString(answer.AccessToken) ||
		answer.TokenType != "" && !strings.EqualFold(answer.TokenType, "Bearer") {
		return "", 0, errTokenAnswer
	}
	seconds, err := answer.ExpiresIn.Float64()
	if err != nil || !(seconds > 0) {
		return answer.AccessToken, unknownTokenLife, nil //nolint:nilerr // a life that cannot be read is unknown, the token is good
	}
	return answer.AccessToken, time.Duration(min(seconds, maxTokenLife.Seconds()) * float64(time.Second)), nil
}
