package config_test

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/internal/config"
)

const connectorFields = "domain: acme\nclient_id: id\nclient_secret: env:SECRET\n"

// warnings are those of a valid configuration, with paths relative to its folder.
func warnings(t *testing.T, path string) []string {
	t.Helper()
	var texts []string
	for _, w := range mustLoad(t, path).Warnings {
		texts = append(texts, strings.ReplaceAll(w.String(), filepath.Dir(path)+"/", ""))
	}
	return texts
}

// TestConnectorFilesPassedOver: what lies in the folder and is no connector file
// is told, each once; hidden files and Kubernetes' links are not.
func TestConnectorFilesPassedOver(t *testing.T) {
	t.Parallel()
	path := write(t, map[string]string{
		"config.yaml":         "kafka: {brokers: [b:1]}\nconnectors_dir: conf.d\n",
		"conf.d/a.YAML":       "name: a\n" + connectorFields,
		"conf.d/b.Yml":        "name: b\n" + connectorFields,
		"conf.d/c.json":       `{"name": "c", "domain": "acme", "client_id": "id", "client_secret": "env:SECRET"}`,
		"conf.d/d.yaml~":      "not: read",
		"conf.d/e.yaml.bak":   "not: read",
		"conf.d/README":       "not: read",
		"conf.d/.f.yaml":      "not: read",
		"conf.d/g.yaml/x":     "not: read",
		"conf.d/..data/h.yml": "not: read",
	})
	cfg := mustLoad(t, path)
	var names []string
	for _, c := range cfg.Connectors {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	if d := cmp.Diff([]string{"a", "b", "c"}, names); d != "" {
		t.Errorf("connectors (-want +got):\n%s", d)
	}
	const rest = ": is passed over: the names of connector files end in .yaml, .yml or .json"
	want := []string{
		"conf.d/README" + rest, "conf.d/d.yaml~" + rest, "conf.d/e.yaml.bak" + rest,
		"conf.d/g.yaml: is a folder and is passed over: connector files lie in connectors_dir itself",
	}
	if d := cmp.Diff(want, warnings(t, path)); d != "" {
		t.Errorf("warnings (-want +got):\n%s", d)
	}
}

func TestNoConnectorIsAWarning(t *testing.T) {
	t.Parallel()
	path := write(t, map[string]string{"config.yaml": "kafka: {brokers: [b:1]}\nconnectors_dir: conf.d\n", "conf.d/.keep": ""})
	if d := cmp.Diff([]string{"config.yaml: there is no connector in files, so nothing is polled but what connectors add has made"}, warnings(t, path)); d != "" {
		t.Errorf("warnings (-want +got):\n%s", d)
	}
	if got := warnings(t, write(t, map[string]string{"config.yaml": minimal})); len(got) != 0 {
		t.Errorf("with a connector: got warnings %q", got)
	}
}

// TestJSON: JSON as its tools write it, which YAML's reader does not take, with
// the lines of what is wrong.
func TestJSON(t *testing.T) {
	t.Parallel()
	const good = "\xef\xbb\xbf{\r\n\t\"kafka\": {\"brokers\": [\"b:1\"]},\r\n\t\"topics\": {\"create\": false, \"replication_factor\": 1},\n\t\"group\": null,\n" +
		"\t\"connectors\": [{\"name\": \"acme\", \"domain\": \"https:\\/\\/acme.onelogin.com\\/\", \"client_id\": \"id\",\n" +
		"\t\t\"client_secret\": \"env:SECRET\", \"rate_limit\": {\"share\": 2.5e-1}}]\n}\n"
	load := func(text string) (*config.Config, error) {
		path := write(t, map[string]string{"config.yaml": "", "config.json": text})
		return config.Load(filepath.Join(filepath.Dir(path), "config.json"), lookup)
	}
	cfg, err := load(good)
	if err != nil {
		t.Fatal(err)
	}
	if c := cfg.Connectors[0]; cfg.Topics.Create || cfg.Topics.ReplicationFactor != 1 || cfg.Group != "onelogin-kafka" || c.Domain != "acme.onelogin.com" || c.RateLimit.Share != 0.25 {
		t.Errorf("got %+v", cfg)
	}
	if cfg, err = load(strings.Replace(good, "\"id\"", `"\ud83d\ude00"`, 1)); err == nil || !strings.Contains(err.Error(), "client_id: holds a character outside ASCII at position 1") {
		t.Errorf("a surrogate pair: got %v, %v", cfg, err)
	}
	for text, want := range map[string]string{
		"":   "config.json: is empty",
		"[]": "config.json: is no mapping",
		`{"kafka": {"brokers": ["b:1"]}` + "\n" + `"` + canary + `"`: "config.json: is not valid JSON: line 2: what comes next is no JSON",
		`{} {}`:                     "config.json: is not valid JSON: line 1: what comes next is no JSON",
		strings.Repeat("[", 1000):   "config.json: is not valid JSON: line 1: what comes next is no JSON",
		`{"a" 1}`:                   "config.json: is not valid JSON",
		"{\"group\":\n\"a b\"}":     `config.json:2: group: "a b" is no name`,
		"{\"key\":1,\n\"key\":1}":   "config.json:2: key: is given twice, first in line 1; remove one",
		"{\"" + canary + "\":null}": "config.json:1: unknown key, not shown",
	} {
		if _, err := load(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: got error %v, want %q", text, err, want)
		}
	}
}

// TestEncryptedKey: of a key that is encrypted that is said, in both forms.
func TestEncryptedKey(t *testing.T) {
	t.Parallel()
	cert, key := pair(t)
	block, _ := pem.Decode([]byte(key))
	traditional, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", block.Bytes, []byte(canary), x509.PEMCipherAES256) //nolint:staticcheck // insecure, and still met
	if err != nil {
		t.Fatal(err)
	}
	block.Type = "ENCRYPTED PRIVATE KEY"
	for name, text := range map[string]string{
		"PKCS #8": string(pem.EncodeToMemory(block)), "traditional": string(pem.EncodeToMemory(traditional)),
		"behind the certificate and parameters": cert + "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + string(pem.EncodeToMemory(block)),
	} {
		for _, where := range []struct{ old, new, field string }{
			{"9092]}", "9092], tls: {cert_file: c, key_file: k}}", "kafka.tls.key_file"},
			{"instance:", "http: {tls: {cert_file: c, key_file: k}}\ninstance:", "http.tls.key_file"},
		} {
			path := write(t, map[string]string{"config.yaml": strings.Replace(minimal, where.old, where.new, 1), "c": cert, "k": text})
			_, err := config.Load(path, lookup)
			want := where.field + ": " + filepath.Join(filepath.Dir(path), "k") + " is encrypted, and nobody is there to type its password; decrypt it: openssl pkey -in … -out …"
			if err == nil || !strings.HasSuffix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: got error %v, want %s", name, err, want)
			}
		}
	}
}

