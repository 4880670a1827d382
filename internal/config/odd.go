package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What is wrong with the text of a secret, besides OddError. None of them holds
// any of it.
var (
	errEmptySecret    = errors.New("is empty")
	errLongSecret     = fmt.Errorf("is longer than %d bytes", maxSecret)
	errReferenceText  = errors.New("is the text of a reference, which nobody has replaced: write env:NAME in the configuration instead")
	unreplaced        = regexp.MustCompile(`^\$\{[^{}]*\}$`)
	unreplacedInPlace = regexp.MustCompile(`^\$[A-Z_][A-Z0-9_]*$`)
	plainVariable     = regexp.MustCompile(`^\$[A-Za-z_][A-Za-z0-9_]*$`)
)

// OddError says that a text holds a character that is there by mistake. It
// tells where and of which kind, not which.
type OddError struct {
	Position int    // in characters, from 1
	Kind     string // e.g. "a tab"
}

// Error implements error.
func (e *OddError) Error() string {
	return fmt.Sprintf("holds %s at position %d", e.Kind, e.Position)
}

// secretText returns the secret in what a file, a variable or a value holds: all
// of it but one line break at the end, which editors and tools add. What else
// nobody sees and no secret has on purpose is refused: it would be sent.
func secretText(given string) (string, error) {
	text, _ := strings.CutSuffix(given, "\n")
	if len(text) < len(given) {
		text, _ = strings.CutSuffix(text, "\r")
	}
	switch {
	case text == "":
		return "", errEmptySecret
	case len(text) > maxSecret:
		return "", errLongSecret
	case unreplaced.MatchString(text):
		return "", errReferenceText
	}
	if err := firstOdd(text, oddKind); err != nil {
		return "", err
	}
	return text, nil
}

// firstOdd returns an *OddError for the first character that kind gives a name
// to, else nil.
func firstOdd(text string, kind func(r rune, size int) string) error {
	position := 0
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		position++
		if k := kind(r, size); k != "" {
			return &OddError{Position: position, Kind: k}
		}
		i += size
	}
	return nil
}

// oddKind names what is not seen, or is not what it seems to be; "" for all
// else. Spaces are taken: a password may have them.
func oddKind(r rune, size int) string {
	switch {
	case r == utf8.RuneError && size <= 1:
		return "a byte that is not UTF-8"
	case r == '\n', r == '\r', r == '\u0085', r == '\u2028', r == '\u2029':
		return "a line break"
	case r == '\t':
		return "a tab"
	case r == 0:
		return "a NUL"
	case unicode.IsControl(r):
		return "a control character"
	case r == '\ufeff':
		return "a byte order mark"
	case r == utf8.RuneError:
		return "a replacement character, the trace of a wrong conversion"
	case r != ' ' && unicode.IsSpace(r), unicode.Is(unicode.Zs, r) && r != ' ':
		return "a space that is not the usual one"
	case unicode.Is(unicode.Cf, r):
		return "an invisible character"
	case unicode.Is(unicode.Co, r), r&0xfffe == 0xfffe, r >= 0xfdd0 && r <= 0xfdef:
		return "a code that is no character"
	}
	return ""
}

// credentialKind is oddKind for what OneLogin gives out, which has to travel in
// its Authorization header, "client_id:<id>, client_secret:<secret>".
func credentialKind(r rune, size int) string {
	switch k := oddKind(r, size); {
	case k != "":
		return k
	case r == ' ':
		return "a space"
	case r == ',':
		return "a comma"
	case r >= 0x7f:
		return "a character outside ASCII"
	}
	return ""
}

// bearerKind is oddKind for a bearer token (RFC 6750, section 2.1).
func bearerKind(r rune, size int) string {
	switch k := oddKind(r, size); {
	case k != "":
		return k
	case r == ' ':
		return "a space"
	case r >= 0x7f:
		return "a character outside ASCII"
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("-._~+/=", r):
		return ""
	}
	return "a character that no bearer token has"
}

// isReference tells whether a value of the file is all a reference in a form
// that shells and other tools replace. A $name in small letters may be a
// password, unless there is a variable of that name.
func (lookup env) isReference(text string) bool {
	if unreplaced.MatchString(text) || unreplacedInPlace.MatchString(text) {
		return true
	}
	if !plainVariable.MatchString(text) {
		return false
	}
	_, ok := lookup(text[1:])
	return ok
}
