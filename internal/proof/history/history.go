// Package history builds earlier versions of the service from the repository's
// history, for what is compared with them or runs beside them.
package history

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// LastLanded is the commit that upgrades begin with and figures are compared
// with: the last one whose groups' metadata had another form.
const LastLanded = "3e192b6"

// Version is the source of one commit, in a folder of its own.
type Version struct {
	commit, dir string
}

// Extract writes the source of a commit, in any form that git understands, to a
// folder below dir. It needs the repository that the working directory is in.
func Extract(ctx context.Context, commit, dir string) (Version, error) {
	v := Version{commit: commit, dir: filepath.Join(dir, commit)}
	if err := os.MkdirAll(v.dir, 0o755); err != nil {
		return v, fmt.Errorf("extracting version %s: %w", commit, err)
	}
	root, err := exec.CommandContext(ctx, "git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		return v, fmt.Errorf("extracting version %s: finding the repository: %w", commit, err)
	}
	archive := filepath.Join(v.dir, "source.tar")
	if err := v.run(ctx, strings.TrimSpace(string(root)), "git", "archive", "--output", archive, commit); err != nil {
		return v, err
	}
	return v, v.run(ctx, v.dir, "tar", "-xf", archive)
}

// Has tells whether the version has a file or folder.
func (v Version) Has(path string) bool {
	_, err := os.Stat(filepath.Join(v.dir, path))
	return err == nil
}

// Build builds the command in one of the version's folders, and returns the program.
func (v Version) Build(ctx context.Context, command string) (program string, err error) {
	program = filepath.Join(v.dir, "bin", strings.ReplaceAll(command, "/", "-"))
	return program, v.run(ctx, v.dir, "go", "build", "-trimpath", "-o", program, "./"+command)
}

func (v Version) run(ctx context.Context, dir, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building version %s: %s %v: %w\n%s", v.commit, program, args, err, said)
	}
	return nil
}
