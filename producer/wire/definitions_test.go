package wire

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"onelogin-kafka/internal/proof/kafkatest"
)

// definition is one of Kafka's message definitions, common/message/*.json in
// the kafka-clients jar.
type definition struct {
	Name             string  `json:"name"`
	APIKey           int16   `json:"apiKey"`
	ValidVersions    string  `json:"validVersions"`
	FlexibleVersions string  `json:"flexibleVersions"`
	Fields           []field `json:"fields"`
}

type field struct {
	Name             string          `json:"name"`
	Type             string          `json:"type"`
	Versions         string          `json:"versions"`
	NullableVersions string          `json:"nullableVersions"`
	TaggedVersions   string          `json:"taggedVersions"`
	FlexibleVersions string          `json:"flexibleVersions"`
	Tag              json.Number     `json:"tag"`
	Default          json.RawMessage `json:"default"`
	Fields           []field         `json:"fields"`
}

// object holds a message's or structure's values by field name: bool, int64,
// string, []byte, object or []any; nil is null.
type object map[string]any

// within tells whether a range of versions as definitions write it ("3", "0-4",
// "5+", "none") holds version.
func within(versions string, version int16) bool {
	if versions == "" || versions == "none" {
		return false
	}
	lo, hi, isRange := strings.Cut(strings.TrimSuffix(versions, "+"), "-")
	first, err := strconv.Atoi(lo)
	if err != nil {
		panic(err)
	}
	last := first
	switch {
	case strings.HasSuffix(versions, "+"):
		last = 1 << 15
	case isRange:
		if last, err = strconv.Atoi(hi); err != nil {
			panic(err)
		}
	}
	return int(version) >= first && int(version) <= last
}

var comment = regexp.MustCompile(`(?m)^\s*//.*$`)

