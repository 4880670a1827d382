// Package tunnel is a forward proxy on loopback, as a company has one before
// the internet: it takes CONNECT and nothing else, may want credentials, and
// leads every name to one host, so that tests need no name resolution.
package tunnel

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Silent is a Status that closes the connection without an answer.
const Silent = -1

// Proxy is a running proxy. Its fields are set before the first request.
type Proxy struct {
	*httptest.Server
	// To is the host and port that every CONNECT leads to.
	To string
	// Username and Password are what it wants to be shown; nothing if empty.
	Username, Password string
	// Status answers each CONNECT that has the right credentials; 0 = 200 and
	// the way is open.
	Status int

	mu     sync.Mutex
	asked  []string // targets of CONNECT, and "<method> <url>" of all else
	opened int
	conns  []net.Conn
}

// Start starts a proxy that ends with the test.
func Start(t testing.TB, p *Proxy) *Proxy {
	t.Helper()
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(func() {
		p.Cut()
		p.Close()
	})
	return p
}

// Cut closes all that goes through the proxy.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// Asked lists what the proxy was asked for: host:port of each CONNECT, "<method>
// <url>" of anything else.
func (p *Proxy) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

// Opened is how many ways were opened.
func (p *Proxy) Opened() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	what := r.Host
	if r.Method != http.MethodConnect {
		what = r.Method + " " + r.URL.String()
	}
	p.mu.Lock()
	p.asked = append(p.asked, what)
	p.mu.Unlock()
	status := p.Status
	// What it was shown it repeats, as some do.
	shown := r.Header.Get("Proxy-Authorization")
	asBasic := &http.Request{Header: http.Header{"Authorization": {shown}}}
	username, password, _ := asBasic.BasicAuth()
	switch {
	case r.Method != http.MethodConnect:
		status = http.StatusMethodNotAllowed
	case p.Username != "" && (username != p.Username || password != p.Password):
		status = http.StatusProxyAuthRequired
	}
	switch status {
	case 0:
		p.open(r.Context(), w)
	case Silent:
		panic(http.ErrAbortHandler)
	default:
		w.Header().Set("X-Shown", shown)
		http.Error(w, shown+password, status)
	}
}

func (p *Proxy) open(ctx context.Context, w http.ResponseWriter) {
	var dialer net.Dialer
	out, err := dialer.DialContext(ctx, "tcp", p.To)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	in, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		out.Close()
		return
	}
	p.mu.Lock()
	p.opened++
	p.conns = append(p.conns, in, out)
	p.mu.Unlock()
	_, _ = io.WriteString(in, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() { defer out.Close(); _, _ = io.Copy(out, in) }()
	_, _ = io.Copy(in, out)
	in.Close()
}
