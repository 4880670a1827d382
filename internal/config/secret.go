package config

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/rs/zerolog"
)

// redacted is what a secret looks like everywhere but in Reveal's result.
const redacted = "<secret>"

// maxSecret is the most bytes of a secret, maxSecretFile of a file with one.
const (
	maxSecret     = 64 << 10
	maxSecretFile = maxSecret + int64(len("\r\n"))
)

// Secret is a value that must never be seen. It prints, marshals and logs as
// <secret>; only Reveal gives it away. The zero Secret is not set.
type Secret struct {
	// fmt does not ask the methods of what is in an unexported field, but
	// prints the fields in it. It follows no pointer there, except one to a
	// struct when the verb does not fit, e.g. %q: hence a pointer to a pointer.
	held **held
}

// held is what a Secret holds: a value, the path of a file with one, or how to
// open a sealed one.
type held struct {
	value, file string
	sealed      string
	open        func() (string, error)
}

func hold(h *held) Secret { return Secret{&h} }

// NewSecret returns a Secret with a fixed value; an empty one is not set.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return hold(&held{value: value})
}

// NewSecretFile returns a Secret that is read from a file each time it is
// revealed, so that a rotated file needs no restart.
func NewSecretFile(path string) Secret {
	if path == "" {
		return Secret{}
	}
	return hold(&held{file: path})
}

// sealed returns a Secret that is opened each time it is revealed. text is the
// closed form, by which it is told from others.
func sealed(text string, open func() (string, error)) Secret {
	return hold(&held{sealed: text, open: open})
}

// ErrNoSecret is returned by Reveal for a Secret that is not set.
var ErrNoSecret = errors.New("no secret is configured")

// Reveal returns the secret. One that lives in a file is read anew, without the
// one line break at its end; the error then holds the file's path and says what
// is wrong, an *OddError where a character is, and never holds any of the file.
func (s Secret) Reveal() (string, error) {
	switch {
	case s.held == nil:
		return "", ErrNoSecret
	case (*s.held).open != nil:
		return (*s.held).open()
	case (*s.held).file == "":
		return (*s.held).value, nil
	}
	file := (*s.held).file
	content, err := readRegular(file, maxSecretFile)
	if err != nil {
		return "", fmt.Errorf("reading secret: %w", err)
	}
	text, err := secretText(string(content))
	if err != nil {
		return "", fmt.Errorf("reading secret: %s %w", file, err)
	}
	return text, nil
}

// IsSet tells whether there is a secret to reveal.
func (s Secret) IsSet() bool { return s.held != nil }

// File is the path of the file the secret is in; empty if it is in none.
func (s Secret) File() string {
	if s.held == nil {
		return ""
	}
	return (*s.held).file
}

// Equal tells whether s and o are the same file or the same value.
func (s Secret) Equal(o Secret) bool {
	if s.held == nil || o.held == nil {
		return s.held == o.held
	}
	a, b := *s.held, *o.held
	return a.file == b.file && a.sealed == b.sealed && subtle.ConstantTimeCompare([]byte(a.value), []byte(b.value)) == 1
}

// String returns <secret>, or nothing if s is not set.
func (s Secret) String() string {
	if s.held == nil {
		return ""
	}
	return redacted
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText implements encoding.TextMarshaler, for JSON and others.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML implements yaml.Marshaler.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// MarshalZerologObject implements zerolog.LogObjectMarshaler.
func (s Secret) MarshalZerologObject(e *zerolog.Event) { e.Str("value", s.String()) }

// readRegular reads a file of at most limit bytes, following symbolic links.
// Pipes and devices are refused: they can be read once, or block for ever.
func readRegular(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("larger than %d bytes", limit)}
	}
	return content, nil
}
