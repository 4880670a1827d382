package onelogin

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
)

// pieces is a connection that brings what it has in pieces.
type pieces struct {
	net.Conn
	rnd  *rand.Rand
	left []byte
	most int // bytes of a piece; 0 = as many as are asked for
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := len(b)
	if p.most > 0 {
		n = min(n, 1+p.rnd.IntN(p.most))
	}
	n = copy(b[:n], p.left)
	p.left = p.left[n:]
	return n, nil
}

func (p *pieces) Write(b []byte) (int, error) { return len(b), nil }

// Whatever comes goes through as it is, in whatever pieces; a read never goes past
// the end of a record, also not behind a proxy's answer. What is not TLS comes in
// one, as it is there.
func TestByRecord(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		proxied := rnd.IntN(2) == 0
		var sent []byte
		if proxied {
			sent = []byte("HTTP/1.1 200 Connection established\r\n\r\n")
		}
		ends := map[int]bool{}
		begin := len(sent)
		for range 5 {
			n := rnd.IntN(1 << 10)
			sent = append(sent, 23, 3, 3, byte(n>>8), byte(n))
			sent = append(sent, bytes.Repeat([]byte{byte(rnd.IntN(256))}, n)...)
			ends[len(sent)] = true
		}
		inner := &pieces{rnd: rnd}
		c := &byRecord{Conn: inner}
		var got []byte
		read := func(until int) {
			inner.left = sent[len(got):until]
			for len(got) < until {
				b := make([]byte, 5+rnd.IntN(1<<11))
				n, err := c.Read(b)
				if err != nil {
					t.Fatal(err)
				}
				for end := range ends {
					if len(got) < end && len(got)+n > end {
						t.Fatalf("read %d bytes from %d, past the end of a record at %d", n, len(got), end)
					}
				}
				got = append(got, b[:n]...)
			}
		}
		inner.left = sent[:begin] // a proxy says nothing more until it is spoken to
		b := make([]byte, 1<<10)
		if n, err := c.Read(b); n != begin || proxied != (err == nil) {
			t.Fatalf("read %d bytes of a proxy's answer at once, want %d (%v)", n, begin, err)
		}
		got = append(got, b[:begin]...)
		if _, err := c.Write([]byte{handshake, 3, 1, 0, 0}); err != nil {
			t.Fatal(err)
		}
		inner.most = []int{0, 3, 1000}[rnd.IntN(3)]
		read(len(sent))
		if !slices.Equal(got, sent) {
			t.Fatal("what came is not what was sent")
		}
	}
}
