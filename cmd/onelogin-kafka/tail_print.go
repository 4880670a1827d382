package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"onelogin-kafka/schemas"
)

// printer writes records to a terminal or a pipe.
type printer struct {
	out  io.Writer
	json bool
	buf  []byte
}

func (p *printer) print(partition int32, offset int64, r *schemas.Record) error {
	if p.json {
		p.buf = appendObject(p.buf[:0], partition, offset, r)
	} else {
		p.buf = appendLine(p.buf[:0], r)
	}
	_, err := p.out.Write(append(p.buf, '\n'))
	return err
}

// appendLine appends an event as a person reads it: time, connector, type,
// user, actor, app and address. Everything in it comes from outside.
func appendLine(b []byte, r *schemas.Record) []byte {
	var e struct {
		User  any `json:"user_name"`
		Actor any `json:"actor_user_name"`
		App   any `json:"app_name"`
		IP    any `json:"ipaddr"`
	}
	_ = json.Unmarshal(r.Value, &e) // an event is an object; anything else has none of these
	typ := header(r, schemas.HeaderEventType)
	if typ == "" {
		typ = typeID(r)
	}
	b = fmt.Appendf(b, "%s  %-10s  %-32s", r.Time.UTC().Format("2006-01-02T15:04:05.000Z"), clean(header(r, schemas.HeaderTenant)), clean(typ))
	for _, field := range []struct {
		name  string
		value any
	}{{"user", e.User}, {"actor", e.Actor}, {"app", e.App}, {"ip", e.IP}} {
		if text, ok := field.value.(string); ok && text != "" {
			b = fmt.Appendf(b, "  %s=%s", field.name, quoted(text))
		}
	}
	return bytes.TrimRight(b, " ")
}

// quoted is a value that can be told from its neighbours.
func quoted(text string) string {
	if text = clean(text); strings.ContainsAny(text, " \"=") {
		return strconv.Quote(text)
	}
	return text
}

// clean takes out what could command a terminal or turn the text around.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// appendObject appends a record as one line of JSON. An event is part of it
// byte for byte, unless it has line breaks between its tokens; what is not JSON
// is a string.
func appendObject(b []byte, partition int32, offset int64, r *schemas.Record) []byte {
	b = fmt.Appendf(b, `{"partition":%d,"offset":%d,"key":`, partition, offset)
	b = appendText(b, r.Key)
	b = append(b, `,"headers":{`...)
	for i, h := range r.Headers {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendText(b, []byte(h.Key)), ':')
		b = appendText(b, h.Value)
	}
	b = append(b, `},"value":`...)
	switch {
	case !json.Valid(r.Value):
		b = appendText(b, r.Value)
	case bytes.ContainsAny(r.Value, "\r\n"):
		var line bytes.Buffer
		_ = json.Compact(&line, r.Value) // it is valid
		b = append(b, line.Bytes()...)
	default:
		b = append(b, r.Value...)
	}
	return append(b, '}')
}

// appendText appends bytes as a JSON string, nil as null.
func appendText(b, text []byte) []byte {
	if text == nil {
		return append(b, "null"...)
	}
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(string(text)) // a string always can be
	return append(b, bytes.TrimRight(line.Bytes(), "\n")...)
}
