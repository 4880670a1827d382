package onelogin

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"onelogin-kafka/source"
)

func packed(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	if _, err := io.WriteString(zw, text); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// raw answers with bytes of its own on the connection, which then closes.
func raw(t testing.TB, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, text)
		_ = conn.Close()
	}
}

func head(extra ...string) string {
	return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + strings.Join(append(extra, "\r\n"), "\r\n")
}

func chunked(b []byte) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(b), b) }

func TestGzip(t *testing.T) {
	api := newAPI(t)
	api.events = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "gzip" {
			t.Errorf("accepts %q", r.Header.Get("Accept-Encoding"))
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed(t, body(lastPage, event(1))))
	}
	p, err := api.client(t).Page(t.Context(), anyQuery)
	if err != nil || len(p.Events) != 1 {
		t.Errorf("got %+v, %v", p, err)
	}
}

// What breaks off, lies about its length or is no HTTP is never a page.
func TestBrokenAnswers(t *testing.T) {
	text := body(lastPage, event(1))
	zip := packed(t, text)
	damaged := bytes.Clone(zip)
	damaged[len(damaged)-6] ^= 1 // in the checksum
	const zipped, inChunks = "Content-Encoding: gzip", "Transfer-Encoding: chunked"
	length := func(n int) string { return fmt.Sprintf("Content-Length: %d", n) }
	tests := []struct {
		name, answer string
		kind         source.Kind
	}{
		{"shorter than its length", head(length(len(text)+1)) + text, source.Unreadable},
		{"longer than its length", head(length(len(text)-1)) + text, source.Unreadable},
		{"chunk missing", head(inChunks) + strings.TrimSuffix(chunked([]byte(text)), "0\r\n\r\n"), source.Unreadable},
		{"chunk broken", head(inChunks) + "zz\r\n", source.Unreadable},
		{"gzip truncated, chunks whole", head(zipped, inChunks) + chunked(zip[:len(zip)-4]), source.Unreadable},
		{"gzip without its trailer", head(zipped, inChunks) + chunked(zip[:len(zip)-8]), source.Unreadable},
		{"gzip truncated, length right", head(zipped, length(len(zip)-1)) + string(zip[:len(zip)-1]), source.Unreadable},
		{"gzip shorter than its length", head(zipped, length(len(zip)+1)) + string(zip), source.Unreadable},
		{"gzip with garbage behind", head(zipped, inChunks) + chunked(append(bytes.Clone(zip), 'x')), source.Unreadable},
		{"gzip checksum wrong", head(zipped, inChunks) + chunked(damaged), source.Unreadable},
		{"gzip that is none", head(zipped, inChunks) + chunked([]byte(text)), source.Unreadable},
		{"gzip of nothing", head(zipped, length(0)), source.Unreadable},
		{"other encoding", head("Content-Encoding: br", inChunks) + chunked([]byte(text)), source.Unreadable},
		{"no body", head(length(0)), source.Unreadable},
		{"no HTTP", "SSH-2.0-OpenSSH_9.2\r\n", source.Unreachable},
		{"bad status line", "HTTP/1.1 canary\r\n\r\n", source.Unreachable},
		{"bad header", "HTTP/1.1 200 OK\r\ncanary\r\n\r\n", source.Unreachable},
		{"two lengths", head("Content-Length: 1", "Content-Length: 2"), source.Unreachable},
		{"header too large", head("X-Large: " + strings.Repeat("a", 65<<10)), source.Unreachable},
		{"nothing", "", source.Unreachable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			api := newAPI(t)
			api.events = raw(t, tt.answer)
			_, err := api.client(t).Page(t.Context(), anyQuery)
			e := apiError(t, err)
			if e.Kind != tt.kind || e.Stage != "Fetch Logs" {
				t.Errorf("got %+v", e)
			}
			if len(api.seen(eventsPath)) == 0 {
				t.Error("the fault was not hit")
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("%v quotes the answer", err)
			}
		})
	}
}

func TestBodyLimit(t *testing.T) {
	text := body(lastPage, event(1), event(2), event(3))
	send := func(zip, counted bool) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			b := []byte(text)
			if zip {
				w.Header().Set("Content-Encoding", "gzip")
				b = packed(t, text)
			}
			if counted {
				w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			}
			_, _ = w.Write(b[:1])
			_ = http.NewResponseController(w).Flush()
			_, _ = w.Write(b[1:])
		}
	}
	for _, tt := range []struct {
		name string
		h    http.HandlerFunc
	}{{"counted", send(false, true)}, {"chunked", send(false, false)}, {"compressed", send(true, true)}} {
		for _, over := range []int64{0, 1} {
			t.Run(fmt.Sprintf("%s, %d over", tt.name, over), func(t *testing.T) {
				api := newAPI(t)
				api.events = tt.h
				limit := int64(len(text)) - over
				c := api.client(t, func(_ *Config, o *Options) { o.Limits.Body = limit })
				p, err := c.Page(t.Context(), anyQuery)
				if over == 0 {
					if err != nil || len(p.Events) != 3 {
						t.Errorf("at the limit: %v", err)
					}
					return
				}
				e := apiError(t, err)
				var large *BodyTooLargeError
				if e.Kind != source.Unreadable || !errors.As(err, &large) || large.Limit != limit || !strings.Contains(err.Error(), fmt.Sprint(limit)) {
					t.Errorf("got %+v", e)
				}
			})
		}
	}
}

