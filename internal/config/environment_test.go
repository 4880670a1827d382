package config_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/schemas"
)

func TestLoadEnvironment(t *testing.T) {
	t.Parallel()
	valid := map[string]string{
		"ONELOGIN_DOMAIN": "https://acme.onelogin.com/", "ONELOGIN_CLIENT_ID": "id",
		"ONELOGIN_CLIENT_SECRET": canary, "KAFKA_BROKERS": "localhost:9092, b:2",
	}
	secretFile := filepath.Join(filepath.Dir(write(t, map[string]string{"secret": canary + "\n"})), "secret")
	tests := []struct {
		name string
		set  map[string]string
		err  string
		want func(*config.Config)
	}{
		{name: "as it is"},
		{name: "secret in a file", set: map[string]string{"ONELOGIN_CLIENT_SECRET": "", "ONELOGIN_CLIENT_SECRET_FILE": secretFile}, want: func(cfg *config.Config) {
			cfg.Connectors[0].ClientSecret = config.NewSecretFile(secretFile)
		}},
		{name: "base URL", set: map[string]string{"ONELOGIN_BASE_URL": "http://127.0.0.1:1"}, want: func(cfg *config.Config) {
			cfg.Connectors[0].BaseURL = "http://127.0.0.1:1"
		}},
		{name: "both secrets", set: map[string]string{"ONELOGIN_CLIENT_SECRET_FILE": secretFile}, err: "environment: ONELOGIN_CLIENT_SECRET_FILE: ONELOGIN_CLIENT_SECRET and ONELOGIN_CLIENT_SECRET_FILE are both given; keep one"},
		{name: "secret file missing", set: map[string]string{"ONELOGIN_CLIENT_SECRET": "", "ONELOGIN_CLIENT_SECRET_FILE": "testdata/none"}, want: func(cfg *config.Config) {
			cfg.Connectors = nil
			cfg.SetAside = []config.SetAside{{Name: "acme", Problems: config.Problems{{
				File: "environment", Path: "ONELOGIN_CLIENT_SECRET_FILE", Message: "testdata/none does not exist; create it or correct the path",
			}}}}
		}},
		{name: "bad domain", set: map[string]string{"ONELOGIN_DOMAIN": "a b"}, err: `environment: ONELOGIN_DOMAIN: "a b" is no account's domain; write it as acme, acme.onelogin.com or https://acme.onelogin.com/`},
		{name: "bad broker", set: map[string]string{"KAFKA_BROKERS": "b"}, err: `environment: KAFKA_BROKERS: "b" is no broker; write it as host:port, e.g. localhost:9092`},
		{name: "no secret", set: map[string]string{"ONELOGIN_CLIENT_SECRET": ""}, err: `environment: ONELOGIN_CLIENT_SECRET: is missing; set it, or ONELOGIN_CLIENT_SECRET_FILE`},
		{name: "only a secret", set: map[string]string{"ONELOGIN_DOMAIN": "", "ONELOGIN_CLIENT_ID": "", "KAFKA_BROKERS": ""}, err: `environment: KAFKA_BROKERS: there is none; name at least one, e.g. localhost:9092
environment: ONELOGIN_DOMAIN: is missing; give the account's domain, e.g. acme.onelogin.com
environment: ONELOGIN_CLIENT_ID: is missing; give the client id of the account's API credential`},
		{name: "no connector", set: map[string]string{"ONELOGIN_DOMAIN": "", "ONELOGIN_CLIENT_ID": "", "ONELOGIN_CLIENT_SECRET": ""}, want: func(cfg *config.Config) {
			cfg.Connectors = nil
			cfg.Warnings = config.Problems{{File: "environment", Message: "there is no connector in files, so nothing is polled but what connectors add has made"}}
		}},
		{name: "nothing", set: map[string]string{"ONELOGIN_DOMAIN": "", "ONELOGIN_CLIENT_ID": "", "ONELOGIN_CLIENT_SECRET": "", "KAFKA_BROKERS": ""}, err: `environment: KAFKA_BROKERS: there is none; name at least one, e.g. localhost:9092`},
		{name: "secured", set: map[string]string{
			"KAFKA_TLS": "true", "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": "env:$" + canary + "\n",
		}, want: func(cfg *config.Config) {
			cfg.Kafka.TLS = &config.TLS{}
			cfg.Kafka.SASL = &config.SASL{Mechanism: config.MechanismScramSHA512, Username: "u", Password: config.NewSecret("env:$" + canary)}
		}},
		{name: "secured, in files", set: map[string]string{
			"KAFKA_TLS_SERVER_NAME": "k", "KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD_FILE": secretFile,
		}, want: func(cfg *config.Config) {
			cfg.Kafka.TLS = &config.TLS{ServerName: "k"}
			cfg.Kafka.SASL = &config.SASL{Mechanism: config.MechanismPlain, Username: "u", Password: config.NewSecretFile(secretFile)}
		}},
		{name: "in the clear", set: map[string]string{"KAFKA_TLS": "false"}},
		{name: "the rest", set: map[string]string{
			"ONELOGIN_KAFKA_GROUP": "g", "ONELOGIN_KAFKA_TOPICS_EVENTS_NAME": "e", "ONELOGIN_KAFKA_TOPICS_EVENTS_PARTITIONS": "7", "ONELOGIN_KAFKA_TOPICS_CREATE": "false",
			"ONELOGIN_KAFKA_TOPICS_REPLICATION_FACTOR": "1", "ONELOGIN_KAFKA_HTTP_LISTEN": "127.0.0.1:1", "ONELOGIN_KAFKA_HTTP_HOSTS": "a,b", "ONELOGIN_KAFKA_MEMORY": "auto",
			"ONELOGIN_KAFKA_KEY": "user", "ONELOGIN_KAFKA_LOG_LEVEL": "debug", "ONELOGIN_NAME": "other", "ONELOGIN_POLL_MIN": "1s", "ONELOGIN_START_FROM": "now", "KAFKA_TIMEOUTS_LOGIN": "1s",
		}, want: func(cfg *config.Config) {
			cfg.Group, cfg.Topics.Events, cfg.Topics.Create, cfg.Topics.ReplicationFactor = "g", config.PartitionedTopic{Name: "e", Partitions: 7}, false, 1
			cfg.HTTP.Listen, cfg.HTTP.Hosts, cfg.Key, cfg.Log.Level = "127.0.0.1:1", []string{"a", "b"}, schemas.KeyUser, "debug"
			c := &cfg.Connectors[0]
			c.Name, c.Poll.Min, c.StartFrom, cfg.Kafka.Timeouts.Login = "other", time.Second, config.StartFrom{}, time.Second
		}},
		{name: "TLS neither on nor off", set: map[string]string{"KAFKA_TLS": "yes"}, err: `environment: KAFKA_TLS: "yes" is neither true nor false`},
		{name: "TLS off, and a file for it", set: map[string]string{"KAFKA_TLS": "false", "KAFKA_TLS_CA_FILE": "x"}, err: `environment: KAFKA_TLS_CA_FILE: is for TLS, which KAFKA_TLS=false switches off; remove one`},
		{name: "a password in the clear", set: map[string]string{"KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": canary}, err: `environment: KAFKA_SASL_MECHANISM: PLAIN sends the password in the clear; add KAFKA_TLS or use SCRAM-SHA-512`},
		{name: "a login without a password", set: map[string]string{"KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "KAFKA_SASL_USERNAME": "u"}, err: `environment: KAFKA_SASL_PASSWORD: is missing; set it, or KAFKA_SASL_PASSWORD_FILE`},
		{name: "a login without a mechanism", set: map[string]string{"KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": canary}, err: `environment: KAFKA_SASL_MECHANISM: "" is not one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER`},
		{name: "no number", set: map[string]string{"ONELOGIN_KAFKA_TOPICS_REPLICATION_FACTOR": "three"}, err: `environment: ONELOGIN_KAFKA_TOPICS_REPLICATION_FACTOR: "three" is no whole number`},
		{name: "a reference", set: map[string]string{"ONELOGIN_KAFKA_GROUP": "${GROUP}"}, err: `environment: ONELOGIN_KAFKA_GROUP: is the text of a reference, which nobody has replaced: write env:NAME in the configuration instead`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Load("", func(name string) (string, bool) {
				if value, ok := tt.set[name]; ok {
					return value, value != ""
				}
				value, ok := valid[name]
				return value, ok
			})
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Errorf("got error %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := validConfig()
			want.Instance, want.Kafka.Brokers = cfg.Instance, []string{"localhost:9092", "b:2"}
			if tt.want != nil {
				tt.want(&want)
			}
			if d := diff(want, *cfg); d != "" {
				t.Errorf("config (-want +got):\n%s", d)
			}
		})
	}
}

// Each name stands for one key, and no key of the configuration is forgotten.
func TestVariables(t *testing.T) {
	t.Parallel()
	keys := map[string]string{}
	for _, v := range config.Variables() {
		if other, twice := keys[v.Name]; twice {
			t.Errorf("%s stands for %s and for %s", v.Name, other, v.Key)
		}
		keys[v.Name] = v.Key
	}
	for name, key := range map[string]string{
		"KAFKA_TLS": "kafka.tls", "KAFKA_SASL_CLIENT_SECRET_FILE": "kafka.sasl.client_secret_file", "ONELOGIN_KAFKA_GROUP": "group",
		"ONELOGIN_KAFKA_PROXY_URL": "proxy.url", "ONELOGIN_KAFKA_SECRETS_KEYS_PRIVATE_KEY_FILE": "secrets.keys[].private_key_file",
		"ONELOGIN_RATE_LIMIT_SHARE": "connectors[].rate_limit.share", "ONELOGIN_KAFKA_CONNECTORS_DIR": "connectors_dir",
	} {
		if keys[name] != key {
			t.Errorf("%s stands for %q, want %s", name, keys[name], key)
		}
	}
}

// TestEnvironmentBesideAFile: the file says all, and what is set in vain is told.
func TestEnvironmentBesideAFile(t *testing.T) {
	t.Parallel()
	path := write(t, map[string]string{"config.yaml": strings.Replace(minimal, "[localhost:9092]", "env:KAFKA_BROKERS", 1)})
	set := map[string]string{"KAFKA_BROKERS": "a:1", "KAFKA_TLS": "true", "ONELOGIN_KAFKA_GROUP": "other", "ONELOGIN_DOMAIN": "", "SECRET": canary}
	cfg, err := config.Load(path, func(name string) (string, bool) { value, ok := set[name]; return value, ok })
	if err != nil {
		t.Fatal(err)
	}
	want := validConfig()
	want.Kafka.Brokers = []string{"a:1"}
	want.Warnings = config.Problems{{File: path, Message: "of the environment only what the file names with env: counts, so nothing comes of KAFKA_TLS, ONELOGIN_KAFKA_GROUP"}}
	if d := diff(want, *cfg); d != "" {
		t.Errorf("config (-want +got):\n%s", d)
	}
}

func TestMisspelt(t *testing.T) {
	t.Parallel()
	meant := map[string]string{
		"KAFKA_BROKER": "KAFKA_BROKERS", "KAFKA_SASL_PASWORD": "KAFKA_SASL_PASSWORD", "KAFKA_SASL_PASSWORDFILE": "KAFKA_SASL_PASSWORD_FILE",
		"KAFKA_USERNAME": "KAFKA_SASL_USERNAME", "KAFKA_SASL_USER": "KAFKA_SASL_USERNAME", "KAFKA_CA_FILE": "KAFKA_TLS_CA_FILE", "KAFKA_TLS_CA": "KAFKA_TLS_CA_FILE",
		"ONELOGIN_SECRET": "ONELOGIN_CLIENT_SECRET", "ONELOGIN_DOMIAN": "ONELOGIN_DOMAIN", "ONELOGIN_KAFKA_TOPICS_EVENT_NAME": "ONELOGIN_KAFKA_TOPICS_EVENTS_NAME",
		"KAFKA_BOOTSTRAP_SERVERS": "KAFKA_BROKERS", "KAFKA_SECURITY_PROTOCOL": "KAFKA_TLS=true",
	}
	var want []string
	for name, known := range meant {
		want = append(want, "environment: "+name+": is not read; "+known+" may be meant")
	}
	// What Kubernetes sets for services of these names, and Kafka's own tools read.
	environ := []string{
		"PATH=/bin", "KAFKA_BROKERS=b:1", "KAFKA_TLS_CA=", "KAFKA_PORT=tcp://10.0.0.1:9092", "KAFKA_SERVICE_HOST=10.0.0.1", "KAFKA_SERVICE_PORT=9092", "KAFKA_PORT_9092_TCP_ADDR=10.0.0.1",
		"ONELOGIN_KAFKA_SERVICE_HOST=10.0.0.1", "ONELOGIN_KAFKA_SERVICE_PORT_HTTP=8080", "ONELOGIN_KAFKA_PORT=tcp://10.0.0.1:8080", "ONELOGIN_KAFKA_PORT_8080_TCP_PROTO=tcp",
		"KAFKA_HEAP_OPTS=-Xmx1g", "KAFKA_OPTS=-D", "KAFKA_LOG4J_OPTS=-D", "KAFKA_HOME=/opt/kafka",
	}
	for name := range meant {
		environ = append(environ, name+"="+canary)
	}
	slices.Sort(want)
	if d := cmp.Diff(want, strings.Split(config.Misspelt(environ).Error(), "\n")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
