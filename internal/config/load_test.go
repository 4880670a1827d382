package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/schemas"
)

const minimal = `kafka: {brokers: [localhost:9092]}
instance: host-1
connectors:
  - &first
    name: acme
    domain: acme
    client_id: id
    client_secret: env:SECRET
`

// write puts files into a new folder and returns the path of config.yaml in it.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "config.yaml")
}

func mustLoad(t testing.TB, path string) *config.Config {
	t.Helper()
	cfg, err := config.Load(path, lookup)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// validConfig is what minimal means.
func validConfig() config.Config {
	cfg := config.Default()
	cfg.Kafka.Brokers = []string{"localhost:9092"}
	cfg.Instance = "host-1"
	c := config.DefaultConnector()
	c.Name, c.Domain, c.ClientID, c.ClientSecret = "acme", "acme.onelogin.com", "id", config.NewSecret(canary)
	cfg.Connectors = []config.Connector{c}
	return cfg
}

func diff(want, got config.Config) string {
	for _, cfg := range []*config.Config{&want, &got} {
		cfg.Sum = [32]byte{}
		cfg.Connectors = append([]config.Connector(nil), cfg.Connectors...)
		for i := range cfg.Connectors {
			cfg.Connectors[i].Source = ""
		}
	}
	return cmp.Diff(want, got, cmpopts.IgnoreUnexported(config.Problem{}))
}

// TestLoad adds to or changes the minimal file, and the same in what it means.
func TestLoad(t *testing.T) {
	t.Parallel()
	type change struct{ old, new string }
	add := func(top string) change { return change{"instance:", top + "\ninstance:"} }
	connector := func(line string) change { return change{"client_id: id", "client_id: id\n    " + line} }
	first := func(f func(*config.Connector)) func(*config.Config, string) {
		return func(cfg *config.Config, _ string) { f(&cfg.Connectors[0]) }
	}
	tests := []struct {
		name   string
		change change
		want   func(cfg *config.Config, dir string)
	}{
		{"as it is", change{}, func(*config.Config, string) {}},
		{"defaults repeated", add(`group: onelogin-kafka
topics: {create: true, replication_factor: 3, events: {name: onelogin.events, partitions: 12}, offsets: {name: onelogin.offsets, partitions: 32}, status: {name: onelogin.status}, deadletter: {name: onelogin.deadletter}, connectors: {name: onelogin.connectors}, audit: {name: onelogin.audit}}
key: tenant
value: verbatim
commit_interval: 200ms
compression: zstd
http: {listen: 127.0.0.1:8080}
log: {level: info, format: auto}`), func(*config.Config, string) {}},
		{"connector defaults repeated", connector(`type: onelogin
    start_from: 24h
    poll: {min: 2s, max: 30s}
    sweep: {every: 5m, window: 15m}
    rate_limit: {share: 0.5}
    page_size: auto
    base_url: ""
    paused: false`), func(*config.Config, string) {}},
		{"nulls mean not given", add("group:\nkey: ~\ntopics:\nhttp: {listen: , tls: , token_file: }"), func(*config.Config, string) {}},
		{"embedded", change{"{brokers: [localhost:9092]}", "{embedded: ./data}"}, func(cfg *config.Config, dir string) {
			cfg.Kafka.Brokers, cfg.Kafka.Embedded, cfg.Topics.ReplicationFactor = nil, filepath.Join(dir, "data"), 1
		}},
		{"embedded, replicated", change{"{brokers: [localhost:9092]}", "{embedded: /data}\ntopics: {replication_factor: 2}"}, func(cfg *config.Config, _ string) {
			cfg.Kafka.Brokers, cfg.Kafka.Embedded, cfg.Topics.ReplicationFactor = nil, "/data", 2
		}},
		{"several brokers", change{"[localhost:9092]", "[a:1, 'b:2', '[::1]:3']"}, func(cfg *config.Config, _ string) {
			cfg.Kafka.Brokers = []string{"a:1", "b:2", "[::1]:3"}
		}},
		{"brokers in one text", change{"[localhost:9092]", "'a:1, b:2,'"}, func(cfg *config.Config, _ string) {
			cfg.Kafka.Brokers = []string{"a:1", "b:2"}
		}},
		{"brokers in a list of texts", change{"[localhost:9092]", "[c:3, 'a:1,b:2']"}, func(cfg *config.Config, _ string) {
			cfg.Kafka.Brokers = []string{"c:3", "a:1", "b:2"}
		}},
		{"brokers in a variable", change{"[localhost:9092]", "env:BROKERS"}, func(cfg *config.Config, _ string) {
			cfg.Kafka.Brokers = []string{"a:1", "b:2"}
		}},
		{"brokers in a list of variables", change{"[localhost:9092]", "[env:BROKERS, 'c:3']"}, func(cfg *config.Config, _ string) {
			cfg.Kafka.Brokers = []string{"a:1", "b:2", "c:3"}
		}},
		{"tls", change{"9092]}", "9092], tls: {}}"}, func(cfg *config.Config, _ string) { cfg.Kafka.TLS = &config.TLS{} }},
		{"sasl", change{"9092]}", "9092], sasl: {mechanism: SCRAM-SHA-256, username: u, password: env:SECRET}}"}, func(cfg *config.Config, _ string) {
			cfg.Kafka.SASL = &config.SASL{Mechanism: config.MechanismScramSHA256, Username: "u", Password: config.NewSecret(canary)}
		}},
		{"sasl plain over tls", change{"9092]}", "9092], tls: {server_name: k}, sasl: {mechanism: PLAIN, username: u, password_file: secret}}"}, func(cfg *config.Config, dir string) {
			cfg.Kafka.TLS = &config.TLS{ServerName: "k"}
			cfg.Kafka.SASL = &config.SASL{Mechanism: config.MechanismPlain, Username: "u", Password: config.NewSecretFile(filepath.Join(dir, "secret"))}
		}},
		{"sasl with a token", change{"9092]}", "9092], tls: {}, sasl: {mechanism: OAUTHBEARER, token_file: secret}}"}, func(cfg *config.Config, dir string) {
			cfg.Kafka.TLS = &config.TLS{}
			cfg.Kafka.SASL = &config.SASL{Mechanism: config.MechanismOAuthBearer, Token: config.NewSecretFile(filepath.Join(dir, "secret"))}
		}},
		{"sasl with a token endpoint", change{"9092]}", "9092], tls: {}, sasl: {mechanism: OAUTHBEARER, token_url: 'http://127.0.0.1:1/token/', client_id: i, client_secret: env:SECRET, scope: a b, audience: 'https://kafka', token_parameters: {resource: r}, extensions: {logicalCluster: lkc-1, identityPoolId: pool-1}}}"}, func(cfg *config.Config, _ string) {
			cfg.Kafka.TLS = &config.TLS{}
			cfg.Kafka.SASL = &config.SASL{
				Mechanism: config.MechanismOAuthBearer, TokenURL: "http://127.0.0.1:1/token/", ClientID: "i", ClientSecret: config.NewSecret(canary), Scope: "a b",
				Audience: "https://kafka", TokenParameters: map[string]string{"resource": "r"},
				Extensions: map[string]string{"logicalCluster": "lkc-1", "identityPoolId": "pool-1"},
			}
		}},
		{"timeouts", change{"9092]}", "9092], timeouts: {connect: 100ms, request: 5m}}"}, func(cfg *config.Config, _ string) {
			cfg.Kafka.Timeouts.Connect, cfg.Kafka.Timeouts.Request = 100*time.Millisecond, 5*time.Minute
		}},
		{"topics", add("topics: {create: false, replication_factor: 1, events: {name: e, partitions: 1}, offsets: {name: o, partitions: 2}, status: {name: s}, deadletter: {name: d}, connectors: {name: c}, audit: {name: a}}"), func(cfg *config.Config, _ string) {
			cfg.Topics = config.Topics{
				ReplicationFactor: 1, Events: config.PartitionedTopic{Name: "e", Partitions: 1},
				Offsets: config.PartitionedTopic{Name: "o", Partitions: 2}, Status: config.Topic{Name: "s"}, DeadLetter: config.Topic{Name: "d"}, Connectors: config.Topic{Name: "c"}, Audit: config.Topic{Name: "a"},
			}
		}},
		{"key by user", add("key: user"), func(cfg *config.Config, _ string) { cfg.Key = schemas.KeyUser }},
		{"compact values", add("value: compact"), func(cfg *config.Config, _ string) { cfg.Value = config.ValueCompact }},
		{"commit at once", add("commit_interval: 0s"), func(cfg *config.Config, _ string) { cfg.CommitInterval = 0 }},
		{"bare zero", add("commit_interval: 0"), func(cfg *config.Config, _ string) { cfg.CommitInterval = 0 }},
		{"references anywhere", add("group: env:SECRET"), func(cfg *config.Config, _ string) { cfg.Group = canary }},
		{"listen on a free port", add("http: {listen: 'localhost:0', token: env:SECRET}"), func(cfg *config.Config, _ string) {
			cfg.HTTP = config.HTTP{Listen: "localhost:0", Token: config.NewSecret(canary)}
		}},
		{"listen on ::1", add("http: {listen: '[::1]:80'}"), func(cfg *config.Config, _ string) { cfg.HTTP.Listen = "[::1]:80" }},
		{"client id of digits", change{"client_id: id", "client_id: 0123"}, first(func(c *config.Connector) { c.ClientID = "0123" })},
		{"secret in a file", change{"client_secret: env:SECRET", "client_secret_file: secret"}, func(cfg *config.Config, dir string) {
			cfg.Connectors[0].ClientSecret = config.NewSecretFile(filepath.Join(dir, "secret"))
		}},
		{"domain in full", change{"domain: acme", "domain: acme.onelogin.com"}, first(func(*config.Connector) {})},
		{"domain as a URL", change{"domain: acme", "domain: https://ACME.onelogin.com/"}, first(func(*config.Connector) {})},
		{"domain of a proxy", change{"domain: acme", "domain: log.example.com\n    base_url: https://log.example.com:8443/one/"}, first(func(c *config.Connector) {
			c.Domain, c.BaseURL = "log.example.com", "https://log.example.com:8443/one"
		})},
		{"loopback http", connector("base_url: http://127.0.0.1:8081"), first(func(c *config.Connector) { c.BaseURL = "http://127.0.0.1:8081" })},
		{"loopback http by name", connector("base_url: http://localhost:8081/"), first(func(c *config.Connector) { c.BaseURL = "http://localhost:8081" })},
		{"loopback http, IPv6", connector("base_url: 'http://[::1]:8081'"), first(func(c *config.Connector) { c.BaseURL = "http://[::1]:8081" })},
		{"start now", connector("start_from: now"), first(func(c *config.Connector) { c.StartFrom = config.StartFrom{} })},
		{"start 90 minutes ago", connector("start_from: 1h30m"), first(func(c *config.Connector) { c.StartFrom = config.StartFrom{Ago: 90 * time.Minute} })},
		{"start at a time", connector("start_from: 2026-11-22T09:05:00.5+02:00"), first(func(c *config.Connector) {
			c.StartFrom = config.StartFrom{At: time.Date(2026, 11, 22, 7, 5, 0, 5e8, time.UTC)}
		})},
		{"poll", connector("poll: {min: 10ms, max: 1h}"), first(func(c *config.Connector) {
			c.Poll = config.Poll{Min: 10 * time.Millisecond, Max: time.Hour}
		})},
		{"poll in part", connector("poll: {max: 2s}"), first(func(c *config.Connector) { c.Poll.Max = 2 * time.Second })},
		{"sweep", connector("sweep: {every: 1s, window: 24h}"), first(func(c *config.Connector) {
			c.Sweep = config.Sweep{Every: time.Second, Window: 24 * time.Hour}
		})},
		{"whole budget", connector("rate_limit: {share: 1}"), first(func(c *config.Connector) { c.RateLimit.Share = 1 })},
		{"page size", connector("page_size: 1000"), first(func(c *config.Connector) { c.PageSize = 1000 })},
		{"paused", connector("paused: true"), first(func(c *config.Connector) { c.Paused = true })},
		{"a folder without files", add("connectors_dir: empty.d"), func(cfg *config.Config, dir string) { cfg.ConnectorsDir = filepath.Join(dir, "empty.d") }},
		{"a password that looks like a shell's variable", change{"9092]}", "9092], sasl: {mechanism: SCRAM-SHA-256, username: u, password: $ecret}}"}, func(cfg *config.Config, _ string) {
			cfg.Kafka.SASL = &config.SASL{Mechanism: config.MechanismScramSHA256, Username: "u", Password: config.NewSecret("$ecret")}
		}},
		{"a merge key", change{"    client_secret: env:SECRET\n", `    client_secret: env:SECRET
    poll: {min: 3s}
    page_size: 50
  - <<: *first
    name: beta
    domain: beta
    poll: {max: 20s}
`}, func(cfg *config.Config, _ string) {
			cfg.Connectors[0].Poll.Min, cfg.Connectors[0].PageSize = 3*time.Second, 50
			beta := cfg.Connectors[0]
			beta.Name, beta.Domain, beta.Poll = "beta", "beta.onelogin.com", config.Poll{Min: 2 * time.Second, Max: 20 * time.Second}
			cfg.Connectors = append(cfg.Connectors, beta)
		}},
		{"merge keys of several, the first counts, and a secret's twin", change{"    client_secret: env:SECRET\n", `    client_secret_file: secret
    page_size: 50
  - &second {domain: two, page_size: 60, paused: true, name: second, client_id: id, client_secret: env:SECRET}
  - {<<: [*second, *first], name: beta, client_secret: env:SECRET, domain: beta}
`}, func(cfg *config.Config, dir string) {
			cfg.Connectors[0].PageSize, cfg.Connectors[0].ClientSecret = 50, config.NewSecretFile(filepath.Join(dir, "secret"))
			second := cfg.Connectors[0]
			second.Name, second.Domain, second.PageSize, second.Paused, second.ClientSecret = "second", "two.onelogin.com", 60, true, config.NewSecret(canary)
			beta := second
			beta.Name, beta.Domain = "beta", "beta.onelogin.com"
			cfg.Connectors = append(cfg.Connectors, second, beta)
		}},
		{"anchors", change{"    client_secret: env:SECRET\n", "    client_secret: env:SECRET\n    poll: &p {min: 3s}\n  - {name: beta, domain: beta, client_id: id, client_secret: env:SECRET, poll: *p}\n"}, func(cfg *config.Config, _ string) {
			cfg.Connectors[0].Poll.Min = 3 * time.Second
			beta := cfg.Connectors[0]
			beta.Name, beta.Domain = "beta", "beta.onelogin.com"
			cfg.Connectors = append(cfg.Connectors, beta)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(minimal, tt.change.old, tt.change.new, 1)
			if tt.change.old != "" && text == minimal {
				t.Fatal("the change changed nothing")
			}
			path := write(t, map[string]string{"config.yaml": text, "secret": canary + "\n", "empty.d/.README": ""})
			want := validConfig()
			tt.want(&want, filepath.Dir(path))
			if d := diff(want, *mustLoad(t, path)); d != "" {
				t.Errorf("config (-want +got):\n%s", d)
			}
		})
	}
}

func TestLoadInstanceIsHostName(t *testing.T) {
	t.Parallel()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, map[string]string{"config.yaml": strings.Replace(minimal, "instance: host-1", "instance: ''", 1)})
	if got := mustLoad(t, path).Instance; got != host {
		t.Errorf("instance is %q, want %q", got, host)
	}
}

