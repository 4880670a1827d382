package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	"github.com/segmentio/kafka-go/sasl"
)

const clientSoftware = "onelogin-kafka"

// ErrAuthentication is returned (wrapped) when a broker refuses our SASL
// credentials or mechanism.
var ErrAuthentication = errors.New("the broker refused the SASL credentials")

// ErrCredentials is returned (wrapped) when our side of TLS or SASL is not to be
// had: a certificate, password or token. No broker can help.
var ErrCredentials = errors.New("our own credentials cannot be used")

// Config says how to reach a cluster.
type Config struct {
	// Brokers are bootstrap addresses, host:port.
	Brokers []string
	// ClientID names this process in the brokers' logs and quotas; empty =
	// "onelogin-kafka".
	ClientID string
	// TLS, if not nil, is asked for a configuration of its own for each new
	// connection, so that rotated files need no restart; nil from it means plain
	// text. An empty ServerName stands for the broker's own host name.
	TLS func() (*tls.Config, error)
	// SASL, if not nil, is asked for the mechanism at each new connection, so
	// that a rotated password needs no restart. Its errors, and those of the
	// mechanism, are passed on and must hold no secret.
	SASL func() (sasl.Mechanism, error)
	// Dial replaces the network; nil = net.Dialer.
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	Timeouts Timeouts
}

// Timeouts bound the steps of a connection, each by itself. A zero stands for
// the default.
type Timeouts struct {
	// Connect bounds finding an address and connecting to it; 10 s.
	Connect time.Duration
	// Handshake bounds TLS; 10 s.
	Handshake time.Duration
	// Login bounds asking for the broker's versions, and SASL; 10 s.
	Login time.Duration
	// Request bounds a request from its first byte to the last of its answer,
	// unless the context ends before; 30 s.
	Request time.Duration
}

// The defaults of Java's clients: socket.connection.setup.timeout.ms and
// request.timeout.ms.
const (
	defaultSetup   = 10 * time.Second
	defaultRequest = 30 * time.Second
)

func (t Timeouts) complete() Timeouts {
	for _, d := range []*time.Duration{&t.Connect, &t.Handshake, &t.Login} {
		if *d == 0 {
			*d = defaultSetup
		}
	}
	if t.Request == 0 {
		t.Request = defaultRequest
	}
	return t
}

func (c *Config) tls() (*tls.Config, error) {
	if c.TLS == nil {
		return nil, nil
	}
	return c.TLS()
}

// connect makes a connection up to its TLS handshake. Nothing reads it yet.
func (c *Config) connect(ctx context.Context, addr string) (*conn, error) {
	cfg, err := c.tls()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	dialer := c.Dial
	if dialer == nil {
		dialer = (&net.Dialer{}).DialContext
	}
	dctx, cancel := context.WithTimeout(ctx, c.Timeouts.Connect)
	defer cancel()
	raw, err := dialer(dctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	if cfg == nil {
		return newConn(raw, raw, c.ClientID), nil
	}
	if cfg.ServerName == "" {
		cfg.ServerName, _, _ = net.SplitHostPort(addr)
	}
	tctx, cancel := context.WithTimeout(ctx, c.Timeouts.Handshake)
	defer cancel()
	secured := tls.Client(raw, cfg)
	if err := secured.HandshakeContext(tctx); err != nil {
		_ = raw.Close()
		if len(cfg.Certificates) > 0 { // a private key was in use
			err = Shown(err)
		}
		return nil, fmt.Errorf("securing the connection: %w", err)
	}
	return newConn(raw, secured, c.ClientID), nil
}

// open asks what the broker can do and authenticates.
func (cn *conn) open(ctx context.Context, c *Config) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeouts.Login)
	defer cancel()
	var v APIVersions
	if err := cn.do(ctx, &v); err != nil {
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
	hs, err := cn.exchange(ctx, &saslhandshake.Request{Mechanism: mechanism.Name()})
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
		m, err := cn.exchange(ctx, &saslauthenticate.Request{AuthBytes: answer})
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
			cn.until = cn.expires
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
