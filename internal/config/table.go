package config

import (
	"reflect"

	"go.yaml.in/yaml/v3"
)

// table fills v, a map of texts, from a mapping whose keys are the writer's own.
func (d *decoder) table(node *yaml.Node, at place, v reflect.Value) {
	if node.Kind != yaml.MappingNode {
		at.problem("is no mapping; write each as name: value, indented")
		return
	}
	table := map[string]string{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], resolve(node.Content[i+1])
		if key.Kind != yaml.ScalarNode || !plainKey.MatchString(key.Value) {
			d.report(key.Line, at, "a name is no plain text; use letters, digits, dot, dash and underscore")
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
