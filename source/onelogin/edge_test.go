package onelogin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"onelogin-kafka/source"
	"onelogin-kafka/source/onelogin/simulator"
)

// distant is a way to the simulator that takes time, both ways.
type distant struct {
	next http.RoundTripper
	sent atomic.Int64
}

func (d *distant) RoundTrip(r *http.Request) (*http.Response, error) {
	d.sent.Add(1)
	time.Sleep(10*time.Millisecond + rand.N(20*time.Millisecond))
	res, err := d.next.RoundTrip(r)
	time.Sleep(10*time.Millisecond + rand.N(100*time.Millisecond))
	return res, err
}

// fleet are the clients of n accounts of one simulated OneLogin.
type fleet struct {
	t       *testing.T
	sim     *simulator.Server
	way     *distant
	edges   *Edges
	clients []*Client
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu     sync.Mutex
	first  map[int]time.Duration // when each had its first page
	failed map[string]int
	pages  map[int]int
	waited time.Duration // the longest that a page took
}

func newFleet(t *testing.T, n int, limit simulator.EdgeLimit) *fleet {
	sc := simulator.Config{Seed: 1, Edge: limit}
	for i := range n {
		sc.Tenants = append(sc.Tenants, simulator.Tenant{Name: fmt.Sprintf("t%04d", i)})
	}
	sim, err := simulator.New(sc)
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{
		t: t, sim: sim, way: &distant{next: sim.Transport()}, edges: NewEdges(zerolog.Nop()),
		first: map[int]time.Duration{}, failed: map[string]int{}, pages: map[int]int{},
	}
	for _, tenant := range sc.Tenants {
		id, secret := sim.Credentials(tenant.Name)
		c, err := New(Config{Domain: tenant.Name, ClientID: id, Secret: func() (string, error) { return secret, nil }},
			Options{HTTP: f.way, Edges: f.edges})
		if err != nil {
			t.Fatal(err)
		}
		f.clients = append(f.clients, c)
	}
	return f
}

// start lets all begin, and ask for a page every so often after that.
func (f *fleet) start(every time.Duration) {
	ctx, cancel := context.WithCancel(f.t.Context())
	f.cancel = cancel
	began := time.Now()
	for i, c := range f.clients {
		f.wg.Go(func() {
			if c.Begin(ctx) != nil {
				return
			}
			for ctx.Err() == nil {
				asked := time.Now()
				_, err := c.Page(ctx, anyQuery)
				if ctx.Err() != nil {
					return
				}
				f.note(i, began, asked, err)
				wait := every
				if e, ok := errors.AsType[*source.APIError](err); ok {
					wait = max(wait, e.RetryAfter)
				}
				_ = sleep(ctx, wait)
			}
		})
	}
}

func (f *fleet) note(i int, began, asked time.Time, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waited = max(f.waited, time.Since(asked))
	if err != nil {
		f.failed[err.Error()]++
		return
	}
	f.pages[i]++
	if f.pages[i] == 1 {
		f.first[i] = time.Since(began)
	}
}

func (f *fleet) stop() {
	f.cancel()
	f.wg.Wait()
}

func (f *fleet) begun() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.first)
}

func (f *fleet) last() (last time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.first {
		last = max(last, d)
	}
	return last
}

func (f *fleet) total() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range f.pages {
		n += k
	}
	return n
}

// However the edge counts, a fleet finds out what it takes and keeps to it: all
// have begun soon, nobody is refused to the end, and hardly anything that the
// edge would take is left untaken.
func TestFleetBehindAnEdge(t *testing.T) {
	for _, tt := range []struct {
		name  string
		n     int
		limit simulator.EdgeLimit
		begun time.Duration
	}{
		{"300 at 20/s", 300, simulator.EdgeLimit{Calls: 20}, 45 * time.Second},
		{"300 at 20/s, refused calls count", 300, simulator.EdgeLimit{Calls: 20, CountRefused: true}, 45 * time.Second},
		{"300 at 200 in 10 s", 300, simulator.EdgeLimit{Calls: 200, Window: simulator.Duration(10 * time.Second)}, time.Minute},
		{"40 at 5/s", 40, simulator.EdgeLimit{Calls: 5}, 30 * time.Second},
		{"500 at 60/s", 500, simulator.EdgeLimit{Calls: 60}, 45 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, tt.n, tt.limit)
				f.start(2 * time.Second)
				time.Sleep(tt.begun)
				if n := f.begun(); n != tt.n {
					t.Errorf("%d of %d have begun after %v", n, tt.n, tt.begun)
				}
				before, sent, refused := f.total(), f.way.sent.Load(), f.sim.Edge().Refused
				const measured = 4 * time.Minute
				time.Sleep(measured)
				f.stop()
				window := time.Duration(tt.limit.Window)
				if window == 0 {
					window = time.Second
				}
				most := float64(tt.limit.Calls) * measured.Seconds() / window.Seconds()
				got := float64(f.total() - before)
				t.Logf("all begun after %v; %.2f of what the edge takes, %.3f of the calls refused, the longest page took %v; %+v",
					f.last(), got/most, float64(f.sim.Edge().Refused-refused)/float64(f.way.sent.Load()-sent), f.waited, f.edges.States())
				if got < 0.8*most {
					t.Errorf("%v of %v pages that the edge would have taken", got, most)
				}
				if f.sim.Edge().Refused == 0 {
					t.Error("the edge refused nothing: no data")
				}
				for text, n := range f.failed {
					t.Errorf("%d times: %s", n, text)
				}
			})
		})
	}
}

