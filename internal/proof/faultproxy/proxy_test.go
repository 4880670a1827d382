package faultproxy_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"onelogin-kafka/internal/proof/faultproxy"
	"onelogin-kafka/internal/proof/wait"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits for what must happen, in the machine's time; quiet is how long something that must not happen is waited for.
const (
	patience = 20 * time.Second
	quiet    = 30 * time.Millisecond
)

const produce, endTxn int16 = 0, 26

// request is a header (key, version, correlation id, client id) and a body.
func request(key int16, correlation int32, clientID, body string) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(key))
	b = binary.BigEndian.AppendUint16(b, 3)
	b = binary.BigEndian.AppendUint32(b, uint32(correlation))
	b = binary.BigEndian.AppendUint16(b, uint16(len(clientID)))
	b = append(append(b, clientID...), body...)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

func readFrame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err := io.ReadFull(r, b)
	return b, err
}

// echo is a broker that answers each request with its correlation id and client id and body. It tells what it got.
func echo(t *testing.T) (addr string, got <-chan int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan int32, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for {
					b, err := readFrame(c)
					if err != nil {
						return
					}
					seen <- int32(binary.BigEndian.Uint32(b[4:]))
					answer := append(binary.BigEndian.AppendUint32(nil, uint32(len(b)-4)), b[4:]...)
					if _, err := c.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String(), seen
}

func start(t *testing.T) (*faultproxy.Set, <-chan int32) {
	t.Helper()
	addr, got := echo(t)
	set, err := faultproxy.Start([]faultproxy.Route{{Node: 1, Listen: "127.0.0.1:0", Target: addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := set.Close(); err != nil {
			t.Error(err)
		}
	})
	return set, got
}

func dial(t *testing.T, set *faultproxy.Set) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", set.Bootstrap()[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func send(t *testing.T, c net.Conn, frame []byte) {
	t.Helper()
	if _, err := c.Write(frame); err != nil {
		t.Fatal(err)
	}
}

// answer returns the correlation id of the next answer before ctx ends.
func answer(ctx context.Context, c net.Conn) (int32, error) {
	b, err := within(ctx, c, readFrame)
	if err != nil {
		return 0, err
	}
	return int32(binary.BigEndian.Uint32(b)), nil
}

// within reads from c until ctx ends, with os.ErrDeadlineExceeded if that is first.
func within(ctx context.Context, c net.Conn, read func(io.Reader) ([]byte, error)) ([]byte, error) {
	var wg sync.WaitGroup
	wg.Add(1)
	stop := context.AfterFunc(ctx, func() { defer wg.Done(); _ = c.SetReadDeadline(time.Unix(1, 0)) })
	defer func() {
		if stop() {
			wg.Done()
		}
		wg.Wait()
		_ = c.SetReadDeadline(time.Time{})
	}()
	return read(c)
}

func wantAnswer(t *testing.T, c net.Conn, want int32) {
	t.Helper()
	if got, err := answer(wait.Context(t, patience), c); err != nil || got != want {
		t.Fatalf("answer: got %d, %v, want %d", got, err, want)
	}
}

func wantCut(t *testing.T, c net.Conn) {
	t.Helper()
	if got, err := answer(wait.Context(t, patience), c); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got answer %d, %v, want a closed connection", got, err)
	}
}

func wantSilence(t *testing.T, c net.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), quiet)
	defer cancel()
	if got, err := answer(ctx, c); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got answer %d, %v, want none yet", got, err)
	}
}

func arrives(t *testing.T, got <-chan int32, want int32) {
	t.Helper()
	select {
	case id := <-got:
		if id != want {
			t.Fatalf("the broker got request %d, want %d", id, want)
		}
	case <-wait.Context(t, patience).Done():
		t.Fatalf("request %d did not reach the broker", want)
	}
}

func arrivesNot(t *testing.T, got <-chan int32) {
	t.Helper()
	select {
	case id := <-got:
		t.Fatalf("the broker got request %d, want none", id)
	case <-time.After(quiet):
	}
}

func wantHits(t *testing.T, h *faultproxy.Handle, want int) {
	t.Helper()
	select {
	case <-h.Hit():
	case <-wait.Context(t, patience).Done():
	}
	if got := h.Hits(); got != want {
		t.Fatalf("hits: got %d, want %d", got, want)
	}
}

func TestPassesWhatNoFaultHits(t *testing.T) {
	set, got := start(t)
	h := set.Add(faultproxy.Fault{Kind: faultproxy.DropAnswer, Key: endTxn})
	c := dial(t, set)
	for id := range int32(3) {
		send(t, c, request(produce, id, "a", "body"))
		arrives(t, got, id)
		wantAnswer(t, c, id)
	}
	if h.Hits() != 0 || h.Seen() != 0 {
		t.Errorf("hits %d, seen %d of a fault for another key, want none", h.Hits(), h.Seen())
	}
}

