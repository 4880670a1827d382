package onelogin

import (
	"context"
	"encoding/binary"
	"net"
)

// byRecord is a connection that hands on one TLS record after the other. crypto/tls
// reads on as far as it has room, makes more for what it finds of the next record,
// about twice as much as the largest has, and keeps it as long as the connection
// lives: most of what an idle one takes. What comes before we speak TLS (plain
// HTTP, a proxy's answer) goes through as it comes: each part is a call of the
// system's.
type byRecord struct {
	net.Conn
	secure bool // we speak TLS
	header [recordHeader]byte
	have   int // bytes of it
	left   int // bytes of the record that are still to come
}

const (
	recordHeader = 5
	// handshake is the type of the record that begins TLS; no text begins with it.
	handshake = 22
)

// Write implements net.Conn.
func (c *byRecord) Write(p []byte) (int, error) {
	if !c.secure && len(p) > 0 && p[0] == handshake {
		c.secure = true // before anything is read: the client speaks first
	}
	return c.Conn.Write(p)
}

// Read implements net.Conn.
func (c *byRecord) Read(p []byte) (int, error) {
	switch {
	case !c.secure:
		return c.Conn.Read(p)
	case c.left > 0:
		n, err := c.Conn.Read(p[:min(len(p), c.left)])
		c.left -= n
		return n, err
	}
	n, err := c.Conn.Read(p[:min(len(p), recordHeader-c.have)])
	copy(c.header[c.have:], p[:n])
	if c.have += n; c.have == recordHeader {
		c.have, c.left = 0, int(binary.BigEndian.Uint16(c.header[3:]))
	}
	return n, err
}

// records makes dial return connections that hand on record by record.
func records(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &byRecord{Conn: conn}, nil
	}
}
