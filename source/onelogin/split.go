package onelogin

// skipBroken reads an element that is not JSON and returns the index after it.
// ok tells that where it ends is beyond doubt: its strings, brackets, colons and
// commas are as JSON has them, and only what stands between these is not: a raw
// control character, an escape that is none, NaN, a number with a leading zero, a
// value that is missing, or more containers inside one another than JSON may
// have. A quote that was not escaped breaks that order, and is then not taken for
// the end of anything.
func skipBroken(b []byte, i int) (end int, ok bool) {
	var open []byte // the containers around, outermost first
	start := i
	for {
		i = skipBlank(b, i)
		if i >= len(b) {
			return i, false
		}
		switch c := b[i]; {
		case c == '{' || c == '[':
			open = append(open, c)
			i++
			if c == '{' {
				if i, ok = skipKey(b, i); !ok {
					return i, false
				}
			}
			continue
		case c == '"':
			if i, ok = skipBrokenString(b, i); !ok {
				return i, false
			}
		case isBare(c):
			for i < len(b) && isBare(b[i]) {
				i++
			}
		case len(open) == 0 || c != ',' && c != '}' && c != ']':
			return i, false
		}
		if i, open, ok = skipAfter(b, i, open); !ok {
			return i, false
		}
		if len(open) == 0 {
			return i, i > start
		}
	}
}

// skipAfter reads what follows a value, to the next value or to the end of the
// last container.
func skipAfter(b []byte, i int, open []byte) (int, []byte, bool) {
	for len(open) > 0 {
		i = skipBlank(b, i)
		if i >= len(b) {
			return i, open, false
		}
		in := open[len(open)-1]
		switch c := b[i]; {
		case c == ',' && in == '[':
			return i + 1, open, true
		case c == ',':
			i, ok := skipKey(b, i+1)
			return i, open, ok
		case c == in+2: // { and }, [ and ] are two apart
			i, open = i+1, open[:len(open)-1]
		default:
			return i, open, false
		}
	}
	return i, open, true
}

// skipKey reads a key and its colon. An object that ends in the key's place is
// left for skipAfter to close.
func skipKey(b []byte, i int) (int, bool) {
	i = skipBlank(b, i)
	if i < len(b) && b[i] == '}' {
		return i, true
	}
	if i >= len(b) || b[i] != '"' {
		return i, false
	}
	i, ok := skipBrokenString(b, i)
	if !ok {
		return i, false
	}
	if i = skipBlank(b, i); i >= len(b) || b[i] != ':' {
		return i, false
	}
	return i + 1, true
}

// skipBrokenString reads a string with whatever is in it.
func skipBrokenString(b []byte, i int) (int, bool) {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1, true
		case '\\':
			i++
		}
	}
	return len(b), false
}

// skipBlank is skipSpace with the control characters.
func skipBlank(b []byte, i int) int {
	for i < len(b) && (b[i] <= ' ' || b[i] == 0x7f) {
		i++
	}
	return i
}

// isBare tells whether c may be part of a word that stands for a value.
func isBare(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '+' || c == '-' || c == '.' || c == '_'
}
