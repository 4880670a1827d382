package config

import (
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"onelogin-kafka/schemas"
)

// plainKey is what a key that is not known must look like to be shown: one with
// digits or other characters may be a secret that has slipped out of its place,
// as in {client_secret:…} without a space.
var plainKey = regexp.MustCompile(`^[A-Za-z][A-Za-z_-]{0,31}$`)

// plainName is what a variable of the environment is called.
var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// env looks up a variable of the environment.
type env func(name string) (string, bool)

// decoder fills a struct from a YAML document by the struct's yaml tags. It is
// as strict as the library's KnownFields, and also says the path of a field,
// resolves env: references and knows secrets and their _file twins.
type decoder struct {
	doc *document
	env env
	// literal tells that env: has no meaning: the values are the environment's.
	literal bool
}

// decode reads data into the struct that into points to. Fields that are not
// given, or are null, keep what they hold. It tells whether data is a mapping;
// nothing more can be said of a document that is not.
func (d *decoder) decode(data []byte, into any) bool {
	root := place{doc: d.doc}
	parse, language := parseYAML, "YAML"
	if strings.EqualFold(filepath.Ext(d.doc.name), ".json") {
		parse, language = parseJSON, "JSON"
	}
	node, err := parse(data)
	if err != nil {
		root.problem("is not valid %s: %v", language, err)
		return false
	}
	if node == nil || isNull(node) {
		root.problem("is empty; see onelogin-kafka.example.yaml for what to write")
		return false
	}
	d.value(node, root, reflect.ValueOf(into).Elem())
	return node.Kind == yaml.MappingNode
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" }

func resolve(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

// value fills v from node.
func (d *decoder) value(node *yaml.Node, at place, v reflect.Value) {
	node = resolve(node)
	if isNull(node) {
		return
	}
	if at.path != "" {
		d.doc.lines[at.path] = node.Line
	}
	switch kind := v.Kind(); {
	case kind == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(node, at, v.Elem())
	case kind == reflect.Slice:
		d.list(node, at, v)
	case kind == reflect.Map:
		d.table(node, at, v)
	case kind == reflect.Struct && v.Type() != reflect.TypeFor[StartFrom]():
		d.mapping(node, at, v)
	default:
		d.scalar(node, at, v)
	}
}

func (d *decoder) list(node *yaml.Node, at place, v reflect.Value) {
	if node.Kind != yaml.SequenceNode {
		at.problem("is no list; write one, even for a single element: [a] or lines that start with a dash")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(node.Content), len(node.Content)))
	for i, element := range node.Content {
		if c, ok := v.Index(i).Addr().Interface().(*Connector); ok {
			*c = DefaultConnector()
		}
		at.item(i).note(element)
		d.value(element, at.item(i), v.Index(i))
	}
}

// note remembers where a field is, also when it is null.
func (p place) note(node *yaml.Node) { p.doc.lines[p.path] = node.Line }

func (d *decoder) mapping(node *yaml.Node, at place, v reflect.Value) {
	if node.Kind != yaml.MappingNode {
		at.problem("is no mapping; write the keys of this section, indented, each as key: value")
		return
	}
	fields := fieldsOf(v.Type())
	seen := make(map[string]int)
	for _, p := range d.pairs(node, at) {
		key, value := p.key, p.value
		name := key.Value
		here := at.sub(name)
		f, ok := fields[name]
		if !ok {
			d.unknown(key, value, at, fields)
			continue
		}
		if first := seen[name]; first > 0 {
			d.report(key.Line, here, "is given twice, first in line "+strconv.Itoa(first)+"; remove one")
			continue
		}
		seen[name] = key.Line
		target := v.Field(f.index)
		if f.secret {
			d.secret(value, here, target.Addr().Interface().(*Secret), f)
			continue
		}
		if f.auto && d.isAuto(value) {
			continue
		}
		if f.commas {
			d.commas(value, here, target.Addr().Interface().(*[]string))
			continue
		}
		d.value(value, here, target)
	}
}

// isAuto tells whether the value is auto, which stands for zero.
func (d *decoder) isAuto(node *yaml.Node) bool {
	text := resolve(node).Value
	if name, ok := strings.CutPrefix(text, "env:"); ok && !d.literal {
		text, _ = d.env(name)
	}
	return text == "auto"
}

func (d *decoder) report(line int, at place, message string) {
	d.doc.problems = append(d.doc.problems, Problem{File: d.doc.name, Line: line, Path: at.path, Message: message})
}

func (d *decoder) unknown(key, value *yaml.Node, at place, fields map[string]structField) {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	here := "the keys here are " + strings.Join(names, ", ")
	if name, _, ok := strings.Cut(key.Value, ":"); ok && isNull(value) {
		if _, known := fields[name]; known {
			d.report(key.Line, at.sub(name), "has no space after the colon; write "+name+": and then the value")
			return
		}
	}
	switch {
	case key.Kind != yaml.ScalarNode:
		d.report(key.Line, at, "a key is no plain text; "+here)
	case !plainKey.MatchString(key.Value):
		d.report(key.Line, at, "unknown key, not shown since it does not look like one; "+here)
	default:
		d.report(key.Line, at.sub(key.Value), "unknown key; "+here)
	}
}

// secret fills s from the key with the value or its _file twin.
func (d *decoder) secret(node *yaml.Node, at place, s *Secret, f structField) {
	node = resolve(node)
	if isNull(node) {
		return
	}
	at.note(node)
	text, ok := d.text(node, at)
	delete(d.doc.texts, at.path) // never quoted
	if !ok || node.Value == "" {
		return
	}
	whose := ""
	if name, ok := strings.CutPrefix(node.Value, "env:"); ok && !d.literal {
		whose = "the environment variable " + name + " "
	}
	if text == "" {
		at.problem("%s%v", whose, errEmptySecret)
		return
	}
	if s.IsSet() {
		value := place{at.doc, strings.TrimSuffix(at.path, "_file")}
		at.problem("%s and %s are both given; keep one", value.called(), value.twin().called())
		return
	}
	if f.twin {
		d.doc.elsewhere[at.path] = true
		*s = NewSecretFile(d.doc.resolve(text))
		return
	}
	secret, err := secretText(text)
	if err != nil {
		at.problem("%s%v", whose, err)
		return
	}
	*s = NewSecret(secret)
}

// commas fills v with the parts of a value, or of the values of a list: each may
// have several, with commas between them, as in one variable for all.
func (d *decoder) commas(node *yaml.Node, at place, v *[]string) {
	node = resolve(node)
	if isNull(node) {
		return
	}
	at.note(node)
	list := []*yaml.Node{node}
	switch node.Kind {
	case yaml.SequenceNode:
		list = node.Content
	case yaml.ScalarNode:
	default:
		at.problem("is no list; write [a, b], or a,b in one text")
		return
	}
	*v = nil
	for _, element := range list {
		element = resolve(element)
		here := at
		if element != node {
			here = at.item(len(*v))
			here.note(element)
		}
		text, ok := d.text(element, here)
		if !ok {
			continue
		}
		written := d.doc.texts[here.path]
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			here := at.item(len(*v))
			here.note(element)
			if written != text { // a reference, whose value is not shown
				d.doc.texts[here.path] = written
			} else {
				d.doc.texts[here.path] = part
			}
			*v = append(*v, part)
		}
	}
}

