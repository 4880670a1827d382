package config

import (
	"reflect"
	"regexp"

	"go.yaml.in/yaml/v3"
)

// tableKey is a name in a table. Others are not shown: they may be a value that
// has gone astray.
var tableKey = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,31}$`)

// table fills v, a map of texts, from a mapping whose keys are the writer's own.
func (d *decoder) table(node *yaml.Node, at place, v reflect.Value) {
	if node.Kind != yaml.MappingNode {
		at.problem("is no mapping; write each as name: value, indented")
		return
	}
	table := map[string]string{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], resolve(node.Content[i+1])
		if key.Kind != yaml.ScalarNode || !tableKey.MatchString(key.Value) {
			d.report(key.Line, at, "a name is no plain text; use letters, digits, dash and underscore")
			continue
		}
		here := at.sub(key.Value)
		d.doc.lines[here.path] = key.Line
		if _, twice := table[key.Value]; twice {
			d.report(key.Line, here, "is given twice; remove one")
			continue
		}
		if text, ok := d.text(value, here); ok {
			table[key.Value] = text
		}
	}
	v.Set(reflect.ValueOf(table))
}
