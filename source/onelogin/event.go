package onelogin

import (
	"bytes"

	"onelogin-kafka/schemas"
)

// Why an element of a page is not an event. These go into a header of the dead
// letter.
const (
	reasonNotJSON     = "not JSON"
	reasonNotObject   = "not an object"
	reasonNoID        = "no id"
	reasonBadID       = "id is not a positive integer within 63 bits"
	reasonTwiceID     = "id is there twice"
	reasonNoCreated   = "no created_at"
	reasonBadCreated  = "created_at is not a time from 1970 to 9999 with an offset from UTC"
	reasonTwiceCreate = "created_at is there twice"
)

// readEvent reads the object at b[i] into ev, but for Raw. The reason is empty
// if it is an event.
//
// Of a key that is there twice the last value counts, as with encoding/json,
// but not for id and created_at: readers differ in which one they take, and an
// event must have one identity for all of them.
func readEvent(b []byte, i int, ev *schemas.Event) (end int, reason string, ok bool) {
	var hasID, hasCreated bool
	blame := func(r string) {
		if reason == "" {
			reason = r
		}
	}
	end, ok = eachMember(b, i, 2, func(key []byte, at int) (int, bool) {
		switch string(key) {
		case "id":
			if hasID {
				blame(reasonTwiceID)
			}
			hasID = true
			n, _, end, ok := readInt(b, at)
			if ok && n <= 0 {
				blame(reasonBadID)
			}
			ev.ID = n
			return end, ok
		case "created_at":
			if hasCreated {
				blame(reasonTwiceCreate)
			}
			hasCreated = true
			end, ok := skipValue(b, at, 3)
			if ok && !readTime(b[at:end:end], ev) {
				blame(reasonBadCreated)
			}
			return end, ok
		case "account_id":
			n, _, end, ok := readInt(b, at)
			ev.AccountID = n
			return end, ok
		case "event_type_id":
			n, _, end, ok := readInt(b, at)
			ev.TypeID = n
			return end, ok
		case "user_id":
			_, text, end, ok := readInt(b, at)
			ev.UserID = text
			return end, ok
		}
		return skipValue(b, at, 3)
	})
	switch {
	case !ok:
	case !hasID:
		blame(reasonNoID)
	case !hasCreated:
		blame(reasonNoCreated)
	}
	return end, reason, ok
}

// readInt reads the value at b[i]; n is 0 and text nil if it is not an integer
// within int64. An integer may be written as a string.
func readInt(b []byte, i int) (n int64, text []byte, end int, ok bool) {
	if i >= len(b) || b[i] != '-' && (b[i] < '0' || b[i] > '9') {
		if i < len(b) && b[i] == '"' {
			return readTextInt(b, i)
		}
		end, ok = skipValue(b, i, 3)
		return 0, nil, end, ok
	}
	end, integer, ok := skipNumber(b, i)
	if !ok || !integer {
		return 0, nil, end, ok
	}
	text = b[i:end:end]
	if n, ok = parseInt(text); !ok {
		return 0, nil, end, true
	}
	return n, text, end, true
}

// readTextInt is readInt for a string.
func readTextInt(b []byte, i int) (n int64, text []byte, end int, ok bool) {
	end, escaped, ok := skipString(b, i)
	if !ok {
		return 0, nil, end, false
	}
	text = b[i+1 : end-1 : end-1]
	if escaped {
		text = unescape(b[i:end])
	}
	if !isDecimal(text) {
		return 0, nil, end, true
	}
	if n, ok = parseInt(text); !ok {
		return 0, nil, end, true
	}
	return n, text, end, true
}

// isDecimal tells whether text is written as JSON writes an integer: anything
// else (a sign in front, zeros in front, white space) is not read without doubt.
func isDecimal(text []byte) bool {
	end, integer, ok := skipNumber(text, 0)
	return ok && integer && end == len(text)
}

// readTime reads created_at from the JSON value v.
func readTime(v []byte, ev *schemas.Event) bool {
	if len(v) < 2 || v[0] != '"' {
		return false
	}
	text := v[1 : len(v)-1 : len(v)-1]
	t, ok := parseTime(text)
	if !ok {
		// Only an escaped text can be a time and not read like one.
		if bytes.IndexByte(text, '\\') < 0 {
			return false
		}
		text = unescape(v)
		if t, ok = parseTime(text); !ok {
			return false
		}
	}
	if t.Year() < 1970 || t.Year() > 9999 {
		return false
	}
	ev.CreatedAt, ev.CreatedAtText = t, text
	return true
}

// ReadEvent reads one element of an answer as a page does: an event, or why it
// is none, in the words of a dead letter's reason. The event refers to raw.
func ReadEvent(raw []byte) (ev schemas.Event, reason string) {
	r := pageReader{body: raw}
	end, ok := skipSpace(raw, 0), false
	if end < len(raw) {
		end, ok = r.element(end)
	}
	switch {
	case !ok || skipSpace(raw, end) != len(raw):
		return schemas.Event{}, reasonNotJSON
	case len(r.events) == 1:
		return r.events[0], ""
	}
	return schemas.Event{}, r.malformed[0].Reason
}
