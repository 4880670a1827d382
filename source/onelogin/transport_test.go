package onelogin

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"

	"onelogin-kafka/source"
)

type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

// TestTransportsTellNoSecret: a transport was handed the credential, and may
// know a proxy's; of its errors only what is known to be harmless goes on.
func TestTransportsTellNoSecret(t *testing.T) {
	t.Parallel()
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	proxy := &url.Error{Op: "Get", URL: "http://user:" + bodyCanary + "@proxy:3128/", Err: refused}
	for name, tt := range map[string]struct {
		err  error
		kind source.Kind
		want string // "" = anything
	}{
		"a proxy's URL":           {proxy, source.Unreachable, refused.Error()},
		"a proxy that refuses":    {&net.OpError{Op: "proxyconnect", Net: "tcp", Err: errors.New("407 " + bodyCanary)}, source.Unreachable, "proxyconnect tcp: " + errNotShown.Error()},
		"a proxy out of reach":    {&net.OpError{Op: "proxyconnect", Net: "tcp", Err: proxy}, source.Unreachable, "proxyconnect tcp: " + refused.Error()},
		"a dial of another kind":  {&net.OpError{Op: "dial", Net: "tcp", Err: errors.New(bodyCanary)}, source.Unreachable, "dial tcp: " + errNotShown.Error()},
		"a slow dial":             {&net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}, source.Unreachable, "dial tcp: " + errHeaderSlow.Error()},
		"a header":                {fmt.Errorf("net/http: invalid header field value %q", bodyCanary), source.Unreachable, errNotHTTP.Error()},
		"a wrapped encoding":      {fmt.Errorf("%s: %w", bodyCanary, errEncoding), source.Unreadable, errEncoding.Error()},
		"a certificate":           {fmt.Errorf("%s: %w", bodyCanary, &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}), source.Unreachable, ""},
		"an alert":                {&net.OpError{Op: "remote error", Err: tls.AlertError(42)}, source.Unreachable, "remote error: tls: bad certificate"},
		"somebody else's context": {fmt.Errorf("%s: %w", bodyCanary, context.Canceled), source.Unreachable, errNotHTTP.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			c, err := New(Config{Domain: "acme", ClientID: "id", Secret: func() (string, error) { return testSecret, nil }},
				Options{HTTP: failing{tt.err}, Log: zerolog.New(&out).Level(zerolog.TraceLevel)})
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Page(t.Context(), anyQuery)
			tell(&out, err)
			api, ok := errors.AsType[*source.APIError](err)
			if !ok || api.Kind != tt.kind || tt.want != "" && api.Err.Error() != tt.want {
				t.Errorf("got %v", err)
			}
			for _, secret := range []string{bodyCanary, testSecret} {
				if strings.Contains(out.String(), secret) {
					t.Errorf("%q is told in %s", secret, out.String())
				}
			}
		})
	}
}

// A secret that cannot be sent is named by where it is wrong.
func TestCredentialPosition(t *testing.T) {
	t.Parallel()
	for secret, want := range map[string]string{
		"abc," + bodyCanary: "client secret holds white space, a comma or something outside ASCII at position 4, which no OneLogin credential has",
		"a\nb" + bodyCanary: "client secret holds white space, a comma or something outside ASCII at position 2, which no OneLogin credential has",
		"":                  "client secret is empty",
	} {
		if err := checkCredential("client secret", secret); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
