package docs_test

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/internal/config"
)

// defaults adds what each key of a section has before anything is read, as the page
// writes it; "" is nothing. What may be absent, or be there several times, has a row
// of its own, and its fields have theirs.
func defaults(path string, v reflect.Value, all map[string]string) {
	for i := range v.NumField() {
		f, value := v.Type().Field(i), v.Field(i)
		key := f.Tag.Get("yaml")
		if key == "" || key == "-" {
			continue
		}
		if path != "" {
			key = path + "." + key
		}
		switch {
		case f.Type == reflect.TypeFor[config.Connector](), key == "connectors[].proxy":
			all[key] = "" // as proxy
		case f.Tag.Get("config") == "auto" && value.IsZero():
			all[key] = "auto"
		case f.Type.Kind() == reflect.Pointer:
			all[key] = ""
			defaults(key, reflect.New(f.Type.Elem()).Elem(), all)
		case f.Type.Kind() == reflect.Slice && f.Type.Elem() == reflect.TypeFor[config.Connector]():
			all[key] = ""
			defaults(key+"[]", reflect.ValueOf(config.DefaultConnector()), all)
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			all[key] = ""
			defaults(key+"[]", reflect.New(f.Type.Elem()).Elem(), all)
		case f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[config.Secret]() && f.Type != reflect.TypeFor[config.StartFrom]():
			defaults(key, value, all)
		case value.IsZero() && slices.Contains([]reflect.Kind{reflect.String, reflect.Slice, reflect.Map, reflect.Struct}, f.Type.Kind()):
			all[key] = ""
		default:
			all[key] = fmt.Sprint(value)
		}
	}
}

var row = regexp.MustCompile("(?m)^\\| `([a-z_.\\[\\]]+)` \\| (.*?) ?\\| ")

// TestDefaults: the tables have every key, with the default that it has.
func TestDefaults(t *testing.T) {
	const page = "configuration.md"
	want, got := map[string]string{}, map[string]string{}
	defaults("", reflect.ValueOf(config.Default()), want)
	for _, m := range row.FindAllStringSubmatch(read(t, page), -1) {
		value := strings.Trim(m[2], "`")
		switch {
		case m[2] == "required", m[1] == "instance" && m[2] == "the host name":
			value = ""
		case value == m[2] && value != "":
			t.Errorf("the default of %s is no value: %s", m[1], m[2])
		}
		if d, err := time.ParseDuration(value); err == nil {
			value = d.String()
		}
		got[m[1]] = value
	}
	if d := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); d != "" {
		t.Errorf("keys of the code (-) and in the tables of %s (+):\n%s", page, d)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("defaults of the code (-) and of %s (+):\n%s", page, d)
	}
}
