// Package soak runs instances of the service as processes of their own against
// a simulated OneLogin and a real Kafka, lets faults happen to them, and has
// the auditor judge, while it runs and at the end, what came out.
package soak

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"onelogin-kafka/internal/proof/audit"
	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/internal/proof/wait"
	"onelogin-kafka/source/onelogin/simulator"
)

// Plan says what an environment is made of.
type Plan struct {
	Seed uint64
	// Brokers are what the instances connect to; the auditor reads by Cluster.
	Cluster *kafkatest.Cluster
	Brokers []string
	// Instances that run at the start.
	Instances int
	Sim       simulator.Config
	// Shards is the number of partitions of the offsets topic; 0 = 8.
	Shards int
	// Settings are lines of each connector's configuration.
	Settings string
	// SweepWindow is what they say of sweep.window.
	SweepWindow time.Duration
	// Config are further lines of the configuration file.
	Config string
	// Key is the key strategy the auditor expects; empty = tenant.
	Key string
}

// World is a running experiment.
type World struct {
	tb     testing.TB
	plan   Plan
	name   string
	dir    string
	binary string
	clocks bool // the instances' clocks can be set
	// version, if not nil, is the binary that an instance is started from.
	version func(name string) string
	Sim     *simulator.Server
	simURL  string
	// well says whether a report is as it should be; damagedTo is up to where the topic was damaged before, see audit.Rules.
	well      func(*audit.Report) bool
	damagedTo time.Time

	mu        sync.Mutex
	instances map[string]*Instance
	judged    *audit.Report // the last report while running
	ended     error         // why the auditor has given up
	trouble   error         // of files that were written for the simulator
}

var build struct {
	once   sync.Once
	binary string
	err    error
}

// binary builds the service once for a test binary.
func binary() (string, error) {
	build.once.Do(func() {
		dir, err := os.MkdirTemp("", "onelogin-kafka-soak-")
		if err != nil {
			build.err = err
			return
		}
		build.binary = filepath.Join(dir, "onelogin-kafka")
		out, err := exec.Command("go", "build", "-o", build.binary, "onelogin-kafka/cmd/onelogin-kafka").CombinedOutput()
		if err != nil {
			build.err = fmt.Errorf("building the service: %w\n%s", err, out)
		}
	})
	return build.binary, build.err
}

// cleanBinary removes what binary built.
func cleanBinary() {
	if build.binary != "" {
		_ = os.RemoveAll(filepath.Dir(build.binary))
	}
}

// New makes an environment; its instances start with Start.
func New(tb testing.TB, plan Plan) *World {
	tb.Helper()
	bin, err := binary()
	if err != nil {
		tb.Fatal(err)
	}
	if plan.Brokers == nil {
		plan.Brokers = plan.Cluster.Brokers()
	}
	if plan.Shards == 0 {
		plan.Shards = 8
	}
	w := &World{tb: tb, plan: plan, dir: tb.TempDir(), binary: bin, instances: map[string]*Instance{}, well: (*audit.Report).OK}
	w.name = strings.ToLower(strings.NewReplacer("/", "-", "#", "-", "=", "-").Replace(tb.Name()))
	// Called while a request is answered: it may fail nothing but what is looked at in the end.
	plan.Sim.OnRotate = func(tenant, secret string) {
		err := w.writeSecret(tenant, secret)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.trouble = errors.Join(w.trouble, err)
	}
	if w.Sim, err = simulator.New(plan.Sim); err != nil {
		tb.Fatalf("making the simulator: %v", err)
	}
	server := httptest.NewServer(w.Sim)
	w.simURL = server.URL
	tb.Cleanup(func() {
		server.Close() // waits for requests under way
		if w.trouble != nil {
			tb.Errorf("rotating secrets: %v", w.trouble)
		}
	})
	if err := os.MkdirAll(w.path("connectors"), 0o755); err != nil {
		tb.Fatal(err)
	}
	for _, t := range w.Sim.Tenants() {
		w.must(w.writeSecret(t.Name, t.ClientSecret))
		w.WriteConnector(t.Name, "")
	}
	tb.Cleanup(func() {
		for _, in := range w.all() {
			in.end()
		}
	})
	return w
}

func (w *World) path(parts ...string) string {
	return filepath.Join(append([]string{w.dir}, parts...)...)
}

// topic is the real name of a topic in this environment.
func (w *World) topic(purpose string) string { return w.name + "." + purpose }

// WriteConnector writes a tenant's connector file, with further lines.
func (w *World) WriteConnector(tenant, extra string) {
	id, _ := w.Sim.Credentials(tenant)
	text := fmt.Sprintf("name: %s\ndomain: %s.onelogin.com\nclient_id: %s\nclient_secret_file: %s\nbase_url: %s\n%s\n%s\n",
		tenant, tenant, id, w.path("secrets", tenant), w.simURL, w.plan.Settings, extra)
	w.must(w.write(w.path("connectors", tenant+".yaml"), text))
}

// RemoveConnector takes a tenant out of the configuration.
func (w *World) RemoveConnector(tenant string) {
	w.must(os.Remove(w.path("connectors", tenant+".yaml")))
}

