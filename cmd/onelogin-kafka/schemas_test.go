package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSchemas: what is listed is what there is, and each is printed as it is.
func TestSchemas(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../schemas/*" + schemaSuffix)
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no schemas: %v", err)
	}
	list := printed(t, "schemas")
	lines := strings.Split(strings.TrimSpace(list), "\n")
	objects := strings.Split(strings.TrimSpace(printed(t, "schemas", "--json")), "\n")
	if len(lines) != len(files) || len(objects) != len(files) {
		t.Fatalf("%d schemas are listed, there are %d:\n%s", len(lines), len(files), list)
	}
	for i, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), schemaSuffix)
		if fields := strings.Fields(lines[i]); fields[0] != name || len(fields) < 4 {
			t.Errorf("schema %s is listed as %q", name, lines[i])
		}
		var s schema
		if err := json.Unmarshal([]byte(objects[i]), &s); err != nil || s.Name != name || s.ID == "" {
			t.Errorf("schema %s is %s in JSON: %v", name, objects[i], err)
		}
		if d := cmp.Diff(readFile(t, file), printed(t, "schemas", name)); d != "" {
			t.Errorf("schema %s:\n%s", name, d)
		}
	}
	expect(t, exitUsage, "there is no schema ../event; onelogin-kafka schemas lists them", "schemas", "../event")
	expect(t, exitUsage, "", "schemas", "event", "status")
	code, out, _ := runCommand(t, "__complete", "schemas", "ev")
	if code != exitOK || out != "event\n:4\n" {
		t.Errorf("completed to %q", out)
	}
}

// printed is what a command prints that does well.
func printed(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := runCommand(t, args...)
	if code != exitOK {
		t.Errorf("%v: got exit %d\n%s", args, code, errs)
	}
	return out
}
