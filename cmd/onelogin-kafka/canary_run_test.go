package main

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onelogin-kafka/internal/build"
	"onelogin-kafka/internal/console"
	"onelogin-kafka/internal/service"
	"onelogin-kafka/producer"
	"onelogin-kafka/source/onelogin/simulator"
)

// process is a command in a process of its own, so that what the runtime and
// libraries write is seen too.
type process struct {
	cmd       *exec.Cmd
	out, errs output
	done      chan struct{}
}

// binary has the canaries look at what was built for use and not at the tests'
// own: go test -run 'ShowsNoSecret|ShowsAPassword' -args -binary ../../bin/onelogin-kafka.
var binary = flag.String("binary", "", "the `file` whose secrets are looked for, instead of the tests' own")

func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(cmp.Or(*binary, os.Args[0]), args...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), asCommand+"=1")
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errs
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); <-p.done })
	return p
}

// drive runs a command that ends by itself, in this process unless a binary was
// named.
func drive(t *testing.T, args ...string) (code int, said string) {
	t.Helper()
	if *binary == "" {
		code, out, errs := runCommand(t, args...)
		return code, out + errs
	}
	p := startProcess(t, args...)
	<-p.done
	return p.cmd.ProcessState.ExitCode(), p.all()
}

// end stops the process as an operator does and returns its exit code.
func (p *process) end() int {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

// all is everything that the process has written.
func (p *process) all() string { return p.out.String() + p.errs.String() }

// severed is a listener whose connections can be cut.
type severed struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (s *severed) listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	return &severedListener{l, s}, err
}

func (s *severed) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
	s.conns = nil
}

type severedListener struct {
	net.Listener
	s *severed
}

func (l *severedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.s.mu.Lock()
		l.s.conns = append(l.s.conns, c)
		l.s.mu.Unlock()
	}
	return c, err
}

