package config

import (
	"encoding/json"
	"maps"
	"os"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Filed is a connector of a file, with what the file says of it beyond the
// fields that every connector has.
type Filed struct {
	Connector
	Settings map[string]json.RawMessage
}

// everyField are the fields that a Filed does not have among its Settings.
var everyField = []string{"name", "type", "domain", "client_id", "client_secret", "client_secret_file", "base_url", "paused"}

// LoadFolder reads a folder of connector files by itself. Paths in them are
// relative to base. The error is Problems.
func LoadFolder(folder, base string, lookup func(name string) (string, bool)) ([]Filed, error) {
	l := newLoader(lookup)
	root := place{doc: l.document(folder, base)}
	entries := l.connectorFiles(folder, root)
	names(entries, nil)
	if problems := l.problems(); len(problems) > 0 {
		return nil, problems
	}
	all := make([]Filed, 0, len(entries))
	for _, e := range entries {
		settings, err := settingsOf(e.connector.File)
		if err != nil {
			root.problem("%s", reason(e.connector.File, err))
			return nil, l.problems()
		}
		all = append(all, Filed{e.connector, settings})
	}
	return all, nil
}

// settingsOf reads a file that was read without a problem once more, as it is
// written.
func settingsOf(file string) (map[string]json.RawMessage, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all map[string]any
	if err := yaml.Unmarshal(content, &all); err != nil {
		return nil, err
	}
	maps.DeleteFunc(all, func(name string, value any) bool { return value == nil || slices.Contains(everyField, name) })
	settings := map[string]json.RawMessage{}
	for name, value := range all {
		if settings[name], err = json.Marshal(value); err != nil {
			return nil, err
		}
	}
	return settings, nil
}
