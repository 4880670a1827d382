package onelogin

import (
	"context"
	"encoding/binary"
	"net"
)

// byRecord is a connection that hands on one TLS record after the other. crypto/tls
// reads on as far as it has room, makes more for what it finds of the next record,
// about twice as much as the largest has, and keeps it as long as the connection
// lives: most of what an idle one takes. What is no record (plain HTTP, a proxy's
// answer) goes through as it comes.
type byRecord struct {
	net.Conn
	header [recordHeader]byte
	have   int // bytes of it
	left   int // bytes of the record that are still to come, or unbound
}

const (
	recordHeader = 5
	// unbound lets through whatever the next read brings.
	unbound = -1
)

// Read implements net.Conn.
func (c *byRecord) Read(p []byte) (int, error) {
	switch {
	case c.left == unbound:
		c.left = 0
		return c.Conn.Read(p)
	case c.left > 0:
		n, err := c.Conn.Read(p[:min(len(p), c.left)])
		c.left -= n
		return n, err
	}
	n, err := c.Conn.Read(p[:min(len(p), recordHeader-c.have)])
	copy(c.header[c.have:], p[:n])
	if c.have += n; c.have == recordHeader {
		c.have, c.left = 0, recordLength(c.header)
	}
	return n, err
}

// recordLength is the length that follows the header of a TLS record; unbound if
// it is none.
func recordLength(h [recordHeader]byte) int {
	if h[0] < 20 || h[0] > 23 || h[1] != 3 { // change of cipher, alert, handshake, data; of SSL 3.0 or later
		return unbound
	}
	return int(binary.BigEndian.Uint16(h[3:]))
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