// keyPair is a certificate for loopback of its own, and its key, in PEM form.
func keyPair(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// stage is a configuration that runs, with the secrets of some of its paths.
type stage struct {
	t         *testing.T
	mechanism string
	kafka     string // the path of what the brokers are shown
	odd       form   // of a secret that the poller finds
	dir       string
	secrets   *secrets
	paths     []string
	wants     atomic.Value // what the brokers and the token endpoint want
	broker    *severed
	sim       *simulator.Server
	config    string // the file
	address   string // of the brokers
}

// TestRunningShowsNoSecret runs the service, and the commands beside it, on
// every way to log in, with secrets that are ugly and right, then wrong, then
// replaced while it runs by everything that cannot be used; and looks for them
// in all that is written.
func TestRunningShowsNoSecret(t *testing.T) {
	values, files := secretPaths()
	tried := map[string]bool{}
	for _, s := range []*stage{
		{mechanism: "SCRAM-SHA-256", kafka: "kafka.sasl.password", odd: named(t, "a tab")},
		{mechanism: "SCRAM-SHA-512", kafka: "kafka.sasl.password", odd: named(t, "a line break within")},
		{mechanism: "PLAIN", kafka: "kafka.sasl.password", odd: named(t, "not UTF-8")},
		{mechanism: "OAUTHBEARER", kafka: "kafka.sasl.token", odd: named(t, "a reference")},
		{mechanism: "OAUTHBEARER", kafka: "kafka.sasl.client_secret", odd: named(t, "terminal commands")},
	} {
		s.paths = []string{s.kafka, "http.token", "connectors[].client_secret"}
		for _, path := range append(s.paths, "kafka.tls.key_file", "http.tls.key_file") {
			tried[path] = true
		}
		t.Run(s.mechanism+" "+s.kafka, func(t *testing.T) {
			t.Parallel()
			s.t = t
			s.play()
		})
	}
	for _, path := range append(values, files...) {
		if !tried[path] {
			t.Errorf("%s is a secret that this test does not know: teach it where it is used", path)
		}
	}
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

func (s *stage) file(path string) string { return filepath.Join(s.dir, path) }

// set writes the secrets' files, each in one step.
func (s *stage) set(text func(path string) string, paths ...string) {
	s.t.Helper()
	for _, path := range paths {
		if err := os.WriteFile(s.file(path)+".new", []byte(text(path)), 0o600); err != nil {
			s.t.Fatal(err)
		}
		if err := os.Rename(s.file(path)+".new", s.file(path)); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *stage) play() {
	t := s.t
	s.dir, s.secrets, s.broker = t.TempDir(), &secrets{all: map[string]string{}}, &severed{}
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
	s.set(func(string) string { return "s3cret-of-nobody" }, s.paths...)
	s.wants.Store(ugliest(s.kafka, false))
	s.openKafka()
	s.write(s.openOneLogin())

	ugly := func(path string) string { return ugliest(path, false) + "\n" }
	s.set(ugly, s.paths...)
	s.commands()
	run := startProcess(t, "run", "--config", s.config)
	t.Cleanup(func() { s.secrets.find(t, "run", run.all()) })
	s.await(run, "readiness", func() bool { return s.ready(run) == http.StatusOK })
	s.await(run, "events", func() bool {
		return strings.Contains(s.ask(run, "GET /metrics", true), `onelogin_events_total{connector="acme"} 1`)
	})
	s.pages(run, "right")
	tail := startProcess(t, "tail", "--config", s.config, "--from", "earliest")
	s.await(tail, "events", func() bool { return strings.Count(tail.out.String(), "\n") > 20 })
	tail.end()
	s.secrets.find(t, "tail", tail.all())

	s.wrong(run)
	s.unusable(run)
	s.keys(run)
	s.failing(run)
	s.set(ugly, s.paths...)
	s.await(run, "readiness at the end", func() bool { return s.ready(run) == http.StatusOK })
	s.topics()
	if code := run.end(); code != exitOK {
		t.Errorf("run: got exit %d", code)
	}
	for _, sign := range []string{`"level":"debug"`, `"level":"warn"`, `"level":"error"`, "Authentication", "Configuration Error", "the console's token cannot be read"} {
		if !strings.Contains(run.errs.String(), sign) {
			t.Errorf("the log has no %s: it is not the log that was to be looked through", sign)
		}
	}
}

// key writes a private key whose lines are looked for.
func (s *stage) key(side string, key []byte) {
	s.t.Helper()
	s.set(func(string) string { return string(key) }, side+".key_file")
	for line := range strings.Lines(string(key)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-") && len(line) > 16 {
			s.secrets.add(line, side+".key_file")
			s.secrets.add(line[:len(line)/2], side+".key_file")
		}
	}
}

// openOneLogin starts a OneLogin whose one tenant has the ugliest secret, and
// whose token endpoint for Kafka stands beside it.
func (s *stage) openOneLogin() (base string) {
	t := s.t
	t.Helper()
	var err error
	s.sim, err = simulator.New(simulator.Config{Seed: 7, HourlyLimit: 1_000_000, Tenants: []simulator.Tenant{{
		Name: "acme", ClientID: "id", ClientSecret: ugliest("connectors[].client_secret", false), Backlog: 100,
		BacklogSpan: simulator.Duration(time.Hour), Traffic: simulator.Traffic{Rate: 1}, TokenLifetime: simulator.Duration(2 * time.Second),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	handler := s.secrets.tapped(s.sim)
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("User-Agent"); got != build.UserAgent() && *binary == "" {
			t.Errorf("got User-Agent %q, want %q", got, build.UserAgent())
		}
		if r.URL.Path == "/kafka-token" {
			s.token(w, r)
			return
		}
		handler.ServeHTTP(w, r)
	}))
}

// tokenLife is how long a token of the endpoint counts.
const tokenLife = 2 * time.Second

// token answers as a token endpoint that knows one client; what it refuses it
// repeats, as some do.
func (s *stage) token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, secret, _ := r.BasicAuth()
	if secret != url.QueryEscape(s.wants.Load().(string)) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error":"invalid_client","error_description":%q}`, secret)
		return
	}
	fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":%d}`, marker("issued token"), int(tokenLife.Seconds()))
}

// openKafka starts a broker that logs in as the stage wants it.
func (s *stage) openKafka() {
	t := s.t
	t.Helper()
	pair, err := tls.LoadX509KeyPair(s.file("kafka.tls.cert_file"), s.file("kafka.tls.key_file"))
	if err != nil {
		t.Fatal(err)
	}
	options := []kfake.Opt{kfake.NumBrokers(1), kfake.ListenFn(s.broker.listen), kfake.TLS(&tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert,
	})}
	if s.mechanism != "OAUTHBEARER" {
		options = append(options, kfake.EnableSASL(), kfake.Superuser(s.mechanism, "service", s.wants.Load().(string)))
	}
	k, err := kfake.NewCluster(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	if s.mechanism == "OAUTHBEARER" {
		s.bearer(k)
	}
	s.address = k.ListenAddrs()[0]
}

// bearer teaches a broker OAUTHBEARER.
func (s *stage) bearer(k *kfake.Cluster) {
	k.ControlKey(int16(kmsg.SASLHandshake), func(req kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		return req.ResponseKind(), nil, true
	})
	k.ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		want := marker("issued token")
		if s.kafka == "kafka.sasl.token" {
			want = s.wants.Load().(string)
		}
		in, out := req.(*kmsg.SASLAuthenticateRequest), req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		switch string(in.SASLAuthBytes) {
		case "n,,\x01auth=Bearer " + want + "\x01\x01":
		case "\x01":
			text := string(in.SASLAuthBytes) + want
			out.ErrorCode, out.ErrorMessage = 58, &text
		default: // it repeats what it refuses
			out.SASLAuthBytes = fmt.Appendf(nil, `{"status":"invalid_token","scope":%q}`, in.SASLAuthBytes)
		}
		return out, nil, true
	})
}

