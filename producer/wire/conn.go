// Package wire talks to Kafka brokers: connections of our own with TLS and
// SASL, negotiated versions, cluster metadata, and the messages that kafka-go
// lacks or has wrong. kafka-go's protocol package encodes all the others.
//
// A connection carries one request at a time and is given up after any error,
// so an answer can never be taken for another request's. Nothing here retries a
// request that may have reached a broker: that is for the caller to decide.
package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	"github.com/segmentio/kafka-go/sasl"
)

const (
	clientSoftware = "onelogin-kafka"
	// maxAnswer bounds what a broker can make us allocate. Fetches ask for far
	// less; only a single batch of that size would be cut off, with an error.
	maxAnswer = 128 << 20
)

// ErrVersion is returned (wrapped) when a broker does not offer a version of a
// request that we can speak.
var ErrVersion = errors.New("the broker is too old or too new for this request")

// ErrAuthentication is returned (wrapped) when a broker refuses our SASL
// credentials or mechanism.
var ErrAuthentication = errors.New("the broker refused the SASL credentials")

// ErrCredentials is returned (wrapped) when our side of TLS or SASL is not to be
// had: a certificate, password or token. No broker can help.
var ErrCredentials = errors.New("our own credentials cannot be used")

// conn is one connection to one broker, for one request at a time.
type conn struct {
	net.Conn
	clientID string
	ranges   map[protocol.ApiKey][2]int16
	features map[string]int16
	nextID   int32
	frame    []byte    // request buffer, reused
	used     time.Time // last time it was put back
	expires  time.Time // SASL session's end; zero = none
}

// dial connects to addr, negotiates versions and authenticates.
func (c *Config) dial(ctx context.Context, addr string) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.DialTimeout)
	defer cancel()
	dialer := c.Dial
	if dialer == nil {
		dialer = (&net.Dialer{}).DialContext
	}
	cfg, err := c.tls()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	nc, err := dialer(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	if cfg != nil {
		if cfg.ServerName == "" {
			cfg.ServerName, _, _ = net.SplitHostPort(addr)
		}
		tc := tls.Client(nc, cfg)
		if err := tc.HandshakeContext(ctx); err != nil {
			nc.Close()
			if len(cfg.Certificates) > 0 { // a private key was in use
				err = Shown(err)
			}
			return nil, fmt.Errorf("securing the connection: %w", err)
		}
		nc = tc
	}
	cn := &conn{Conn: nc, clientID: c.ClientID}
	if err := cn.open(ctx, c); err != nil {
		nc.Close()
		return nil, err
	}
	return cn, nil
}

func (cn *conn) open(ctx context.Context, c *Config) error {
	var v APIVersions
	if err := cn.do(ctx, c.DialTimeout, &v); err != nil {
		return fmt.Errorf("asking for the broker's versions: %w", err)
	}
	if v.ErrorCode != 0 {
		return fmt.Errorf("asking for the broker's versions: %w: error %d", ErrVersion, v.ErrorCode)
	}
	cn.ranges, cn.features = v.Ranges, v.Features
	if c.SASL == nil {
		return nil
	}
	return cn.authenticate(ctx, c)
}

func (cn *conn) authenticate(ctx context.Context, c *Config) error {
	mechanism, err := c.SASL()
	if err != nil {
		return fmt.Errorf("reading the SASL credentials: %w: %w", ErrCredentials, err)
	}
	hs, err := cn.exchange(ctx, c.DialTimeout, &saslhandshake.Request{Mechanism: mechanism.Name()})
	if err != nil {
		return fmt.Errorf("negotiating SASL: %w", err)
	}
	if r := hs.(*saslhandshake.Response); r.ErrorCode != 0 {
		return fmt.Errorf("negotiating SASL: %w: mechanism %s is not offered, the broker has %q", ErrAuthentication, mechanism.Name(), r.Mechanisms)
	}
	host, _, _ := net.SplitHostPort(cn.RemoteAddr().String())
	state, answer, err := mechanism.Start(sasl.WithMetadata(ctx, &sasl.Metadata{Host: host}))
	if err != nil {
		return fmt.Errorf("starting SASL: %w: %w", ErrCredentials, err)
	}
	for done := false; !done; {
		sent := time.Now()
		m, err := cn.exchange(ctx, c.DialTimeout, &saslauthenticate.Request{AuthBytes: answer})
		if errors.Is(err, ErrMalformed) {
			err = ErrMalformed // the answer to a password may hold it
		}
		if err != nil {
			return fmt.Errorf("authenticating: %w", err)
		}
		r := m.(*saslauthenticate.Response)
		if r.ErrorCode != 0 {
			// What the broker writes about it is not ours to trust; a mechanism
			// may have understood more than the code says.
			if x, ok := state.(interface{ Refusal() error }); ok && x.Refusal() != nil {
				return fmt.Errorf("authenticating: %w: %w (error %d)", ErrAuthentication, x.Refusal(), r.ErrorCode)
			}
			return fmt.Errorf("authenticating: %w (error %d)", ErrAuthentication, r.ErrorCode)
		}
		if r.SessionLifetimeMs > 0 {
			cn.expires = sent.Add(usable(time.Duration(r.SessionLifetimeMs) * time.Millisecond))
		}
		if done, answer, err = state.Next(ctx, r.AuthBytes); err != nil {
			return fmt.Errorf("authenticating: %w: %w", ErrAuthentication, err)
		}
	}
	return nil
}

