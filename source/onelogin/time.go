package onelogin

import "time"

// ParseTime reads created_at as the API sends it, from 1970 to 9999, in UTC; false
// if it is no time.
func ParseTime(text []byte) (time.Time, bool) {
	t, ok := parseTime(text)
	return t, ok && t.Year() >= 1970 && t.Year() <= 9999
}

// parseTime reads a time in any form that can be read without doubt: every
// spelling of RFC 3339 (T or a space between date and time, any case, any number
// of digits of a second, a leap second), a comma in place of the point, an offset without its colon (+0000), and
// UTC in place of an offset, as OneLogin's webhooks write it. What does not say
// its offset is no time: it could be hours away.
func parseTime(text []byte) (time.Time, bool) {
	var t time.Time
	if len(text) > len("2006-01-02") && text[len("2006-01-02")] == 'T' && t.UnmarshalText(text) == nil {
		return t.UTC(), true
	}
	// "2006-01-02 15:04:05" is the shortest before the fraction.
	const fixed = len("2006-01-02 15:04:05")
	if len(text) < fixed || !shaped(text[:fixed], "dddd-dd-dd*dd:dd:dd") {
		return time.Time{}, false
	}
	if sep := text[10]; sep != 'T' && sep != 't' && sep != ' ' {
		return time.Time{}, false
	}
	two := func(i int) int { return int(text[i]-'0')*10 + int(text[i+1]-'0') }
	year, month, day := two(0)*100+two(2), time.Month(two(5)), two(8)
	hour, minute, second := two(11), two(14), two(17)
	nanos, rest, ok := fraction(text[fixed:])
	if !ok {
		return time.Time{}, false
	}
	offset, ok := zone(rest)
	leap := second == 60
	if leap {
		second = 59
	}
	if !ok || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	t = time.Date(year, month, day, hour, minute, second, nanos, time.UTC)
	if t.Year() != year || t.Month() != month || t.Day() != day {
		return time.Time{}, false // there is no such day
	}
	t = t.Add(-offset)
	if leap {
		// It is the last of a month in UTC, or it is no time.
		if t = t.Add(time.Second); t.Day() != 1 || t.Hour() != 0 || t.Minute() != 0 || t.Second() != 0 {
			return time.Time{}, false
		}
	}
	return t, true
}

// shaped tells whether text is of the shape of pattern, in which d is a digit
// and * is anything. They are of one length.
func shaped(text []byte, pattern string) bool {
	for i := range len(pattern) {
		switch c := text[i]; pattern[i] {
		case '*':
		case 'd':
			if c < '0' || c > '9' {
				return false
			}
		default:
			if c != pattern[i] {
				return false
			}
		}
	}
	return true
}

// fraction reads the part of a second that text may begin with. What is finer
// than a nanosecond is cut off.
func fraction(text []byte) (nanos int, rest []byte, ok bool) {
	if len(text) == 0 || text[0] != '.' && text[0] != ',' {
		return 0, text, true
	}
	end := skipDigits(text, 1)
	for i, unit := 1, 100_000_000; i < end && unit > 0; i, unit = i+1, unit/10 {
		nanos += int(text[i]-'0') * unit
	}
	return nanos, text[end:], end > 1
}

// zone reads how far a time is ahead of UTC.
func zone(text []byte) (time.Duration, bool) {
	switch string(text) {
	case "Z", "z", "UTC", " UTC":
		return 0, true
	}
	if len(text) > 0 && text[0] == ' ' {
		text = text[1:]
	}
	if len(text) < len("+0000") || text[0] != '+' && text[0] != '-' {
		return 0, false
	}
	var d [4]byte
	switch {
	case len(text) == len("+00:00") && shaped(text[1:], "dd:dd"):
		d = [4]byte{text[1], text[2], text[4], text[5]}
	case len(text) == len("+0000") && shaped(text[1:], "dddd"):
		d = [4]byte(text[1:])
	default:
		return 0, false
	}
	hours, minutes := int(d[0]-'0')*10+int(d[1]-'0'), int(d[2]-'0')*10+int(d[3]-'0')
	if hours > 23 || minutes > 59 {
		return 0, false
	}
	offset := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if text[0] == '-' {
		offset = -offset
	}
	return offset, true
}
