package deploy

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// dockerfile is the Dockerfile without comments, one instruction a line.
func dockerfile(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", " ")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

// buildStep is the Dockerfile's build step, with out for its /out.
func buildStep(t *testing.T, out string) string {
	t.Helper()
	for _, line := range dockerfile(t) {
		if script, ok := strings.CutPrefix(line, "RUN "); ok && strings.Contains(script, "go build") {
			return strings.ReplaceAll(script, "/out", out)
		}
	}
	t.Fatal("the Dockerfile has no build step")
	return ""
}

// build runs the Dockerfile's build step and returns the binary.
func build(t *testing.T, out string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", buildStep(t, out))
	cmd.Dir = ".."
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return filepath.Join(out, "onelogin-kafka")
}

// TestImage: what the Dockerfile builds runs in an image that has nothing else,
// and not as root.
func TestImage(t *testing.T) {
	out := t.TempDir()
	binary := build(t, out)
	file, err := elf.Open(binary)
	if err != nil {
		t.Fatalf("the image is for Linux: %v", err)
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary is not static: it has a %s segment, and the image has no libraries", p.Type)
		}
	}
	if text, err := exec.CommandContext(t.Context(), binary, "version").CombinedOutput(); err != nil {
		t.Errorf("version: %v\n%s", err, text)
	}
	if info, err := os.Stat(filepath.Join(out, "var")); err != nil || !info.IsDir() {
		t.Errorf("the folder of the volume was not made: %v", err)
	}

	pinned := regexp.MustCompile(`:[0-9]+\.[0-9]+\.[0-9]+(-\w+)?$`)
	stages := map[string]bool{"scratch": true}
	user := ""
	for _, line := range dockerfile(t) {
		words := strings.Fields(line)
		switch words[0] {
		case "FROM":
			if !stages[words[1]] && !pinned.MatchString(words[1]) {
				t.Errorf("%s: not pinned to a version", line)
			}
			if len(words) == 4 {
				stages[words[3]] = true
			}
		case "USER":
			user = words[1]
		case "COPY":
			for _, w := range words[1 : len(words)-1] {
				from, ok := strings.CutPrefix(w, "--from=")
				if ok && !stages[from] && !pinned.MatchString(from) {
					t.Errorf("%s: not pinned to a version", line)
				}
			}
		}
	}
	if user != "65532:65532" {
		t.Errorf("the image runs as user %q", user)
	}
}
