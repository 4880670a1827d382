package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
)

const canary = "hunter2-canary"

type slow struct{}

func (slow) Error() string { return canary + " took too long" }
func (slow) Timeout() bool { return true }

// TestShown: what is known is passed on, and can be asked for; whatever else is
// in the same error is not.
func TestShown(t *testing.T) {
	t.Parallel()
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9092}
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: addr, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for name, tt := range map[string]struct {
		err  error
		want string
		is   error
	}{
		"refused":                   {refused, refused.Error(), syscall.ECONNREFUSED},
		"refused, wrapped":          {fmt.Errorf("%s: %w", canary, refused), refused.Error(), syscall.ECONNREFUSED},
		"a URL with a password":     {&url.Error{Op: "Get", URL: "https://u:" + canary + "@h/", Err: refused}, refused.Error(), syscall.ECONNREFUSED},
		"and nothing known":         {&url.Error{Op: "Get", URL: "https://u:" + canary + "@h/", Err: errors.New(canary)}, ErrNotShown.Error(), ErrNotShown},
		"what a proxy says":         {&net.OpError{Op: "proxyconnect", Net: "tcp", Err: errors.New(canary)}, "proxyconnect tcp: " + ErrNotShown.Error(), ErrNotShown},
		"a dial behind a proxy's":   {&net.OpError{Op: "proxyconnect", Net: "tcp", Err: refused}, "proxyconnect tcp: " + refused.Error(), syscall.ECONNREFUSED},
		"a name":                    {fmt.Errorf("%s: %w", canary, &net.DNSError{Err: "no such host", Name: "h", IsNotFound: true}), "lookup h: no such host", nil},
		"a certificate":             {fmt.Errorf("%s: %w", canary, &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}), "tls: failed to verify certificate: x509: certificate signed by unknown authority", nil},
		"another's certificate":     {x509.CertificateInvalidError{Reason: x509.Expired}, x509.CertificateInvalidError{Reason: x509.Expired}.Error(), nil},
		"no TLS":                    {tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, "tls: first record does not look like a TLS handshake", nil},
		"an alert":                  {&net.OpError{Op: "remote error", Err: tls.AlertError(42)}, "remote error: tls: bad certificate", nil},
		"the end":                   {fmt.Errorf("%s: %w", canary, io.EOF), "EOF", io.EOF},
		"the caller's end":          {fmt.Errorf("%s: %w", canary, context.Canceled), context.Canceled.Error(), context.Canceled},
		"a deadline":                {&net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}, "read tcp: i/o timeout", os.ErrDeadlineExceeded},
		"slowness of another kind":  {slow{}, errTimeout.Error(), errTimeout},
		"anything":                  {errors.New(canary), ErrNotShown.Error(), ErrNotShown},
		"what quotes a file's type": {fmt.Errorf("tls: failed to find any PEM data of %q", canary), ErrNotShown.Error(), ErrNotShown},
	} {
		got := Shown(tt.err)
		if got.Error() != tt.want || strings.Contains(fmt.Sprintf("%v %+v %#v", got, got, got), canary) {
			t.Errorf("%s: got %v, want %s", name, got, tt.want)
		}
		if tt.is != nil && !errors.Is(got, tt.is) {
			t.Errorf("%s: %v is not %v", name, got, tt.is)
		}
	}
}
