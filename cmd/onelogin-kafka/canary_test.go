package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.yaml.in/yaml/v3"

	"onelogin-kafka/internal/service"
	"onelogin-kafka/producer"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source/onelogin/simulator"
)

const (
	saslPassword = "sasl-canary-61f0c2"
	httpToken    = "http-canary-9d27ab"
)

// secrets collects what must never be seen.
type secrets struct {
	mu  sync.Mutex
	all map[string]string // secret -> what it is
}

func (s *secrets) add(secret, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if secret != "" {
		s.all[secret] = what
	}
}

func (s *secrets) count(what string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.all {
		if w == what {
			n++
		}
	}
	return n
}

// find fails the test for each secret in text.
func (s *secrets) find(t *testing.T, where, text string) {
	t.Helper()
	if text == "" {
		t.Errorf("%s: nothing to look through", where)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for secret, what := range s.all {
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("%s has a %s: …%q…", where, what, text[max(0, i-80):min(len(text), i+40)])
		}
	}
}

// tapped has the tokens that pass through h collected.
func (s *secrets) tapped(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, token, ok := strings.Cut(strings.ToLower(r.Header.Get("Authorization")), "bearer"); ok {
			n := len(r.Header.Get("Authorization"))
			s.add(strings.TrimLeft(r.Header.Get("Authorization")[n-len(token):], ": "), "token")
		}
		if !strings.HasSuffix(r.URL.Path, "/token") {
			h.ServeHTTP(w, r)
			return
		}
		tap := &tap{ResponseWriter: w}
		h.ServeHTTP(tap, r)
		var answer struct {
			AccessToken  string `json:"access_token"`
			RefreshToken string `json:"refresh_token"`
		}
		if json.Unmarshal(tap.body.Bytes(), &answer) == nil {
			s.add(answer.AccessToken, "token")
			s.add(answer.RefreshToken, "refresh token")
		}
	})
}

type tap struct {
	http.ResponseWriter
	body bytes.Buffer
}

func (t *tap) Write(b []byte) (int, error) {
	t.body.Write(b)
	return t.ResponseWriter.Write(b)
}

