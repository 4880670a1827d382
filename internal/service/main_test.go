package service

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/proof/wait"
	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source/onelogin/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a broker, a simulated OneLogin and the files of a configuration.
type world struct {
	tb      testing.TB
	dir     string
	brokers []string
	sim     *simulator.Server
	hosts   map[string]*host // by tenant
	strict  bool             // instances set nothing aside
}

// host is a tenant's own listener, so that its connections can be told apart.
type host struct {
	url         string
	connections atomic.Int64
}

// quickly are lines of each connector.
const quickly = "poll: {min: 20ms, max: 200ms}\nsweep: {every: 2s, window: 2m}\nrate_limit: {share: 1}"

func newWorld(tb testing.TB, sim simulator.Config) *world {
	tb.Helper()
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1),
		// kfake compacts in its own way: it must never run.
		kfake.BrokerConfigs(map[string]string{"log.cleaner.backoff.ms": strconv.FormatInt((100 * 365 * 24 * time.Hour).Milliseconds(), 10)}))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(kafka.Close)
	w := &world{tb: tb, dir: tb.TempDir(), brokers: kafka.ListenAddrs(), hosts: map[string]*host{}}
	if w.sim, err = simulator.New(sim); err != nil {
		tb.Fatal(err)
	}
	for _, t := range w.sim.Tenants() {
		w.host(t.Name)
		w.connector(t.Name, "")
	}
	return w
}

// host opens a tenant's listener.
func (w *world) host(tenant string) {
	h := &host{}
	srv := httptest.NewUnstartedServer(w.sim)
	srv.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			h.connections.Add(1)
		}
	}
	srv.Start()
	w.tb.Cleanup(srv.Close)
	h.url = srv.URL
	w.hosts[tenant] = h
}

// tenants is a OneLogin with named tenants that each make rate events a second
// behind a backlog of 20.
func tenants(rate float64, names ...string) simulator.Config {
	c := simulator.Config{Seed: 7, HourlyLimit: 100_000_000}
	for _, name := range names {
		c.Tenants = append(c.Tenants, simulator.Tenant{
			Name: name, Backlog: 20, BacklogSpan: simulator.Duration(time.Hour), Traffic: simulator.Traffic{Rate: rate},
		})
	}
	return c
}

func (w *world) path(parts ...string) string {
	return filepath.Join(append([]string{w.dir}, parts...)...)
}

// write replaces a file whole.
func (w *world) write(path, text string) {
	w.tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.tb.Fatal(err)
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		w.tb.Fatal(err)
	}
	if err := os.Rename(tmp, path); err != nil {
		w.tb.Fatal(err)
	}
}

// connector writes a tenant's connector file, with further lines.
func (w *world) connector(tenant, extra string) {
	w.tb.Helper()
	id, secret := w.sim.Credentials(tenant)
	w.write(w.path("secrets", tenant), secret+"\n")
	w.write(w.path("connectors", tenant+".yaml"), fmt.Sprintf(
		"name: %s\ndomain: %s.onelogin.com\nclient_id: %s\nclient_secret_file: secrets/%s\nbase_url: %s\n%s\n%s\n",
		tenant, tenant, id, tenant, w.hosts[tenant].url, quickly, extra))
}

func (w *world) remove(tenant string) {
	w.tb.Helper()
	if err := os.Remove(w.path("connectors", tenant+".yaml")); err != nil {
		w.tb.Fatal(err)
	}
}

// main writes an instance's configuration file.
func (w *world) main(instance, extra string) string {
	w.tb.Helper()
	path := w.path(instance + ".yaml")
	w.write(path, fmt.Sprintf("kafka: {brokers: [%q]}\ninstance: %s\ntopics: {replication_factor: 1, events: {name: onelogin.events, partitions: 3}, offsets: {name: onelogin.offsets, partitions: 4}}\n"+
		"commit_interval: 20ms\nconnectors_dir: connectors\n%s\n", w.brokers[0], instance, extra))
	return path
}

func noEnvironment(string) (string, bool) { return "", false }

// instance is a service that runs.
type instance struct {
	*Service
	registry *prometheus.Registry
	log      *lines
	ask      chan struct{}
	cancel   context.CancelFunc
	done     chan struct{}
	err      error // once done is closed
}

// start starts an instance with what the files say now.
func (w *world) start(name string) *instance {
	w.tb.Helper()
	path := w.path(name + ".yaml")
	if _, err := os.Stat(path); err != nil {
		path = w.main(name, "")
	}
	cfg, err := config.Load(path, noEnvironment)
	if err != nil {
		w.tb.Fatal(err)
	}
	in := &instance{registry: prometheus.NewRegistry(), log: &lines{}, ask: make(chan struct{}), done: make(chan struct{})}
	if in.Service, err = New(cfg, Options{Log: zerolog.New(in.log).Level(zerolog.InfoLevel), Registry: in.registry}); err != nil {
		w.tb.Fatal(err)
	}
	var ctx context.Context
	ctx, in.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(in.done)
		var wg sync.WaitGroup
		wg.Go(func() { in.Follow(ctx, cfg, Origin{Path: path, Lookup: noEnvironment, Strict: w.strict}, in.ask) })
		in.err = in.Run(ctx)
		wg.Wait()
	}()
	w.tb.Cleanup(in.stop)
	w.tb.Cleanup(func() {
		if w.tb.Failed() {
			w.tb.Logf("log of %s:\n%s", name, in.log)
		}
	})
	w.await(name+" to be ready", func() bool { return in.Ready() == nil })
	return in
}

