package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
)

// ErrMalformed is returned (wrapped) for a broker's answer that does not have
// the form Kafka's message definitions give it.
var ErrMalformed = errors.New("malformed answer")

// encoder builds a message body. In a flexible version strings, bytes and
// arrays have compact lengths and every structure ends with a tag section
// (KIP-482).
type encoder struct {
	buf      []byte
	flexible bool
}

func (e *encoder) int8(v int8)   { e.buf = append(e.buf, byte(v)) }
func (e *encoder) int16(v int16) { e.buf = binary.BigEndian.AppendUint16(e.buf, uint16(v)) }
func (e *encoder) int32(v int32) { e.buf = binary.BigEndian.AppendUint32(e.buf, uint32(v)) }
func (e *encoder) int64(v int64) { e.buf = binary.BigEndian.AppendUint64(e.buf, uint64(v)) }

func (e *encoder) bool(v bool) {
	if v {
		e.int8(1)
	} else {
		e.int8(0)
	}
}

func (e *encoder) string(s string) {
	if e.flexible {
		e.buf = binary.AppendUvarint(e.buf, uint64(len(s))+1)
	} else {
		e.int16(int16(len(s)))
	}
	e.buf = append(e.buf, s...)
}

// nullString writes the empty string as null.
func (e *encoder) nullString(s string) {
	switch {
	case s != "":
		e.string(s)
	case e.flexible:
		e.buf = append(e.buf, 0)
	default:
		e.int16(-1)
	}
}

func (e *encoder) bytes(b []byte) {
	if e.flexible {
		e.buf = binary.AppendUvarint(e.buf, uint64(len(b))+1)
	} else {
		e.int32(int32(len(b)))
	}
	e.buf = append(e.buf, b...)
}

func (e *encoder) array(n int) {
	if e.flexible {
		e.buf = binary.AppendUvarint(e.buf, uint64(n)+1)
	} else {
		e.int32(int32(n))
	}
}

// tags ends a structure.
func (e *encoder) tags() {
	if e.flexible {
		e.buf = append(e.buf, 0)
	}
}

// decoder reads a message body. The first error sticks; reads after it return
// zero values.
type decoder struct {
	buf      []byte
	flexible bool
	throttle int32 // ms, as the answer says
	err      error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s with %d bytes left", ErrMalformed, what, len(d.buf))
	}
	d.buf = nil
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.buf) {
		d.fail("length out of range")
		return nil
	}
	b := d.buf[:n:n]
	d.buf = d.buf[n:]
	return b
}

func (d *decoder) int16() int16 {
	if b := d.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (d *decoder) int32() int32 {
	if b := d.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (d *decoder) int64() int64 {
	if b := d.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.buf)
	if n <= 0 {
		d.fail("bad varint")
		return 0
	}
	d.buf = d.buf[n:]
	return v
}

// length reads a length or count; -1 stands for null.
func (d *decoder) length(fixed func() int) int {
	var n int
	if d.flexible {
		v := d.uvarint()
		if v > uint64(len(d.buf))+1 {
			d.fail("length out of range")
			return -1
		}
		n = int(v) - 1
	} else {
		n = fixed()
	}
	if n < -1 || n > len(d.buf) {
		d.fail("length out of range")
		return -1
	}
	return n
}

func (d *decoder) string() string {
	n := d.length(func() int { return int(d.int16()) })
	if n <= 0 {
		return ""
	}
	return string(d.take(n))
}

// bytes returns a slice of the answer itself.
func (d *decoder) bytes() []byte {
	n := d.length(func() int { return int(d.int32()) })
	if n < 0 {
		return nil
	}
	return d.take(n)
}

// array yields once for each element, never for null. A count above what is
// left is refused, since every element takes at least one byte, and nothing is
// yielded after an error: a broker can make us allocate no more than it sends.
func (d *decoder) array() iter.Seq[int] {
	n := d.length(func() int { return int(d.int32()) })
	return func(yield func(int) bool) {
		for i := 0; i < n && d.err == nil && yield(i); i++ {
		}
	}
}

// tags reads the tag section that ends a structure and hands each known tag to
// do, which may be nil.
func (d *decoder) tags(do func(tag uint64, value *decoder)) {
	if !d.flexible {
		return
	}
	n := d.uvarint()
	for i := uint64(0); i < n && d.err == nil; i++ {
		tag, size := d.uvarint(), d.uvarint()
		if size > uint64(len(d.buf)) {
			d.fail("tag out of range")
			return
		}
		value := &decoder{buf: d.take(int(size)), flexible: true}
		if do != nil {
			if do(tag, value); value.err != nil && d.err == nil {
				d.err = value.err
			}
		}
	}
}
