package deploy

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tree is a copy of what builds the binary, in a git repository of its own.
type tree struct {
	t   *testing.T
	dir string
}

func newTree(t *testing.T) *tree {
	t.Helper()
	w := &tree{t, t.TempDir()}
	for _, folder := range []string{"cmd", "internal", "producer", "schemas", "scripts", "source"} {
		if err := os.CopyFS(filepath.Join(w.dir, folder), os.DirFS("../"+folder)); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"go.mod", "go.sum", "Makefile", ".gitattributes", "Dockerfile"} {
		text, err := os.ReadFile("../" + file)
		if err == nil {
			err = os.WriteFile(filepath.Join(w.dir, file), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w.run("git", "init", "-q")
	w.run("git", "add", ".")
	w.commit()
	return w
}

func (w *tree) commit() {
	w.t.Helper()
	w.run("git", "-c", "user.name=n", "-c", "user.email=e@example.com", "-c", "commit.gpgsign=false", "commit", "-q", "--allow-empty", "-m", "m")
}

// run runs a command in the tree with Go's own stamps switched off, as they can
// be by a setting that nobody remembers, and returns what it prints.
func (w *tree) run(name string, args ...string) string {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), name, args...)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false", "VERSION=", "COMMIT=", "GIT_CONFIG_GLOBAL=/dev/null")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatalf("%s %q: %v\n%s%s", name, args, err, out, errs.String())
	}
	return strings.TrimSpace(string(out))
}

// version is what a binary says of itself.
func (w *tree) version(binary string) (v struct{ Version, Commit string }) {
	w.t.Helper()
	if err := json.Unmarshal([]byte(w.run(binary, "version", "--json")), &v); err != nil {
		w.t.Fatal(err)
	}
	return v
}

// TestVersion: whatever builds what ships, version and commit are git's.
func TestVersion(t *testing.T) {
	t.Parallel()
	w := newTree(t)
	head := w.run("git", "rev-parse", "HEAD")
	w.run("make", "build")
	v := w.version("bin/onelogin-kafka")
	if v.Commit != head || !strings.HasPrefix(v.Version, "v0.0.0-20") || !strings.HasSuffix(v.Version, "-"+head[:12]) {
		t.Errorf("make build: got %+v, want commit %s", v, head)
	}

	w.run("git", "tag", "v1.2.3")
	out := t.TempDir()
	if got := w.version(w.image(out)); got.Commit != head || got.Version != "v1.2.3" {
		t.Errorf("the image's build: got %+v, want v1.2.3 and commit %s", got, head)
	}

	// As an archive: there is no git, and the script is not asked.
	archive := t.TempDir()
	w.run("sh", "-ec", "git archive HEAD | tar -x -C "+archive)
	w.run("go", "build", "-C", archive, "-o", out, "./cmd/onelogin-kafka")
	if got := w.version(filepath.Join(out, "onelogin-kafka")); got.Commit != head || got.Version != "v1.2.3" {
		t.Errorf("from an archive: got %+v, want v1.2.3 and commit %s", got, head)
	}

	// What the context of an image leaves out is no change; sources are.
	w.run("rm", "-r", "internal/config/testdata", ".gitattributes")
	if got := w.run("scripts/version.sh", "commit"); got != head {
		t.Errorf("without the tests' data: got commit %s, want %s", got, head)
	}
	w.run("sh", "-ec", "echo '// changed' >> cmd/onelogin-kafka/main.go")
	if got := w.run("scripts/version.sh", "commit"); got != head+"+changes" {
		t.Errorf("with a change: got commit %s", got)
	}
	w.run("git", "checkout", "-q", ".")
	w.commit()
	head = w.run("git", "rev-parse", "HEAD")
	if got := w.run("scripts/version.sh", "version"); got != "v1.2.3-1-g"+head[:7] {
		t.Errorf("one commit after the tag: got version %s", got)
	}
	if got := w.run("env", "VERSION=2", "COMMIT=abc", "scripts/version.sh"); !strings.Contains(got, "version=2'") || !strings.Contains(got, "commit=abc'") {
		t.Errorf("told by the environment: got %s", got)
	}
	// An archive that lies in another's repository does not take its commit.
	w.run("cp", "-r", archive, "inside")
	if got := w.run("inside/scripts/version.sh"); got != "" {
		t.Errorf("inside another repository: got %s", got)
	}
}

// image runs the Dockerfile's build step in the tree.
func (w *tree) image(out string) (binary string) {
	w.t.Helper()
	w.run("sh", "-ec", buildStep(w.t, out))
	return filepath.Join(out, "onelogin-kafka")
}