func TestDropAnswer(t *testing.T) {
	set, got := start(t)
	h := set.Add(faultproxy.Fault{Kind: faultproxy.DropAnswer, Key: endTxn, Nth: 2})
	c := dial(t, set)
	send(t, c, request(endTxn, 1, "", ""))
	arrives(t, got, 1)
	wantAnswer(t, c, 1)
	send(t, c, request(produce, 2, "", ""))
	send(t, c, request(endTxn, 3, "", ""))
	arrives(t, got, 2)
	wantAnswer(t, c, 2)
	arrives(t, got, 3)
	wantCut(t, c)
	wantHits(t, h, 1)

	c = dial(t, set)
	send(t, c, request(endTxn, 4, "", ""))
	arrives(t, got, 4)
	wantAnswer(t, c, 4)
	if got, want := h.Seen(), 3; got != want {
		t.Errorf("seen: got %d, want %d", got, want)
	}
}

func TestDropRequest(t *testing.T) {
	set, got := start(t)
	h := set.Add(faultproxy.Fault{Kind: faultproxy.DropRequest, Key: faultproxy.AnyKey})
	c := dial(t, set)
	send(t, c, request(produce, 1, "", ""))
	wantCut(t, c)
	wantHits(t, h, 1)
	arrivesNot(t, got)
}

func TestTearAnswer(t *testing.T) {
	set, got := start(t)
	h := set.Add(faultproxy.Fault{Kind: faultproxy.TearAnswer, Key: produce})
	c := dial(t, set)
	send(t, c, request(produce, 1, "", "0123456789"))
	arrives(t, got, 1)
	b, err := within(wait.Context(t, patience), c, io.ReadAll)
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	// The answer is 16 bytes: correlation id, empty client id, body.
	if got, want := len(b), 4+8; got != want {
		t.Errorf("bytes of the torn answer: got %d, want %d", got, want)
	}
	wantHits(t, h, 1)
}

func TestDelayAnswer(t *testing.T) {
	set, got := start(t)
	until := make(chan struct{})
	h := set.Add(faultproxy.Fault{Kind: faultproxy.DelayAnswer, Key: produce, Times: 1, Until: until})
	c := dial(t, set)
	send(t, c, request(produce, 1, "", ""))
	send(t, c, request(produce, 2, "", ""))
	arrives(t, got, 1)
	arrives(t, got, 2)
	wantSilence(t, c)
	wantHits(t, h, 1)
	close(until)
	wantAnswer(t, c, 1)
	wantAnswer(t, c, 2)
}

func TestDelayAnswerByTime(t *testing.T) {
	set, got := start(t)
	h := set.Add(faultproxy.Fault{Kind: faultproxy.DelayAnswer, Key: produce, Delay: time.Millisecond})
	c := dial(t, set)
	send(t, c, request(produce, 1, "", ""))
	arrives(t, got, 1)
	wantAnswer(t, c, 1)
	wantHits(t, h, 1)
	if got := h.Passed(); got != 1 {
		t.Errorf("passed: got %d, want 1", got)
	}
}

func TestDelayedRequestArrivesAfterTheClientHasGone(t *testing.T) {
	set, got := start(t)
	until := make(chan struct{})
	h := set.Add(faultproxy.Fault{Kind: faultproxy.DelayRequest, Key: produce, Until: until})
	c := dial(t, set)
	send(t, c, request(produce, 1, "", ""))
	wantHits(t, h, 1)
	c.Close()
	arrivesNot(t, got)
	if got := h.Passed(); got != 0 {
		t.Errorf("passed while delayed: got %d, want 0", got)
	}
	close(until)
	arrives(t, got, 1)
}

func TestCloseEndsDelays(t *testing.T) {
	set, got := start(t)
	h := set.Add(faultproxy.Fault{Kind: faultproxy.DelayRequest, Key: produce})
	c := dial(t, set)
	send(t, c, request(produce, 1, "", ""))
	wantHits(t, h, 1)
	if err := set.Close(); err != nil {
		t.Fatal(err)
	}
	wantCut(t, c)
	arrivesNot(t, got)
}

func TestPartition(t *testing.T) {
	for name, tc := range map[string]struct {
		dir     faultproxy.Direction
		reaches bool
	}{
		"to broker": {faultproxy.ToBroker, false},
		"to client": {faultproxy.ToClient, true},
		"both":      {faultproxy.Both, false},
	} {
		t.Run(name, func(t *testing.T) {
			set, got := start(t)
			heal := set.Partition(faultproxy.Filter{Node: 1, ClientID: "a"}, tc.dir)
			a, b := dial(t, set), dial(t, set)
			send(t, a, request(produce, 1, "a", ""))
			if tc.reaches {
				arrives(t, got, 1)
			}
			wantSilence(t, a)
			send(t, b, request(produce, 2, "b", ""))
			arrives(t, got, 2)
			wantAnswer(t, b, 2)
			heal()
			heal()
			if !tc.reaches {
				arrives(t, got, 1)
			}
			wantAnswer(t, a, 1)
		})
	}
}

