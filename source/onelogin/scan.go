package onelogin

import (
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"strings"
)

// A validating JSON scanner over a byte slice. It exists because a page must be
// validated whole, cut into exact slices and read in a few fields, and one pass
// does all three. It takes exactly what encoding/json.Valid takes (RFC 8259,
// any bytes from 0x80 up inside strings); the fuzz targets hold it to that.
//
// Each function takes the index where it starts and returns the index after
// what it read, or the index of the first byte that cannot be and false.

// maxDepth is encoding/json's: arrays and objects inside one another.
const maxDepth = 10000

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipValue reads any value. depth is the number of containers around it.
func skipValue(b []byte, i, depth int) (int, bool) {
	if i >= len(b) {
		return i, false
	}
	switch b[i] {
	case '"':
		end, _, ok := skipString(b, i)
		return end, ok
	case 'n':
		return skipWord(b, i, "null")
	case 't':
		return skipWord(b, i, "true")
	case 'f':
		return skipWord(b, i, "false")
	case '{':
		return eachMember(b, i, depth, func(_ []byte, at int) (int, bool) {
			return skipValue(b, at, depth+1)
		})
	case '[':
		return eachElement(b, i, depth, func(at int) (int, bool) {
			return skipValue(b, at, depth+1)
		})
	default:
		end, _, ok := skipNumber(b, i)
		return end, ok
	}
}

func skipWord(b []byte, i int, word string) (int, bool) {
	if len(b)-i >= len(word) && string(b[i:i+len(word)]) == word {
		return i + len(word), true
	}
	return i, false
}

// skipNumber also tells whether the number is written as an integer: without
// fraction and exponent.
func skipNumber(b []byte, i int) (end int, integer, ok bool) {
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch {
	case i >= len(b):
		return i, false, false
	case b[i] == '0':
		i++
	case b[i] >= '1' && b[i] <= '9':
		i = skipDigits(b, i)
	default:
		return i, false, false
	}
	integer = true
	if i < len(b) && b[i] == '.' {
		start := i + 1
		if i = skipDigits(b, start); i == start {
			return i, false, false
		}
		integer = false
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		start := i
		if i = skipDigits(b, start); i == start {
			return i, false, false
		}
		integer = false
	}
	return i, integer, true
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}

// skipString reads the string whose opening quote is b[i]; escaped tells that
// it holds a backslash.
func skipString(b []byte, i int) (end int, escaped, ok bool) {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	for i++; ; {
		// Eight bytes at a time up to the first quote, backslash or control
		// character. The subtractions borrow only upwards, so the lowest mark
		// is exact.
		for len(b)-i >= 8 {
			v := binary.LittleEndian.Uint64(b[i:])
			q, s := v^(ones*'"'), v^(ones*'\\')
			m := ((q-ones)&^q | (s-ones)&^s | (v-ones*' ')&^v) & highs
			if m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' ' {
			i++
		}
		if i >= len(b) || b[i] < ' ' {
			return i, escaped, false
		}
		if b[i] == '"' {
			return i + 1, escaped, true
		}
		escaped = true
		if i, ok = skipEscape(b, i); !ok {
			return i, escaped, false
		}
	}
}

func skipEscape(b []byte, i int) (int, bool) {
	if i++; i >= len(b) {
		return i, false
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1, true
	case 'u':
		for range 4 {
			if i++; i >= len(b) || !isHex(b[i]) {
				return i, false
			}
		}
		return i + 1, true
	}
	return i, false
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// eachMember reads the object that starts at b[i] and calls value for each
// member with its key, unescaped, and the index of its value; value returns the
// index after it.
func eachMember(b []byte, i, depth int, value func(key []byte, at int) (int, bool)) (int, bool) {
	if depth >= maxDepth {
		return i, false
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1, true
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return i, false
		}
		start := i
		end, escaped, ok := skipString(b, i)
		if !ok {
			return end, false
		}
		key := b[start+1 : end-1]
		if escaped {
			key = unescape(b[start:end])
		}
		if i = skipSpace(b, end); i >= len(b) || b[i] != ':' {
			return i, false
		}
		if i, ok = value(key, skipSpace(b, i+1)); !ok {
			return i, false
		}
		if i = skipSpace(b, i); i >= len(b) {
			return i, false
		}
		switch b[i] {
		case '}':
			return i + 1, true
		case ',':
			i = skipSpace(b, i+1)
		default:
			return i, false
		}
	}
}

// members returns the values of an object's members of these names, at most three,
// as encoding/json finds them: a name in any case, and the last of several. nil:
// there is none.
func members(object []byte, names ...string) (values [3][]byte, ok bool) {
	end, ok := eachMember(object, 0, 0, func(key []byte, at int) (int, bool) {
		end, ok := skipValue(object, at, 1)
		for i, name := range names {
			if ok && strings.EqualFold(string(key), name) {
				values[i] = object[at:end]
			}
		}
		return end, ok
	})
	return values, ok && skipSpace(object, end) == len(object)
}

// eachElement reads the array that starts at b[i] and calls element with the
// index of each.
func eachElement(b []byte, i, depth int, element func(at int) (int, bool)) (int, bool) {
	if depth >= maxDepth {
		return i, false
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == ']' {
		return i + 1, true
	}
	for {
		var ok bool
		if i, ok = element(i); !ok {
			return i, false
		}
		if i = skipSpace(b, i); i >= len(b) {
			return i, false
		}
		switch b[i] {
		case ']':
			return i + 1, true
		case ',':
			i = skipSpace(b, i+1)
		default:
			return i, false
		}
	}
}

// unescape returns the text of a valid JSON string given with its quotes.
func unescape(quoted []byte) []byte {
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		return nil
	}
	return []byte(s)
}

// parseInt reads an integer as skipNumber found it; false if it is outside
// int64.
func parseInt(b []byte) (int64, bool) {
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	var n uint64 // nineteen digits always fit
	for _, c := range b {
		n = n*10 + uint64(c-'0')
	}
	if neg {
		return -int64(n), n <= 1<<63
	}
	return int64(n), n < 1<<63
}
