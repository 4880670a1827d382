package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigCheckAsJSON(t *testing.T) {
	t.Parallel()
	file := write(t, "c.yaml", "kafka: {brokers: [\"127.0.0.1:1\"]}\nnonsense: 1\nconnectors:\n- {name: acme, domain: acme, client_id: id, client_secret: s, poll: {min: 0s}}\n")
	code, out, errs := runCommand(t, "config", "check", "--config", file, "--json")
	if code != exitUsage || errs != "" {
		t.Errorf("got exit %d, and said %q", code, errs)
	}
	paths := map[string]int{}
	for line := range strings.Lines(out) {
		var p problem
		if err := json.Unmarshal([]byte(line), &p); err != nil || p.OK || p.File != file || p.Message == "" {
			t.Errorf("got %s (%v)", line, err)
		}
		paths[p.Path] = p.Line
	}
	if len(paths) != 2 || paths["nonsense"] != 2 || paths["connectors[0].poll.min"] != 4 {
		t.Errorf("got %v\n%s", paths, out)
	}
	code, out, errs = runCommand(t, "config", "check", "--config", write(t, "c.yaml", brokerConfig("127.0.0.1:1", "")), "--json")
	if code != exitOK || out != "{\"ok\":true,\"connectors\":1}\n" || errs != "" {
		t.Errorf("valid: got exit %d, %q, %q", code, out, errs)
	}
	if code, out, _ = runCommand(t, "config"); code != exitUsage || !strings.Contains(out, "check") {
		t.Errorf("without a command: got exit %d\n%s", code, out)
	}
}

// TestWarnings: what is hardly meant is told by config check, check and run,
// and stops none of them.
func TestWarnings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "README"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	file := write(t, "c.yaml", "kafka: {brokers: \"127.0.0.1:1\"}\ninstance: test\nhttp: {listen: \"127.0.0.1:0\"}\nlog: {format: json}\nconnectors_dir: "+dir+"\n")
	const over, none = "README: is passed over: ", "there is no connector in files, so nothing is polled but what connectors add has made"
	code, out, errs := runCommand(t, "config", "check", "--config", file)
	if code != exitOK || !strings.HasPrefix(out, "configuration is valid: 0 connectors\n") || !strings.Contains(out, "of the control log") || strings.Count(errs, "warning: ") != 2 || !strings.Contains(errs, over) || !strings.Contains(errs, none) {
		t.Errorf("config check: got exit %d, %q, %q", code, out, errs)
	}
	code, out, errs = runCommand(t, "config", "check", "--config", file, "--json")
	lines := strings.Split(out, "\n")
	if code != exitOK || errs != "" || len(lines) != 4 || lines[2] != `{"ok":true}` {
		t.Fatalf("config check --json: got exit %d, %q, %q", code, out, errs)
	}
	for _, line := range lines[:2] {
		var p problem
		if err := json.Unmarshal([]byte(line), &p); err != nil || p.OK || !p.Warning || p.File == "" || p.Message == "" {
			t.Errorf("config check --json: got %s (%v)", line, err)
		}
	}
	if _, _, errs = runCommand(t, "check", "--config", file); strings.Count(errs, "warning: ") != 2 {
		t.Errorf("check: got %q", errs)
	}
	c := startCommand(t, "run", "--config", file)
	eventually(t, "the warnings in the log", func() bool {
		log := c.errs.String()
		return strings.Count(log, "hardly meant") == 2 && strings.Contains(log, none)
	})
	if code := c.end(); code != exitOK {
		t.Errorf("run: got exit %d", code)
	}
}
