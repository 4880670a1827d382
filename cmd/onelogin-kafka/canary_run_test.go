package main

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"onelogin-kafka/internal/console"
	"onelogin-kafka/internal/proof/tunnel"
	"onelogin-kafka/source/onelogin/simulator"
)

// stage is a configuration that runs, with the secrets of some of its paths.
type stage struct {
	t         *testing.T
	mechanism string
	kafka     string // the path of what the brokers are shown
	proxy     string // the path of what the proxy is shown
	odd       form   // of a secret that the poller and the proxy find
	portion   portion
	dir       string
	secrets   *secrets
	paths     []string
	wants     atomic.Value // what the brokers and the token endpoint want
	broker    *severed
	sim       *simulator.Server
	tunnel    *tunnel.Proxy
	config    string       // the file
	client    *http.Client // of the console
	exported  string       // a file with what offsets export prints
	job       string       // the id of one that is done
	address   string       // of the brokers
}

// portion is what of the forms a stage tries while it runs: those whose number is nth of each of. Stages with one path share the forms of
// its secret, and those of the console and private keys, which are read in the same way whatever the brokers want.
type portion struct{ nth, of int }

func (p portion) has(i int) bool { return i%p.of == p.nth }

// TestRunningShowsNoSecret runs the service, and the commands beside it, on
// every way to log in, with secrets that are ugly and right, then wrong, then
// replaced while it runs by everything that cannot be used; and looks for them
// in all that is written.
func TestRunningShowsNoSecret(t *testing.T) {
	values, files := secretPaths()
	tried, odd := map[string]bool{}, map[string]int{}
	var wg sync.WaitGroup
	for i, s := range []*stage{
		{mechanism: "OAUTHBEARER", kafka: "kafka.sasl.token", odd: named(t, "a reference"), portion: portion{0, 1}},
		{mechanism: "OAUTHBEARER", kafka: "kafka.sasl.client_secret", odd: named(t, "terminal commands"), portion: portion{0, 1}},
		{mechanism: "SCRAM-SHA-256", kafka: "kafka.sasl.password", odd: named(t, "a tab"), portion: portion{0, 3}},
		{mechanism: "SCRAM-SHA-512", kafka: "kafka.sasl.password", odd: named(t, "a line break within"), portion: portion{1, 3}},
		{mechanism: "PLAIN", kafka: "kafka.sasl.password", odd: named(t, "not UTF-8"), portion: portion{2, 3}},
	} {
		for j := range oddForms() {
			if s.portion.has(j) {
				odd[s.kafka]++
			}
		}
		s.proxy = []string{"proxy.password", "connectors[].proxy.password"}[i%2]
		s.paths = []string{s.kafka, s.proxy, "http.token", "http.viewer_token", "connectors[].client_secret"}
		for _, path := range append(s.paths, "kafka.tls.key_file", "http.tls.key_file", "secrets.keys[].private_key") {
			tried[path] = true
		}
		wg.Go(func() { // all at once: much of the time they wait
			t.Run(s.mechanism+" "+s.kafka, func(t *testing.T) {
				s.t = t
				s.play()
			})
		})
	}
	wg.Wait()
	for _, path := range append(values, files...) {
		if !tried[path] {
			t.Errorf("%s is a secret that this test does not know: teach it where it is used", path)
		}
	}
	for path, n := range odd {
		if all := len(oddForms()); n != all || all < 8 {
			t.Errorf("%s is tried in %d forms that cannot be used, of %d", path, n, all)
		}
	}
}

// oddForms are those of secrets that cannot be used.
func oddForms() []form {
	return slices.DeleteFunc(forms(), func(f form) bool { return f.odd == "" })
}

// named is the form of a name.
func named(t *testing.T, name string) form {
	t.Helper()
	all := forms()
	i := slices.IndexFunc(all, func(f form) bool { return f.name == name })
	if i < 0 {
		t.Fatalf("there is no form %q", name)
	}
	return all[i]
}

