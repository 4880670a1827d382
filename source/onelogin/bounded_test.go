package onelogin

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Where files are few, many hosts are asked in turn: no more connections are
// open than there may be, and none waits for ever, though each host could keep
// its own.
func TestConnectionsAreBounded(t *testing.T) {
	const most, hosts = 4, 40
	var open, peak atomic.Int32
	count := func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			n := open.Add(1)
			for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
			}
		case http.StateClosed:
			open.Add(-1)
		}
	}
	addrs := map[string]string{}
	for i := range hosts {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
		s.Config.ConnState = count
		s.Start()
		t.Cleanup(s.Close)
		addrs[fmt.Sprintf("tenant-%d.test:80", i)] = s.Listener.Addr().String()
	}
	tr := NewTransport(Limits{Connections: most}, nil)
	tr.DialContext = bounded(func(ctx context.Context, network, addr string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addrs[addr])
	}, most)
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr, Timeout: 30 * time.Second}
	var wg sync.WaitGroup
	for host := range addrs {
		wg.Go(func() {
			for range 3 {
				res, err := client.Get("http://" + host)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := io.Copy(io.Discard, res.Body); err != nil {
					t.Error(err)
				}
				res.Body.Close()
			}
		})
	}
	wg.Wait()
	// A server learns of a close a moment after the client has room again.
	if got := peak.Load(); got > 2*most {
		t.Errorf("%d connections were open at once, want %d", got, most)
	}
}

// A dial that fails, and a connection that is closed twice, leave the room as it
// is.
func TestRoomIsLeftOnce(t *testing.T) {
	fail := true
	dial := bounded(func(context.Context, string, string) (net.Conn, error) {
		if fail {
			return nil, io.ErrUnexpectedEOF
		}
		c, _ := net.Pipe()
		return c, nil
	}, 1)
	for range 3 {
		if _, err := dial(t.Context(), "tcp", "a"); err != io.ErrUnexpectedEOF {
			t.Fatalf("got %v", err)
		}
	}
	fail = false
	c, err := dial(t.Context(), "tcp", "a")
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	c.Close()
	if _, err := dial(t.Context(), "tcp", "a"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := dial(ctx, "tcp", "a"); err != context.DeadlineExceeded {
		t.Errorf("a second one at once: got %v, want that it waits", err)
	}
}
