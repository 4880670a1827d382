package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSimulateOverTLS: with a certificate that it makes once, with its secrets in
// files, and with the same events when it is started again.
func TestSimulateOverTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	address := freePort(t)
	var certificates, starts []string
	for range 2 {
		c := startCommand(t, "simulate", "--listen", address, "--tls", filepath.Join(dir, "tls"), "--connectors", filepath.Join(dir, "connectors"))
		eventually(t, "the simulator to be well", func() bool {
			code, _, _ := runCommand(t, "health", "--url", "https://"+address)
			return code == exitOK
		})
		c.end()
		certificates = append(certificates, readFile(t, filepath.Join(dir, "tls", "cert.pem")))
		starts = append(starts, readFile(t, filepath.Join(dir, "connectors", ".start")))
	}
	if certificates[0] != certificates[1] || starts[0] != starts[1] {
		t.Errorf("started again, it is another: %q", starts)
	}
	cfg := load(t, write(t, "c.yaml", "kafka: {brokers: [\"127.0.0.1:1\"]}\nca_file: "+filepath.Join(dir, "tls", "cert.pem")+"\nconnectors_dir: "+filepath.Join(dir, "connectors")+"\n"))
	if len(cfg.Connectors) != 3 || len(cfg.Warnings) != 0 {
		t.Fatalf("got %d connectors, %v", len(cfg.Connectors), cfg.Warnings)
	}
	for _, c := range cfg.Connectors {
		if info, err := os.Stat(c.ClientSecret.File()); err != nil || info.Mode().Perm() != 0o600 || c.BaseURL != "https://"+address {
			t.Errorf("%s: %v, %v", c.Name, info, err)
		}
	}
	expect(t, exitFail, "no instance answers at "+address, "health", "--url", "https://"+address)
	const password = "hunter2canary"
	for _, url := range []string{"127.0.0.1", "ftp://127.0.0.1", "http://user:" + password + "@127.0.0.1", "http://%zz" + password} {
		if code, out, errs := runCommand(t, "health", "--url", url); code != exitUsage || strings.Contains(out+errs, password) {
			t.Errorf("--url %s: got exit %d, %s%s", url, code, out, errs)
		}
	}
}
