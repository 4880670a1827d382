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

// TestBadFiles loads one bad file per rule. What is expected of each is in
// errors.txt: its name, then its error, indented.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d bad files, error %v", len(files), err)
	}
	var got bytes.Buffer
	for _, file := range files {
		cfg, err := config.Load(file, lookup)
		if err == nil || cfg != nil {
			t.Errorf("%s was loaded", file)
			continue
		}
		if problems, ok := errors.AsType[config.Problems](err); !ok || len(problems) != strings.Count(err.Error(), "\n")+1 {
			t.Errorf("%s: the error is no Problems of one line each: %v", file, err)
		}
		if strings.Contains(err.Error(), canary) {
			t.Errorf("%s: the error shows a secret: %v", file, err)
		}
		fmt.Fprintf(&got, "%s\n\t%s\n", filepath.Base(file), strings.ReplaceAll(err.Error(), "\n", "\n\t"))
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
