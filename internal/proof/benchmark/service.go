package benchmark

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/console"
	"onelogin-kafka/internal/service"
)

// instance is the service as a process of its own.
type instance struct {
	*process
	topics topics
	url    string
}

// topics are the names of one run.
type topics struct{ events, offsets, status, deadletter, connectors, audit string }

func topicsOf(name string) topics {
	return topics{name + ".events", name + ".offsets", name + ".status", name + ".deadletter", name + ".connectors", name + ".audit"}
}

// run is the name of the run that they are of.
func (t topics) run() string { return strings.TrimSuffix(t.events, ".events") }

func (t topics) all() []string {
	return []string{t.events, t.offsets, t.status, t.deadletter, t.connectors, t.audit}
}

// build is a version of the service, built.
type build struct {
	program string
	// older: its file knows neither the control log's topic nor the audit trail's.
	older bool
}

// configure writes a connector for every tenant of the simulator, with further
// lines, and returns the name of the run that they are for.
func (b *bench) configure(what string, sim *simulation, lines string) (name string, err error) {
	name = b.name(what)
	dir := filepath.Join(b.dir, name, "connectors")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("writing the configuration: %w", err)
	}
	for i, t := range sim.truth.Tenants() {
		text := fmt.Sprintf("name: %s\ndomain: %s\nclient_id: %s\nclient_secret: %s\nbase_url: %s\nrate_limit: {share: 1}\n%s\n",
			t.Name, t.Domain, t.ClientID, t.ClientSecret, sim.base(i), lines)
		if err := os.WriteFile(filepath.Join(dir, t.Name+".yaml"), []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("writing the configuration: %w", err)
		}
	}
	if sim.authority == "" {
		return name, nil
	}
	b.settings[name] = "ca_file: " + sim.authority + "\n"
	return name, nil
}

// configureInstance writes the file of one instance of a run, and returns its
// path.
func (b *bench) configureInstance(of build, name, who string) (string, error) {
	t := topicsOf(name)
	log := fmt.Sprintf(", connectors: {name: %s}, audit: {name: %s}", t.connectors, t.audit)
	if of.older {
		log = ""
	}
	text := fmt.Sprintf(`kafka: {brokers: [%s]}
group: %s
instance: %s
topics: {replication_factor: 3, events: {name: %s}, offsets: {name: %s}, status: {name: %s}, deadletter: {name: %s}%s}
http: {listen: "127.0.0.1:0"}
log: {level: info, format: json}
connectors_dir: connectors
%s`, strings.Join(b.addrs, ", "), name, who, t.events, t.offsets, t.status, t.deadletter, log, b.settings[name])
	path := filepath.Join(b.dir, name, who+".yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("writing the configuration: %w", err)
	}
	return path, nil
}

// serve starts the service with a connector for every tenant, as its only
// instance.
func (b *bench) serve(ctx context.Context, of build, what string, sim *simulation, lines string) (*instance, error) {
	name, err := b.configure(what, sim, lines)
	if err != nil {
		return nil, err
	}
	return b.join(ctx, of, name, "one", what)
}

// join starts one instance of a run and waits until its shards are served. Its
// profiles, if any, are named by prefix.
func (b *bench) join(ctx context.Context, of build, name, who, prefix string) (*instance, error) {
	file, err := b.configureInstance(of, name, who)
	if err != nil {
		return nil, err
	}
	program, args := of.program, []string{"run", "--config", file}
	if b.profile != "" && of == b.this {
		text, err := json.Marshal(profiling{Config: file, Prefix: filepath.Join(b.profile, prefix)})
		if err != nil {
			return nil, fmt.Errorf("writing the task: %w", err)
		}
		program, args = b.self, []string{"role", "service", string(text)}
	}
	p, err := start("service", program, args...)
	if err != nil {
		return nil, err
	}
	in := &instance{process: p, topics: topicsOf(name)}
	err = await(ctx, "getting ready", 2*time.Minute, p, func() (bool, error) {
		if in.url == "" {
			in.url = p.console()
		}
		if in.url == "" {
			return false, errors.New("no console yet")
		}
		err := getJSON(in.url+"/readyz", nil)
		return err == nil, err
	})
	if err != nil {
		in.stop()
		return nil, err
	}
	return in, nil
}

// console finds the console's address in the log.
func (p *process) console() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.log {
		var l struct {
			HTTP string `json:"http"`
		}
		if json.Unmarshal([]byte(line), &l) == nil && l.HTTP != "" {
			return "http://" + l.HTTP
		}
	}
	return ""
}

// metrics returns the sum of each metric over its series.
func (in *instance) metrics() (map[string]float64, error) {
	res, err := http.Get(in.url + "/metrics")
	if err != nil {
		return nil, fmt.Errorf("reading the metrics: %w", err)
	}
	defer res.Body.Close()
	sums := map[string]float64{}
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || line[0] == '#' {
			continue
		}
		name, _, _ := strings.Cut(line[:at], "{")
		if v, err := strconv.ParseFloat(line[at+1:], 64); err == nil {
			sums[name] += v
		}
	}
	return sums, nil
}

// transactions asks how many there were, and the time they took together.
func (in *instance) transactions() (n float64, spent time.Duration, err error) {
	m, err := in.metrics()
	return m["onelogin_transaction_seconds_count"], time.Duration(m["onelogin_transaction_seconds_sum"] * float64(time.Second)), err
}

// profiling is the task of a service with profiling on.
type profiling struct{ Config, Prefix string }

// serveProfiled is `run` with a processor profile of its whole life and a heap
// profile of its end.
func serveProfiled(ctx context.Context, text string) (err error) {
	var task profiling
	if err := json.Unmarshal([]byte(text), &task); err != nil {
		return fmt.Errorf("reading the task: %w", err)
	}
	cfg, err := config.Load(task.Config, func(string) (string, bool) { return "", false })
	if err != nil {
		return err
	}
	f, err := os.Create(task.Prefix + ".cpu.pprof")
	if err != nil {
		return fmt.Errorf("making a profile: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := pprof.StartCPUProfile(f); err != nil {
		return fmt.Errorf("making a profile: %w", err)
	}
	defer pprof.StopCPUProfile()
	log := zerolog.New(os.Stderr).Level(zerolog.InfoLevel).With().Timestamp().Logger()
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	svc, err := service.New(cfg, service.Options{Log: log, Registry: reg})
	if err != nil {
		return err
	}
	web, err := console.Listen(console.Options{Listen: "127.0.0.1:0", Registry: reg, Ready: svc.Ready,
		Shards: func() []console.Shard { return nil }, Log: log})
	if err != nil {
		return err
	}
	log.Info().Str("http", web.Addr().String()).Msg("starting")
	var wg sync.WaitGroup
	wg.Go(func() { _ = web.Serve(ctx) })
	defer wg.Wait()
	stop := context.AfterFunc(ctx, func() { heap(task.Prefix + ".heap.pprof") })
	defer stop()
	return svc.Run(ctx)
}

// heap writes what is in use now.
func heap(path string) {
	f, err := os.Create(path)
	if err != nil {
		return
	}
	defer f.Close()
	runtime.GC()
	_ = pprof.WriteHeapProfile(f) // a profile more or less
}