func (t *tap) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// faulty is a OneLogin with a tenant of its own for each fault, on the pages
// and on the token.
func faulty(t *testing.T, s *secrets, dir string) *simulator.Server {
	t.Helper()
	conf := simulator.Config{Seed: 7, Gzip: true, HourlyLimit: 1_000_000, RedirectURL: "https://elsewhere.example/"}
	conf.OnRotate = func(tenant, secret string) {
		s.add(secret, "client secret")
		if err := os.WriteFile(filepath.Join(dir, tenant), []byte(secret), 0o600); err != nil {
			t.Error(err)
		}
	}
	var faults []simulator.FaultSetting
	endpoints := []string{"events", "token"}
	for _, name := range simulator.FaultNames(true) {
		if name == simulator.RepeatedPage { // this one and the rest are faults of pages
			endpoints = endpoints[:1]
		}
		for _, endpoint := range endpoints {
			tenant := strings.ReplaceAll(name, "_", "-") + "-" + endpoint
			f := simulator.FaultSetting{
				Name: name, Tenant: tenant, Endpoint: endpoint, Probability: 1, Times: 3, Delay: simulator.Duration(50 * time.Millisecond),
			}
			switch name {
			case simulator.MalformedElement:
				f.Times = 0 // until one of them is committed
			case simulator.BodyTooLarge:
				f.Times = 1 // 33 MiB
			case simulator.StaleReplica:
				f.Delay = simulator.Duration(time.Hour) // before all events, so that it shows
			}
			faults = append(faults, f)
			conf.Tenants = append(conf.Tenants, simulator.Tenant{
				Name: tenant, Backlog: 120, BacklogSpan: simulator.Duration(time.Hour), Page: simulator.Page{Max: 50},
				Traffic: simulator.Traffic{Rate: 1},
			})
		}
	}
	sim, err := simulator.New(conf)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		if err := sim.SetFault(f); err != nil {
			t.Fatal(err)
		}
	}
	for _, tenant := range sim.Tenants() {
		s.add(tenant.ClientSecret, "client secret")
		s.add(base64.StdEncoding.EncodeToString([]byte(tenant.ClientID+":"+tenant.ClientSecret)), "client secret")
		if err := os.WriteFile(filepath.Join(dir, tenant.Name), []byte(tenant.ClientSecret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return sim
}

// unhit lists the faults that have not happened yet.
func unhit(sim *simulator.Server) (names []string) {
	for _, f := range sim.Faults() {
		if f.Hits == 0 {
			names = append(names, f.Tenant)
		}
	}
	return names
}

// TestNoSecretIsEverSeen runs the service through every API fault at once, with
// everything logged, and looks for secrets in all that leaves the process.
func TestNoSecretIsEverSeen(t *testing.T) {
	s := &secrets{all: map[string]string{}}
	s.add(saslPassword, "SASL password")
	s.add(httpToken, "HTTP token")
	dir := t.TempDir()
	sim := faulty(t, s, dir)
	base := serve(t, s.tapped(sim))
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "service", saslPassword))
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	file := canaryConfig(t, sim, dir, base, k.ListenAddrs()[0])
	c := startCommand(t, "run", "--config", file)
	eventually(t, "every fault", func() bool { return len(unhit(sim)) == 0 })
	cfg := load(t, file)
	cluster, err := service.Cluster(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	names := cfg.Topics.Names()
	eventually(t, "events and dead letters in Kafka", func() bool {
		for _, topic := range []schemas.Topic{schemas.Events, schemas.DeadLetter, schemas.Status} {
			log := &producer.CommittedLog{Cluster: cluster, Topic: names[topic]}
			// What is there at its end may be a transaction that was given up.
			if end, err := log.End(t.Context()); err != nil || end == 0 || dump(t, log) == "" {
				return false
			}
		}
		return true
	})
	for _, path := range []string{"/metrics", "/api/v1/connectors", "/api/v1/shards", "/healthz", "/api/v1/connectors/unauthorized-token"} {
		s.find(t, path, authorized(t, consoleOf(c)+path))
	}
	if code, body := get(consoleOf(c) + "/metrics"); code != http.StatusUnauthorized {
		t.Errorf("/metrics without a token: got %d", code)
	} else {
		s.find(t, "/metrics without a token", body)
	}
	for _, args := range [][]string{{"check"}, {"check", "--json"}, {"config", "check"}, {"config", "check", "--json"}} {
		_, out, errs := runCommand(t, append(args, "--config", file)...)
		s.find(t, strings.Join(args, " "), out+errs)
	}
	for _, topic := range []schemas.Topic{schemas.Events, schemas.Offsets, schemas.Status, schemas.DeadLetter} { // no command has written to the others
		name := names[topic]
		s.find(t, name, dump(t, &producer.CommittedLog{Cluster: cluster, Topic: name}))
	}
	if code := c.end(); code != exitOK {
		t.Errorf("got exit %d", code)
	}
	log := c.errs.String()
	s.find(t, "the log", log)
	for _, sign := range []string{`"level":"debug"`, `"level":"warn"`, "Authentication", "Fetch Logs"} {
		if !strings.Contains(log, sign) {
			t.Errorf("the log has no %s: it is not the log that was to be looked through", sign)
		}
	}
	asJSON, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.find(t, "the configuration", fmt.Sprintf("%v %+v %#v %s %s", cfg, *cfg, *cfg, asJSON, asYAML))
	if rotated, tokens := s.count("client secret")-2*len(sim.Tenants()), s.count("token"); rotated < 1 || tokens < len(sim.Tenants())/2 {
		t.Errorf("looked for %d rotated secrets and %d tokens only", rotated, tokens)
	}
}

func canaryConfig(t *testing.T, sim *simulator.Server, dir, base, broker string) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "kafka: {brokers: [%s], sasl: {mechanism: SCRAM-SHA-256, username: service, password_file: %s}}\n",
		broker, write(t, "password", saslPassword))
	fmt.Fprintf(&b, "instance: test\nhttp: {listen: \"127.0.0.1:0\", token_file: %s}\nlog: {level: trace, format: json}\n", write(t, "token", httpToken))
	b.WriteString("topics: {replication_factor: 1, events: {partitions: 1}, offsets: {partitions: 1}}\nconnectors:\n")
	for _, tenant := range sim.Tenants() {
		fmt.Fprintf(&b, "  - {name: %s, domain: %s, client_id: %q, client_secret_file: %q, base_url: %q, poll: {min: 20ms, max: 100ms}, rate_limit: {share: 1}}\n",
			tenant.Name, tenant.Domain, tenant.ClientID, filepath.Join(dir, tenant.Name), base)
	}
	return write(t, "onelogin-kafka.yaml", b.String())
}

// authorized returns what the console answers to a caller with its token.
func authorized(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+httpToken)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res.Status, err)
	}
	return string(body)
}

// dump is all that a topic's first partition says.
func dump(t *testing.T, log *producer.CommittedLog) string {
	t.Helper()
	var b strings.Builder
	_, err := log.Read(t.Context(), func(_ int64, r *schemas.Record) error {
		fmt.Fprintf(&b, "%s\n%s\n", r.Key, r.Value)
		for _, h := range r.Headers {
			fmt.Fprintf(&b, "%s: %s\n", h.Key, h.Value)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
