package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"onelogin-kafka/internal/console"
	"onelogin-kafka/internal/registry/seal"
)

// fuzzer is schemathesis in the place where scripts/deps.sh puts it.
func fuzzer(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cache, "onelogin-kafka", "schemathesis-4.32.5", "bin", "st")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: scripts/deps.sh installs it", err)
	}
	return path
}

// TestDocumentFuzzed has a fuzzer ask for whatever the API's document allows and
// for what it does not: there is no answer that the document does not know, none
// of 5xx, nothing wrong is taken and nothing right refused as unreadable.
func TestDocumentFuzzed(t *testing.T) {
	st := fuzzer(t)
	p := newPlace(t, tenants(2, 100, 1))
	key, err := seal.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	// Whatever domain it thinks of ends here.
	wall := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	service := startProcess(t, "run", "--config", p.config(t, fmt.Sprintf(
		"secrets: {keys: [{private_key_file: %q}]}\nproxy: {url: %q, no_proxy: 127.0.0.1}", write(t, "key", key), wall)))
	at := ""
	eventually(t, "the console", func() bool {
		at = consoleAt(service.errs.String())
		code, _ := get(at + "/readyz")
		return code == http.StatusOK
	})
	// One that can be changed.
	saved := p.sim.Tenants()[0]
	body := fmt.Sprintf(`{"name":"initech","domain":%q,"client_id":%q,"client_secret":%q,"base_url":%q}`, saved.Domain, saved.ClientID, saved.ClientSecret, p.base)
	res, err := http.Post(at+"/api/v1/connectors", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if said, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusCreated {
		t.Fatalf("got status %d: %s", res.StatusCode, said)
	}
	// A stream does not end by itself: TestStream.
	settings, err := filepath.Abs("testdata/schemathesis.toml")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(st, "--config-file", settings, "run", at+"/api/v1/openapi.json", "--exclude-operation-id", "stream",
		"--checks", "all", "--seed", "1", "--generation-deterministic", "--max-examples", "100",
		"--request-timeout", "60", "--suppress-health-check", "all", "--no-color")
	cmd.Dir = t.TempDir() // it leaves a folder behind
	cmd.Env = append(os.Environ(), "NO_PROXY=127.0.0.1", "HYPOTHESIS_STORAGE_DIRECTORY="+t.TempDir())
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Errorf("%v:\n%s", err, out.String())
	}
	operations := -2 // the stream, and the document, which it has read
	for _, pattern := range console.Patterns() {
		if strings.Contains(pattern, " /api/") {
			operations++
		}
	}
	if want := fmt.Sprintf("Tested: %d\n", operations); !strings.Contains(out.String(), want) {
		t.Errorf("the document has %d operations for it: it has not tried all of them\n%s", operations, out.String())
	}
	if code := service.end(); code != 0 {
		t.Errorf("the service ended with %d: %.2000s", code, service.errs.String())
	}
}
