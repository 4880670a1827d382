package wire

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

func beat(t *testing.T, c *Cluster, node int32) {
	t.Helper()
	if err := c.Do(t.Context(), node, &Heartbeat{}); err != nil {
		t.Errorf("a heartbeat to node %d: %v", node, err)
	}
}

// slowly is healthy and takes a moment for what is not control.
func slowly(x *exchange) {
	if x.key == protocol.Heartbeat || x.key == protocol.EndTxn {
		time.Sleep(time.Millisecond)
	}
	healthy(x)
}

// atOnce does something n times side by side.
func atOnce(n int, do func()) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(do)
	}
	wg.Wait()
}

func know(t *testing.T, c *Cluster) {
	t.Helper()
	if _, err := c.Metadata(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// After a broker's restart every connection to it that was kept has ended. None
// of them costs a request.
func TestConnectionsThatEndedAreNotUsed(t *testing.T) {
	cluster(t, all(slowly), func(t *testing.T, n *network, c *Cluster) {
		know(t, c)
		atOnce(32, func() { beat(t, c, 2) })
		if got := n.cut("b:1"); got < 32 {
			t.Fatalf("the broker had %d connections, want 32 and more", got)
		}
		synctest.Wait()
		if got := c.open("b:1"); got != 0 {
			t.Errorf("%d connections are kept that have ended", got)
		}
		for range 100 {
			beat(t, c, 2)
		}
	})
}

// A broker that ends one connection has as a rule ended all of them; those that
// have a request under way may still bring its answer.
func TestConnectionsOfABrokerEndTogether(t *testing.T) {
	cluster(t, all(func(x *exchange) {
		if x.key == protocol.EndTxn {
			time.Sleep(5 * time.Second)
		}
		slowly(x)
	}), func(t *testing.T, n *network, c *Cluster) {
		know(t, c)
		under := make(chan error, 1)
		go func() { under <- c.Do(t.Context(), 2, &EndTxn{Version: 3}) }()
		atOnce(8, func() { beat(t, c, 2) })
		synctest.Wait()
		n.mu.Lock()
		for conn, addr := range n.conns { // one whose request was answered
			if addr == "b:1" && n.answered[conn] > 1 {
				conn.Close()
				break
			}
		}
		n.mu.Unlock()
		synctest.Wait()
		if got := c.open("b:1"); got != 1 {
			t.Errorf("connections left: got %d, want the one with a request under way", got)
		}
		if err := <-under; err != nil {
			t.Errorf("the request under way: %v", err)
		}
	})
}

func TestIdleConnectionsEnd(t *testing.T) {
	cluster(t, all(slowly), func(t *testing.T, _ *network, c *Cluster) {
		know(t, c)
		atOnce(64, func() { beat(t, c, 2) })
		if got := c.open("b:1"); got < 64 {
			t.Fatalf("connections: got %d, want 64 and more", got)
		}
		for range 60 { // an hour at a request a minute
			time.Sleep(time.Minute)
			beat(t, c, 2)
		}
		if got := c.open("b:1"); got != 1 {
			t.Errorf("an hour later: got %d connections, want 1", got)
		}
		time.Sleep(maxIdle + 2*time.Second)
		if got := c.open("b:1"); got != 0 {
			t.Errorf("after no request at all: got %d connections, want none", got)
		}
		beat(t, c, 2)
	})
}

// Whoever waits for a new connection takes one that comes free before.
func TestAFreeConnectionGoesToWhoWaits(t *testing.T) {
	cluster(t, all(healthy), func(t *testing.T, n *network, c *Cluster) {
		know(t, c)
		n.answering = 100 * time.Millisecond
		beat(t, c, 2)
		n.connecting = time.Hour
		first := make(chan struct{})
		go func() { defer close(first); beat(t, c, 2) }()
		synctest.Wait()
		began := time.Now()
		beat(t, c, 2)
		if got := time.Since(began); got != 200*time.Millisecond {
			t.Errorf("answered after %v, want two answers' time", got)
		}
		<-first
	})
}

// A connection that takes longer to make than anybody waits for is made all the
// same: by and by every broker has one.
func TestANetworkSlowerThanOurPatience(t *testing.T) {
	for name, slow := range map[string]struct{ connecting, answering time.Duration }{
		"a resolver that takes 5 s": {5 * time.Second, 0},
		"400 ms of round trip":      {400 * time.Millisecond, 400 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			cert := selfSigned(t)
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(all(healthy))
				n.connecting, n.answering = slow.connecting, slow.answering
				n.secured = &tls.Config{Certificates: []tls.Certificate{cert}}
				c := Open(Config{Brokers: []string{"a:1", "b:1", "c:1"}, Dial: n.dial, TLS: trusting})
				began := time.Now()
				for time.Since(began) < time.Minute {
					ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
					node, err := c.Coordinator(ctx, GroupCoordinator, "group")
					if err == nil {
						err = c.Do(ctx, node, &Heartbeat{})
					}
					cancel()
					if err == nil {
						break
					}
				}
				if got := time.Since(began); got > 15*time.Second {
					t.Errorf("the first heartbeat came after %v", got)
				}
				c.Close()
				n.wg.Wait()
			})
		})
	}
}

