package onelogin

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"onelogin-kafka/source"
)

// headerBuffer holds most headers, in bytes. Each connection has two, and a body
// goes past them.
const headerBuffer = 1 << 10

// NewTransport returns a transport fit for OneLogin: HTTP/1.1 with keep-alive
// and gzip, the limits of l, and each client's own proxy. It trusts roots; nil
// means the system's. Clients may share it.
func NewTransport(l Limits, roots *x509.CertPool) *http.Transport {
	l = l.withDefaults()
	var h1 http.Protocols
	h1.SetHTTP1(true)
	dial := (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	if l.Connections > 0 {
		dial = bounded(dial, l.Connections)
	}
	return &http.Transport{
		Proxy:                  byRoute,
		GetProxyConnectHeader:  askTunnel,
		OnProxyConnectResponse: tunnelled,
		DialContext:            records(dial),
		MaxIdleConns:           l.Kept(),
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  l.ResponseHeader,
		MaxResponseHeaderBytes: l.Header,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        90 * time.Second,
		ReadBufferSize:         headerBuffer,
		WriteBufferSize:        headerBuffer,
		Protocols:              &h1,
	}
}

// transportFailure says what it means that no whole answer came. Errors of
// net/http can quote the answer and can pass for errors of a context, so only
// texts from a list of harmless types go on, and only as text.
func transportFailure(stage string, err error) *source.APIError {
	e := &source.APIError{Stage: stage}
	var (
		tooLarge *BodyTooLargeError
		op       *net.OpError
		timeout  interface{ Timeout() bool }
		slow     errSlow
		body     bodyError
		proxy    *ProxyError
		password proxySecretError
	)
	switch {
	case errors.As(err, &proxy):
		setProxy(e, proxy)
	case errors.As(err, &password):
		e.Kind, e.Message, e.Err = source.Configuration, msgConfiguration, password
		e.Advice = adviceProxyCredentials
	case errors.Is(err, errRequest):
		e.Kind, e.Message, e.Err = source.Configuration, msgConfiguration, errRequest
		e.Advice = adviceConfiguration
	case errors.As(err, &tooLarge):
		setUnreadable(e, msgReading, tooLarge)
	case errors.Is(err, errEncoding):
		setUnreadable(e, msgReading, errEncoding)
	case errors.As(err, &slow):
		setTimeout(e, slow)
	case errors.As(err, &op) && op.Op == opProxy:
		setUnreachable(e, harmless(err))
		e.Advice = adviceProxy
	case errors.As(err, &op) && op.Op == "dial":
		setUnreachable(e, harmless(err))
	case errors.As(err, &timeout) && timeout.Timeout():
		setTimeout(e, errHeaderSlow)
	case errors.As(err, &op), errors.Is(err, syscall.ECONNRESET), errors.Is(err, net.ErrClosed):
		setUnreachable(e, harmless(err))
	case errors.As(err, &body):
		setUnreadable(e, msgReading, errBrokenBody)
	default:
		setUnreachable(e, harmless(err))
	}
	return e
}

// opProxy is what net/http calls the way to a proxy.
const opProxy = "proxyconnect"

// harmless returns the text of err if its type is known to tell nothing but
// addresses, names and reasons of the network's.
func harmless(err error) error {
	var (
		op   *net.OpError
		dns  *net.DNSError
		addr *net.AddrError
		sys  *os.SyscallError
		slow interface{ Timeout() bool }
		no   syscall.Errno
		cert *tls.CertificateVerificationError
		host x509.HostnameError
		auth x509.UnknownAuthorityError
		rec  tls.RecordHeaderError
		alrt tls.AlertError
	)
	switch {
	case errors.As(err, &op):
		return harmlessOp(op)
	case errors.As(err, &dns):
		return errors.New(dns.Error())
	case errors.As(err, &cert):
		return errors.New(cert.Error())
	case errors.As(err, &host):
		return errors.New(host.Error())
	case errors.As(err, &auth):
		return errors.New(auth.Error())
	case errors.As(err, &rec):
		return errors.New(rec.Error())
	case errors.As(err, &alrt):
		return errors.New(alrt.Error())
	case errors.As(err, &sys):
		return errors.New(sys.Error())
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return errBrokenLink
	case errors.As(err, &no):
		return errors.New(no.Error())
	case errors.As(err, &addr):
		return errors.New(addr.Error())
	case errors.As(err, &slow) && slow.Timeout():
		return errHeaderSlow
	default:
		return errNotHTTP
	}
}

// harmlessOp is harmless for an operation of the network's, which wraps what a
// proxy says just as what the network does. An alert of TLS has a type of its
// own that nobody can name.
func harmlessOp(op *net.OpError) error {
	if op.Op == "remote error" || op.Op == "local error" {
		return errors.New(op.Error())
	}
	inner := harmless(op.Err)
	if errors.Is(inner, errNotHTTP) {
		inner = errNotShown
	}
	shown := &net.OpError{Op: op.Op, Net: op.Net, Source: op.Source, Addr: op.Addr, Err: inner}
	return errors.New(shown.Error())
}