// ugliest is a secret that is right and has all that is taken at a path.
func ugliest(path string, long bool) string {
	m := marker(path)
	with := m + `%s%d%!v(EXTRA)%"'` + "`" + `\n\` + m + "?@:/#{}" + m
	switch path {
	case "kafka.sasl.token":
		with = m + "-._~+/" + m + "="
	case "kafka.sasl.password", "kafka.sasl.client_secret":
		with = m + " , ①\u00e9密\u05d0 " + with
	}
	if long {
		return strings.Repeat(m, 10_000/len(m)) + with
	}
	return with
}

func (s *stage) play() {
	t := s.t
	s.dir, s.secrets, s.broker = t.TempDir(), &secrets{all: map[string]string{}}, &severed{}
	s.client = &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: atOnce, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(s.client.CloseIdleConnections)
	for _, path := range s.paths {
		for _, trace := range traces(marker(path)) {
			s.secrets.add(trace, path)
		}
	}
	s.secrets.add(marker("issued token"), "token of the endpoint")
	for _, side := range []string{"kafka.tls", "http.tls"} {
		cert, key := keyPair(t)
		s.set(func(string) string { return string(cert) }, side+".cert_file")
		s.key(side, key)
	}
	s.sealing()
	s.set(func(string) string { return "s3cret-of-nobody" }, s.paths...)
	s.wants.Store(ugliest(s.kafka, false))
	s.openKafka()
	s.write(s.openOneLogin())

	ugly := func(path string) string { return ugliest(path, false) + "\n" }
	s.set(ugly, s.paths...)
	run := startProcess(t, "run", "--config", s.config)
	t.Cleanup(func() { s.secrets.find(t, "run", run.all()) })
	s.await(run, "readiness", func() bool { return s.ready(run) == http.StatusOK })
	s.await(run, "events", func() bool {
		return strings.Contains(s.ask(run, "GET /metrics", true), `onelogin_events_total{connector="acme"} 1`)
	})
	s.await(run, "its status", func() bool {
		return strings.Contains(s.ask(run, "GET /api/v1/connectors", true), `"state":"ACTIVE"`)
	})
	s.pages(run, "right")
	s.jobs()
	s.commands()
	tail := startProcess(t, "tail", "--config", s.config, "--from", "earliest")
	s.await(tail, "events", func() bool { return strings.Count(tail.out.String(), "\n") > 20 })
	tail.end()
	s.secrets.find(t, "tail", tail.all())
	_, out, errs := runCommand(t, "verify", "acme", "--from", "48h", "--json", "--config", s.config)
	s.secrets.find(t, "verify", out+errs)

	s.wrong(run)
	s.unusable(run)
	s.keys(run)
	s.failing(run)
	s.proxied(run)
	s.set(ugly, s.paths...)
	s.await(run, "readiness at the end", func() bool { return s.ready(run) == http.StatusOK })
	s.topics("ce_id: ", `"through":`, `"state":`, `"action":"job.ask"`, `"action":"job.cancel"`, `"kind":"backfill","state":"done"`)
	if code := run.end(); code != exitOK {
		t.Errorf("run: got exit %d", code)
	}
	signs := []string{`"level":"debug"`, `"level":"warn"`, `"level":"error"`, "Authentication", "Configuration Error", "request to OneLogin", `"path":"/api/1/events"`}
	if s.portion.of > 1 {
		signs = append(signs, "the console's token cannot be read")
	}
	for _, sign := range signs {
		if !strings.Contains(run.errs.String(), sign) {
			t.Errorf("the log has no %s: it is not the log that was to be looked through", sign)
		}
	}
}

// atOnce is how many of the console's pages are asked for at once.
const atOnce = 24

// pages looks through every page of the console, many at once: where Kafka does
// not answer, those that change something wait for it.
func (s *stage) pages(p *process, when string) {
	s.t.Helper()
	var wg errgroup.Group
	wg.SetLimit(atOnce)
	for _, pattern := range console.Patterns() {
		for _, authorized := range []bool{true, false} {
			wg.Go(func() error {
				s.secrets.find(s.t, fmt.Sprintf("%s, secrets %s, with the token: %v", pattern, when, authorized), s.ask(p, pattern, authorized))
				return nil
			})
		}
		if !strings.Contains(pattern, "/api/") {
			continue
		}
		wg.Go(func() error {
			if _, said := s.request(p, pattern, "another"); !strings.Contains(said, "401") {
				s.t.Errorf("%s with another token: got %s", pattern, said)
			}
			return nil
		})
	}
	_ = wg.Wait() // they say it themselves
}

// commands runs what runs beside the service, and ends by itself.
func (s *stage) commands() {
	s.t.Helper()
	for _, args := range [][]string{
		{"check"}, {"check", "--json"}, {"config", "check"}, {"config", "check", "--json"},
		{"offsets", "take-over"}, {"offsets", "copy", "--to", "other"},
		{"status"}, {"status", "--json"}, {"deadletter", "list"}, {"deadletter", "show", "acme"}, {"deadletter", "replay", "acme", "--yes"}, {"deadletter", "discard", "acme", "--yes"},
		{"offsets", "list"}, {"offsets", "show", "acme"}, {"offsets", "export"},
		{"offsets", "set", "acme", "--back", "1m"}, {"offsets", "set", "acme", "--back", "1m", "--yes"}, {"offsets", "reset", "acme", "--json"},
	} {
		s.command(exitOK, "right", args...)
	}
	exported := startProcess(s.t, "offsets", "export", "--config", s.config)
	<-exported.done
	s.exported = write(s.t, "positions.json", exported.out.String())
	s.command(exitOK, "right", "offsets", "import", s.exported)
	s.command(exitUsage, "right", "health") // the port is chosen at the start
}

// jobs has jobs done, and looks at them.
func (s *stage) jobs() {
	s.t.Helper()
	asked := startProcess(s.t, "backfill", "acme", "--from", "48h", "--yes", "--json", "--config", s.config)
	<-asked.done
	s.secrets.find(s.t, "backfill", asked.all())
	j := readJob(s.t, asked.out.String())
	if s.job = j.ID; j.State != "done" || !j.Whole {
		s.t.Fatalf("the backfill came to %s", asked.all())
	}
	s.command(exitOK, "right", "backfill", "acme", "--from", "48h")
	s.command(exitOK, "right", "verify", "acme", "--repair", "--from", "48h")
	s.command(exitFail, "right", "jobs", "cancel", s.job)
	for _, args := range [][]string{{"list"}, {"list", "acme", "--json"}, {"show", s.job}, {"show", s.job, "--json", "--watch"}} {
		s.command(exitOK, "right", append([]string{"jobs"}, args...)...)
	}
}

// command runs a command that ends by itself.
func (s *stage) command(code int, secrets string, args ...string) {
	s.t.Helper()
	s.began(code, secrets, args...)()
}

// began starts a command, and returns what waits for its end.
func (s *stage) began(code int, secrets string, args ...string) (ended func()) {
	s.t.Helper()
	p := startProcess(s.t, append(args, "--config", s.config)...)
	return func() {
		s.t.Helper()
		<-p.done
		s.secrets.find(s.t, fmt.Sprintf("%q, the secrets being %s", args, secrets), p.all())
		if got := p.cmd.ProcessState.ExitCode(); got != code {
			s.t.Errorf("%q, the secrets being %s: got exit %d, want %d\n%s", args, secrets, got, code, p.all())
		}
	}
}

// cutting is await, with the brokers' connections cut off every now and then:
// what logs in again with a token that still counts is not told apart else.
func (s *stage) cutting(p *process, what string, ok func() bool) {
	s.t.Helper()
	var cut time.Time
	s.await(p, what, func() bool {
		if time.Since(cut) > tokenLife+time.Second {
			cut = time.Now()
			s.broker.cut()
		}
		return ok()
	})
}

// wrong has secrets that can be used and are refused.
func (s *stage) wrong(run *process) {
	t := s.t
	t.Helper()
	for _, long := range []bool{false, true} {
		refused := func(path string) string { return ugliest(path, long) + marker(path) }
		s.set(refused, s.kafka, "connectors[].client_secret")
		s.cutting(run, "the brokers' refusal", func() bool { return s.ready(run) == http.StatusServiceUnavailable })
		s.await(run, "OneLogin's refusal", func() bool {
			return strings.Contains(s.ask(run, "POST /api/v1/connectors/{name}/check", true), "Credentials error")
		})
		s.pages(run, "wrong")
		ended := []func(){s.began(3, "wrong", "check"), s.began(3, "wrong", "check", "--json")}
		commands := [][]string{
			{"status"}, {"offsets", "list"}, {"deadletter", "list"}, {"offsets", "set", "acme", "--back", "1m", "--yes"},
			{"offsets", "import", s.exported}, {"offsets", "take-over"}, {"offsets", "copy", "--to", "other"},
			{"backfill", "acme", "--from", "48h", "--yes"}, {"verify", "acme", "--repair", "--from", "48h"},
			{"jobs", "list"}, {"jobs", "show", s.job, "--watch"}, {"jobs", "cancel", s.job},
		}
		if long { // they all log in in one way
			commands = commands[:1]
		}
		for _, args := range commands {
			ended = append(ended, s.began(exitFail, "wrong", args...))
		}
		for _, wait := range ended {
			wait()
		}
		tail := startProcess(t, "tail", "--config", s.config)
		s.await(tail, "tail's trouble", func() bool { return strings.Contains(tail.errs.String(), "cannot be reached") })
		tail.end()
		s.secrets.find(t, "tail with wrong secrets", tail.all())
		s.set(func(path string) string { return ugliest(path, false) }, s.paths...)
		s.await(run, "readiness with the right ones", func() bool { return s.ready(run) == http.StatusOK })
	}
}

// unusable replaces the secrets while the service runs by what cannot be used.
func (s *stage) unusable(run *process) {
	t := s.t
	t.Helper()
	right := func(path string) string { return ugliest(path, false) }
	for i, f := range oddForms() {
		if !s.portion.has(i) {
			continue
		}
		odd := func(path string) string { return f.of(marker(path)) }
		mark := len(run.errs.String())
		s.set(odd, s.kafka, "connectors[].client_secret")
		s.cutting(run, f.name+" told by the check", func() bool {
			return strings.Contains(s.ask(run, "POST /api/v1/connectors/{name}/check", true), f.odd)
		})
		s.cutting(run, f.name+" told of the brokers' secret", func() bool {
			return strings.Contains(s.ask(run, "GET /readyz", false), f.odd) && strings.Contains(run.errs.String()[mark:], f.odd)
		})
		s.pages(run, f.name)
		if s.portion.of > 1 {
			s.set(odd, "http.token", "http.viewer_token")
			s.await(run, f.name+" in the console's token", func() bool { return strings.HasPrefix(s.ask(run, "GET /metrics", true), "401") })
			s.pages(run, f.name+", also the console's")
		}
		s.set(right, s.paths...)
	}
	s.await(run, "readiness with the right ones", func() bool { return s.ready(run) == http.StatusOK })
}

// failing has the poller, and not only a check, find a secret that cannot be used,
// then one that is refused: the other way round it would rest for long first.
func (s *stage) failing(run *process) {
	s.t.Helper()
	connector := func(text string) func() bool {
		return func() bool { return strings.Contains(s.ask(run, "GET /api/v1/connectors", true), text) }
	}
	s.await(run, "readiness", func() bool { return s.ready(run) == http.StatusOK })
	s.await(run, "the connector's success", connector(`"state":"ACTIVE"`)) // what is told of it may be of before
	s.set(func(path string) string { return s.odd.of(marker(path)) }, "connectors[].client_secret")
	s.await(run, "the connector's unusable credentials", connector("Configuration Error"))
	s.pages(run, s.odd.name+" to the poller")
	s.set(func(path string) string { return ugliest(path, true) }, "connectors[].client_secret")
	s.await(run, "the connector's refused credentials", connector("Credentials error"))
	s.command(exitOK, "refused to a job", "backfill", "acme", "--from", "48h", "--yes", "--detach")
	s.command(exitOK, "refused to a job", "jobs", "list")
	s.pages(run, "refused to the poller")
	s.command(exitOK, "refused to a job", "backfill", "acme", "--cancel")
}

// proxied has the proxy refuse what it is shown, and then be shown nothing since
// it cannot be used.
func (s *stage) proxied(run *process) {
	s.t.Helper()
	told := func(text string) func() bool {
		return func() bool {
			s.tunnel.Cut() // credentials are for new connections
			return strings.Contains(s.ask(run, "POST /api/v1/connectors/{name}/check", true), text)
		}
	}
	right := func(path string) string { return ugliest(path, false) }
	s.set(right, "connectors[].client_secret")
	s.await(run, "the connector's success", told("Connection successful"))
	s.set(func(path string) string { return ugliest(path, true) }, s.proxy)
	s.await(run, "the proxy's refusal", told("answered CONNECT with response code 407"))
	s.pages(run, "refused by the proxy")
	s.command(1, "refused by the proxy", "check")
	s.set(func(path string) string { return s.odd.of(marker(path)) }, s.proxy)
	s.await(run, "the proxy's unusable password", told("reading the proxy's password"))
	s.pages(run, s.odd.name+" for the proxy")
	s.set(right, s.proxy)
	s.await(run, "the way through the proxy again", told("Connection successful"))
}

// keys replaces the private key by what is none while the service runs, and
// starts commands on what it listens with.
func (s *stage) keys(run *process) {
	t := s.t
	t.Helper()
	m := marker("a private key")
	for _, trace := range traces(m) {
		s.secrets.add(trace, "private key")
	}
	right, err := os.ReadFile(s.file("kafka.tls.key_file"))
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile(s.file("http.tls.key_file"))
	if err != nil {
		t.Fatal(err)
	}
	sealed := make([]byte, 200)
	_, _ = rand.Read(sealed) // never fails
	begin := func(kind string) string { return "-----BEGIN " + kind + "-----\n" }
	end := func(kind string) string { return "-----END " + kind + "-----\n" }
	for i, bad := range []struct{ name, text, says string }{
		{"no PEM", m + "\n" + m, "are no pair"},
		{"another's", string(own), "are no pair"},
		{"a strange type", begin(m) + m + m + "\n" + end(m), "are no pair"},
		{"strange headers", begin("PRIVATE KEY") + "X-" + m + ": " + m + "\n\n" + m + "\n" + end("PRIVATE KEY"), "are no pair"},
		{"cut off", string(right[:len(right)/2]) + m, "are no pair"},
		{"encrypted", string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: sealed})), "is encrypted"},
		{"encrypted, older", string(pem.EncodeToMemory(&pem.Block{
			Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC," + m}, Bytes: sealed,
		})), "is encrypted"},
		{"any bytes", m + "\xff\x00" + m, "are no pair"},
	} {
		if s.portion.of == 1 || !s.portion.has(i) {
			continue
		}
		for line := range strings.Lines(bad.text) {
			if line = strings.TrimSpace(line); len(line) > 32 && !strings.HasPrefix(line, "-") {
				s.secrets.add(line[:32], "private key")
			}
		}
		s.set(func(string) string { return bad.text }, "kafka.tls.key_file", "http.tls.key_file")
		s.cutting(run, bad.name+" told of the brokers' key", func() bool { return strings.Contains(s.ask(run, "GET /readyz", false), bad.says) })
		s.pages(run, "the key being "+bad.name)
		for _, args := range refusing {
			s.command(exitUsage, bad.name, slices.Clone(args)...)
		}
	}
	s.set(func(string) string { return string(right) }, "kafka.tls.key_file")
	s.set(func(string) string { return string(own) }, "http.tls.key_file")
	// With another's key, which is a key, the console does not start.
	_, err = console.Listen(console.Options{Listen: "127.0.0.1:0", CertFile: s.file("http.tls.cert_file"), KeyFile: s.file("kafka.tls.key_file")})
	if err == nil || strings.Contains(err.Error(), "PRIVATE") {
		t.Errorf("listening with another's key: got %v", err)
	}
}
