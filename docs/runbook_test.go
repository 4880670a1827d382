package docs_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

const runbook = "runbook.md"

// alert is a rule as Prometheus reads it.
type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// shipped are the alert rules that are shipped, by name.
func shipped(t *testing.T) map[string]alert {
	t.Helper()
	var rules struct {
		Groups []struct {
			Name  string  `yaml:"name"`
			Rules []alert `yaml:"rules"`
		} `yaml:"groups"`
	}
	file, err := os.Open(alerts)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	dec := yaml.NewDecoder(file)
	dec.KnownFields(true)
	if err := dec.Decode(&rules); err != nil {
		t.Fatal(err)
	}
	all := map[string]alert{}
	for _, g := range rules.Groups {
		for _, a := range g.Rules {
			if _, twice := all[a.Alert]; twice {
				t.Errorf("%s is there twice", a.Alert)
			}
			all[a.Alert] = a
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s has no alert", alerts)
	}
	return all
}

// TestRunbook: each alert leads to a section of its own, which says what it means,
// where to look and what to do; and there is no section without an alert.
func TestRunbook(t *testing.T) {
	text := read(t, runbook)
	sections := map[string]string{}
	for _, section := range strings.Split(text, "\n## ")[1:] {
		name, body, _ := strings.Cut(section, "\n")
		sections[name] = body
	}
	all := shipped(t)
	if d := cmp.Diff(slices.Sorted(maps.Keys(all)), slices.Sorted(maps.Keys(sections))); d != "" {
		t.Errorf("alerts (-) and sections of %s (+):\n%s", runbook, d)
	}
	for name, a := range all {
		if want := "docs/" + runbook + "#" + strings.ToLower(name); a.Annotations["runbook"] != want || !anchors(text)[strings.ToLower(name)] {
			t.Errorf("%s leads to %q, want %s", name, a.Annotations["runbook"], want)
		}
		if a.Annotations["summary"] == "" || a.Labels["severity"] == "" {
			t.Errorf("%s has no summary or severity", name)
		}
		for _, part := range []string{"**Means**: ", "**Look**: ", "**Do**: "} {
			if !strings.Contains(sections[name], part) {
				t.Errorf("the section of %s lacks %q", name, part)
			}
		}
	}
}

var alertName = regexp.MustCompile(`\bOneLogin[A-Z][A-Za-z]+\b`)

// TestAlertsNamed: a page names no alert that is not shipped.
func TestAlertsNamed(t *testing.T) {
	all := shipped(t)
	for page, text := range pages(t) {
		for _, name := range alertName.FindAllString(text, -1) {
			if _, ok := all[name]; !ok {
				t.Errorf("%s names the alert %s, which is not shipped", page, name)
			}
		}
	}
}