func TestCut(t *testing.T) {
	set, got := start(t)
	a, b := dial(t, set), dial(t, set)
	for id, c := range []net.Conn{a, b} {
		send(t, c, request(produce, int32(id), []string{"a", "b"}[id], ""))
		arrives(t, got, int32(id))
		wantAnswer(t, c, int32(id))
	}
	if got := set.Cut(faultproxy.Filter{ClientID: "a"}); got != 1 {
		t.Errorf("cut: got %d connections, want 1", got)
	}
	wantCut(t, a)
	send(t, b, request(produce, 7, "b", ""))
	wantAnswer(t, b, 7)
	if got := set.Connections(faultproxy.Filter{ClientID: "a"}); got != 0 {
		t.Errorf("connections of a: got %d, want 0", got)
	}
}

func TestChoice(t *testing.T) {
	for name, tc := range map[string]struct {
		fault faultproxy.Fault
		want  []int32 // of requests 1 to 4, those that the broker gets
	}{
		"each":        {faultproxy.Fault{}, nil},
		"third":       {faultproxy.Fault{Nth: 3}, []int32{1, 2, 4}},
		"twice":       {faultproxy.Fault{Times: 2}, []int32{3, 4}},
		"certain":     {faultproxy.Fault{Probability: 1}, nil},
		"match":       {faultproxy.Fault{Match: func(r faultproxy.Request) bool { return r.CorrelationID%2 == 0 }}, []int32{1, 3}},
		"second even": {faultproxy.Fault{Nth: 2, Match: func(r faultproxy.Request) bool { return r.CorrelationID%2 == 0 }}, []int32{1, 2, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			set, got := start(t)
			tc.fault.Kind, tc.fault.Key = faultproxy.DropRequest, produce
			h := set.Add(tc.fault)
			var reached []int32
			for id := int32(1); id <= 4; id++ {
				c := dial(t, set)
				send(t, c, request(produce, id, "", ""))
				if _, err := answer(wait.Context(t, patience), c); err == nil {
					reached = append(reached, <-got)
				}
			}
			if diff := cmp.Diff(tc.want, reached); diff != "" {
				t.Errorf("reached the broker (-want +got):\n%s", diff)
			}
			if got, want := h.Hits(), 4-len(tc.want); got != want {
				t.Errorf("hits: got %d, want %d", got, want)
			}
		})
	}
}

func TestDisarmedFaultsHitNothing(t *testing.T) {
	set, _ := start(t)
	a := set.Add(faultproxy.Fault{Kind: faultproxy.DropRequest, Key: produce})
	b := set.Add(faultproxy.Fault{Kind: faultproxy.DropRequest, Key: produce})
	set.Remove(a)
	set.Clear()
	c := dial(t, set)
	send(t, c, request(produce, 1, "", ""))
	wantAnswer(t, c, 1)
	if a.Hits() != 0 || b.Hits() != 0 {
		t.Errorf("hits: got %d and %d, want none", a.Hits(), b.Hits())
	}
}

func TestOneRequestIsHitByOneFault(t *testing.T) {
	set, _ := start(t)
	a := set.Add(faultproxy.Fault{Kind: faultproxy.DropRequest, Key: produce})
	b := set.Add(faultproxy.Fault{Kind: faultproxy.DropRequest, Key: produce})
	c := dial(t, set)
	send(t, c, request(produce, 1, "", ""))
	wantCut(t, c)
	if a.Hits() != 1 || b.Hits() != 0 || b.Seen() != 1 {
		t.Errorf("got hits %d and %d, seen %d by the second, want 1, 0 and 1", a.Hits(), b.Hits(), b.Seen())
	}
}

func TestBrokerThatIsDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	set, err := faultproxy.Start([]faultproxy.Route{{Node: 1, Listen: "127.0.0.1:0", Target: addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	wantCut(t, dial(t, set))
}

func TestListenFails(t *testing.T) {
	set, _ := start(t)
	routes := []faultproxy.Route{{Node: 1, Listen: "127.0.0.1:0"}, {Node: 2, Listen: set.Bootstrap()[0]}}
	if _, err := faultproxy.Start(routes); err == nil {
		t.Error("a port in use: got no error")
	}
}

// FuzzClient sends outside bytes: the proxy may close the connection, and serves the next one.
func FuzzClient(f *testing.F) {
	f.Add(request(produce, 1, "a", "body"))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0, 0, 0, 4, 0, 0, 0, 3})
	f.Add([]byte{0, 0, 0, 10, 0, 0, 0, 3, 0, 0, 0, 1, 0x7f, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 90 {
			data = data[:90] // the echo broker remembers 100 requests
		}
		set, _ := start(t)
		set.Add(faultproxy.Fault{Kind: faultproxy.DropAnswer, Key: endTxn})
		bad := dial(t, set)
		send(t, bad, data)
		bad.Close()
		c := dial(t, set)
		send(t, c, request(produce, 1, "", ""))
		wantAnswer(t, c, 1)
	})
}