// Each step of a connection has a bound of its own, and none is unbounded.
func TestStepsOfAConnectionAreBounded(t *testing.T) {
	bounds := Timeouts{Connect: 3 * time.Second, Handshake: 5 * time.Second, Login: 7 * time.Second, Request: 11 * time.Second}
	cert := selfSigned(t)
	for name, tc := range map[string]struct {
		arrange func(n *network)
		dial    func(n *network) func(context.Context, string, string) (net.Conn, error)
		want    time.Duration
	}{
		"dial": {arrange: func(n *network) { n.connecting = time.Hour }, want: bounds.Connect},
		"TLS": {arrange: func(*network) {}, want: bounds.Handshake, dial: func(n *network) func(context.Context, string, string) (net.Conn, error) {
			return func(context.Context, string, string) (net.Conn, error) {
				client, broker := net.Pipe()
				n.conns[broker] = "hung"
				return client, nil
			}
		}},
		"versions": {arrange: func(n *network) { n.answering = time.Hour }, want: bounds.Login},
		"request":  {arrange: func(n *network) { n.brokers = all((*exchange).hang) }, want: bounds.Request},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(all(healthy))
				n.secured = &tls.Config{Certificates: []tls.Certificate{cert}}
				tc.arrange(n)
				config := Config{Brokers: []string{"a:1"}, Dial: n.dial, TLS: trusting, Timeouts: bounds}
				if tc.dial != nil {
					config.Dial = tc.dial(n)
				}
				c := Open(config)
				c.known.place(1, "a:1")
				began := time.Now()
				if err := c.Do(t.Context(), 1, &Heartbeat{}); err == nil {
					t.Error("got no error")
				}
				if got := time.Since(began); got != tc.want {
					t.Errorf("gave up after %v, want %v", got, tc.want)
				}
				c.Close()
				n.cut("hung")
				time.Sleep(2 * time.Hour)
				n.wg.Wait()
			})
		})
	}
}

// What has not left us is a definite no; what may have arrived is not.
func TestNotSentIsTold(t *testing.T) {
	var answers atomic.Int32
	brokers := map[string]func(*exchange){"a:1": healthy, "b:1": func(x *exchange) {
		if x.key == protocol.Heartbeat {
			answers.Add(1)
			x.conn.Close()
			return
		}
		healthy(x)
	}}
	cluster(t, brokers, func(t *testing.T, n *network, c *Cluster) {
		know(t, c)
		for node, want := range map[int32]error{3: syscall.ECONNREFUSED, 9: nil} {
			err := c.Do(t.Context(), node, &Heartbeat{})
			if !errors.Is(err, ErrNotSent) || want != nil && !errors.Is(err, want) {
				t.Errorf("node %d: got %v, want ErrNotSent and %v", node, err, want)
			}
		}
		if err := c.Do(t.Context(), 2, &Heartbeat{}); err == nil || errors.Is(err, ErrNotSent) || answers.Load() != 1 {
			t.Errorf("a request that arrived: got %v after %d requests", err, answers.Load())
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Do(ctx, 1, &Heartbeat{}); !errors.Is(err, ErrNotSent) || !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled before: got %v", err)
		}
		c.Close()
		if err := c.Do(t.Context(), 1, &Heartbeat{}); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: got %v, want ErrClosed", err)
		}
	})
}

