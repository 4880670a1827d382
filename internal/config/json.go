package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// maxJSONDepth is far more than a configuration is deep.
const maxJSONDepth = 100

// parseJSON returns the one value in data as if it were written in YAML; nil if
// there is none. YAML's own reader knows no escaped slash and no surrogates.
func parseJSON(data []byte) (*yaml.Node, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	p := jsonParser{data: data, dec: json.NewDecoder(bytes.NewReader(data)), line: 1}
	p.dec.UseNumber()
	node, err := p.value(0)
	if errors.Is(err, io.EOF) && len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	if err == nil {
		if _, err = p.dec.Token(); errors.Is(err, io.EOF) {
			return node, nil
		}
	}
	// The cause can quote what was read.
	return nil, fmt.Errorf("line %d: what comes next is no JSON", p.at())
}

type jsonParser struct {
	data   []byte
	dec    *json.Decoder
	offset int64 // up to which lines were counted
	line   int   // at offset
}

// at is the line that the decoder has come to.
func (p *jsonParser) at() int {
	to := min(p.dec.InputOffset(), int64(len(p.data)))
	p.line += bytes.Count(p.data[p.offset:to], []byte("\n"))
	p.offset = to
	return p.line
}

var errJSONDepth = errors.New("nested too deeply")

func (p *jsonParser) value(depth int) (*yaml.Node, error) {
	token, err := p.dec.Token()
	if err != nil {
		return nil, err
	}
	node := &yaml.Node{Kind: yaml.ScalarNode, Line: p.at()}
	switch t := token.(type) {
	case json.Delim:
		node.Kind, node.Tag = yaml.SequenceNode, "!!seq"
		if t == '{' {
			node.Kind, node.Tag = yaml.MappingNode, "!!map"
		}
		return node, p.elements(node, depth+1)
	case string:
		node.Tag, node.Value = "!!str", t
	case json.Number:
		node.Tag, node.Value = "!!float", t.String()
	case bool:
		node.Tag, node.Value = "!!bool", fmt.Sprint(t)
	case nil:
		node.Tag, node.Value = "!!null", "null"
	}
	return node, nil
}

// elements fills an object, keys and values in turn, or an array.
func (p *jsonParser) elements(node *yaml.Node, depth int) error {
	if depth > maxJSONDepth {
		return errJSONDepth
	}
	for p.dec.More() {
		element, err := p.value(depth)
		if err != nil {
			return err
		}
		node.Content = append(node.Content, element)
	}
	_, err := p.dec.Token()
	return err
}
