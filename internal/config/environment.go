package config

import (
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// fromEnvironment fills cfg from the variables that are set and not empty: they
// are put into a document as a file would have them, each value as it is. A
// connector without a name is called as the first part of its domain, e.g.
// "acme".
func (l *loader) fromEnvironment(cfg *Config) place {
	doc := l.document("environment", "")
	root := place{doc: doc}
	doc.names = make(map[string]string)
	tree := mappingNode()
	overTLS, _ := l.env(EnvTLS)
	for _, v := range Variables() {
		at := place{doc, strings.ReplaceAll(v.Key, "[]", "[0]")}
		doc.names[at.path] = v.Name
		value, _ := l.env(v.Name)
		path := strings.Split(v.Key, ".")
		switch {
		case value == "":
		case v.Name != EnvTLS && overTLS == "false" && strings.HasPrefix(v.Key, "kafka.tls."):
			at.problem("is for TLS, which %s=false switches off; remove one", EnvTLS)
		case v.Name != EnvTLS:
			grow(tree, path, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value, Line: 1})
		case value == "true":
			grow(tree, path, mappingNode())
		case value != "false":
			at.problem("%s is neither true nor false", at.quote(value))
		}
	}
	d := decoder{doc: doc, env: l.env, literal: true}
	d.value(tree, root, reflect.ValueOf(cfg).Elem())
	for i := range cfg.Connectors {
		name := root.sub("connectors").item(i).sub("name")
		doc.names[root.sub("connectors").item(i).path] = EnvDomain
		if c := &cfg.Connectors[i]; c.Name == "" {
			domain, _ := normaliseDomain(c.Domain)
			c.Name, _, _ = strings.Cut(domain, ".")
			doc.names[name.path] = EnvDomain
		}
	}
	for i := range cfg.Kafka.Brokers {
		doc.names[root.sub("kafka.brokers").item(i).path] = EnvBrokers
	}
	return root
}

func mappingNode() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: 1} }

// grow puts value at a path below node, and makes what is missing on the way.
func grow(node *yaml.Node, path []string, value *yaml.Node) {
	name, list := strings.CutSuffix(path[0], "[]")
	var child *yaml.Node
	for i := 0; i < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			child = node.Content[i+1]
		}
	}
	if child == nil {
		child = value
		if len(path) > 1 {
			child = mappingNode()
		}
		if list {
			child = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{mappingNode()}, Line: 1}
		}
		node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name, Line: 1}, child)
	}
	if list {
		child = child.Content[0]
	}
	if len(path) > 1 {
		grow(child, path[1:], value)
	}
}
