package config_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/internal/config"
)

var update = flag.Bool("update", false, "write the golden files")

// canary is the secret of all tests: it must never be seen.
const canary = "hunter2-canary"

// lookup is the environment of the tests.
func lookup(name string) (string, bool) {
	switch name {
	case "SECRET", "secret":
		return canary, true
	case "BROKERS":
		return "a:1,b:2", true
	case "EMPTY":
		return "", true
	}
	return "", false
}

// wrong is everything that is wrong with a configuration, and whether that
// refuses it.
func wrong(path string) (problems config.Problems, refused bool) {
	cfg, err := config.Load(path, lookup)
	if errors.As(err, &problems) {
		return problems, true
	}
	return cfg.Problems(), false
}

// TestBadFiles loads one bad file per rule. What is expected of each is in
// errors.txt: its name, then its problems, indented; those without
// "(set aside)" refuse the configuration.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d bad files, error %v", len(files), err)
	}
	var got bytes.Buffer
	for _, file := range files {
		problems, refused := wrong(file)
		text, fate := problems.Error(), " (set aside)"
		if refused {
			fate = ""
		}
		if len(problems) == 0 || len(problems) != strings.Count(text, "\n")+1 {
			t.Errorf("%s: not Problems of one line each: %s", file, text)
		}
		if strings.Contains(text, canary) {
			t.Errorf("%s: a problem shows a secret: %s", file, text)
		}
		fmt.Fprintf(&got, "%s%s\n\t%s\n", filepath.Base(file), fate, strings.ReplaceAll(text, "\n", "\n\t"))
	}
	const golden = "testdata/bad/errors.txt"
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}