func TestDefaultLimits(t *testing.T) {
	c, err := New(Config{Domain: "acme", ClientID: testID, Secret: func() (string, error) { return "", nil }}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := Limits{Body: 32 << 20, Header: 64 << 10, Request: time.Minute, ResponseHeader: 30 * time.Second}
	if c.opts.Limits != want {
		t.Errorf("got %+v", c.opts.Limits)
	}
	tr := c.owned
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://acme.onelogin.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if proxy, err := tr.Proxy(req); proxy != nil || err != nil || tr.ResponseHeaderTimeout != want.ResponseHeader || tr.MaxResponseHeaderBytes != want.Header || tr.DisableCompression {
		t.Error("the transport has a proxy or lacks a limit")
	}
}

// pipeListener gives both ends of net.Pipe, which a test with a clock of its own
// can wait for.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { close(l.done); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	server, client := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestTimeLimits(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the server sees the end of the connection after it only
		<-r.Context().Done()
	}
	trickle := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"data":[`)
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, " ")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Second)
		}
	}
	for _, tt := range []struct {
		name          string
		token, events http.HandlerFunc
		stage         string
		took          time.Duration
	}{
		{"slow header", nil, hang, "Fetch Logs", 30 * time.Second},
		{"slow body", nil, trickle, "Fetch Logs", time.Minute},
		{"slow token", hang, nil, "Authentication", 30 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &pipeListener{make(chan net.Conn), make(chan struct{})}
				mux := http.NewServeMux()
				mux.HandleFunc(tokenPath, replyJSON(200, tokenBody("t")))
				if tt.token != nil {
					mux = http.NewServeMux()
					mux.HandleFunc(tokenPath, tt.token)
				}
				if tt.events != nil {
					mux.HandleFunc(eventsPath, tt.events)
				}
				srv := &http.Server{Handler: mux}
				go func() { _ = srv.Serve(l) }()
				tr := NewTransport(Limits{}, nil)
				tr.DialContext = l.dial
				defer func() {
					tr.CloseIdleConnections()
					_ = srv.Close()
					time.Sleep(2 * time.Second) // let the handlers see it
				}()
				c, err := New(Config{
					BaseURL: "http://127.0.0.1:1", ClientID: testID,
					Secret: func() (string, error) { return testSecret, nil },
				}, Options{HTTP: tr})
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				_, err = c.Page(t.Context(), anyQuery)
				e := apiError(t, err)
				if e.Kind != source.Timeout || e.Stage != tt.stage || e.Message != "Request Timeout" {
					t.Errorf("got %+v", e)
				}
				if took := time.Since(start); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
			})
		})
	}
}

func TestUnreachable(t *testing.T) {
	api := newAPI(t)
	c := api.client(t)
	api.Close()
	_, err := c.Page(t.Context(), anyQuery)
	if e := apiError(t, err); e.Kind != source.Unreachable || e.Message != "Unable to connect" || e.Stage != "Authentication" || e.Status != 0 {
		t.Errorf("got %+v", e)
	}
}

func TestUntrustedCertificate(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	srv.Config.ErrorLog = discardLog()
	srv.StartTLS()
	defer srv.Close()
	c, err := New(Config{BaseURL: srv.URL, ClientID: testID, Secret: func() (string, error) { return testSecret, nil }}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Page(t.Context(), anyQuery)
	if e := apiError(t, err); e.Kind != source.Unreachable || !strings.Contains(e.Err.Error(), "certificate") {
		t.Errorf("got %+v", e)
	}
}

func TestNoProxyAndNoRedirect(t *testing.T) {
	var strays int
	stray := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strays++ }))
	defer stray.Close()
	t.Setenv("HTTP_PROXY", stray.URL)
	t.Setenv("HTTPS_PROXY", stray.URL)
	api := newAPI(t)
	api.events = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, stray.URL, http.StatusFound) }
	_, err := api.client(t).Page(t.Context(), anyQuery)
	if e := apiError(t, err); e.Kind != source.Refused || e.Status != 302 {
		t.Errorf("got %+v", e)
	}
	// A next_link to another host is not followed either.
	api.events = replyJSON(200, strings.ReplaceAll(body(morePage, event(1)), "https://evil.example", stray.URL))
	c := api.client(t)
	p, err := c.Page(t.Context(), anyQuery)
	if err != nil {
		t.Fatal(err)
	}
	q := anyQuery
	q.Cursor = p.Next
	if _, err := c.Page(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if strays != 0 {
		t.Errorf("%d requests went elsewhere", strays)
	}
}

// A kept connection that the server has closed costs no failed poll, for the
// token's POST neither.
func TestStaleConnection(t *testing.T) {
	api := newAPI(t)
	n := 0
	api.token = func(w http.ResponseWriter, r *http.Request) {
		if n++; n == 2 {
			raw(t, "")(w, r)
			return
		}
		replyJSON(200, tokenBody("t"))(w, r)
	}
	c := api.client(t)
	for range 2 {
		if err := c.renewToken(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
}

func TestCodeLabels(t *testing.T) {
	known := map[string]bool{}
	for _, c := range Codes() {
		known[c] = true
	}
	for status := -1; status < 1100; status++ {
		if l := codeLabel(status); !known[l] {
			t.Errorf("%d: %q is not in the list", status, l)
		}
	}
	for k := source.Unknown; k <= source.Unreadable; k++ {
		switch k {
		case source.Timeout, source.Unreachable, source.Unreadable:
			if !known[k.String()] {
				t.Errorf("%v is not in the list", k)
			}
		}
	}
}
