package main

import (
	"bufio"
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
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onelogin-kafka/internal/build"
	"onelogin-kafka/internal/proof/tunnel"
	"onelogin-kafka/internal/proof/wait"
	"onelogin-kafka/internal/registry/seal"
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
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"acme.onelogin.com"}, IsCA: true, BasicConstraintsValid: true,
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

func (s *stage) file(path string) string { return filepath.Join(s.dir, path) }

// set writes the secrets' files, each in one step. What is asked after it comes by
// new connections.
func (s *stage) set(text func(path string) string, paths ...string) {
	s.t.Helper()
	defer s.client.CloseIdleConnections()
	for _, path := range paths {
		if err := os.WriteFile(s.file(path)+".new", []byte(text(path)), 0o600); err != nil {
			s.t.Fatal(err)
		}
		if err := os.Rename(s.file(path)+".new", s.file(path)); err != nil {
			s.t.Fatal(err)
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

// sealing makes the key of sealed secrets.
func (s *stage) sealing() {
	const path = "secrets.keys[].private_key"
	text, err := seal.GenerateKey()
	if err != nil {
		s.t.Fatal(err)
	}
	s.set(func(string) string { return text }, path)
	seed := text[strings.LastIndex(text, "-")+1:]
	s.secrets.add(seed, path)
	s.secrets.add(seed[:len(seed)/2], path)
}

// openOneLogin starts a OneLogin whose one tenant has the ugliest secret, behind
// a proxy that wants credentials, and a token endpoint for Kafka.
func (s *stage) openOneLogin() (base string) {
	t := s.t
	t.Helper()
	var err error
	s.sim, err = simulator.New(simulator.Config{Seed: 7, HourlyLimit: 1_000_000, Tenants: []simulator.Tenant{{
		Name: "acme", ClientID: "id", ClientSecret: ugliest("connectors[].client_secret", false), Backlog: 100,
		BacklogSpan: simulator.Duration(time.Hour), Traffic: simulator.Traffic{Rate: 1}, TokenLifetime: simulator.Duration(tokenLife),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	handler := s.secrets.tapped(s.sim)
	oneLogin := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("User-Agent"); got != build.UserAgent() && *binary == "" {
			t.Errorf("got User-Agent %q, want %q", got, build.UserAgent())
		}
		handler.ServeHTTP(w, r)
	})
	pair, err := tls.LoadX509KeyPair(s.file("http.tls.cert_file"), s.file("http.tls.key_file"))
	if err != nil {
		t.Fatal(err)
	}
	secure := httptest.NewUnstartedServer(oneLogin)
	secure.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	secure.StartTLS()
	t.Cleanup(secure.Close)
	s.tunnel = tunnel.Start(t, &tunnel.Proxy{To: secure.Listener.Addr().String(), Username: "user", Password: ugliest(s.proxy, false)})
	return serve(t, http.HandlerFunc(s.token))
}

// tokenLife is how long a token of either endpoint counts.
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
	proxy := fmt.Sprintf("proxy: {url: %q, username: user, password_file: %q}", s.tunnel.URL, s.proxy)
	all, own := "proxy: {no_proxy: example.com}", ", "+proxy
	if s.proxy == "proxy.password" {
		all, own = proxy, ""
	}
	text := fmt.Sprintf(`kafka:
  brokers: [%q]
  tls: {ca_file: kafka.tls.cert_file, cert_file: kafka.tls.cert_file, key_file: kafka.tls.key_file}
  sasl: {%s}
instance: test
http: {listen: "127.0.0.1:0", tls: {cert_file: http.tls.cert_file, key_file: http.tls.key_file}, token_file: http.token, viewer_token_file: http.viewer_token}
secrets: {keys: [{private_key_file: "secrets.keys[].private_key", active: true}]}
log: {level: trace, format: json, requests: true}
topics: {replication_factor: 1, events: {partitions: 1}, offsets: {partitions: 1}}
ca_file: http.tls.cert_file
%s
connectors:
  - {name: acme, domain: acme, client_id: id, client_secret_file: "connectors[].client_secret", poll: {min: 20ms, max: 100ms}, rate_limit: {share: 1}%s}
`, s.address, sasl, all, own)
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
	method, path, _ := strings.Cut(strings.NewReplacer("{name}", "acme", "{file}", "console.js", "{$}", "").Replace(pattern), " ")
	address := strings.TrimPrefix(consoleAt(p.errs.String()), "http://")
	kind, body := bodyOf(pattern)
	ctx, cancel := wait.Within(s.t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "https://"+address+path, strings.NewReader(body))
	if err != nil || address == "" {
		return 0, ""
	}
	req.Header.Set("Content-Type", kind)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	all := bufio.NewReader(res.Body)
	if res.Header.Get("Content-Type") == "text/event-stream" { // it has no end
		first, _ := all.ReadString('}')
		return res.StatusCode, fmt.Sprintf("%s %v\n%s", res.Status, res.Header, first)
	}
	answer, _ := io.ReadAll(all)
	return res.StatusCode, fmt.Sprintf("%s %v\n%s", res.Status, res.Header, answer)
}

// bodyOf is what is sent to a pattern, with the secrets that belong there.
func bodyOf(pattern string) (kind, body string) {
	switch pattern {
	case "POST /login":
		return "application/x-www-form-urlencoded", url.Values{"token": {ugliest("http.token", false)}}.Encode()
	case "POST /new", "POST /connectors/{name}/edit":
		return "application/x-www-form-urlencoded", url.Values{"name": {"acme"}, "domain": {"acme"}, "client_id": {"id"}, "base_url": {"http://127.0.0.1:1"}, "client_secret": {ugliest("connectors[].client_secret", false)}}.Encode()
	case "POST /api/v1/check", "PUT /api/v1/connectors/{name}":
		return "application/json", fmt.Sprintf(`{"name":"acme","domain":"acme","client_id":"id","base_url":"http://127.0.0.1:1","client_secret":%q}`, marker("connectors[].client_secret"))
	}
	return "", ""
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

// topics looks through all that is in Kafka, once all of that is there.
func (s *stage) topics(signs ...string) {
	t := s.t
	t.Helper()
	cfg := load(t, s.config)
	cluster, err := service.Cluster(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	all := ""
	eventually(t, fmt.Sprintf("%q in the topics", signs), func() bool {
		all = ""
		for _, name := range cfg.Topics.Names() {
			all += dump(t, &producer.CommittedLog{Cluster: cluster, Topic: name})
		}
		return !slices.ContainsFunc(signs, func(sign string) bool { return !strings.Contains(all, sign) })
	})
	s.secrets.find(t, "the topics", all)
}

// consoleAt is the console's address in a log.
func consoleAt(log string) string {
	if m := listening.FindStringSubmatch(log); m != nil {
		return "http://" + m[1]
	}
	return ""
}
