package main

import (
	"encoding/json"
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
