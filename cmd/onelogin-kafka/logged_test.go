package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// loggedPlace is a place with a service whose first tenant is in the file and whose
// second is on the control log; keyless is a configuration of somebody who may read
// it and has no key.
func loggedPlace(t *testing.T) (p *place, file, keyless string) {
	t.Helper()
	p = newPlace(t, tenants(2, 200, 0))
	key := filepath.Join(t.TempDir(), "key")
	expect(t, exitOK, "", "secrets", "keygen", key)
	with := p.config(t, "secrets: {keys: [{private_key_file: "+key+"}]}")
	tenant := p.sim.Tenants()[1]
	text := ""
	for line := range strings.Lines(fileText(t, with)) {
		if !strings.Contains(line, "name: "+tenant.Name+",") {
			text += line
		}
	}
	file = write(t, "c.yaml", text)
	keyless = write(t, "keyless.yaml", strings.Replace(text, "secrets: {", "secrets: {}\n#", 1))
	startCommand(t, "run", "--config", file)
	eventually(t, "the control log", func() bool {
		code, _, _ := runCommand(t, "connectors", "list", "--config", file)
		return code == exitOK
	})
	expect(t, exitOK, "saved", "connectors", "add", tenant.Name, "--domain", tenant.Domain, "--client-id", tenant.ClientID, "--base-url", p.base,
		"--client-secret-file", write(t, "secret", tenant.ClientSecret+"\n"), "--set", "poll={min: 20ms, max: 200ms}", "--set", "sweep={every: 1s, window: 1m}",
		"--set", "rate_limit={share: 1}", "--config", file)
	return p, file, keyless
}

// TestLoggedConnectorsEverywhere: a connector of the control log is known to every
// command, like one of a file; and where its secret does not open, that is said.
func TestLoggedConnectorsEverywhere(t *testing.T) {
	t.Parallel()
	p, file, keyless := loggedPlace(t)
	filed, name := p.sim.Tenants()[0].Name, p.sim.Tenants()[1].Name
	eventually(t, "both to be ACTIVE", func() bool {
		_, out, _ := runCommand(t, "status", "--config", file)
		return strings.HasPrefix(out, "2 connectors: 2 ACTIVE\n")
	})
	code, out, errs := runCommand(t, "check", "--config", file)
	if code != exitOK || !strings.Contains(out, "ok      "+filed+" ") || !strings.Contains(out, "ok      "+name+" ") {
		t.Errorf("check: got exit %d\n%s%s", code, out, errs)
	}
	if code, out, _ = runCommand(t, "check", name, "--config", file); code != exitOK || strings.Contains(out, filed) {
		t.Errorf("check %s: got exit %d\n%s", name, code, out)
	}
	if code, out, _ = runCommand(t, "check", "--config", keyless); code != 1 || !strings.Contains(out, "FAILED  "+name+" ") ||
		!strings.Contains(out, "Configuration Stage: ") || !strings.Contains(out, "is sealed, and no key of secrets.keys here opens it") || !strings.Contains(out, "ok      "+filed+" ") {
		t.Errorf("check without a key: got exit %d\n%s", code, out)
	}
	eventually(t, "a window that begins behind some events", func() bool {
		code, out, _ := runCommand(t, "verify", name, "--from", "48h", "--config", file)
		return code == exitOK && strings.Contains(out, " 0 missing")
	})
	code, _, errs = runCommand(t, "verify", name, "--config", keyless)
	if code != exitUsage {
		t.Errorf("verify without a key: got exit %d", code)
	}
	oneLine(t, errs, "connector "+name, "is sealed, and no key of secrets.keys here opens it")
	expect(t, exitOK, "MAY REPEAT", "offsets", "reset", name, "--config", keyless)
	expect(t, exitOK, name, "offsets", "show", name, "--config", keyless)
	if code, out, _ = runCommand(t, "__complete", "verify", "--config", keyless, ""); code != exitOK || out != filed+"\n"+name+"\n:4\n" {
		t.Errorf("completion: got exit %d and %q", code, out)
	}
	tail := startCommand(t, "tail", name, "--from", "earliest", "--config", keyless)
	eventually(t, "its events", func() bool { return strings.Count(tail.out.String(), "\n") > 0 })
	tail.end()
	if errs := tail.errs.String(); strings.Contains(errs, "is not in the configuration") {
		t.Errorf("tail says %s", errs)
	}

	// One that the file has too is shadowed, and said to be.
	both := write(t, "both.yaml", fileText(t, file)+"  - {name: "+name+", domain: acme, client_id: a, client_secret: b}\n")
	expect(t, exitOK, "1 connectors of the control log are not used, as a file has their name: "+name+"\n", "status", "--config", both)
	if err := os.WriteFile(both, []byte(fileText(t, file)+"  - {name: bare, domain: acme, client_id: a, client_secret_file: nowhere}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, exitFail, "no instance has ever reported it; it is set aside:", "status", "bare", "--config", both)
}