// Without a limit the gates of the start are all there is.
func TestFleetWithoutALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1500
		f := newFleet(t, n, simulator.EdgeLimit{})
		f.start(10 * time.Second)
		time.Sleep(time.Minute)
		f.stop()
		if last := f.last(); len(f.first) != n || last < n*startSpread*9/10 || last > n*startSpread*5/4+time.Second {
			t.Errorf("%d of %d have begun, the last after %v", len(f.first), n, last)
		}
		if f.waited > 3*time.Second || len(f.failed) > 0 || len(f.edges.States()) > 0 {
			t.Errorf("a page took %v, failed %v, edges %+v", f.waited, f.failed, f.edges.States())
		}
	})
}

// A limit that is lifted is forgotten, and one that comes is found.
func TestEdgeForgetsALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lines
		f := newFleet(t, 100, simulator.EdgeLimit{Calls: 20})
		f.edges.log = zerolog.New(&out)
		for _, c := range f.clients {
			c.edge.log = f.edges.log
		}
		f.start(2 * time.Second)
		time.Sleep(2 * time.Minute)
		if s := f.edges.States(); len(s) != 1 || s[0].Edge != "onelogin.com" || s[0].Rate < 10 || s[0].Rate > 30 || s[0].Refused == 0 {
			t.Errorf("got %+v", s)
		}
		if err := f.sim.SetEdge(simulator.EdgeLimit{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if s := f.edges.States(); s[0].Rate != 0 || s[0].Waiting != 0 {
			t.Errorf("two minutes later: %+v", s)
		}
		before := f.total()
		time.Sleep(time.Minute)
		if n := f.total() - before; n < 100*60/3 {
			t.Errorf("%d pages in a minute without a limit", n)
		}
		if err := f.sim.SetEdge(simulator.EdgeLimit{Calls: 10}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if s := f.edges.States(); s[0].Rate == 0 || s[0].Rate > 15 {
			t.Errorf("a minute after a new limit: %+v", s)
		}
		f.stop()
		if len(f.failed) > 0 {
			t.Errorf("failed: %v", f.failed)
		}
		if got := out.String(); strings.Count(got, "slowed down") != 2 || strings.Count(got, "takes all calls again") != 1 {
			t.Errorf("logged: %s", got)
		}
	})
}

// lines is a log that goroutines may share.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Who is refused whatever the others do slows them down for a moment at most, and
// is told so in the end.
func TestRefusedAtTheEdgeForGood(t *testing.T) {
	for _, refused := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, 50, simulator.EdgeLimit{})
			for i := range refused {
				for _, endpoint := range []string{"events", "token"} {
					fault := simulator.FaultSetting{Name: simulator.ThrottledHTML, Tenant: fmt.Sprintf("t%04d", 7*i), Endpoint: endpoint, Probability: 1}
					if err := f.sim.SetFault(fault); err != nil {
						t.Fatal(err)
					}
				}
			}
			f.start(2 * time.Second)
			time.Sleep(10 * time.Minute)
			f.stop()
			if s := f.edges.States(); len(s) != 1 || s[0].Rate != 0 {
				t.Errorf("got %+v", s)
			}
			if len(f.failed) != 1 || len(f.pages) != 50-refused {
				t.Errorf("failed: %v, %d had pages", f.failed, len(f.pages))
			}
			for text := range f.failed {
				if text != "Authentication Stage: Request Failed - response code 429, reason Too Many Requests" {
					t.Error(text)
				}
			}
			for i, n := range f.pages {
				if n < 250 {
					t.Errorf("%d: %d pages", i, n)
				}
			}
		})
	}
}

