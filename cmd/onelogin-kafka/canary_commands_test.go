package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestEveryCommandIsDriven: no command is left out of the tests above, and those
// that need no configuration show no secret of what they make up.
func TestEveryCommandIsDriven(t *testing.T) {
	t.Parallel()
	driven := map[string]bool{
		"run": true, "check": true, "tail": true, "verify": true, "backfill": true, "jobs list": true, "jobs show": true, "jobs cancel": true, "config check": true, "offsets take-over": true, "offsets copy": true,
		"status": true, "health": true,
		"offsets list": true, "offsets show": true, "offsets export": true, "offsets set": true, "offsets reset": true, "offsets import": true,
		"deadletter list": true, "deadletter show": true, "deadletter replay": true, "deadletter discard": true,
		"connectors list": true, "connectors show": true, "connectors add": true, "connectors edit": true, "connectors pause": true,
		"connectors resume": true, "connectors remove": true, "connectors import": true, "connectors export": true,
		"secrets keygen": true, "secrets seal": true, "secrets check": true, "secrets rotate": true, "audit": true,
		"simulate": true, "demo": true, "schemas": true, "version": true, "man": true,
	}
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