// Close leaves nothing behind, whatever is under way.
func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	cluster(t, all(func(x *exchange) {
		if x.key == protocol.Heartbeat {
			x.hang()
			return
		}
		healthy(x)
	}), func(t *testing.T, n *network, c *Cluster) {
		know(t, c)
		failed := make(chan error, 2)
		go func() { failed <- c.Do(t.Context(), 1, &Heartbeat{}) }()
		synctest.Wait()
		n.mu.Lock()
		n.connecting = time.Hour
		n.mu.Unlock()
		go func() { failed <- c.Do(t.Context(), 2, &EndTxn{Version: 3}) }()
		synctest.Wait()
		began := time.Now()
		c.Close()
		for range 2 {
			if err := <-failed; err == nil {
				t.Error("a request under way: got no error")
			}
		}
		if got := time.Since(began); got != 0 {
			t.Errorf("closed after %v, want at once", got)
		}
	})
}

// What one who asks does not wait for is no failure of the broker; no answer in
// good time is.
func TestWhatIsAFailureOfABroker(t *testing.T) {
	cluster(t, map[string]func(*exchange){"a:1": func(x *exchange) {
		if x.key == protocol.Heartbeat {
			x.hang()
			return
		}
		healthy(x)
	}}, func(t *testing.T, n *network, c *Cluster) {
		know(t, c)
		for name, tc := range map[string]struct {
			within func(context.Context) (context.Context, context.CancelFunc)
			want   bool
		}{
			"cancelled": {func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				time.AfterFunc(5*time.Second, cancel)
				return ctx, cancel
			}, false},
			"impatient": {func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, unanswered-time.Millisecond)
			}, false},
			"patient": {func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, unanswered)
			}, true},
		} {
			before := c.broker("a:1").lastFailed()
			ctx, cancel := tc.within(t.Context())
			if err := c.Do(ctx, 1, &Heartbeat{}); err == nil {
				t.Errorf("%s: got no error", name)
			}
			cancel()
			if got := c.broker("a:1").lastFailed() != before; got != tc.want {
				t.Errorf("%s: a failure: got %t, want %t", name, got, tc.want)
			}
		}
		n.connecting = time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), unanswered)
		defer cancel()
		before := c.broker("a:1").lastFailed()
		if err := c.Do(ctx, 1, &EndTxn{Version: 3}); !errors.Is(err, ErrNotSent) || c.broker("a:1").lastFailed() == before {
			t.Errorf("no connection in good time: got %v, last failure %v", err, c.broker("a:1").lastFailed())
		}
	})
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func trusting() (*tls.Config, error) { return &tls.Config{InsecureSkipVerify: true}, nil }

// Requests to a broker that reads no more, as one that was paused, end with
// their time. TLS's own way to end a connection waits for that broker; whoever
// asks another must not wait with it.
func TestEndingAHungTLSConnectionHoldsUpNobody(t *testing.T) {
	cert := selfSigned(t)
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(map[string]func(*exchange){"b:1": healthy, "a:1": func(x *exchange) {
			if x.key == protocol.Heartbeat {
				time.Sleep(time.Hour) // and reads nothing
				return
			}
			healthy(x)
		}})
		n.secured = &tls.Config{Certificates: []tls.Certificate{cert}}
		c := Open(Config{Brokers: []string{"b:1"}, Dial: n.dial, TLS: trusting})
		know(t, c)
		beat(t, c, 2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := c.Do(ctx, 1, &Heartbeat{}); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the hung broker: got %v", err)
				}
			})
		}
		for time.Since(began) < 3*time.Second {
			at := time.Now()
			beat(t, c, 2)
			if got := time.Since(at); got != 0 {
				t.Fatalf("a heartbeat to the other broker took %v, %v after the hung ones began", got, at.Sub(began))
			}
			time.Sleep(20 * time.Millisecond)
		}
		wg.Wait()
		c.Close()
		if got := time.Since(began); got > 4*time.Second {
			t.Errorf("all was over after %v, want no longer than it was watched", got)
		}
		time.Sleep(time.Hour)
		n.wg.Wait()
	})
}