func (in *instance) stop() {
	in.cancel()
	<-in.done
}

// reload asks for the configuration to be read anew.
func (in *instance) reload() { in.ask <- struct{}{} }

// metric returns a gauge's or counter's value, with the given label values in
// any of its labels; false if there is none.
func (in *instance) metric(name string, labels ...string) (float64, bool) {
	families, err := in.registry.Gather()
	if err != nil {
		panic(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	next:
		for _, m := range f.GetMetric() {
			for _, want := range labels {
				found := false
				for _, l := range m.GetLabel() {
					found = found || l.GetValue() == want
				}
				if !found {
					continue next
				}
			}
			return m.GetGauge().GetValue() + m.GetCounter().GetValue(), true
		}
	}
	return 0, false
}

// lines is a log that tests read.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// with returns the lines that hold all parts.
func (l *lines) with(parts ...string) []string {
	var found []string
next:
	for line := range strings.Lines(l.String()) {
		for _, p := range parts {
			if !strings.Contains(line, p) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}

// await waits until ok; a minute of the machine's time is for ever.
func (w *world) await(what string, ok func() bool) {
	w.tb.Helper()
	wait.For(w.tb, what, time.Minute, ok)
}

// read hands every committed record of a topic to do.
func (w *world) read(topic string, do func(r *schemas.Record)) {
	w.tb.Helper()
	cluster := wire.Open(wire.Config{Brokers: w.brokers})
	defer cluster.Close()
	n, err := cluster.Partitions(w.tb.Context(), topic)
	if err != nil {
		w.tb.Fatal(err)
	}
	for p := range n {
		log := producer.CommittedLog{Cluster: cluster, Topic: topic, Partition: p}
		if _, err := log.Read(w.tb.Context(), func(_ int64, r *schemas.Record) error { do(r); return nil }); err != nil {
			w.tb.Fatal(err)
		}
	}
}

// published counts the records of each event id, by tenant.
func (w *world) published() map[string]map[int64]int {
	w.tb.Helper()
	all := map[string]map[int64]int{}
	w.read("onelogin.events", func(r *schemas.Record) {
		for _, h := range r.Headers {
			if h.Key != schemas.HeaderID {
				continue
			}
			id, err := strconv.ParseInt(string(h.Value), 10, 64)
			if err != nil {
				w.tb.Fatal(err)
			}
			ids := all[string(r.Key)]
			if ids == nil {
				ids = map[int64]int{}
				all[string(r.Key)] = ids
			}
			ids[id]++
		}
	})
	return all
}

// statuses returns the last status of each connector on the status topic.
func (w *world) statuses() map[string]schemas.ConnectorStatus {
	w.tb.Helper()
	last := map[string]schemas.ConnectorStatus{}
	w.read("onelogin.status", func(r *schemas.Record) {
		if r.Value == nil {
			delete(last, string(r.Key))
			return
		}
		st, err := schemas.ParseStatus(r.Value)
		if err != nil {
			w.tb.Fatal(err)
		}
		last[st.Connector] = st
	})
	return last
}

// awaitAll waits until every event of the tenants that is visible now is
// published, and fails if one is there twice.
func (w *world) awaitAll(names ...string) {
	w.tb.Helper()
	want := map[string][]int64{}
	now := time.Now()
	for _, name := range names {
		truth, err := w.sim.Truth(name)
		if err != nil {
			w.tb.Fatal(err)
		}
		for e := range truth {
			if !e.VisibleAt.After(now) {
				want[name] = append(want[name], e.ID)
			}
		}
	}
	w.await("all events of "+strings.Join(names, ", "), func() bool {
		got := w.published()
		for name, ids := range want {
			for _, id := range ids {
				if got[name][id] == 0 {
					return false
				}
			}
		}
		for name, ids := range got {
			for id, n := range ids {
				if n > 1 {
					w.tb.Fatalf("%s: event %d is there %d times", name, id, n)
				}
			}
		}
		return true
	})
}

// polls returns a tenant's number of answered page requests.
func (w *world) polls(tenant string) int64 { return w.sim.Stats()[tenant].Calls["events"][200] }

// awaitPolls waits until each tenant was polled n more times.
func (w *world) awaitPolls(n int64, names ...string) {
	w.tb.Helper()
	before := w.sim.Stats()
	w.await(strings.Join(names, ", ")+" to be polled", func() bool {
		now := w.sim.Stats()
		for _, name := range names {
			if now[name].Calls["events"][200] < before[name].Calls["events"][200]+n {
				return false
			}
		}
		return true
	})
}