// TestLoadConnectorsDir has the folder as Kubernetes mounts it: the files are
// links into a hidden folder that is itself a link.
func TestLoadConnectorsDir(t *testing.T) {
	t.Parallel()
	const fields = "domain: acme\nclient_id: id\nclient_secret_file: secrets/acme\n"
	path := write(t, map[string]string{
		"config.yaml":                  "kafka: {brokers: [b:1]}\nconnectors_dir: conf.d\n",
		"secrets/acme":                 canary,
		"conf.d/..2026_11/beta.yml":    "name: beta\n" + fields,
		"conf.d/..2026_11/acme.yaml":   "name: acme\n" + fields,
		"conf.d/notes.txt":             "not: read",
		"conf.d/.acme.yaml.swp":        "not: read",
		"conf.d/.hidden.yaml":          "not: read",
		"conf.d/subfolder.yaml/x.yaml": "not: read",
	})
	dir := filepath.Join(filepath.Dir(path), "conf.d")
	for link, target := range map[string]string{"..data": "..2026_11", "beta.yml": "..data/beta.yml", "acme.yaml": "..data/acme.yaml"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	cfg := mustLoad(t, path)
	var got []string
	for _, c := range cfg.Connectors {
		got = append(got, c.Name+" "+strings.TrimPrefix(c.Source, dir+"/"))
		if secret, err := c.ClientSecret.Reveal(); err != nil || secret != canary {
			t.Errorf("%s: the secret is %q, error %v", c.Name, secret, err)
		}
	}
	if d := cmp.Diff([]string{"acme acme.yaml", "beta beta.yml"}, got); d != "" {
		t.Errorf("connectors (-want +got):\n%s", d)
	}
	// A link to nowhere is a connector that is missing, not one to pass over.
	if err := os.Symlink("..data/gone.yaml", filepath.Join(dir, "gone.yaml")); err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(dir, "gone.yaml") + ": the file does not exist; create it or correct the path"
	if problems, refused := wrong(path); refused || problems.Error() != want {
		t.Errorf("a link to nowhere: got %v, refused: %v, want %s", problems, refused, want)
	}
}

func TestLoadMissingFile(t *testing.T) {
	t.Parallel()
	want := "testdata/none.yaml: the file does not exist; create it or correct the path"
	if _, err := config.Load("testdata/none.yaml", lookup); err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}

func TestConnectorEqual(t *testing.T) {
	t.Parallel()
	valid := validConfig().Connectors[0]
	same := valid
	same.Source, same.ClientSecret = "elsewhere:7", config.NewSecret(canary)
	if !valid.Equal(same) {
		t.Error("a connector that has moved within the file differs")
	}
	for name, change := range map[string]func(*config.Connector){
		"secret":      func(c *config.Connector) { c.ClientSecret = config.NewSecret("other") },
		"secret file": func(c *config.Connector) { c.ClientSecret = config.NewSecretFile(canary) },
		"no secret":   func(c *config.Connector) { c.ClientSecret = config.Secret{} },
		"poll":        func(c *config.Connector) { c.Poll.Min++ },
		"paused":      func(c *config.Connector) { c.Paused = true },
	} {
		other := valid
		change(&other)
		if valid.Equal(other) || other.Equal(valid) {
			t.Errorf("a connector with another %s is the same", name)
		}
	}
}

func TestStartFrom(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 7, 5, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"now": now, "0s": now, "24h": now.Add(-24 * time.Hour), "2020-01-02T03:04:05Z": time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC),
	} {
		path := write(t, map[string]string{"config.yaml": minimal + "    start_from: " + text + "\n"})
		s := mustLoad(t, path).Connectors[0].StartFrom
		if got := s.Time(now); !got.Equal(want) {
			t.Errorf("%s is %v, want %v", text, got, want)
		}
		again := mustLoad(t, write(t, map[string]string{"config.yaml": minimal + "    start_from: " + s.String() + "\n"}))
		if got := again.Connectors[0].StartFrom; got != s {
			t.Errorf("%s, written as %s, becomes %v", text, s, got)
		}
	}
}

