package soak

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// lastVersion is the commit of the version that a rolling upgrade begins with:
// the last one with another form of the group's metadata.
const lastVersion = "3e192b6"

// buildLast builds that version from the repository's history.
var buildLast = sync.OnceValues(func() (string, error) {
	plain, err := binary() // for its folder
	if err != nil {
		return "", err
	}
	source := filepath.Join(filepath.Dir(plain), lastVersion)
	if err := os.MkdirAll(source, 0o755); err != nil {
		return "", fmt.Errorf("building version %s: %w", lastVersion, err)
	}
	root, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		return "", fmt.Errorf("building version %s needs the repository's history: %w", lastVersion, err)
	}
	archive := filepath.Join(source, "source.tar")
	out := filepath.Join(source, "onelogin-kafka")
	for _, c := range []struct {
		dir  string
		args []string
	}{
		{strings.TrimSpace(string(root)), []string{"git", "archive", "--output", archive, lastVersion}},
		{source, []string{"tar", "-xf", archive}},
		{source, []string{"go", "build", "-o", out, "./cmd/onelogin-kafka"}},
	} {
		cmd := exec.Command(c.args[0], c.args[1:]...)
		cmd.Dir = c.dir
		if said, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("building version %s: %v: %w\n%s", lastVersion, c.args, err, said)
		}
	}
	return out, nil
})

// mixVersions lets choose say whether the next instance started is of the last
// version.
func (w *World) mixVersions(choose func(name string) (last bool)) {
	w.tb.Helper()
	last, err := buildLast()
	if err != nil {
		w.tb.Fatal(err)
	}
	w.version = func(name string) string {
		if choose(name) {
			return last
		}
		return w.binary
	}
}