// write writes the configuration, with every secret in a file.
func (s *stage) write(base string) {
	sasl := "mechanism: " + s.mechanism + ", "
	switch s.kafka {
	case "kafka.sasl.password":
		sasl += "username: service, password_file: kafka.sasl.password"
	case "kafka.sasl.token":
		sasl += "token_file: kafka.sasl.token"
	default:
		sasl += fmt.Sprintf("token_url: %q, client_id: id, client_secret_file: kafka.sasl.client_secret", base+"/kafka-token")
	}
	text := fmt.Sprintf(`kafka:
  brokers: [%q]
  tls: {ca_file: kafka.tls.cert_file, cert_file: kafka.tls.cert_file, key_file: kafka.tls.key_file}
  sasl: {%s}
instance: test
http: {listen: "127.0.0.1:0", tls: {cert_file: http.tls.cert_file, key_file: http.tls.key_file}, token_file: http.token}
log: {level: trace, format: json}
topics: {replication_factor: 1, events: {partitions: 1}, offsets: {partitions: 1}}
connectors:
  - {name: acme, domain: acme, client_id: id, client_secret_file: "connectors[].client_secret", base_url: %q, poll: {min: 20ms, max: 100ms}, rate_limit: {share: 1}}
`, s.address, sasl, base)
	s.config = s.file("onelogin-kafka.yaml")
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) await(p *process, what string, ok func() bool) {
	s.t.Helper()
	eventually(s.t, what, func() bool {
		select {
		case <-p.done:
			s.t.Fatalf("it ended while %s was waited for:\n%.3000s", what, p.errs.String())
		default:
		}
		return ok()
	})
}