func (w *World) writeSecret(tenant, secret string) error {
	return w.write(w.path("secrets", tenant), secret+"\n")
}

// must fails the test on an error.
func (w *World) must(err error) {
	w.tb.Helper()
	if err != nil {
		w.tb.Fatal(err)
	}
}

// write replaces a file whole, as those who mount secrets do.
func (w *World) write(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp := filepath.Join(w.dir, "."+filepath.Base(path)+".tmp")
	return errors.Join(os.WriteFile(tmp, []byte(text), 0o600), os.Rename(tmp, path))
}

// writeConfig writes an instance's configuration. The last version knows nothing
// of the control log, and refuses what it does not know.
func (w *World) writeConfig(instance string, last bool) string {
	path, control := w.path(instance+".yaml"), ""
	if !last {
		control = fmt.Sprintf(", connectors: {name: %s}, audit: {name: %s}", w.topic("connectors"), w.topic("audit"))
	}
	w.must(w.write(path, fmt.Sprintf(`kafka: {brokers: [%s]}
group: %s
instance: %s
topics: {replication_factor: %d, events: {name: %s, partitions: 6}, offsets: {name: %s, partitions: %d}, status: {name: %s}, deadletter: {name: %s}%s}
http: {listen: "127.0.0.1:0"}
log: {level: info, format: json}
connectors_dir: %s
%s
`, strings.Join(w.plan.Brokers, ", "), w.name, instance, min(3, len(w.plan.Cluster.Nodes())), w.topic("events"), w.topic("offsets"), w.plan.Shards,
		w.topic("status"), w.topic("deadletter"), control, w.path("connectors"), w.plan.Config)))
	return path
}

// Start starts an instance, or starts it again.
func (w *World) Start(name string) *Instance {
	w.tb.Helper()
	in := &Instance{Name: name, log: &tailBuffer{}, web: make(chan string, 1)}
	bin := w.binary
	if w.version != nil {
		bin = w.version(name)
	}
	in.cmd = exec.Command(bin, "run", "--config", w.writeConfig(name, bin != w.binary))
	in.cmd.Stderr = &logSink{in: in}
	if w.clocks {
		in.cmd.Env = append(in.cmd.Environ(), clockVariable+"="+w.path(name+".clock"))
	}
	if err := in.start(); err != nil {
		w.tb.Fatalf("starting %s: %v", name, err)
	}
	w.mu.Lock()
	w.instances[name] = in
	w.mu.Unlock()
	return in
}

// Instance returns a running or ended instance by name.
func (w *World) Instance(name string) *Instance {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.instances[name]
}

func (w *World) all() []*Instance {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*Instance
	for _, in := range w.instances {
		all = append(all, in)
	}
	return all
}

// Await waits until ok; it fails the test after so much of the machine's time.
func (w *World) Await(what string, bound time.Duration, ok func() bool) {
	w.tb.Helper()
	began := wait.Begin()
	if !wait.Until(bound, ok) {
		w.dump()
		w.tb.Fatalf("%s: not within %s", what, began)
	}
}

// dump shows where Kafka's partitions stand and the last log lines of each
// instance, and ends them for the stacks of their goroutines.
func (w *World) dump() {
	w.tb.Logf("Kafka, of what is not in sync or not read to its end:\n%s", w.watermarks())
	for _, in := range w.all() {
		w.tb.Logf("%s said (ended: %v):\n%s", in.Name, in.Ended(), in.log.String())
		if in.Ended() {
			continue
		}
		_ = errors.Join(in.Resume(), in.signal(syscall.SIGQUIT))
		<-in.done
		w.tb.Logf("%s does:\n%s", in.Name, in.log.String())
	}
}

// answerWithin is how long an instance may take to answer before it is asked again, by the clock.
const answerWithin = 10 * time.Second

// get reads JSON from an instance's console.
func (in *Instance) get(path string, v any) error {
	url, ok := in.URL()
	if !ok {
		return errors.New("no console yet")
	}
	client := http.Client{Timeout: answerWithin}
	res, err := client.Get(url + path)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return statusError(res.StatusCode)
	}
	if v == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(v)
}

// metrics are all of an instance's, as Prometheus reads them.
func (in *Instance) metrics() ([]byte, error) {
	url, ok := in.URL()
	if !ok {
		return nil, errors.New("no console yet")
	}
	client := http.Client{Timeout: answerWithin}
	res, err := client.Get(url + "/metrics")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return io.ReadAll(res.Body)
}

// statusError is an answer of the console that is not 200.
type statusError int

func (e statusError) Error() string { return "status " + strconv.Itoa(int(e)) }

// Ready tells whether the instance says that its shards are served.
func (in *Instance) Ready() bool { return in.get("/readyz", nil) == nil }

// Shards are the shards the instance says it owns.
func (in *Instance) Shards() ([]int, error) {
	var list []struct {
		Shard int `json:"shard"`
	}
	err := in.get("/api/v1/shards", &list)
	shards := make([]int, len(list))
	for i, s := range list {
		shards[i] = s.Shard
	}
	return shards, err
}

func containsAll(s string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}
