package faultproxy

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	maxFrame = 256 << 20
	// drainWithin bounds how long the broker's side stays open for answers nobody waits for any more.
	drainWithin = 5 * time.Second
)

// conn is one client connection and its counterpart to the broker. Two goroutines carry it, one for each direction.
type conn struct {
	set            *Set
	node           int
	client, broker net.Conn

	mu       sync.Mutex
	clientID string
	pending  map[int32]*Handle // requests on their way, by correlation id; the value is nil when no fault waits for the answer
	drained  chan struct{}     // closed when the client has gone and nothing is pending
	leaving  bool              // no further request comes
	gone     bool              // the client's side was cut
}

func (c *conn) close() {
	c.client.Close()
	c.broker.Close()
}

func (c *conn) cut() {
	c.mu.Lock()
	c.gone = true
	c.mu.Unlock()
	c.client.Close()
}

// readFrame returns a frame with its size field.
func readFrame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := int32(binary.BigEndian.Uint32(size[:]))
	if n < 4 || n > maxFrame {
		return nil, fmt.Errorf("a frame of %d bytes: not the Kafka protocol", n)
	}
	frame := make([]byte, 4+n)
	copy(frame, size[:])
	_, err := io.ReadFull(r, frame[4:])
	return frame, err
}

// parseRequest reads the header: key, version, correlation id and the client id as a nullable string.
func parseRequest(node int, frame []byte) (Request, error) {
	r := Request{Node: node, Size: len(frame) - 4}
	if len(frame) < 12 {
		return r, fmt.Errorf("a request of %d bytes: shorter than its header", r.Size)
	}
	r.Key = int16(binary.BigEndian.Uint16(frame[4:]))
	r.Version = int16(binary.BigEndian.Uint16(frame[6:]))
	r.CorrelationID = int32(binary.BigEndian.Uint32(frame[8:]))
	if len(frame) >= 14 {
		n := int(int16(binary.BigEndian.Uint16(frame[12:])))
		if n > 0 && 14+n <= len(frame) {
			r.ClientID = string(frame[14 : 14+n])
		}
	}
	return r, nil
}

// requests carries the client's requests to the broker until one side ends.
func (c *conn) requests() {
	from := bufio.NewReader(c.client)
	for {
		frame, err := readFrame(from)
		if err != nil {
			break
		}
		r, err := parseRequest(c.node, frame)
		if err != nil {
			break
		}
		h := c.set.claim(r)
		c.note(r, h)
		if h != nil {
			switch h.fault.Kind {
			case DropRequest:
				h.did()
				c.close()
				return
			case DelayRequest:
				h.did()
				if !h.wait(c.set.stop) {
					c.close()
					return
				}
			}
		}
		if !c.set.pass(c, ToBroker) {
			break
		}
		if _, err := c.broker.Write(frame); err != nil {
			break
		}
		if h != nil && h.fault.Kind == DelayRequest {
			h.passed.Add(1)
		}
	}
	// The broker drops what a closed connection still asks of it, so its side ends only after the last answer.
	select {
	case <-c.leave():
	case <-c.set.stop:
	case <-time.After(drainWithin):
	}
	c.close()
}

// note remembers a request until its answer comes.
func (c *conn) note(r Request, h *Handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clientID = r.ClientID
	c.pending[r.CorrelationID] = h
}

// leave says that no further request comes.
func (c *conn) leave() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving = true
	c.settle()
	return c.drained
}

func (c *conn) settle() {
	if c.leaving && len(c.pending) == 0 {
		select {
		case <-c.drained:
		default:
			close(c.drained)
		}
	}
}

// take returns the fault that waits for this answer. The request counts as answered.
func (c *conn) take(correlation int32) *Handle {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.pending[correlation]
	delete(c.pending, correlation)
	c.settle()
	return h
}

// abandon ends both sides; no answer comes any more.
func (c *conn) abandon() {
	c.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.pending)
	c.leaving = true
	c.settle()
}

// answers carries the broker's answers to the client. When the client has gone it still takes them, so that requests drains.
func (c *conn) answers() {
	defer c.abandon()
	from := bufio.NewReader(c.broker)
	gone := false
	for {
		frame, err := readFrame(from)
		if err != nil {
			return
		}
		if h := c.take(int32(binary.BigEndian.Uint32(frame[4:]))); h != nil {
			switch h.fault.Kind {
			case DropAnswer:
				h.did()
				return
			case TearAnswer:
				_, _ = c.client.Write(frame[:4+(len(frame)-4)/2])
				h.did()
				return
			case DelayAnswer:
				h.did()
				if !h.wait(c.set.stop) {
					return
				}
				h.passed.Add(1)
			}
		}
		if gone || !c.set.pass(c, ToClient) {
			continue
		}
		if _, err := c.client.Write(frame); err != nil {
			gone = true
		}
	}
}