// usable is how much of a SASL session's life we use. A connection is replaced
// well before its session ends (KIP-368), which is all that re-authentication
// would do for us. A request that comes too late ends the connection without an
// answer, so the last second is left alone even of a short life.
func usable(life time.Duration) time.Duration {
	return max(life/2, life-max(life/5, time.Second))
}

// version picks the highest version both sides know.
func (cn *conn) version(key protocol.ApiKey, lo, hi int16) (int16, error) {
	if cn.ranges == nil { // before ApiVersions was answered
		return hi, nil
	}
	r, ok := cn.ranges[key]
	if v := min(hi, r[1]); ok && v >= lo && v >= r[0] {
		return v, nil
	}
	return 0, fmt.Errorf("%w: %s versions %d to %d, the broker has %d to %d", ErrVersion, key, lo, hi, r[0], r[1])
}

// do sends a request of ours and fills in its answer.
func (cn *conn) do(ctx context.Context, timeout time.Duration, m Request) error {
	lo, hi := m.versions()
	v, err := cn.version(m.key(), lo, hi)
	if err != nil {
		return err
	}
	flexible := m.flexible(v)
	e := &encoder{buf: append(cn.frame[:0], 0, 0, 0, 0)}
	e.int16(int16(m.key()))
	e.int16(v)
	cn.nextID++
	e.int32(cn.nextID)
	e.string(cn.clientID) // its length is never compact
	e.flexible = flexible
	e.tags()
	m.encode(e, v)
	binary.BigEndian.PutUint32(e.buf, uint32(len(e.buf)-4))
	cn.frame = e.buf
	if cap(cn.frame) > 4<<20 {
		cn.frame = nil
	}
	answer, err := cn.roundTrip(ctx, timeout, e.buf)
	if err != nil {
		return err
	}
	d := &decoder{buf: answer[8:], flexible: flexible}
	// ApiVersions' answer keeps the old header, so that any client can read it.
	if m.key() != protocol.ApiVersions {
		d.tags(nil)
	}
	m.decode(d, v)
	return d.err
}

// exchange sends one of kafka-go's messages and returns its answer.
func (cn *conn) exchange(ctx context.Context, timeout time.Duration, m protocol.Message) (protocol.Message, error) {
	key := m.ApiKey()
	hi := key.MaxVersion()
	if key == protocol.SyncGroup {
		hi = 3 // kafka-go's version 5 cannot write null strings, 4 is not needed
	}
	v, err := cn.version(key, key.MinVersion(), hi)
	if err != nil {
		return nil, err
	}
	cn.nextID++
	var frame bytes.Buffer
	if err := protocol.WriteRequest(&frame, v, cn.nextID, cn.clientID, m); err != nil {
		return nil, fmt.Errorf("encoding %s: %w", key, Shown(err))
	}
	answer, err := cn.roundTrip(ctx, timeout, frame.Bytes())
	if err != nil {
		return nil, err
	}
	_, res, err := protocol.ReadResponse(bytes.NewReader(answer), key, v)
	if err != nil {
		return nil, fmt.Errorf("%w: decoding %s: %w", ErrMalformed, key, err)
	}
	return res, nil
}

// roundTrip writes a frame and returns the answer's, size and correlation id
// included. After an error the connection is of no use any more.
func (cn *conn) roundTrip(ctx context.Context, timeout time.Duration, frame []byte) ([]byte, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(timeout)
	}
	if err := cn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = cn.SetDeadline(time.Unix(1, 0)) })
	answer, err := cn.transfer(frame)
	if !stop() && err == nil {
		// The deadline may be spoiled; the answer is whole all the same.
		cn.expires = time.Unix(1, 0)
	}
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return answer, err
}

func (cn *conn) transfer(frame []byte) ([]byte, error) {
	if _, err := cn.Write(frame); err != nil {
		return nil, fmt.Errorf("sending: %w", Shown(err))
	}
	var head [8]byte
	if _, err := io.ReadFull(cn, head[:]); err != nil {
		return nil, fmt.Errorf("awaiting the answer: %w", Shown(err))
	}
	size := binary.BigEndian.Uint32(head[:])
	if size < 4 || size > maxAnswer {
		return nil, fmt.Errorf("%w: an answer of %d bytes", ErrMalformed, size)
	}
	if id := int32(binary.BigEndian.Uint32(head[4:])); id != cn.nextID {
		return nil, fmt.Errorf("%w: answer %d to request %d", ErrMalformed, id, cn.nextID)
	}
	answer := make([]byte, 4+size)
	copy(answer, head[:])
	if _, err := io.ReadFull(cn, answer[8:]); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", Shown(err))
	}
	return answer, nil
}
