// Package docs_test holds the pages against the code: links, metrics, alerts,
// commands, configuration keys with their defaults, and samples.
package docs_test

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/service"
	"onelogin-kafka/schemas"
)

const (
	metricsPage = "metrics.md"
	alerts      = "../deploy/prometheus/onelogin-kafka.rules.yml"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// pages are the README and all pages, by path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("*.md")
	if err != nil || len(names) == 0 {
		t.Fatalf("there are no pages: %v", err)
	}
	texts := map[string]string{}
	for _, name := range append(names, "../README.md") {
		texts[name] = read(t, name)
	}
	return texts
}

var (
	fence   = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	absent  = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// anchors are the fragments that lead to a page's headings.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		all[strings.ReplaceAll(absent.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return all
}

func TestLinks(t *testing.T) {
	for page, text := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, fragment, _ := strings.Cut(m[1], "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
				continue
			}
			if fragment != "" && !anchors(read(t, target))[fragment] {
				t.Errorf("%s links to %s, which has no such heading", page, m[1])
			}
		}
	}
}

// names is a registry that keeps nothing but what its metrics are called.
type names map[string]bool

var fqName = regexp.MustCompile(`fqName: "([^"]*)"`)

func (n names) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc)
	go func() { c.Describe(descs); close(descs) }()
	for d := range descs {
		n[fqName.FindStringSubmatch(d.String())[1]] = true
	}
	return nil
}

func (n names) MustRegister(list ...prometheus.Collector) {
	for _, c := range list {
		_ = n.Register(c) // never fails
	}
}

func (n names) Unregister(prometheus.Collector) bool { return false }

// metrics are the metrics of a running service.
func metrics(t *testing.T) names {
	t.Helper()
	cfg := config.Default()
	cfg.Instance, cfg.Kafka.Brokers = "docs", []string{"127.0.0.1:1"}
	registered := names{}
	if _, err := service.New(&cfg, service.Options{Log: zerolog.Nop(), Registry: registered}); err != nil {
		t.Fatal(err)
	}
	for name := range registered {
		if !strings.HasPrefix(name, "onelogin_") {
			delete(registered, name)
		}
	}
	if len(registered) == 0 {
		t.Fatal("the service registers no metrics")
	}
	return registered
}

var (
	metric = regexp.MustCompile(`\bonelogin_[a-z_]*[a-z]\b`)
	suffix = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// named are the metrics that a text names.
func named(text string) names {
	all := names{}
	for _, name := range metric.FindAllString(text, -1) {
		if name != schemas.HeaderAccountID && name != schemas.HeaderEventType {
			all[suffix.ReplaceAllString(name, "")] = true
		}
	}
	return all
}

func TestMetricsTable(t *testing.T) {
	table := names{}
	for line := range strings.Lines(read(t, metricsPage)) {
		if strings.HasPrefix(line, "| `onelogin_") {
			first, _, _ := strings.Cut(strings.TrimPrefix(line, "|"), "|")
			maps.Copy(table, named(first))
		}
	}
	if d := cmp.Diff(slices.Sorted(maps.Keys(metrics(t))), slices.Sorted(maps.Keys(table))); d != "" {
		t.Errorf("metrics of the code (-) and in the table of %s (+):\n%s", metricsPage, d)
	}
}

func TestMetricsNamed(t *testing.T) {
	registered := metrics(t)
	texts := pages(t)
	texts[alerts] = read(t, alerts)
	for page, text := range texts {
		for name := range named(text) {
			if !registered[name] {
				t.Errorf("%s names %s, which the code does not have", page, name)
			}
		}
	}
	if len(named(texts[alerts])) == 0 {
		t.Errorf("%s names no metric", alerts)
	}
}

// keys adds the names of a configuration struct's keys.
func keys(typ reflect.Type, all map[string]bool) {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct {
		return
	}
	for i := range typ.NumField() {
		f := typ.Field(i)
		if key := f.Tag.Get("yaml"); key != "" && key != "-" {
			all[key] = true
			keys(f.Type, all)
		}
	}
}

func TestConfigurationKeys(t *testing.T) {
	all := map[string]bool{}
	keys(reflect.TypeFor[config.Config](), all)
	if !all["commit_interval"] || !all["rate_limit"] || !all["share"] {
		t.Fatalf("the keys of the configuration are not found: %v", all)
	}
	example := read(t, "../onelogin-kafka.example.yaml")
	var docs strings.Builder
	for page, text := range pages(t) {
		if page != "../README.md" {
			docs.WriteString(text)
		}
	}
	for key := range all {
		word := regexp.MustCompile(`\b` + key + `(_file)?\b`)
		if !regexp.MustCompile(`\b` + key + `(_file)?:`).MatchString(example) {
			t.Errorf("the example configuration lacks the key %s", key)
		}
		if !word.MatchString(docs.String()) {
			t.Errorf("no page mentions the key %s", key)
		}
	}
}

// The table of variables has those that are read, and no other.
func TestVariablesTable(t *testing.T) {
	const page = "configuration.md"
	_, section, _ := strings.Cut(read(t, page), "\n## Without a file\n")
	section, _, _ = strings.Cut(section, "\n## ")
	table := names{}
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "| ") {
			for _, name := range regexp.MustCompile(`\b(KAFKA|ONELOGIN)_[A-Z_]+\b`).FindAllString(line, -1) {
				table[name] = true
			}
		}
	}
	var known []string
	for _, v := range config.Variables() {
		known = append(known, v.Name)
	}
	slices.Sort(known)
	if d := cmp.Diff(known, slices.Sorted(maps.Keys(table))); d != "" {
		t.Errorf("variables of the code (-) and in the table of %s (+):\n%s", page, d)
	}
}

var (
	reasonInCode = regexp.MustCompile(`(?m)^\treason\w+ +=? ?"(.*)"$`)
	reasonOnPage = regexp.MustCompile("(?s)\nThe reasons: (.*?)\\. An element")
	quoted       = regexp.MustCompile("`([^`]*)`")
)

// TestDeadLetterReasons: the page has the reasons of the code, and no others.
func TestDeadLetterReasons(t *testing.T) {
	var code, page []string
	for _, m := range reasonInCode.FindAllStringSubmatch(read(t, "../source/onelogin/event.go"), -1) {
		code = append(code, m[1])
	}
	sentence := reasonOnPage.FindStringSubmatch(read(t, "formats.md"))
	if len(code) == 0 || sentence == nil {
		t.Fatalf("%d reasons in the code; the page has %q", len(code), sentence)
	}
	for _, m := range quoted.FindAllStringSubmatch(sentence[1], -1) {
		page = append(page, m[1])
	}
	slices.Sort(code)
	slices.Sort(page)
	if d := cmp.Diff(code, page); d != "" {
		t.Errorf("reasons of the code (-) and of the page (+):\n%s", d)
	}
}
