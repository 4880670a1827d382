package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"onelogin-kafka/internal/config"
)

func TestChecksum(t *testing.T) {
	t.Parallel()
	path := write(t, map[string]string{
		"config.yaml":      minimal + "connectors_dir: conf.d\n",
		"conf.d/beta.yaml": "name: beta\ndomain: beta\nclient_id: id\nclient_secret_file: secrets/beta\n",
		"secrets/v1":       canary, "secrets/v2": canary + "2",
	})
	dir := filepath.Dir(path)
	at := func(name string) string { return filepath.Join(dir, name) }
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(os.Symlink("v1", at("secrets/beta")))
	sum := func() [32]byte {
		t.Helper()
		s, err := config.Checksum(path, lookup)
		do(err)
		return s
	}
	last := sum()
	if got := mustLoad(t, path).Sum; got != last || got != sum() {
		t.Error("the checksum differs though nothing changed")
	}
	seen := map[[32]byte]string{last: "the start"}
	steps := []struct {
		name string
		do   func() error
	}{
		{"the file changes", func() error {
			return os.WriteFile(path, []byte("group: g\n"+minimal+"connectors_dir: conf.d\n"), 0o600)
		}},
		{"a secret is rotated by its link", func() error {
			return errors.Join(os.Remove(at("secrets/beta")), os.Symlink("v2", at("secrets/beta")))
		}},
		{"a secret disappears", func() error { return os.Remove(at("secrets/beta")) }},
		{"a connector is added, not valid", func() error { return os.WriteFile(at("conf.d/new.yaml"), []byte("name: [\n"), 0o600) }},
		{"it is corrected in part", func() error { return os.WriteFile(at("conf.d/new.yaml"), []byte("name: new\n"), 0o600) }},
		{"a connector is renamed", func() error { return os.Rename(at("conf.d/new.yaml"), at("conf.d/newer.yaml")) }},
		{"a connector is removed", func() error { return os.Remove(at("conf.d/beta.yaml")) }},
	}
	for _, step := range steps {
		do(step.do())
		s := sum()
		if before, ok := seen[s]; ok {
			t.Errorf("%s: the checksum is that of %s", step.name, before)
		}
		seen[s] = step.name
	}
	do(os.Remove(path))
	if _, err := config.Checksum(path, lookup); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the file: got error %v, want one that it does not exist", err)
	}
}
