package schemas

import (
	"bytes"
	"strings"
	"time"
)

// Encoder turns the events of one connector into records. Its fields are set
// before the first call and not changed after it. One goroutine uses it at a
// time. The records share their constant parts: nothing in them may be changed.
type Encoder struct {
	// Tenant is the connector's name.
	Tenant string
	// Domain is the account's host name, e.g. "acme.onelogin.com".
	Domain string
	// Key says what the records are keyed by.
	Key KeyStrategy
	// Compact removes insignificant white space from the values.
	Compact bool
	// Types names the event types. With nil, no type has a name.
	Types *Types

	ready  bool
	tenant []byte
	source []byte
	// headers and text are what Reserve set aside, for so many events more.
	headers  []Header
	text     []byte
	reserved int
}

func (e *Encoder) init() {
	e.tenant = []byte(e.Tenant)
	e.source = []byte("https://" + e.Domain + "/api/1/events")
	e.ready = true
}

// textRoom is the most bytes of decimal text and key one event needs, for a
// user id of a usual length.
func (e *Encoder) textRoom() int {
	const ids = 2 * 20 // ce_id and onelogin_account_id
	if e.Key == KeyTenant {
		return ids
	}
	return ids + len(e.Tenant) + 1 + 20
}

// Reserve sets room aside for the records of n events, so that the n calls of
// Event that follow allocate nothing. What they do not use goes with the last of
// them: n should be the number of events that will be encoded.
func (e *Encoder) Reserve(n int) {
	e.reserved = n
	e.headers = make([]Header, 0, n*maxEventHeaders)
	e.text = make([]byte, 0, n*e.textRoom())
}

// Event returns the record of ev. late marks an event that appeared more than
// 2 s behind the newest published. The record refers to ev's bytes.
func (e *Encoder) Event(ev *Event, late bool) Record {
	if !e.ready {
		e.init()
	}
	headers := e.takeHeaders()
	text := e.takeText()

	text = appendInt(text, ev.ID)
	id := text[:len(text):len(text)]
	info := e.typeInfo(ev.TypeID)
	headers = append(headers,
		Header{HeaderSpecVersion, specVersion},
		Header{HeaderID, id},
		Header{HeaderSource, e.source},
		Header{HeaderType, info.ceType},
		Header{HeaderTime, ev.CreatedAtText},
		Header{HeaderContentType, contentType},
		Header{HeaderTenant, e.tenant},
	)
	if ev.AccountID != 0 {
		n := len(text)
		text = appendInt(text, ev.AccountID)
		headers = append(headers, Header{HeaderAccountID, text[n:len(text):len(text)]})
	}
	if info.name != nil {
		headers = append(headers, Header{HeaderEventType, info.name})
	}
	if late {
		headers = append(headers, Header{HeaderLate, trueText})
	}
	key, text := e.key(text, ev, id)
	e.giveBack(headers, text)

	value := ev.Raw
	if e.Compact {
		value = compact(value)
	}
	return Record{Topic: Events, Key: key, Value: value, Time: ev.CreatedAt, Headers: headers[:len(headers):len(headers)]}
}

// key returns the record's key, and text with the key appended where the key is
// not constant.
func (e *Encoder) key(text []byte, ev *Event, id []byte) (key, rest []byte) {
	part := id
	switch e.Key {
	case KeyUser:
		part = ev.UserID
	case KeyTenant:
		part = nil
	}
	if len(part) == 0 {
		return e.tenant, text
	}
	n := len(text)
	text = append(text, e.tenant...)
	text = append(text, ':')
	text = append(text, part...)
	return text[n:len(text):len(text)], text
}

// takeHeaders returns an empty slice with room for one event's headers.
func (e *Encoder) takeHeaders() []Header {
	if cap(e.headers) < maxEventHeaders {
		e.headers = nil // let go of a block that is used up
		return make([]Header, 0, maxEventHeaders)
	}
	return e.headers[:0]
}

// takeText returns an empty slice with room for one event's ids and key.
func (e *Encoder) takeText() []byte {
	room := e.textRoom()
	if cap(e.text) < room {
		e.text = nil
		return make([]byte, 0, room)
	}
	return e.text[:0]
}

// giveBack keeps what is left of the blocks that Reserve set aside, up to the
// last event they were meant for: an idle connector holds none. A block of one
// event, made because nothing was reserved, is not kept.
func (e *Encoder) giveBack(headers []Header, text []byte) {
	if e.reserved--; e.reserved <= 0 {
		e.headers, e.text = nil, nil
		return
	}
	if e.headers != nil {
		e.headers = headers[len(headers):]
	}
	if e.text != nil {
		e.text = text[len(text):]
	}
}

func (e *Encoder) typeInfo(id int64) typeInfo {
	if e.Types == nil {
		return newTypeInfo(id, "")
	}
	return e.Types.info(id)
}

// DeadLetter returns the record of an element of an answer that is not an
// event. reason says what is wrong with it. The record refers to raw.
func (e *Encoder) DeadLetter(raw []byte, reason string, now time.Time) Record {
	if !e.ready {
		e.init()
	}
	if raw == nil {
		raw = []byte{} // a nil value would be a tombstone
	}
	return Record{Topic: DeadLetter, Key: e.tenant, Value: raw, Time: now, Headers: []Header{
		{HeaderTenant, e.tenant},
		{HeaderSource, e.source},
		{HeaderReason, []byte(strings.ToValidUTF8(reason, "\uFFFD"))},
	}}
}

// Compact returns a valid JSON value without its insignificant white space: what
// an Encoder writes that is told to. A value without any is returned as it is.
func Compact(src []byte) []byte { return compact(src) }

// compact removes the white space between the tokens of a valid JSON value and
// nothing else. A value without any is returned as it is.
func compact(src []byte) []byte {
	i := nextSpace(src, 0)
	if i == len(src) {
		return src
	}
	dst := make([]byte, 0, len(src)-1)
	from := 0
	for i < len(src) {
		dst = append(dst, src[from:i]...)
		from = i + 1
		i = nextSpace(src, from)
	}
	return append(dst, src[from:]...)
}

// nextSpace returns the index of the first white space at or after i that is
// outside a string; len(src) if there is none. src[i] is outside a string.
func nextSpace(src []byte, i int) int {
	for i < len(src) {
		switch src[i] {
		case ' ', '\t', '\n', '\r':
			return i
		case '"':
			i = endOfString(src, i)
		default:
			i++
		}
	}
	return i
}

// endOfString returns the index after the string that starts at src[i].
func endOfString(src []byte, i int) int {
	for i++; i < len(src); {
		n := bytes.IndexByte(src[i:], '"')
		if n < 0 {
			break
		}
		i += n + 1
		slashes := 0
		for i-2-slashes >= 0 && src[i-2-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i
		}
	}
	return len(src)
}
