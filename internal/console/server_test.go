package console

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// pipes is a listener whose connections stay in the process.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080} }

// TestSlowBody: a request whose body does not come takes ten seconds and no more.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &pipes{make(chan net.Conn), make(chan struct{})}
		s := &Server{opts: withTokens(), listener: l}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Serve(ctx) }()
		ours, theirs := net.Pipe()
		l.conns <- theirs
		began := time.Now()
		go func() {
			_, _ = io.WriteString(ours, "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ntok")
		}()
		said, err := io.ReadAll(ours)
		if err != nil || !strings.HasPrefix(string(said), "HTTP/1.1 400 ") {
			t.Errorf("got %.40q, error %v", said, err)
		}
		if took := time.Since(began); took < 9*time.Second || took > 11*time.Second {
			t.Errorf("it took %v", took)
		}
		ours.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestComplaints: what net/http says of a connection is in the log, a few times a
// minute.
func TestComplaints(t *testing.T) {
	t.Parallel()
	dir, log := t.TempDir(), &logged{}
	writePair(t, dir, "localhost")
	o := withTokens()
	o.Listen, o.CertFile, o.KeyFile, o.Log = "127.0.0.1:0", dir+"/cert.pem", dir+"/key.pem", zerolog.New(log)
	s, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	const conns = 30
	for range conns {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("\x16 no TLS at all, whatever it may be")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, io.EOF) {
			t.Log(err) // cut off, which is as good as closed
		}
		c.Close()
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "TLS handshake error"); n == 0 || n > conns/2 {
		t.Errorf("told %d times of %d bad connections:\n%s", n, conns, log)
	}
}
