package config

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"onelogin-kafka/schemas"
)

// Recorded returns the connector that a record of the control log stands for, as
// Load does for one of a file. place is what its problems name instead of one.
// The secret is opened by open each time it is needed; what open returns as an
// error is a problem. The record is data and comes from elsewhere: it resolves no
// env: reference and names no file.
func Recorded(rec schemas.Connector, place string, open func() (string, error)) (Connector, Problems) {
	// Opening is dear: once is enough to judge what is in it.
	return recorded(rec, place, open, sync.OnceValues(open))
}

// Closed is Recorded without a look into the secret, which is judged when it is
// used.
func Closed(rec schemas.Connector, place string, open func() (string, error)) (Connector, Problems) {
	return recorded(rec, place, open, func() (string, error) { return "closed", nil })
}

// recorded judges what seen returns as the secret.
func recorded(rec schemas.Connector, place string, open, seen func() (string, error)) (Connector, Problems) {
	c, problems := judged(rec, place, seen)
	c.ClientSecret = sealed(rec.Secret.Sealed, open)
	for i := range problems {
		problems[i].Line = 0 // all of it is one line
	}
	return c, problems
}

func judged(rec schemas.Connector, place string, seen func() (string, error)) (Connector, Problems) {
	l := newLoader(func(string) (string, bool) { return "", false })
	doc := l.document(place, "")
	root := placeOf(doc)
	c := DefaultConnector()
	c.Recorded, c.SecretGeneration = true, rec.Secret.Generation
	settings := maps.Clone(rec.Settings)
	if settings == nil {
		settings = map[string]json.RawMessage{}
	}
	for name, value := range map[string]any{
		"name": rec.Name, "type": rec.Type, "domain": rec.Domain, "client_id": rec.ClientID, "base_url": rec.BaseURL, "paused": rec.Paused,
	} {
		text, err := json.Marshal(value)
		if err != nil {
			root.problem("%s cannot be read", name)
			return c, l.problems()
		}
		settings[name] = text
	}
	data, err := json.Marshal(settings)
	var node *yaml.Node
	if err == nil {
		node, err = parseJSON(data)
	}
	if err != nil || node == nil {
		root.problem("is not valid JSON")
		return c, l.problems()
	}
	refuseOutside(node, root)
	if len(doc.problems) > 0 {
		return c, l.problems()
	}
	d := decoder{doc: doc, env: l.env}
	d.value(node, root, reflect.ValueOf(&c).Elem())
	c.ClientSecret = sealed(rec.Secret.Sealed, seen)
	if _, err := seen(); err != nil {
		root.sub("client_secret").problem("%v", err)
	}
	l.connector(&c, root)
	c.Source = place
	return c, l.problems()
}

func placeOf(doc *document) place { return place{doc: doc} }

// refuseOutside reports what would have a record reach beyond itself: for a file
// or a variable of the instance that reads it.
func refuseOutside(node *yaml.Node, at place) {
	if node.Kind == yaml.ScalarNode && strings.HasPrefix(node.Value, "env:") {
		at.problem("names a variable, which only a file can; write the value")
	}
	for i, element := range node.Content {
		switch {
		case node.Kind == yaml.SequenceNode:
			refuseOutside(element, at.item(i))
		case i%2 == 1:
			key := node.Content[i-1].Value
			here := at
			if plainKey.MatchString(key) {
				here = at.sub(key)
			}
			if strings.HasSuffix(key, "_file") || key == "client_secret" {
				here.problem("names a file or a plain secret, which only a file can; leave it out")
			}
			refuseOutside(element, here)
		}
	}
}