// definitions reads Kafka's definitions by name.
func definitions(t testing.TB, version string) map[string]*definition {
	t.Helper()
	dir, err := kafkatest.Fetch(t.Context(), version)
	if err != nil {
		t.Fatal(err)
	}
	jar, err := zip.OpenReader(filepath.Join(dir, "kafka-clients-"+version+".jar"))
	if err != nil {
		t.Fatal(err)
	}
	defer jar.Close()
	defs := map[string]*definition{}
	for _, f := range jar.File {
		if ok, _ := filepath.Match("common/message/*.json", f.Name); !ok {
			continue
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		d := &definition{}
		if err := json.Unmarshal(comment.ReplaceAll(text, nil), d); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		defs[d.Name] = d
	}
	return defs
}

// write encodes values as the definition says; fields that are missing from
// values have their default.
func (d *definition) write(version int16, values object) []byte {
	w := &definedWriter{version: version, flexible: within(d.FlexibleVersions, version)}
	w.structure(d.Fields, values)
	return w.Bytes()
}

type definedWriter struct {
	bytes.Buffer
	version  int16
	flexible bool
}

// unknownTag is far above any tag that Kafka has given out; its value in an
// object is written under that tag.
const unknownTag = 10_000

func (w *definedWriter) structure(fields []field, values object) {
	type tagged struct {
		tag  uint64
		body []byte
	}
	var tags []tagged
	for i := range fields {
		f := &fields[i]
		if !within(f.Versions, w.version) {
			continue
		}
		v, given := values[f.Name]
		if within(f.TaggedVersions, w.version) {
			if given { // a tagged field that has its default is left out
				body := &definedWriter{version: w.version, flexible: true}
				body.value(f, f.Type, v)
				tag, err := f.Tag.Int64()
				if err != nil {
					panic(err)
				}
				tags = append(tags, tagged{uint64(tag), body.Bytes()})
			}
			continue
		}
		if !given {
			v = f.zero()
		}
		w.value(f, f.Type, v)
	}
	if !w.flexible {
		return
	}
	if b, ok := values["unknown tag"].([]byte); ok {
		tags = append(tags, tagged{unknownTag, b})
	}
	w.uvarint(uint64(len(tags)))
	for _, t := range tags {
		w.uvarint(t.tag)
		w.uvarint(uint64(len(t.body)))
		w.Write(t.body)
	}
}

func (w *definedWriter) uvarint(v uint64) { w.Write(binary.AppendUvarint(nil, v)) }

// number writes the low bytes of v.
func (w *definedWriter) number(v int64, size int) {
	w.Write(binary.BigEndian.AppendUint64(nil, uint64(v))[8-size:])
}

func (w *definedWriter) length(n, size int, compact bool) {
	if compact {
		w.uvarint(uint64(n + 1))
	} else {
		w.number(int64(n), size)
	}
}

var sizes = map[string]int{"int8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8}

func (w *definedWriter) value(f *field, kind string, v any) {
	compact := w.flexible && f.FlexibleVersions != "none"
	if v == nil && !within(f.NullableVersions, w.version) {
		panic(fmt.Sprintf("%s is not nullable in version %d", f.Name, w.version))
	}
	element, isArray := strings.CutPrefix(kind, "[]")
	switch {
	case isArray && v == nil:
		w.length(-1, 4, compact)
	case isArray:
		w.length(len(v.([]any)), 4, compact)
		for _, e := range v.([]any) {
			w.value(f, element, e)
		}
	case kind == "string" && v == nil:
		w.length(-1, 2, compact)
	case kind == "string":
		w.length(len(v.(string)), 2, compact)
		w.WriteString(v.(string))
	case (kind == "bytes" || kind == "records") && v == nil:
		w.length(-1, 4, compact)
	case kind == "bytes" || kind == "records":
		w.length(len(v.([]byte)), 4, compact)
		w.Write(v.([]byte))
	case kind == "bool" && v.(bool):
		w.WriteByte(1)
	case kind == "bool":
		w.WriteByte(0)
	case sizes[kind] > 0:
		w.number(v.(int64), sizes[kind])
	case len(f.Fields) > 0:
		w.structure(f.Fields, v.(object))
	default:
		panic("no such type: " + kind)
	}
}

// zero is the value of a field that nobody set.
func (f *field) zero() any {
	text := strings.Trim(string(f.Default), `"`)
	switch {
	case text == "null":
		return nil
	case strings.HasPrefix(f.Type, "[]"):
		return []any{}
	case f.Type == "string":
		return text
	case f.Type == "bytes" || f.Type == "records":
		return []byte{}
	case f.Type == "bool":
		return text == "true"
	case sizes[f.Type] > 0 && text == "":
		return int64(0)
	case sizes[f.Type] > 0:
		n, err := strconv.ParseInt(text, 0, 64)
		if err != nil {
			panic(err)
		}
		return n
	}
	return object{}
}

// any makes values for all of a definition's fields: nulls where they are
// allowed, arrays of up to three elements, tags known and unknown.
func (d *definition) any(rng *rand.Rand, version int16) object {
	return someObject(rng, d.Fields, version)
}

func someObject(rng *rand.Rand, fields []field, version int16) object {
	o := object{}
	for i := range fields {
		f := &fields[i]
		if !within(f.Versions, version) || within(f.TaggedVersions, version) && rng.IntN(3) == 0 {
			continue
		}
		o[f.Name] = someValue(rng, f, f.Type, version)
	}
	if rng.IntN(2) == 0 {
		o["unknown tag"] = someBytes(rng)
	}
	return o
}

func someValue(rng *rand.Rand, f *field, kind string, version int16) any {
	element, isArray := strings.CutPrefix(kind, "[]")
	if within(f.NullableVersions, version) && kind == f.Type && rng.IntN(3) == 0 {
		return nil
	}
	switch {
	case isArray:
		all := []any{}
		for range rng.IntN(4) {
			all = append(all, someValue(rng, f, element, version))
		}
		return all
	case kind == "string":
		return string(someBytes(rng))
	case kind == "bytes" || kind == "records":
		return someBytes(rng)
	case kind == "bool":
		return rng.IntN(2) == 0
	case sizes[kind] > 0:
		bits := 8 * sizes[kind]
		return int64(rng.Uint64()) >> (64 - bits) // negative ones too
	case len(f.Fields) > 0:
		return someObject(rng, f.Fields, version)
	}
	panic("no such type: " + kind)
}

// someBytes is now and then longer than one byte of a varint can tell.
func someBytes(rng *rand.Rand) []byte {
	b := make([]byte, rng.IntN(10)*rng.IntN(30))
	for i := range b {
		b[i] = 'a' + byte(rng.IntN(26))
	}
	return b
}
