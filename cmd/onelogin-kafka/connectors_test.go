package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConnectorsByCommand: a tenant's whole life on the control log, beside the
// service that polls it, and no secret in anything that is printed or written.
func TestConnectorsByCommand(t *testing.T) {
	t.Parallel()
	p := newPlace(t, tenants(2, 100, 0))
	filed, tenant := p.sim.Tenants()[0], p.sim.Tenants()[1]
	key := filepath.Join(t.TempDir(), "keys", "2026-11") // a folder that is not there yet
	all := ""
	do := func(code int, says string, args ...string) string {
		t.Helper()
		got, out, errs := runCommand(t, args...)
		all += out + errs
		if got != code || !strings.Contains(out+errs, says) {
			t.Fatalf("%v: got exit %d, want %d and %q:\n%s%s", args, got, code, says, out, errs)
		}
		return out
	}
	do(exitOK, "name it in the configuration", "secrets", "keygen", key)
	do(exitFail, "a key is never replaced", "secrets", "keygen", key)
	file := p.config(t, "secrets: {keys: [{private_key_file: "+key+", active: true}]}")
	// One tenant stays in the file, the other comes by command.
	text := ""
	for line := range strings.Lines(fileText(t, file)) {
		if !strings.Contains(line, "name: "+tenant.Name+",") {
			text += line
		}
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := write(t, "secret", tenant.ClientSecret+"\n")
	c := func(args ...string) []string { return append(args, "--config", file) }
	add := c("connectors", "add", tenant.Name, "--domain", tenant.Domain, "--client-id", tenant.ClientID, "--client-secret-file", secret, "--base-url", p.base,
		"--set", "poll={min: 20ms, max: 200ms}", "--set", "rate_limit={share: 1}", "--reason", "a new customer")
	do(exitFail, "onelogin.connectors", add...)
	run := startCommand(t, "run", "--config", file)
	eventually(t, "the service to have made the topics", func() bool {
		code, _, _ := runCommand(t, c("connectors", "list")...)
		return code == exitOK
	})

	wrong := write(t, "wrong", "not-the-secret\n")
	do(exitFail, "nothing was saved", append(add, "--test", "--client-secret-file", wrong)...)
	do(exitUsage, "--client-secret-file is missing", c("connectors", "add", "x", "--domain", "acme")...)
	do(exitUsage, "poll.min", append(add, "--set", "poll={min: 1ns}")...)
	do(exitOK, "Connection successful", append(add, "--test")...)
	do(exitFail, "is there already, by ", add...)
	do(exitOK, tenant.Domain, c("connectors", "list")...)
	do(exitOK, `"where":"log"`, c("connectors", "list", "--json")...)
	do(exitOK, "set: true", c("connectors", "show", tenant.Name)...)
	do(exitFail, "it is in a file", c("connectors", "pause", filed.Name)...)
	active := func(what string, state string) {
		t.Helper()
		eventually(t, what, func() bool {
			_, out, _ := runCommand(t, c("status", tenant.Name, "--json")...)
			return strings.Contains(out, `"state":"`+state+`"`)
		})
	}
	active("the tenant to be ACTIVE", "ACTIVE")
	do(exitOK, "paused", c("connectors", "pause", tenant.Name, "--reason", "maintenance")...)
	active("the tenant to be PAUSED", "PAUSED")
	do(exitOK, "resumed", c("connectors", "resume", tenant.Name)...)
	active("the tenant to be ACTIVE again", "ACTIVE")
	for set, says := range map[string]string{"domain=globex": "a flag of its own: --domain", "type=x": "not to be chosen", "paused=1": "neither true nor false", "poll={": "no YAML"} {
		do(exitUsage, says, c("connectors", "edit", tenant.Name, "--set", set)...)
	}
	do(exitOK, "saved, generation 4", c("connectors", "edit", tenant.Name, "--set", "paused=true")...)
	active("the tenant to be PAUSED by a field", "PAUSED")
	do(exitOK, "saved, generation 5", c("connectors", "edit", tenant.Name, "--set", "paused=")...)
	active("the tenant to be ACTIVE by a field", "ACTIVE")
	do(exitFail, "enter the client secret", c("connectors", "edit", tenant.Name, "--base-url", "https://elsewhere.example")...)
	do(exitOK, "saved, generation 6", c("connectors", "edit", tenant.Name, "--set", "page_size=50", "--json=false")...)

	do(exitOK, "1 of 1 secrets open", c("secrets", "check")...)
	do(exitOK, "nothing was changed", c("secrets", "rotate")...)
	do(exitOK, "0 of 0 secrets sealed", c("secrets", "rotate", "--yes")...)

	exported := write(t, "export.jsonl", do(exitOK, `"sealed":"ok1.`, c("connectors", "export", "--sealed")...))
	do(exitOK, `"set":true`, c("connectors", "export")...)
	do(exitOK, "nothing was changed", c("connectors", "import", exported)...)
	do(exitOK, "1 of 1 connectors saved", c("connectors", "import", exported, "--yes")...)
	do(exitUsage, "is no JSON", c("connectors", "import", secret)...)
	do(exitOK, "a new customer", c("audit", tenant.Name)...)
	do(exitOK, `"action":"connector.pause"`, c("audit", "--json", "--since", "1h")...)

	do(exitOK, "nothing was changed", c("connectors", "remove", tenant.Name, "--forget")...)
	do(exitOK, "done", c("connectors", "remove", tenant.Name, "--forget", "--yes", "--reason", "contract ended")...)
	do(exitFail, "is not on the control log", c("connectors", "show", tenant.Name)...)
	eventually(t, "nothing to be left of the tenant", func() bool {
		_, out, _ := runCommand(t, c("status", "--json")...)
		return !strings.Contains(out, `"`+tenant.Name+`"`)
	})
	code := run.end()
	all += run.out.String() + run.errs.String()
	if code != exitOK {
		t.Errorf("run: got exit %d\n%s", code, run.errs.String())
	}
	for what, secret := range map[string]string{"client secret": tenant.ClientSecret, "wrong secret": "not-the-secret", "private key": strings.TrimSpace(fileText(t, key))} {
		if strings.Contains(all, secret) {
			t.Errorf("a %s was printed", what)
		}
		for _, topic := range []string{"onelogin.connectors", "onelogin.audit", "onelogin.status", "onelogin.offsets"} {
			if strings.Contains(dumpOf(t, file, topic), secret) {
				t.Errorf("a %s is on topic %s", what, topic)
			}
		}
	}
}

func fileText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestImportOfAFolder: connector files move to the log with their secrets.
func TestImportOfAFolder(t *testing.T) {
	t.Parallel()
	p := newPlace(t, tenants(1, 10, 0))
	key := filepath.Join(t.TempDir(), "key")
	if code, _, errs := runCommand(t, "secrets", "keygen", key); code != exitOK {
		t.Fatal(errs)
	}
	file := p.config(t, "secrets: {keys: [{private_key_file: "+key+"}]}")
	run := startCommand(t, "run", "--config", file)
	eventually(t, "the topics", func() bool {
		code, _, _ := runCommand(t, "connectors", "list", "--config", file)
		return code == exitOK
	})
	dir := t.TempDir()
	secret := write(t, "secret", "f0lder-canary\n")
	for _, name := range []string{"globex", "initech"} {
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte("name: "+name+"\ndomain: "+name+"\nclient_id: a\nclient_secret_file: "+secret+"\npaused: true\npoll: {min: 5s}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, out, errs := runCommand(t, "connectors", "import", dir, "--yes", "--json", "--config", file)
	if code != exitOK || strings.Count(out, `"min":"5s"`) != 2 || !strings.Contains(errs, "2 of 2 connectors saved") || strings.Contains(out+errs, "f0lder-canary") {
		t.Errorf("got exit %d: %s%s", code, out, errs)
	}
	code, out, errs = runCommand(t, "secrets", "check", "--json", "--config", file)
	if code != exitOK || !strings.Contains(out, `"secrets":2,"opened":2,"active":true,"held":true`) {
		t.Errorf("got exit %d: %s%s", code, out, errs)
	}
	run.end()
}