func TestTopicNames(t *testing.T) {
	t.Parallel()
	topics := config.Default().Topics
	names := topics.Names()
	if names[schemas.Events] != "onelogin.events" || names[schemas.Offsets] != "onelogin.offsets" ||
		names[schemas.Status] != "onelogin.status" || names[schemas.DeadLetter] != "onelogin.deadletter" ||
		names[schemas.Connectors] != "onelogin.connectors" || names[schemas.Audit] != "onelogin.audit" {
		t.Errorf("names are %v", names)
	}
}

// What run would refuse, config check must refuse too, and not show the secret.
func TestLoadRefusesCredentialsThatCannotBeSent(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ id, secret, want string }{
		"id with a letter of no credential": {"0123…", canary, "client_id: holds a character outside ASCII at position 5"},
		"id with a space":                   {"a b", canary, "client_id: holds a space at position 2"},
		"secret with a comma":               {"id", canary + ",x", "client_secret_file: holds a comma at position 15"},
		"secret with a space at its end":    {"id", canary + " \n", "client_secret_file: holds a space at position 15"},
	} {
		path := write(t, map[string]string{
			"config.yaml": "kafka: {brokers: [b:1]}\ninstance: i\nconnectors: [{name: acme, domain: acme, client_id: " + tc.id + ", client_secret_file: secret}]\n",
			"secret":      tc.secret,
		})
		problems, _ := wrong(path)
		if text := problems.Error(); !strings.Contains(text, tc.want+", which no OneLogin credential has") || strings.Contains(text, canary) {
			t.Errorf("%s: got %s", name, text)
		}
	}
}
