package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// ErrNotShown stands for an error that Shown does not pass on.
var ErrNotShown = errors.New("the reason is not shown, since its text may hold a secret")

var errTimeout = errors.New("no answer in time")

// Shown returns what may be told of err, an error of code that was handed a
// secret: a password it sends, a key it signs with, a token in a header. It is
// the part of err that is of a type known to tell nothing but addresses, names
// and reasons of the network's or a certificate's; where there is none, an error
// that says no more than that. Give it the library's error as it is: what is
// wrapped around the part is lost.
func Shown(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		// crypto/tls gives these the text of an alert, whose type is its own.
		if op.Op == "remote error" || op.Op == "local error" {
			return op
		}
		return &net.OpError{Op: op.Op, Net: op.Net, Source: op.Source, Addr: op.Addr, Err: Shown(op.Err)}
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*net.AddrError](err); ok {
		return e
	}
	if e := certificateError(err); e != nil {
		return e
	}
	if e, ok := errors.AsType[*os.SyscallError](err); ok {
		return e
	}
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e
	}
	for _, known := range []error{context.Canceled, context.DeadlineExceeded, os.ErrDeadlineExceeded, net.ErrClosed, io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe} {
		if errors.Is(err, known) {
			return known
		}
	}
	if t, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && t.Timeout() {
		return errTimeout
	}
	return ErrNotShown
}

// certificateError is the part of err that says why TLS did not come about, nil
// if there is none that is known.
func certificateError(err error) error {
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return e
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return e
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return e
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return e
	}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return e
	}
	if e, ok := errors.AsType[tls.AlertError](err); ok {
		return e
	}
	return nil
}
