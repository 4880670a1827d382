package benchmark

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"onelogin-kafka/source/onelogin/simulator"
)

// front stands before the simulator: it can hold pages back until a measurement
// begins, and counts who is there at once.
type front struct {
	sim      *simulator.Server
	distance time.Duration // of a request and its answer together

	mu     sync.Mutex
	open   chan struct{} // closed while pages are given out
	census census
	polled map[string]struct{} // tokens that asked for a page
	pages  int
	tokens int
}

// census is what a front counted since it was last asked to forget.
type census struct {
	// Waiting pages are held back now.
	Waiting int `json:"waiting"`
	// Polled is the number of tokens that asked for a page, First and Last
	// when the first and the last of them did so for the first time.
	Polled int       `json:"polled"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	// Requests is the number of pages and tokens asked for; MostPages and
	// MostTokens how many were under way at once.
	Requests   int64 `json:"requests"`
	MostPages  int   `json:"most_pages"`
	MostTokens int   `json:"most_tokens"`
}

func newFront(sim *simulator.Server, distance time.Duration) *front {
	f := &front{sim: sim, distance: distance, open: make(chan struct{}), polled: map[string]struct{}{}}
	close(f.open)
	return f
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.distance > 0 && !strings.HasPrefix(r.URL.Path, "/_bench/") {
		time.Sleep(f.distance)
	}
	switch r.URL.Path {
	case "/_bench/gate":
		f.setGate(r.URL.Query().Get("open") == "true")
	case "/_bench/census":
		f.report(w)
	case "/_bench/forget":
		f.forget()
	case "/api/1/events":
		f.page(w, r)
	case "/auth/oauth2/v2/token":
		f.under(&f.tokens, &f.census.MostTokens, 1)
		defer f.under(&f.tokens, nil, -1)
		f.sim.ServeHTTP(w, r)
	default:
		f.sim.ServeHTTP(w, r)
	}
}

func (f *front) under(n, most *int, change int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if *n += change; change > 0 {
		f.census.Requests++
		*most = max(*most, *n)
	}
}

func (f *front) page(w http.ResponseWriter, r *http.Request) {
	f.under(&f.pages, &f.census.MostPages, 1)
	defer f.under(&f.pages, nil, -1)
	token := r.Header.Get("Authorization")
	f.mu.Lock()
	if _, known := f.polled[token]; !known {
		f.polled[token] = struct{}{}
		f.census.Last = time.Now()
		if len(f.polled) == 1 {
			f.census.First = f.census.Last
		}
	}
	open := f.open
	f.census.Waiting++
	f.mu.Unlock()
	select {
	case <-open:
	case <-r.Context().Done():
	}
	f.mu.Lock()
	f.census.Waiting--
	f.mu.Unlock()
	f.sim.ServeHTTP(w, r)
}

func (f *front) setGate(open bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.open:
		if !open {
			f.open = make(chan struct{})
		}
	default:
		if open {
			close(f.open)
		}
	}
}

func (f *front) report(w http.ResponseWriter) {
	f.mu.Lock()
	c := f.census
	c.Polled = len(f.polled)
	f.mu.Unlock()
	_ = json.NewEncoder(w).Encode(c) // the client's loss
}

func (f *front) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.census = census{Waiting: f.census.Waiting}
	clear(f.polled)
}

// stage is what the simulator's process is told.
type stage struct {
	Sim      simulator.Config
	Distance time.Duration
	// Authority, if it is not empty, signs the certificates of as many hosts as
	// there are tenants: each has an address of its own, 127.x.y.z, over TLS and
	// HTTP/2. What is not of the loopback network is not answered.
	Authority []byte
}

// serveSimulation is the simulator as a process. It ends with its standard
// input, which its parent holds open.
func serveSimulation(ctx context.Context, file string, _ io.Reader, out io.Writer) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the simulation: %w", err)
	}
	var st stage
	if err := json.Unmarshal(text, &st); err != nil {
		return fmt.Errorf("reading the simulation: %w", err)
	}
	sim, err := simulator.New(st.Sim)
	if err != nil {
		return err
	}
	front := newFront(sim, st.Distance)
	plain := &http.Server{Handler: front, ReadHeaderTimeout: time.Minute}
	defer context.AfterFunc(ctx, func() { plain.Close() })()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	addr := l.Addr().String()
	if len(st.Authority) > 0 {
		hosts, err := serveHosts(ctx, front, st.Authority, st.Distance)
		if err != nil {
			return err
		}
		addr += " " + hosts
	}
	fmt.Fprintln(out, "http://"+addr)
	if err := plain.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// simulation is a simulator in a process of its own, and the same simulator
// again in this one, which knows the truth.
type simulation struct {
	*process
	url   string
	truth *simulator.Server
	// hosts is the port of all tenants' hosts, and authority the file with the
	// certificate of who signs for them; empty where they have none of their own.
	hosts, authority string
}

// base is where the tenant with that number is asked.
func (sim *simulation) base(tenant int) string {
	if sim.hosts == "" {
		return sim.url
	}
	return "https://" + net.JoinHostPort(hostOf(tenant), sim.hosts)
}

// simulate starts a simulator. Its start is fixed, so that both show the same.
func (b *bench) simulate(conf simulator.Config) (*simulation, error) {
	return b.simulateAs(stage{Sim: conf})
}

// simulateFar starts one whose tenants have a host each, over TLS, a distance away.
func (b *bench) simulateFar(conf simulator.Config, distance time.Duration) (*simulation, error) {
	certificate, key, err := authority()
	if err != nil {
		return nil, err
	}
	s, err := b.simulateAs(stage{Sim: conf, Distance: distance, Authority: key})
	if err != nil {
		return nil, err
	}
	s.authority = filepath.Join(b.dir, b.name("authority")+".pem")
	if err := os.WriteFile(s.authority, certificate, 0o600); err != nil {
		s.stop()
		return nil, fmt.Errorf("writing the authority: %w", err)
	}
	return s, nil
}

func (b *bench) simulateAs(st stage) (*simulation, error) {
	st.Sim.Start = time.Now().Round(time.Millisecond)
	truth, err := simulator.New(st.Sim)
	if err != nil {
		return nil, fmt.Errorf("making the simulator: %w", err)
	}
	text, err := json.Marshal(st)
	if err != nil {
		return nil, fmt.Errorf("writing the simulation: %w", err)
	}
	file := filepath.Join(b.dir, b.name("simulation")+".json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, fmt.Errorf("writing the simulation: %w", err)
	}
	p, err := start("simulator", b.self, "role", "simulate", file)
	if err != nil {
		return nil, err
	}
	s := &simulation{process: p, truth: truth}
	line, err := p.line(time.Minute)
	if err != nil {
		p.stop()
		return nil, err
	}
	s.url, s.hosts, _ = strings.Cut(line, " ")
	return s, nil
}

func (sim *simulation) gate(open bool) error {
	return sim.get(fmt.Sprintf("/_bench/gate?open=%t", open), nil)
}

func (sim *simulation) count() (c census, err error) { return c, sim.get("/_bench/census", &c) }

func (sim *simulation) get(path string, v any) error { return getJSON(sim.url+path, v) }

// getJSON asks a party for what it has to say.
func getJSON(url string, v any) error {
	client := http.Client{Timeout: 10 * time.Second}
	res, err := client.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %s", res.StatusCode, strings.TrimSpace(body.String()))
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(body.Bytes(), v)
}

// await waits until ok, looking every 20 ms.
func await(ctx context.Context, what string, patience time.Duration, p *process, ok func() (bool, error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; {
		fine, err := ok()
		if fine {
			return nil
		}
		if time.Since(began) > patience {
			return fmt.Errorf("%s: not within %s (last: %w)\n%s", what, patience, orEnd(err), p.tail())
		}
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("%s: %s has ended: %w\n%s", what, p.name, orEnd(p.err), p.tail())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