// resolve returns a path relative to the document's folder.
func (d *document) resolve(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(d.dir, path)
}

// text returns the scalar's text with an env: reference resolved.
func (d *decoder) text(node *yaml.Node, at place) (string, bool) {
	if node.Kind != yaml.ScalarNode {
		at.problem("is not a single value; write key: value")
		return "", false
	}
	d.doc.texts[at.path] = node.Value
	name, isRef := strings.CutPrefix(node.Value, "env:")
	if d.literal || !isRef {
		if unreplaced.MatchString(node.Value) || !d.literal && d.env.isReference(node.Value) {
			at.problem("%v", errReferenceText)
			return "", false
		}
		return node.Value, true
	}
	if !plainName.MatchString(name) {
		at.problem("what follows env: is no name of a variable; write env:NAME")
		return "", false
	}
	d.doc.elsewhere[at.path] = true
	text, ok := d.env(name)
	switch {
	case !ok:
		at.problem("the environment variable %s is not set; set it or write the value", name)
	case unreplaced.MatchString(text):
		at.problem("the environment variable %s %v", name, errReferenceText)
		return "", false
	}
	return text, ok
}

// scalar fills v from a single value.
func (d *decoder) scalar(node *yaml.Node, at place, v reflect.Value) {
	text, ok := d.text(node, at)
	if !ok {
		return
	}
	switch target := v.Addr().Interface().(type) {
	case *string:
		*target = text
	case *bool:
		if text != "true" && text != "false" {
			at.problem("%s is neither true nor false", at.quote(""))
			return
		}
		*target = text == "true"
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			at.problem("%s is no whole number", at.quote(""))
			return
		}
		*target = n
	case *float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			at.problem("%s is no number", at.quote(""))
			return
		}
		*target = f
	case *time.Duration:
		t, err := time.ParseDuration(text)
		if err != nil {
			at.problem("%s is no duration; write a number and a unit, e.g. 200ms, 2s, 15m or 24h", at.quote(""))
			return
		}
		*target = t
	case *Size:
		size, err := parseSize(text)
		if err != nil {
			at.problem("%s %v", at.quote(""), err)
			return
		}
		*target = size
	case *schemas.KeyStrategy:
		k, err := schemas.ParseKeyStrategy(text)
		if err != nil {
			at.problem("%s is not one of tenant, user, event", at.quote(""))
			return
		}
		*target = k
	case *StartFrom:
		s, err := ParseStartFrom(text)
		if err != nil {
			at.problem("%s %v", at.quote(""), err)
			return
		}
		*target = s
	default:
		panic("config: no decoding for " + v.Type().String())
	}
}

// structField is a key of a section.
type structField struct {
	index  int
	name   string // the key, for a twin without "_file"
	auto   bool   // "auto" stands for zero
	commas bool   // elements may also be separated by commas
	secret bool
	twin   bool // the _file key of a secret
}

// fieldsOf returns the keys of a section by its struct's yaml tags.
func fieldsOf(t reflect.Type) map[string]structField {
	fields := make(map[string]structField)
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		name := tag.Get("yaml")
		if name == "-" {
			continue
		}
		f := structField{index: i, name: name, auto: tag.Get("config") == "auto", commas: tag.Get("config") == "commas", secret: t.Field(i).Type == reflect.TypeFor[Secret]()}
		fields[name] = f
		if f.secret {
			f.twin = true
			fields[name+"_file"] = f
		}
	}
	return fields
}
