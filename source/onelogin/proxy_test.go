package onelogin

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"onelogin-kafka/internal/proof/tunnel"
	"onelogin-kafka/source"
)

const proxyPassword = "pr0xy-canary-55d1"

// behind is a fake API that has a certificate of its own for acme.onelogin.com,
// and roots that know it.
func behind(t *testing.T) (api *fakeAPI, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"acme.onelogin.com"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(cert)
	api = newAPI(t)
	secure := httptest.NewUnstartedServer(api.Config.Handler)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // of refused handshakes
	secure.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}}
	secure.StartTLS()
	t.Cleanup(secure.Close)
	api.Server.Close()
	api.Server = secure
	return api, roots
}

// through is a client of acme.onelogin.com by way of a proxy.
func through(t *testing.T, roots *x509.CertPool, p Proxy, out io.Writer) *Client {
	t.Helper()
	transport := NewTransport(Limits{}, roots)
	t.Cleanup(transport.CloseIdleConnections)
	c, err := New(
		Config{Domain: "acme", ClientID: testID, Secret: func() (string, error) { return testSecret, nil }, Proxy: p},
		Options{HTTP: transport, Log: zerolog.New(out).Level(zerolog.TraceLevel)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func shows(password string) func() (string, error) {
	return func() (string, error) { return password, nil }
}

// TestThroughAProxy: requests take the proxy's tunnel, as one connection, and
// the proxy sees a name and nothing else.
func TestThroughAProxy(t *testing.T) {
	t.Parallel()
	api, roots := behind(t)
	for name, tt := range map[string]struct {
		proxy *tunnel.Proxy
		way   Proxy
	}{
		"without credentials": {&tunnel.Proxy{}, Proxy{}},
		"with credentials":    {&tunnel.Proxy{Username: "user", Password: proxyPassword}, Proxy{}},
		"other hosts direct":  {&tunnel.Proxy{}, Proxy{No: "example.com, 10.0.0.0/8"}},
	} {
		tt.proxy.To = api.Listener.Addr().String()
		proxy := tunnel.Start(t, tt.proxy)
		tt.way.URL, tt.way.Username, tt.way.Password = proxy.URL, proxy.Username, shows(proxy.Password)
		c := through(t, roots, tt.way, io.Discard)
		for range 3 {
			if _, err := c.Page(t.Context(), anyQuery); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if got := proxy.Asked(); !slices.Equal(got, []string{"acme.onelogin.com:443"}) {
			t.Errorf("%s: the proxy was asked for %q", name, got)
		}
		for _, r := range api.seen(eventsPath) {
			if r.Header.Get("Proxy-Authorization") != "" {
				t.Errorf("%s: the proxy's credentials went on to OneLogin", name)
			}
		}
	}
}

// TestTunnelsAreNotShared: connectors of one transport, one proxy and one host, but
// of different users of the proxy, do not take each other's tunnels: who may not
// pass does not pass on another's account.
func TestTunnelsAreNotShared(t *testing.T) {
	t.Parallel()
	api, roots := behind(t)
	proxy := tunnel.Start(t, &tunnel.Proxy{Username: "user", Password: proxyPassword, To: api.Listener.Addr().String()})
	transport := NewTransport(Limits{}, roots)
	t.Cleanup(transport.CloseIdleConnections)
	page := func(username string) error {
		c, err := New(
			Config{Domain: "acme", ClientID: testID, Secret: shows(testSecret), Proxy: Proxy{URL: proxy.URL, Username: username, Password: shows(proxyPassword)}},
			Options{HTTP: transport})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Page(t.Context(), anyQuery)
		return err
	}
	if err := page("user"); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{"other", ""} {
		refused, ok := errors.AsType[*ProxyError](page(other))
		if !ok || refused.Status != http.StatusProxyAuthRequired {
			t.Errorf("user %q: got %v, want a refusal of the proxy's", other, refused)
		}
	}
	if err := page("user"); err != nil || len(proxy.Asked()) != 3 {
		t.Errorf("the first again: %v, after asking for %q, want no fourth tunnel", err, proxy.Asked())
	}
}

// TestNoProxy: what is named in no_proxy, loopback and plain HTTP are not sent
// to a proxy.
func TestNoProxy(t *testing.T) {
	t.Parallel()
	proxy := tunnel.Start(t, &tunnel.Proxy{})
	for _, no := range []string{"acme.onelogin.com", ".onelogin.com", "onelogin.com:443", "*"} {
		transport := NewTransport(Limits{}, nil)
		hit := errors.New("dialled")
		transport.DialContext = func(_ context.Context, _, addr string) (net.Conn, error) {
			if addr != "acme.onelogin.com:443" {
				t.Errorf("%s: dialled %s", no, addr)
			}
			return nil, hit
		}
		c, err := New(Config{Domain: "acme", ClientID: testID, Secret: shows(testSecret), Proxy: Proxy{URL: proxy.URL, No: no}}, Options{HTTP: transport})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Page(t.Context(), anyQuery); err == nil {
			t.Errorf("%s: no error", no)
		}
	}
	api := newAPI(t)
	c := api.client(t, func(cfg *Config, _ *Options) { cfg.Proxy = Proxy{URL: proxy.URL} })
	if _, err := c.Page(t.Context(), anyQuery); err != nil {
		t.Error(err)
	}
	if got := proxy.Asked(); len(got) > 0 {
		t.Errorf("the proxy was asked for %q", got)
	}
}

// TestAProxyThatRefuses: one clear error, and nothing of the credentials.
func TestAProxyThatRefuses(t *testing.T) {
	t.Parallel()
	api, roots := behind(t)
	closed := tunnel.Start(t, &tunnel.Proxy{})
	closed.Close()
	for name, tt := range map[string]struct {
		proxy    *tunnel.Proxy
		password func() (string, error)
		kind     source.Kind
		cause    string // PROXY stands for its host and port
		advice   string
	}{
		"wrong password": {&tunnel.Proxy{Username: "user", Password: "another"}, shows(proxyPassword), source.Unreachable,
			"the proxy PROXY answered CONNECT with response code 407, reason Proxy Authentication Required", adviceProxyCredentials},
		"refused": {&tunnel.Proxy{Status: http.StatusForbidden}, shows(proxyPassword), source.Unreachable,
			"the proxy PROXY answered CONNECT with response code 403, reason Forbidden", adviceProxyRefuses},
		"OneLogin out of its reach": {&tunnel.Proxy{Status: http.StatusBadGateway}, shows(proxyPassword), source.Unreachable,
			"the proxy PROXY answered CONNECT with response code 502, reason Bad Gateway", adviceProxy},
		"closed in between": {&tunnel.Proxy{Status: tunnel.Silent}, shows(proxyPassword), source.Unreachable,
			"the proxy PROXY did not answer CONNECT: the connection broke", adviceProxy},
		"not there": {closed, shows(proxyPassword), source.Unreachable,
			"proxyconnect tcp: dial tcp PROXY: connect: connection refused", adviceProxy},
		"no password to be had": {&tunnel.Proxy{}, func() (string, error) { return "", errors.New("open secrets/proxy: no such file") }, source.Configuration,
			"reading the proxy's password: open secrets/proxy: no such file", adviceProxyCredentials},
	} {
		t.Run(name, func(t *testing.T) {
			tt.proxy.To = api.Listener.Addr().String()
			if tt.proxy.Server == nil {
				tunnel.Start(t, tt.proxy)
			}
			var out bytes.Buffer
			c := through(t, roots, Proxy{URL: tt.proxy.URL, Username: "user", Password: tt.password}, &out)
			_, err := c.Page(t.Context(), anyQuery)
			tell(&out, err)
			e := apiError(t, err)
			want := strings.ReplaceAll(tt.cause, "PROXY", tt.proxy.Listener.Addr().String())
			if e.Kind != tt.kind || e.Err.Error() != want || e.Advice != tt.advice || e.Stage != stageAuthentication {
				t.Errorf("got %+v, %v; want %s", e, e.Err, want)
			}
			if want := map[source.Kind]string{source.Unreachable: msgConnect, source.Configuration: msgConfiguration}[tt.kind]; e.Message != want {
				t.Errorf("got message %q, want %q", e.Message, want)
			}
			if strings.Contains(out.String(), proxyPassword) {
				t.Errorf("the password is told: %s", out.String())
			}
		})
	}
}

// TestPrivateAuthority: who is not known is not trusted, also behind a proxy.
func TestPrivateAuthority(t *testing.T) {
	t.Parallel()
	api, _ := behind(t)
	proxy := tunnel.Start(t, &tunnel.Proxy{To: api.Listener.Addr().String()})
	c := through(t, nil, Proxy{URL: proxy.URL}, io.Discard)
	_, err := c.Page(t.Context(), anyQuery)
	e := apiError(t, err)
	if e.Kind != source.Unreachable || !strings.Contains(e.Err.Error(), "certificate") || e.Advice != adviceConnect {
		t.Errorf("got %+v, %v", e, e.Err)
	}
	if proxy.Opened() == 0 {
		t.Error("the way was not opened, so that no certificate was seen")
	}
}

// TestTrace: what is told of a request is not what may be secret.
func TestTrace(t *testing.T) {
	t.Parallel()
	api := newAPI(t)
	token := tokenBody(testToken)
	api.token = replyJSON(200, token)
	api.events = sequence(replyJSON(503, "no"), replyJSON(200, body(lastPage)))
	var got []Exchange
	c := api.client(t, func(_ *Config, o *Options) { o.Trace = func(x Exchange) { got = append(got, x) } })
	q := anyQuery
	q.Cursor = "cursor-canary"
	_, err := c.Page(t.Context(), q)
	if apiError(t, err).Status != http.StatusServiceUnavailable {
		t.Error(err)
	}
	if _, err := c.Page(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if got[i].Took <= 0 {
			t.Errorf("%+v took no time", got[i])
		}
		got[i].Took = 0
	}
	want := []Exchange{
		{Method: "POST", Path: tokenPath, Code: "200", Status: 200, Bytes: len(token), RequestID: "req-1"},
		{Method: "GET", Path: eventsPath, Code: "503", Status: 503, Bytes: len("no"), RequestID: "req-1"},
		{Method: "GET", Path: eventsPath, Code: "200", Status: 200, Bytes: len(body(lastPage)), RequestID: "req-1"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
