package config

import (
	"fmt"
	"regexp"
	"strconv"
)

// Size is a number of bytes.
type Size int64

var sizeText = regexp.MustCompile(`^([1-9][0-9]{0,9})(KiB|MiB|GiB)?$`)

var sizeUnits = map[string]Size{"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

// parseSize reads a size as the configuration file has it.
func parseSize(text string) (Size, error) {
	m := sizeText.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("is no size; write a whole number and a unit, e.g. 512MiB or 2GiB")
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return 0, err
	}
	return Size(n) * sizeUnits[m[2]], nil
}

// String returns s as the configuration file has it; 0 is auto.
func (s Size) String() string {
	if s == 0 {
		return "auto"
	}
	for _, unit := range []string{"GiB", "MiB", "KiB"} {
		if s%sizeUnits[unit] == 0 {
			return strconv.FormatInt(int64(s/sizeUnits[unit]), 10) + unit
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText implements encoding.TextMarshaler with String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
