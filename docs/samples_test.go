package docs_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/registry/seal"
	"onelogin-kafka/schemas"
)

var (
	yamlBlock  = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```")
	inlineYAML = regexp.MustCompile("`((?:kafka|topics|secrets|connectors|http): \\{[^`]*\\})`")
	fileKey    = regexp.MustCompile(`\b([a-z_]+_file): ([^\s,}]+)`)
)

// secretFiles makes what a configuration names, below a folder, and returns the text
// with what was absolute taken to be there, too.
func secretFiles(t *testing.T, folder, text string) string {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}))
	content := map[string]string{
		"ca_file": certificate, "cert_file": certificate,
		"key_file": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
	}
	text = strings.ReplaceAll(text, "_file: /", "_file: ./")
	for _, m := range fileKey.FindAllStringSubmatch(text, -1) {
		secret, ok := content[m[1]]
		if m[1] == "private_key_file" {
			if secret, err = seal.GenerateKey(); err != nil {
				t.Fatal(err)
			}
		} else if !ok {
			secret = "0123456789abcdef"
		}
		path := filepath.Join(folder, m[2])
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(secret), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return text
}

// configuration makes of a fragment the files of a whole configuration: what is
// indented belongs to kafka, and what has a name is the file of a connector.
func configuration(fragment string, top map[string]any) map[string]string {
	const kafka = "kafka: {brokers: [localhost:9092]}\n"
	switch name, isConnector := top["name"].(string); {
	case isConnector:
		return map[string]string{"config.yaml": kafka + "connectors_dir: connectors.d\n", filepath.Join("connectors.d", name+".yaml"): fragment}
	case strings.HasPrefix(fragment, " "):
		return map[string]string{"config.yaml": "kafka:\n  brokers: [localhost:9092]\n" + fragment}
	case top["kafka"] == nil:
		return map[string]string{"config.yaml": kafka + fragment}
	}
	return map[string]string{"config.yaml": fragment}
}

// TestYAML: what the pages give as a configuration loads, and all else parses.
func TestYAML(t *testing.T) {
	loaded := 0
	for page, text := range pages(t) {
		var fragments []string
		for _, m := range append(yamlBlock.FindAllStringSubmatch(text, -1), inlineYAML.FindAllStringSubmatch(text, -1)...) {
			fragments = append(fragments, m[1])
		}
		for _, fragment := range fragments {
			var top map[string]any
			if err := yaml.Unmarshal([]byte(fragment), &top); err != nil {
				t.Errorf("%s: %v\n%s", page, err, fragment)
				continue
			}
			if top["groups"] != nil || top["services"] != nil || top["scrape_configs"] != nil {
				continue // Prometheus' and Compose's
			}
			folder := t.TempDir()
			if err := os.Mkdir(filepath.Join(folder, "connectors.d"), 0o700); err != nil {
				t.Fatal(err)
			}
			for name, part := range configuration(secretFiles(t, folder, fragment), top) {
				if err := os.WriteFile(filepath.Join(folder, name), []byte(part), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cfg, err := config.Load(filepath.Join(folder, "config.yaml"), func(string) (string, bool) { return "", false })
			if err != nil {
				t.Errorf("%s: %v\n%s", page, err, fragment)
				continue
			}
			for _, aside := range cfg.SetAside {
				t.Errorf("%s: %+v\n%s", page, aside, fragment)
			}
			loaded++
		}
	}
	if loaded < 12 {
		t.Errorf("loaded %d configurations only", loaded)
	}
}

var (
	sectionOfPage = regexp.MustCompile(`(?m)^## `)
	anyBlock      = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```")
	elided        = regexp.MustCompile(`,…,?`)
)

// sample is a JSON object on a page.
type sample struct {
	page, section string
	label         string // what stands before it since the sample before
	value         json.RawMessage
}

// samples are the JSON objects in the plain blocks of all pages. Each that begins is whole
// JSON, but for what an ellipsis leaves out.
func samples(t *testing.T) []sample {
	t.Helper()
	var all []sample
	for page, text := range pages(t) {
		for _, section := range sectionOfPage.Split(text, -1) {
			title, _, _ := strings.Cut(section, "\n")
			for _, block := range anyBlock.FindAllStringSubmatch(section, -1) {
				label, rest, found := strings.Cut(elided.ReplaceAllString(block[2], ","), `{"`)
				for found && block[1] == "" {
					rest = `{"` + rest
					dec := json.NewDecoder(strings.NewReader(rest))
					s := sample{page: page, section: title, label: strings.TrimSpace(label)}
					if err := dec.Decode(&s.value); err != nil {
						t.Errorf("%s, %s: %v: %.80s", page, title, err, rest)
						break
					}
					all = append(all, s)
					label, rest, found = strings.Cut(rest[dec.InputOffset():], `{"`)
				}
			}
		}
	}
	return all
}

// topical are the schemas of what the pages show of the topics; component leads to
// those of the API's answers.
var topical = []string{"event", "headers", "offset", "minute", "owner", "job", "job-progress", "status"}

const component = "openapi.json#/components/schemas/"

// schemaOf names the schema of a record by its key, and of an answer by its request.
func (s sample) schemaOf() string {
	switch {
	case s.page == "console.md" && strings.Contains(s.label, "/check"):
		return component + "Check"
	case s.page == "console.md" && strings.Contains(s.label, "/nobody"):
		return component + "Problem"
	case s.page == "console.md" && strings.Contains(s.label, "/connectors/"):
		return component + "ConnectorWithHistory"
	case s.page == "console.md" && strings.Contains(s.label, "/connectors"):
		return component + "ConnectorList"
	case s.page != "formats.md":
		return ""
	case strings.HasSuffix(s.label, "on onelogin.connectors"):
		return "job"
	case strings.HasSuffix(s.label, "on onelogin.offsets"):
		return "job-progress"
	case s.label == "_owner":
		return "owner"
	case s.section == "Status":
		return "status"
	case s.section == "Offsets" && strings.Contains(s.label, "/"):
		return "minute"
	case s.section == "Offsets":
		return "offset"
	}
	return ""
}

// TestJSON: each sample of JSON is JSON, and what lies on a topic is as its schema
// says.
func TestJSON(t *testing.T) {
	c, held := jsonschema.NewCompiler(), map[string]bool{}
	c.AssertFormat()
	add := func(name string, text []byte) {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err := errors.Join(err, c.AddResource(name, doc)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range topical {
		text, err := fs.ReadFile(schemas.Schemas, name+".schema.json")
		if err != nil {
			t.Fatal(err)
		}
		add(name, text)
	}
	add("openapi.json", []byte(read(t, "../internal/console/openapi.json")))
	hold := func(name string, value []byte) {
		held[name] = true
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.MustCompile(name).Validate(doc); err != nil {
			t.Errorf("%s: %v", value, err)
		}
	}
	for _, s := range samples(t) {
		if name := s.schemaOf(); name != "" {
			hold(name, s.value)
		}
		if s.page == "formats.md" && s.section == "Events" {
			var tailed struct{ Headers, Value json.RawMessage }
			if err := json.Unmarshal(s.value, &tailed); err != nil {
				t.Fatal(err)
			}
			hold("headers", tailed.Headers)
			hold("event", tailed.Value)
		}
	}
	for _, name := range append(topical, component+"ConnectorList", component+"ConnectorWithHistory", component+"Problem", component+"Check") {
		if !held[name] {
			t.Errorf("no sample of %s is on the pages", name)
		}
	}
}