// TestStartInTheFuture: a moment that has not come is refused; one that somebody
// with another clock took for now is not.
func TestStartInTheFuture(t *testing.T) {
	t.Parallel()
	for ahead, refused := range map[time.Duration]bool{-time.Hour: false, time.Minute: false, 10 * time.Minute: true, 24 * time.Hour: true} {
		text := time.Now().Add(ahead).Format(time.RFC3339)
		_, err := config.Load(write(t, map[string]string{"config.yaml": minimal + "    start_from: " + text + "\n"}), lookup)
		if got := err != nil && strings.Contains(err.Error(), "is in the future"); got != refused {
			t.Errorf("%v ahead: got error %v", ahead, err)
		}
	}
}

// TestMergedMappings: mappings that hold one another a thousand times over, or
// themselves, are read all the same, and at once.
func TestMergedMappings(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("kafka: {brokers: [b:1]}\ninstance: host-1\nconnectors:\n- &m0 {domain: acme, client_id: id, client_secret: env:SECRET, name: c0}\n")
	for i := 1; i <= 40; i++ {
		last := string(rune('0'+(i-1)/10)) + string(rune('0'+(i-1)%10))
		this := string(rune('0'+i/10)) + string(rune('0'+i%10))
		if i == 1 {
			last = "0"
		}
		text.WriteString("- &m" + this + " {name: c" + this + ", <<: [*m" + last + ", *m" + last + ", *m" + last + "]}\n")
	}
	path := write(t, map[string]string{"config.yaml": text.String()})
	cfg := mustLoad(t, path)
	if n := len(cfg.Connectors); n != 41 || cfg.Connectors[40].Domain != "acme.onelogin.com" {
		t.Errorf("got %d connectors, the last of %+v", n, cfg.Connectors[n-1])
	}
	if err := os.WriteFile(path, []byte("a: &a\n  <<: [*a, *a]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path, lookup); err == nil {
		t.Error("an unknown key was taken")
	}
}
