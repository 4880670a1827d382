package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// parseYAML returns the one document in data; nil if there is none.
func parseYAML(data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var root yaml.Node
	if err := dec.Decode(&root); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, YAMLError(err, data)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one document; keep the first and remove the --- line")
	}
	return root.Content[0], nil
}

// YAMLError says what is wrong with data, of which the YAML library said err. The
// library was handed every secret in a file and quotes some of it: a value of
// another type, or the name of an anchor, which an unquoted secret that begins
// with * is taken for. So its own words go no further unless they are known to
// quote nothing.
func YAMLError(err error, data []byte) error {
	if typed, ok := errors.AsType[*yaml.TypeError](err); ok {
		return typeError(typed)
	}
	if line, column, kind := unreadable(data); kind != "" {
		return fmt.Errorf("line %d: %s in column %d; write it as an escape in double quotes, or leave it out", line, kind, column)
	}
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	where := ""
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if number, problem, ok := strings.Cut(rest, ": "); ok && isNumber(number) {
			where, text = "line "+number+": ", problem
		}
	}
	for known := range strings.Lines(yamlProblems) {
		if text == strings.TrimSuffix(known, "\n") {
			return errors.New(where + text)
		}
	}
	if strings.HasPrefix(text, "unknown anchor ") {
		return errors.New(where + "unknown anchor; put a value that begins with * in quotes")
	}
	return errors.New(where + "it cannot be read")
}

// typeError is one line for all that does not fit what data is read into.
func typeError(err *yaml.TypeError) error {
	var lines []string
	for _, e := range err.Errors {
		where, _, _ := strings.Cut(e, ": ")
		if number, ok := strings.CutPrefix(where, "line "); ok && isNumber(number) {
			lines = append(lines, number)
		}
	}
	return fmt.Errorf("a key that is not known or given twice, or a value of another kind, in line %s", strings.Join(lines, ", "))
}

func isNumber(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }

// yamlProblems are the parser's words that quote nothing of what it reads.
const yamlProblems = `block sequence entries are not allowed in this context
could not find expected ':'
did not find expected ',' or ']'
did not find expected ',' or '}'
did not find expected '-' indicator
did not find expected <document start>
did not find expected alphabetic or numeric character
did not find expected comment or line break
did not find expected hexdecimal number
did not find expected key
did not find expected node content
did not find expected whitespace or line break
document contains excessive aliasing
found a tab character that violates indentation
found a tab character where an indentation space is expected
found an indentation indicator equal to 0
found character that cannot start any token
found invalid Unicode character escape code
found undefined tag handle
found unexpected document indicator
found unexpected end of stream
found unknown directive name
found unknown escape character
mapping keys are not allowed in this context
mapping values are not allowed in this context
`

// unreadable finds the first character that a text file does not have; an empty
// kind if there is none.
func unreadable(data []byte) (line, column int, kind string) {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return 0, 0, "" // UTF-16, which the parser reads
	}
	line, column = 1, 0
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		i += size
		column++
		switch k := oddKind(r, size); {
		case r == '\n':
			line, column = line+1, 0
		case k == "a byte that is not UTF-8", k == "a NUL", k == "a control character", k == "a code that is no character":
			return line, column, k
		}
	}
	return 0, 0, ""
}
