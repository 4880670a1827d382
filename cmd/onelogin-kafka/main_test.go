package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/internal/proof/wait"
	"onelogin-kafka/producer/embedded"
	"onelogin-kafka/source/onelogin/simulator"
)

// asCommand makes the test binary the command itself, so that a test can kill
// it.
const asCommand = "ONELOGIN_KAFKA_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(kafkatest.Main(m))
}

// output is a writer that a test can read while a command writes.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// command is a command that runs.
type command struct {
	out, errs output
	stop      context.CancelFunc
	done      chan int
	ended     sync.Once
	code      int
}

// startCommand runs a command until the test or stop ends it.
func startCommand(t *testing.T, args ...string) *command {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	c := &command{stop: stop, done: make(chan int, 1)}
	go func() { c.done <- runContext(ctx, args, &c.out, &c.errs) }()
	t.Cleanup(func() { c.end() })
	return c
}

// end ends the command and returns its exit code.
func (c *command) end() int {
	c.stop()
	return c.wait()
}

func (c *command) wait() int {
	c.ended.Do(func() { c.code = <-c.done })
	return c.code
}

// runCommand runs a command that ends by itself.
func runCommand(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	c := startCommand(t, args...)
	code = c.wait()
	return code, c.out.String(), c.errs.String()
}

// eventually waits until ok, which a test cannot be told of.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	wait.For(t, what, 2*time.Minute, ok)
}

// write writes a file into a folder of its own.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// place is a simulated OneLogin and an embedded broker for commands.
type place struct {
	sim    *simulator.Server
	base   string
	broker *embedded.Broker
}

func newPlace(t *testing.T, conf simulator.Config) *place {
	t.Helper()
	sim, err := simulator.New(conf)
	if err != nil {
		t.Fatal(err)
	}
	p := &place{sim: sim, base: serve(t, sim)}
	p.broker, err = embedded.Start(embedded.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.broker.Close)
	return p
}

// connectors is the connectors' part of a configuration.
func (p *place) connectors() string {
	var b strings.Builder
	b.WriteString("connectors:\n")
	for _, t := range p.sim.Tenants() {
		fmt.Fprintf(&b, "  - {name: %s, domain: %s, client_id: %q, client_secret: %q, base_url: %q, poll: {min: 20ms, max: 200ms}, rate_limit: {share: 1}}\n",
			t.Name, t.Domain, t.ClientID, t.ClientSecret, p.base)
	}
	return b.String()
}

// config writes a configuration; more is put before the connectors.
func (p *place) config(t *testing.T, more string) string {
	t.Helper()
	return write(t, "onelogin-kafka.yaml", fmt.Sprintf(
		"kafka: {brokers: [%s]}\ninstance: test\nhttp: {listen: \"127.0.0.1:0\"}\n"+
			"topics: {replication_factor: 1, events: {partitions: 3}, offsets: {partitions: 3}}\n%s\n%s", p.broker.Addrs()[0], more, p.connectors()))
}

func tenants(n int, backlog int64, rate float64) simulator.Config {
	c := simulator.Default(n)
	c.HourlyLimit = 1_000_000
	for i := range c.Tenants {
		c.Tenants[i].Backlog, c.Tenants[i].Traffic.Rate, c.Tenants[i].Traffic.Late = backlog, rate, 0
	}
	return c
}

// get returns what a URL of the console answers; 0 while nobody answers.
func get(url string) (int, string) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	res, err := client.Get(url)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(body)
}

// load reads a configuration as the commands do.
func load(t *testing.T, path string) *config.Config {
	t.Helper()
	cfg, err := config.Load(path, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// serve serves h on a loopback port until the test ends and returns its URL.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}
