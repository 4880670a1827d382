package deploy

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/internal/proof/wait"
	"onelogin-kafka/source/onelogin/simulator"
)

// TestVariablesAlone: in a folder without a file, as in a container, the commands
// reach a Kafka that asks for TLS and a password, and say neither secret.
func TestVariablesAlone(t *testing.T) {
	k := kafkatest.Start(t, kafkatest.Options{Nodes: 1, TLS: true, Users: map[string]string{"app": "sasl-canary-3f"}})
	sim, err := simulator.New(simulator.Config{Seed: 1, Tenants: []simulator.Tenant{{Name: "acme", Backlog: 100, Traffic: simulator.Traffic{Rate: 1}}}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	tenant := sim.Tenants()[0]
	dir := t.TempDir()
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("sasl-canary-3f\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := container{t: t, binary: build(t, filepath.Join(dir, "out")), dir: t.TempDir(), secrets: []string{"sasl-canary", tenant.ClientSecret}, env: map[string]string{
		config.EnvBrokers: strings.Join(k.BrokersSASL(), ","), "KAFKA_TLS_CA_FILE": k.CAFile(),
		"KAFKA_SASL_MECHANISM": config.MechanismScramSHA512, "KAFKA_SASL_USERNAME": "app", "KAFKA_SASL_PASSWORD_FILE": password,
		config.EnvDomain: tenant.Domain, config.EnvClientID: tenant.ClientID, config.EnvClientSecret: tenant.ClientSecret, "ONELOGIN_BASE_URL": server.URL,
		"ONELOGIN_KAFKA_TOPICS_REPLICATION_FACTOR": "1", "ONELOGIN_KAFKA_TOPICS_OFFSETS_PARTITIONS": "2", "ONELOGIN_KAFKA_GROUP": "by-variables",
		"ONELOGIN_KAFKA_INSTANCE": "one", "ONELOGIN_KAFKA_HTTP_LISTEN": "127.0.0.1:" + port(t), "ONELOGIN_KAFKA_LOG_LEVEL": "trace",
	}}

	if said, err := c.run("check"); err != nil {
		t.Errorf("check: %v\n%s", err, said)
	}
	service := c.start("run")
	wait.For(t, "the instance to be ready", 2*time.Minute, func() bool {
		_, err := c.run("health", "--ready")
		return err == nil
	})
	tail := c.start("tail", "--from", "earliest")
	wait.For(t, "an event in tail", time.Minute, func() bool { return strings.Contains(tail.output.String(), "acme") })
	wait.For(t, "the connector to be active", time.Minute, func() bool {
		said, err := c.run("status")
		return err == nil && strings.Contains(said, "ACTIVE")
	})
	service.kill()
	tail.kill()
	c.look(service.output.String())
	c.look(tail.output.String())

	for name, value := range map[string]string{"KAFKA_SASL_PASSWORD_FILE": c.env["KAFKA_TLS_CA_FILE"], "KAFKA_SASL_USERNAME": "nobody", "KAFKA_TLS_SERVER_NAME": "other.example"} {
		before := c.env[name]
		c.env[name] = value
		if said, err := c.run("check"); err == nil {
			t.Errorf("check with %s=%s: got\n%s", name, value, said)
		}
		c.env[name] = before
	}
	delete(c.env, "KAFKA_SASL_PASSWORD_FILE")
	c.env["KAFKA_SASL_PASS"] = "sasl-canary-3f"
	said, _ := c.run("check")
	if want := "environment: KAFKA_SASL_PASSWORD: is missing; set it, or KAFKA_SASL_PASSWORD_FILE\nenvironment: KAFKA_SASL_PASS: is not read; KAFKA_SASL_PASSWORD may be meant\n"; !strings.HasSuffix(said, want) {
		t.Errorf("check without a password: got\n%s", said)
	}
}

// container is a folder without a configuration file, and variables.
type container struct {
	t           *testing.T
	binary, dir string
	env         map[string]string
	secrets     []string
}

func (c *container) start(args ...string) *process {
	c.t.Helper()
	p := &process{cmd: exec.CommandContext(c.t.Context(), c.binary, args...), done: make(chan struct{})}
	p.cmd.Dir = c.dir
	for name, value := range c.env {
		p.cmd.Env = append(p.cmd.Env, name+"="+value)
	}
	p.start(c.t)
	return p
}

// run runs a command to its end and returns what it says, which is no secret.
func (c *container) run(args ...string) (string, error) {
	c.t.Helper()
	p := c.start(args...)
	<-p.done
	c.look(p.output.String())
	return p.output.String(), p.err
}

func (c *container) look(text string) {
	c.t.Helper()
	for _, secret := range c.secrets {
		if strings.Contains(text, secret) {
			c.t.Errorf("%s is said:\n%s", secret, text)
		}
	}
}
