package schemas_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"onelogin-kafka/schemas"
)

// compiled are the embedded schemas by name, compiled once.
var compiled = sync.OnceValues(func() (map[string]*jsonschema.Schema, error) {
	files, err := fs.Glob(schemas.Schemas, "*.schema.json")
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	all := make(map[string]*jsonschema.Schema)
	for _, file := range files {
		text, err := fs.ReadFile(schemas.Schemas, file)
		if err != nil {
			return nil, err
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		if err := c.AddResource(file, doc); err != nil {
			return nil, err
		}
		if all[strings.TrimSuffix(file, ".schema.json")], err = c.Compile(file); err != nil {
			return nil, err
		}
	}
	return all, nil
})

// check returns what the embedded schema says of a JSON value.
func check(t *testing.T, schema string, value []byte) error {
	t.Helper()
	all, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	s, ok := all[schema]
	if !ok {
		t.Fatalf("no embedded schema %s", schema)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		t.Fatalf("%s is not JSON: %v", value, err)
	}
	return s.Validate(doc)
}

func validate(t *testing.T, schema string, value []byte) {
	t.Helper()
	if err := check(t, schema, value); err != nil {
		t.Errorf("%s: %v", value, err)
	}
}

func TestSchemasAreDraft202012(t *testing.T) {
	t.Parallel()
	all, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"event", "headers", "minute", "offset", "owner", "status", "connector", "sealing", "bell", "job", "job-progress", "audit"} {
		s, ok := all[name]
		if !ok {
			t.Errorf("schema %s is not embedded", name)
			continue
		}
		if s.DraftVersion != 2020 {
			t.Errorf("schema %s is of draft %d, want 2020", name, s.DraftVersion)
		}
	}
}

func TestSchemasRefuse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, schema, valid, field string
		value                      any
	}{
		{"offset of a later version", "offset", offsetJSON, "version", 2},
		{"offset without window start", "offset", offsetJSON, "window_start", nil},
		{"offset with a local time", "offset", offsetJSON, "through", "2026-11-22T07:05:11+02:00"},
		{"minute with other base64", "minute", minuteJSON, "ids", "rAIB_gAE"},
		{"minute with a negative count", "minute", minuteJSON, "count", -1},
		{"owner without a group", "owner", ownerJSON, "group", nil},
		{"owner of no partition", "owner", ownerJSON, "partitions", 0},
		{"status of an unknown state", "status", statusJSON, "state", "FINE"},
		{"status without an instance", "status", statusJSON, "instance", nil},
		{"connector without a secret", "connector", connectorJSON, "client_secret", nil},
		{"connector with a plain secret", "connector", connectorJSON, "client_secret", "plain"},
		{"connector before its first generation", "connector", connectorJSON, "generation", 0},
		{"sealing key with other base64", "sealing", sealingJSON, "public_key", "a+b="},
		{"bell without a time", "bell", bellJSON, "at", nil},
		{"job of another kind", "job", jobJSON, "kind", "wipe"},
		{"job from no time", "job", jobJSON, "from", nil},
		{"progress of another state", "job-progress", progressJSON, "state", "lost"},
		{"progress up to no time", "job-progress", progressJSON, "through", nil},
		{"audit without an action", "audit", auditJSON, "action", nil},
		{"event with an id as text", "event", eventJSON, "id", "1"},
		{"event without a time", "event", eventJSON, "created_at", nil},
		{"headers with an unknown one", "headers", headersJSON, "extra", "1"},
		{"headers with late false", "headers", headersJSON, "late", "false"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			validate(t, tt.schema, []byte(tt.valid))
			if check(t, tt.schema, mutate(t, tt.valid, tt.field, tt.value)) == nil {
				t.Errorf("the schema lets %s = %v pass", tt.field, tt.value)
			}
		})
	}
}
