package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"onelogin-kafka/internal/config"
)

// TestExample loads the example as it is and looks for every key in it.
func TestExample(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile("../../onelogin-kafka.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, map[string]string{"config.yaml": string(example), "secrets/acme": canary})
	got := mustLoad(t, path)
	want := validConfig()
	want.Instance = got.Instance
	want.Connectors[0].ClientID = "0123456789abcdef"
	want.Connectors[0].ClientSecret = config.NewSecretFile(filepath.Join(filepath.Dir(path), "secrets/acme"))
	if d := diff(want, *got); d != "" {
		t.Errorf("the example's values are not the defaults (-want +got):\n%s", d)
	}
	for _, key := range keys(reflect.TypeFor[config.Config]()) {
		if !strings.Contains(string(example), key+":") {
			t.Errorf("the example does not show the key %s", key)
		}
	}
}

// keys are the keys of a section and of all sections in it.
func keys(t reflect.Type) []string {
	var all []string
	for i := range t.NumField() {
		key := t.Field(i).Tag.Get("yaml")
		if key == "-" {
			continue
		}
		all = append(all, key)
		section := t.Field(i).Type
		for section.Kind() == reflect.Pointer || section.Kind() == reflect.Slice {
			section = section.Elem()
		}
		if section == reflect.TypeFor[config.Secret]() {
			all = append(all, key+"_file")
		} else if section.Kind() == reflect.Struct && section != reflect.TypeFor[config.StartFrom]() {
			all = append(all, keys(section)...)
		}
	}
	return all
}
