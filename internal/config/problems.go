package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	// File is the path of the file, or "environment".
	File string
	// Line is the line in File, from 1; 0 where there is none.
	Line int
	// Path is the field, e.g. "connectors[0].poll.min"; empty for the file.
	Path string
	// Message says what is wrong and what to do. It never holds a secret.
	Message string

	// own is the path of the connector whose trouble this is alone; empty where
	// it is the document's.
	own string
}

// String returns "<file>:<line>: <path>: <message>" without the parts that are
// not known.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		b.WriteString(":" + strconv.Itoa(p.Line))
	}
	if p.Path != "" {
		b.WriteString(": " + p.Path)
	}
	b.WriteString(": " + p.Message)
	return b.String()
}

// Problems is everything that is wrong with a configuration, by file and line.
type Problems []Problem

// Error implements error: one line per problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// document is one file while it is read: where its fields are, and what is
// wrong with them.
type document struct {
	name string
	// dir is what relative paths in the document are relative to.
	dir string
	// lines has the line of each path that was given.
	lines map[string]int
	// texts has each scalar as written, references not resolved, so that a
	// message can quote it.
	texts map[string]string
	// names says what a path is called in a document that is not a file.
	names map[string]string
	// elsewhere has the paths whose value is not in the document, but in a file
	// or variable that it names there.
	elsewhere map[string]bool
	problems  Problems
}

func newDocument(name, dir string) *document {
	return &document{name: name, dir: dir, lines: make(map[string]int), texts: make(map[string]string), elsewhere: make(map[string]bool)}
}

// sorted returns the problems by line; those without one come last.
func (d *document) sorted() Problems {
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		if (a.Line == 0) != (b.Line == 0) {
			return b.Line - a.Line
		}
		return a.Line - b.Line
	})
	return d.problems
}

// of returns the problems of the connector at own alone; empty means those of
// the document itself.
func (d *document) of(own string) Problems {
	var some Problems
	for _, p := range d.sorted() {
		if p.own == own {
			some = append(some, p)
		}
	}
	return some
}

// place is a field of a document.
type place struct {
	doc  *document
	path string
}

// sub is a field of the mapping at p.
func (p place) sub(name string) place {
	if p.path == "" {
		return place{p.doc, name}
	}
	return place{p.doc, p.path + "." + name}
}

// item is an element of the list at p.
func (p place) item(i int) place {
	return place{p.doc, p.path + "[" + strconv.Itoa(i) + "]"}
}

// twin is the field with the same name and "_file" behind it.
func (p place) twin() place { return place{p.doc, p.path + "_file"} }

// given tells whether the document has the field.
func (p place) given() bool { return p.doc.lines[p.path] > 0 }

// line is where the field is, or else what it would be part of; 0 in a document
// that is not a file.
func (p place) line() int {
	if p.doc.names != nil {
		return 0
	}
	path := p.path
	for {
		if line := p.doc.lines[path]; line > 0 || path == "" {
			return line
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
}

// quote is the field's value as written, else the one it has. What has an @ is
// not shown: before it a password may stand, as in sasl://user:password@host.
func (p place) quote(value any) string {
	text, ok := p.doc.texts[p.path]
	if !ok {
		text = fmt.Sprint(value)
	}
	if strings.Contains(text, "@") {
		return "the value"
	}
	return strconv.Quote(text)
}

func (p place) problem(format string, args ...any) {
	p.doc.problems = append(p.doc.problems, Problem{
		File: p.doc.name, Line: p.line(), Path: p.name(), Message: fmt.Sprintf(format, args...), own: p.owner(),
	})
}

// owner is the path of the connector whose trouble a problem with p is alone:
// the document itself is right, but not what the connector names in it.
func (p place) owner() string {
	end := strings.Index(p.path, "].")
	if !p.doc.elsewhere[p.path] || end < 0 || !strings.HasPrefix(p.path, "connectors[") {
		return ""
	}
	return p.path[:end+1]
}

// name is what the field is called in messages.
func (p place) name() string {
	if name, ok := p.doc.names[p.path]; ok {
		return name
	}
	return p.path
}

// called is what the field is called beside others of its section.
func (p place) called() string {
	name := p.name()
	if name != p.path {
		return name
	}
	return name[strings.LastIndex(name, ".")+1:]
}

// reported tells whether there is a problem with the field, or its _file twin,
// already.
func (p place) reported() bool {
	return slices.ContainsFunc(p.doc.problems, func(q Problem) bool {
		return q.Path == p.name() || q.Path == p.twin().name()
	})
}
