package config_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/schemas"
)

func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, "../../onelogin-kafka.example.yaml") {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(minimal))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, name := range []string{"config.yaml", "config.json"} {
			load(t, filepath.Join(dir, name), text)
		}
	})
}

// load loads text and holds what comes of it to what is promised.
func load(t *testing.T, path string, text []byte) {
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path, lookup)
	sum, sumErr := config.Checksum(path, lookup)
	if sumErr != nil {
		t.Fatal(sumErr)
	}
	if err != nil {
		problems, ok := errors.AsType[config.Problems](err)
		if !ok || len(problems) == 0 || cfg != nil {
			t.Fatalf("got config %v and error %v", cfg, err)
		}
		if strings.Contains(err.Error(), canary) && !strings.Contains(string(text), canary) {
			t.Fatalf("the error shows the environment's secret: %v", err)
		}
		return
	}
	if sum != cfg.Sum {
		t.Fatal("the checksum differs though nothing changed")
	}
	for _, s := range cfg.SetAside {
		if len(s.Problems) == 0 || strings.Contains(s.Reason(), canary) && !strings.Contains(string(text), canary) {
			t.Fatalf("set aside: %+v", s)
		}
	}
	for _, c := range cfg.Connectors {
		if !schemas.ValidConnector(c.Name) || c.Domain == "" || c.ClientID == "" || !c.ClientSecret.IsSet() ||
			c.Poll.Min <= 0 || c.Poll.Min > c.Poll.Max || math.IsNaN(c.RateLimit.Share) || c.PageSize < 0 {
			t.Fatalf("not valid, but loaded: %+v", c)
		}
	}
}

// FuzzConnectorFile has any file beside that of a connector: it takes nothing
// from it, neither at the start nor later.
func FuzzConnectorFile(f *testing.F) {
	for _, text := range []string{"", "[", "name: b\n", file("acme"), file("b") + "paused: maybe\n", "{name: acme, <<: *x}", "name: env:SECRET"} {
		f.Add([]byte(text))
	}
	path := write(f, map[string]string{"config.yaml": folder, "d/acme.yaml": file("acme"), "s/acme": canary})
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), "d", "any.yaml"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := mustLoad(t, path)
		if len(cfg.Connectors)+len(cfg.SetAside) != 2 || cfg.Connectors[0].Name != "acme" || !strings.HasSuffix(cfg.Connectors[0].Source, "/acme.yaml") {
			t.Fatalf("got %v", summary(path, cfg))
		}
		again, err := config.Reload(cfg, path, lookup)
		if err != nil || len(again.Connectors) != len(cfg.Connectors) || len(again.SetAside) != len(cfg.SetAside) {
			t.Fatalf("read again: got %v, %v after %v", again, err, summary(path, cfg))
		}
	})
}