// request asks the console for a pattern of its.
func (s *stage) request(p *process, pattern string, token string) (code int, said string) {
	method, path, _ := strings.Cut(strings.ReplaceAll(pattern, "{name}", "acme"), " ")
	address := strings.TrimPrefix(consoleAt(p.errs.String()), "http://")
	req, err := http.NewRequest(method, "https://"+address+path, nil)
	if err != nil || address == "" {
		return 0, ""
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	res, err := client.Do(req)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, fmt.Sprintf("%s %v\n%s", res.Status, res.Header, body)
}

// ask is what the console says to who has the token, or to who has not.
func (s *stage) ask(p *process, pattern string, authorized bool) string {
	token := ""
	if authorized {
		token = ugliest("http.token", false)
	}
	_, said := s.request(p, pattern, token)
	return said
}

func (s *stage) ready(p *process) int {
	code, _ := s.request(p, "GET /readyz", "")
	return code
}

// pages looks through every page of the console.
func (s *stage) pages(p *process, when string) {
	s.t.Helper()
	for _, pattern := range console.Patterns() {
		for _, authorized := range []bool{true, false} {
			s.secrets.find(s.t, fmt.Sprintf("%s, secrets %s, with the token: %v", pattern, when, authorized), s.ask(p, pattern, authorized))
		}
		if _, said := s.request(p, pattern, "another"); strings.Contains(pattern, "/api/") && !strings.Contains(said, "401") {
			s.t.Errorf("%s with another token: got %s", pattern, said)
		}
	}
}

// commands runs what runs beside the service, and ends by itself.
func (s *stage) commands() {
	s.t.Helper()
	for _, args := range [][]string{{"check"}, {"check", "--json"}, {"config", "check"}, {"config", "check", "--json"}} {
		p := startProcess(s.t, append(args, "--config", s.config)...)
		<-p.done
		s.secrets.find(s.t, strings.Join(args, " "), p.all())
		if code := p.cmd.ProcessState.ExitCode(); code != exitOK {
			s.t.Errorf("%q with the right secrets: got exit %d\n%s", args, code, p.all())
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
		s.cutting(run, "the brokers' refusal", func() bool {
			return s.ready(run) == http.StatusServiceUnavailable
		})
		s.await(run, "OneLogin's refusal", func() bool {
			return strings.Contains(s.ask(run, "POST /api/v1/connectors/{name}/check", true), "Credentials error")
		})
		s.pages(run, "wrong")
		for _, args := range [][]string{{"check"}, {"check", "--json"}} {
			p := startProcess(t, append(args, "--config", s.config)...)
			<-p.done
			s.secrets.find(t, strings.Join(args, " ")+" with wrong secrets", p.all())
			if code := p.cmd.ProcessState.ExitCode(); code != 2 {
				t.Errorf("%q with wrong secrets: got exit %d\n%s", args, code, p.all())
			}
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
	tried := 0
	for _, f := range forms() {
		if f.odd == "" {
			continue
		}
		tried++
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
		s.set(odd, "http.token")
		s.await(run, f.name+" in the console's token", func() bool { return strings.HasPrefix(s.ask(run, "GET /metrics", true), "401") })
		s.pages(run, f.name+", also the console's")
		s.set(right, s.paths...)
	}
	if tried < 8 {
		t.Errorf("tried %d forms only", tried)
	}
	s.await(run, "readiness with the right ones", func() bool { return s.ready(run) == http.StatusOK })
}

// failing has the poller, and not only a check, find a secret that is refused,
// then one that cannot be used.
func (s *stage) failing(run *process) {
	s.t.Helper()
	connector := func(text string) func() bool {
		return func() bool { return strings.Contains(s.ask(run, "GET /api/v1/connectors", true), text) }
	}
	s.await(run, "readiness", func() bool { return s.ready(run) == http.StatusOK })
	s.set(func(path string) string { return ugliest(path, true) }, "connectors[].client_secret")
	s.await(run, "the connector's refused credentials", connector("Credentials error"))
	s.pages(run, "refused to the poller")
	s.set(func(path string) string { return s.odd.of(marker(path)) }, "connectors[].client_secret")
	s.await(run, "the connector's unusable credentials", connector("Configuration Error"))
	s.pages(run, s.odd.name+" to the poller")
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
	for name, bad := range map[string]struct{ text, says string }{
		"no PEM":          {m + "\n" + m, "are no pair"},
		"another's":       {string(own), "are no pair"},
		"a strange type":  {begin(m) + m + m + "\n" + end(m), "are no pair"},
		"strange headers": {begin("PRIVATE KEY") + "X-" + m + ": " + m + "\n\n" + m + "\n" + end("PRIVATE KEY"), "are no pair"},
		"cut off":         {string(right[:len(right)/2]) + m, "are no pair"},
		"encrypted":       {string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: sealed})), "is encrypted"},
		"encrypted, older": {string(pem.EncodeToMemory(&pem.Block{
			Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC," + m}, Bytes: sealed,
		})), "is encrypted"},
		"any bytes": {m + "\xff\x00" + m, "are no pair"},
	} {
		for line := range strings.Lines(bad.text) {
			if line = strings.TrimSpace(line); len(line) > 32 && !strings.HasPrefix(line, "-") {
				s.secrets.add(line[:32], "private key")
			}
		}
		s.set(func(string) string { return bad.text }, "kafka.tls.key_file", "http.tls.key_file")
		s.cutting(run, name+" told of the brokers' key", func() bool { return strings.Contains(s.ask(run, "GET /readyz", false), bad.says) })
		s.pages(run, "the key being "+name)
		for _, args := range refusing {
			p := startProcess(t, append(slices.Clone(args), "--config", s.config)...)
			<-p.done
			s.secrets.find(t, fmt.Sprintf("%q, the keys being %s", args, name), p.all())
			if code := p.cmd.ProcessState.ExitCode(); code != exitUsage {
				t.Errorf("%q, the keys being %s: got exit %d", args, name, code)
			}
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

// topics looks through all that is in Kafka.
func (s *stage) topics() {
	t := s.t
	t.Helper()
	cfg := load(t, s.config)
	cluster, err := service.Cluster(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	for _, name := range cfg.Topics.Names() {
		log := &producer.CommittedLog{Cluster: cluster, Topic: name}
		if end, err := log.End(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if end > 0 {
			s.secrets.find(t, name, dump(t, log))
		}
	}
}

// TestEveryCommandIsDriven: no command is left out of the tests above, and those
// that need no configuration show no secret of what they make up.
func TestEveryCommandIsDriven(t *testing.T) {
	t.Parallel()
	driven := map[string]bool{"run": true, "check": true, "tail": true, "config check": true, "simulate": true, "demo": true, "version": true}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if !c.HasSubCommands() {
			if name := strings.TrimPrefix(c.CommandPath(), "onelogin-kafka "); !driven[name] {
				t.Errorf("%s is a command that these tests do not know: teach them", name)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot())

	s := &secrets{all: map[string]string{}}
	dir := t.TempDir()
	demo := startProcess(t, "demo", "--events", "300", "--rate", "10", "--data", dir, "--log-level", "trace")
	secret := "s1mulated-canary%s\"'"
	conf := fmt.Sprintf("seed: 1\ntenants:\n  - {name: acme, client_secret: %q, traffic: {rate: 1}}\n", secret)
	s.add(secret[:16], "a simulated secret")
	simulate := startProcess(t, "simulate", "--listen", "127.0.0.1:0", "--sim-config", write(t, "sim.yaml", conf), "--connectors", t.TempDir())
	eventually(t, "the simulator", func() bool { return strings.Contains(simulate.out.String(), "simulated OneLogin at") })
	simulate.end()
	s.find(t, "simulate", simulate.all())
	for _, broken := range []string{
		"tenants: [{name: acme, client_secret: [" + secret[:16] + "]}]", "tenants: [{name: acme, backlog: " + secret[:16] + "}]",
		"tenants: [{name: acme, " + secret[:16] + ": 1}]", "tenants: *" + strings.ReplaceAll(secret[:16], "-", ""), secret[:16],
	} {
		s.add(strings.ReplaceAll(secret[:16], "-", ""), "a simulated secret")
		code, out, errs := runCommand(t, "simulate", "--sim-config", write(t, "sim.yaml", broken))
		s.find(t, "simulate with "+broken, out+errs)
		if code != exitUsage {
			t.Errorf("simulate with %s: got exit %d", broken, code)
		}
	}
	version := startProcess(t, "version")
	<-version.done
	if !strings.HasPrefix(version.all(), "onelogin-kafka ") {
		t.Errorf("version: got %s", version.all())
	}

	<-demo.done
	if code := demo.cmd.ProcessState.ExitCode(); code != exitOK {
		t.Errorf("demo: got exit %d\n%s", code, demo.all())
	}
	n := 0
	for _, c := range load(t, filepath.Join(dir, "onelogin-kafka.yaml")).Connectors {
		text, err := c.ClientSecret.Reveal()
		if err != nil {
			t.Fatal(err)
		}
		s.add(text, "a secret of the demo")
		n++
	}
	if n != demoTenants {
		t.Errorf("the demo has %d connectors", n)
	}
	s.find(t, "demo", demo.all())
}

// consoleAt is the console's address in a log.
func consoleAt(log string) string {
	if m := listening.FindStringSubmatch(log); m != nil {
		return "http://" + m[1]
	}
	return ""
}
