package config

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// pair is a key of a mapping and its value.
type pair struct{ key, value *yaml.Node }

// pairs are the keys of a mapping in their order, then those that it takes over
// with YAML's merge key: "<<: *a", or "<<: [*a, *b]", where a counts before b.
// What is nearer counts: the mapping's own keys before those taken over, and a
// secret's key before its _file twin and the other way round.
func (d *decoder) pairs(node *yaml.Node, at place) []pair {
	m := merging{decoder: d, at: at, taken: make(map[string]bool), visited: make(map[*yaml.Node]bool)}
	m.mapping(node)
	return m.pairs
}

// merging collects the pairs of one mapping.
type merging struct {
	decoder *decoder
	at      place
	pairs   []pair
	taken   map[string]bool // keys that no mapping further away can give
	// visited has the mappings seen: a second visit gives nothing new, and one
	// mapping may hold itself, or another a thousand times.
	visited map[*yaml.Node]bool
}

func (m *merging) mapping(node *yaml.Node) {
	if m.visited[node] {
		return
	}
	m.visited[node] = true
	var own []string
	var others *yaml.Node
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Tag == "!!merge" {
			if others != nil {
				m.decoder.report(key.Line, m.at.sub("<<"), "is given twice; write <<: [*a, *b]")
				continue
			}
			others = value
			continue
		}
		if m.taken[key.Value] || m.taken[twinOf(key.Value)] {
			continue
		}
		own = append(own, key.Value)
		m.pairs = append(m.pairs, pair{key, value})
	}
	for _, name := range own {
		m.taken[name] = true
	}
	if others != nil {
		m.others(others)
	}
}

// others takes over from what stands behind a merge key.
func (m *merging) others(node *yaml.Node) {
	list := []*yaml.Node{node}
	if n := resolve(node); n.Kind == yaml.SequenceNode {
		list = n.Content
	}
	for _, element := range list {
		if element = resolve(element); element.Kind != yaml.MappingNode {
			m.decoder.report(element.Line, m.at.sub("<<"), "takes over from a mapping, or from a list of them: write <<: *name, or <<: [*one, *other]")
			return
		}
		m.mapping(element)
	}
}

// twinOf is the other key of a secret: the one with, or without, _file.
func twinOf(name string) string {
	if without, ok := strings.CutSuffix(name, "_file"); ok {
		return without
	}
	return name + "_file"
}
