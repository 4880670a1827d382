package onelogin

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"

	"golang.org/x/net/http/httpproxy"

	"onelogin-kafka/source"
)

// Proxy is the way to OneLogin. The zero Proxy is none.
//
// A proxy is asked with CONNECT and nothing else: it sees the host's name, and
// no request. Loopback hosts and plain HTTP are always reached without it.
type Proxy struct {
	// URL is http or https with host and port, and without credentials.
	URL string
	// No are the hosts that are reached without it, as the variable NO_PROXY has
	// them: names, with all below them, addresses, networks, *.
	No string
	// Username and Password are what the proxy wants to know; none if Username is
	// empty. Password is called for each connection. Its error must not hold it.
	Username string
	Password func() (string, error)
}

// route is a client's way out, which a transport finds with each request: many
// clients share one transport.
type route struct {
	proxy Proxy
	host  string // the proxy's, and port
	of    func(*url.URL) (*url.URL, error)
	// tunnelling tells that CONNECT was sent and not answered, connected that the
	// request has a connection, its own or another's.
	tunnelling, connected atomic.Bool
}

type routeKey struct{}

// errBadProxy does not hold the URL, which may carry a password.
var errBadProxy = errors.New("the proxy's URL is not http or https with a host")

func newRoute(p Proxy) (func() *route, error) {
	if p.URL == "" {
		return func() *route { return nil }, nil
	}
	u, err := url.Parse(p.URL)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errBadProxy
	}
	of := (&httpproxy.Config{HTTPSProxy: p.URL, NoProxy: p.No}).ProxyFunc()
	return func() *route { return &route{proxy: p, host: u.Host, of: of} }, nil
}

// onRoute is ctx with the way that a request under it takes.
func onRoute(ctx context.Context, r *route) context.Context {
	if r == nil {
		return ctx
	}
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { r.connected.Store(true) }}
	return httptrace.WithClientTrace(context.WithValue(ctx, routeKey{}, r), trace)
}

func routeOf(ctx context.Context) *route {
	r, _ := ctx.Value(routeKey{}).(*route)
	return r
}

// byRoute is a transport's Proxy. Connections are shared by those for whom it
// returns the same URL: a tunnel belongs to the proxy's user who had it opened,
// whose name goes where no proxy sees it.
func byRoute(req *http.Request) (*url.URL, error) {
	r := routeOf(req.Context())
	if r == nil {
		return nil, nil
	}
	u, err := r.of(req.URL)
	if u == nil || err != nil || r.proxy.Username == "" {
		return u, err
	}
	own := *u
	own.Fragment = r.proxy.Username
	return &own, nil
}

// askTunnel is a transport's GetProxyConnectHeader.
func askTunnel(ctx context.Context, _ *url.URL, _ string) (http.Header, error) {
	r := routeOf(ctx)
	h := http.Header{}
	if r.proxy.Username != "" {
		password, err := r.proxy.Password()
		if err != nil {
			return nil, proxySecretError{err}
		}
		h.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(r.proxy.Username+":"+password)))
	}
	r.tunnelling.Store(true)
	return h, nil
}

// tunnelled is a transport's OnProxyConnectResponse.
func tunnelled(ctx context.Context, proxy *url.URL, _ *http.Request, res *http.Response) error {
	routeOf(ctx).tunnelling.Store(false)
	if res.StatusCode != http.StatusOK {
		return &ProxyError{Proxy: proxy.Host, Status: res.StatusCode}
	}
	return nil
}

// ProxyError says that a proxy did not open the way to OneLogin.
type ProxyError struct {
	Proxy  string // host and port, as configured
	Status int    // of its answer to CONNECT; 0 = there was none
	err    error  // what there was instead, harmless
}

// Error implements error. It repeats nothing of the proxy's answer but its
// status.
func (e *ProxyError) Error() string {
	if e.Status == 0 {
		return fmt.Sprintf("the proxy %s did not answer CONNECT: %v", e.Proxy, e.err)
	}
	reason := http.StatusText(e.Status)
	if reason == "" {
		reason = "unknown"
	}
	return fmt.Sprintf("the proxy %s answered CONNECT with response code %d, reason %s", e.Proxy, e.Status, reason)
}

type proxySecretError struct{ err error }

func (e proxySecretError) Error() string { return "reading the proxy's password: " + e.err.Error() }
func (e proxySecretError) Unwrap() error { return e.err }

// failure is the error of a request that took this way, with what the proxy has
// to do with it.
func (r *route) failure(err error) error {
	if r == nil || r.connected.Load() || !r.tunnelling.Load() {
		return err
	}
	return &ProxyError{Proxy: r.host, err: harmless(err)}
}

// setProxy makes e the error of a proxy that did not open the way.
func setProxy(e *source.APIError, err *ProxyError) {
	setUnreachable(e, err)
	switch {
	case err.Status == http.StatusProxyAuthRequired:
		e.Advice = adviceProxyCredentials
	case err.Status >= 400 && err.Status < 500:
		e.Advice = adviceProxyRefuses
	default:
		e.Advice = adviceProxy
	}
}