// Where the edge takes far less than there is to do, who would have to wait for
// more than a minute is told, and nobody is forgotten.
func TestEdgeFarTooNarrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 2000
		f := newFleet(t, n, simulator.EdgeLimit{Calls: 20})
		f.start(10 * time.Second)
		time.Sleep(20 * time.Minute)
		f.stop()
		least := 1 << 30
		for i := range n {
			least = min(least, f.pages[i])
		}
		t.Logf("%d pages in 20 minutes, %d at least of each; %v", f.total(), least, f.failed)
		if least < 4 {
			t.Errorf("a connector had %d pages in 20 minutes", least)
		}
		busy := 0
		for text, k := range f.failed {
			if strings.HasPrefix(text, "Authentication Stage: "+msgEdge) || strings.HasPrefix(text, "Fetch Logs Stage: "+msgEdge) {
				busy += k
			} else {
				t.Errorf("%d times: %s", k, text)
			}
		}
		if busy == 0 {
			t.Error("nobody was told")
		}
		if got := f.total(); got < 1200*20*3/4 {
			t.Errorf("%d pages in 20 minutes", got)
		}
	})
}

// What the API refuses, and a wait that is told and long, is the caller's.
func TestThrottledByTheAPI(t *testing.T) {
	for name, tt := range map[string]struct {
		header []string
		calls  int
		wait   time.Duration
	}{
		"with rate headers": {[]string{"X-RateLimit-Limit", "5000", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "7"}, 1, 7 * time.Second},
		"reset alone":       {[]string{"X-RateLimit-Reset", "7"}, 1, 7 * time.Second},
		"a long wait":       {[]string{"Retry-After", "30"}, 1, 30 * time.Second},
		"a short wait":      {[]string{"Retry-After", "2"}, edgeTries, 2 * time.Second},
		"nothing":           {nil, edgeTries, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var at []time.Time
				way := answers(func(r *http.Request) *http.Response {
					if r.URL.Path == tokenPath {
						return response(200, tokenBody("t"))
					}
					at = append(at, time.Now())
					res := response(429, haproxy429)
					for i := 0; i < len(tt.header); i += 2 {
						res.Header.Set(tt.header[i], tt.header[i+1])
					}
					return res
				})
				c, err := New(Config{Domain: "acme", ClientID: testID, Secret: func() (string, error) { return testSecret, nil }},
					Options{HTTP: way, Edges: NewEdges(zerolog.Nop())})
				if err != nil {
					t.Fatal(err)
				}
				_, err = c.Page(t.Context(), anyQuery)
				if e := apiError(t, err); e.Kind != source.Throttled || e.RetryAfter != tt.wait || e.Stage != "Fetch Logs" || e.Status != 429 {
					t.Errorf("got %+v", e)
				}
				if len(at) != tt.calls {
					t.Errorf("%d calls, want %d", len(at), tt.calls)
				}
				for i := 1; i < len(at); i++ {
					if gap := at[i].Sub(at[i-1]); gap < max(tt.wait, edgeRetry/2) || gap > 13*time.Second {
						t.Errorf("call %d came %v after the last", i, gap)
					}
				}
			})
		})
	}
}

type answers func(*http.Request) *http.Response

func (f answers) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

func response(status int, text string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, ContentLength: int64(len(text)), Body: io.NopCloser(strings.NewReader(text))}
}

// Who gives up waiting leaves nothing behind, and takes no turn.
func TestEdgeWaitIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 100, simulator.EdgeLimit{Calls: 10})
		f.start(time.Second)
		time.Sleep(time.Minute)
		if f.edges.States()[0].Waiting == 0 {
			t.Fatal("nobody waits: no data")
		}
		f.stop()
		if n := f.edges.States()[0].Waiting; n != 0 {
			t.Errorf("%d still wait", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := f.clients[0].Begin(ctx); err == nil {
			// It may have found the gate open; then the page ends it.
			_, err = f.clients[0].Page(ctx, anyQuery)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		}
		if _, err := f.clients[1].Page(ctx, anyQuery); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestEdgeNames(t *testing.T) {
	es := NewEdges(zerolog.Nop())
	for base, want := range map[string]string{
		"https://acme.onelogin.com":       "onelogin.com",
		"https://api.us.onelogin.com/x":   "onelogin.com",
		"https://onelogin.com":            "onelogin.com",
		"https://proxy.example:8443/acme": "proxy.example:8443",
		"http://127.0.0.1:9000":           "http://127.0.0.1:9000",
		"https://127.0.0.1:9000":          "127.0.0.1:9000",
		"https://onelogin.com.example":    "onelogin.com.example",
	} {
		e := es.of(base)
		if e.name != want || es.of(base) != e {
			t.Errorf("%s: got %s, want %s", base, e.name, want)
		}
	}
	if es.of("https://acme.onelogin.com") != es.of("https://globex.onelogin.com") {
		t.Error("two edges for onelogin.com")
	}
}
