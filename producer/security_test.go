package producer

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/producer/wire"
)

// guarded is a cluster that asks for TLS and passwords, and ends each session
// after three seconds.
var guarded = kafkatest.Options{
	Nodes: 1, TLS: true, Users: map[string]string{"app": "right-secret"},
	Extra: map[string]string{"connections.max.reauth.ms": "3000"},
}

const wrongSecret = "canary-secret"

func password(p string) func() (string, error) { return func() (string, error) { return p, nil } }

// secure is the configuration of connections that s describes.
func secure(s *Security, brokers []string) wire.Config {
	config := wire.Config{Brokers: brokers, TLS: s.TLS}
	if s.Mechanism != "" {
		config.SASL = s.SASL
	}
	return config
}

func TestTLSAndSASL(t *testing.T) {
	k := kafkatest.Shared(t, guarded)
	certFile, keyFile := k.ClientCert()
	for name, tc := range map[string]struct {
		security Security
		brokers  []string
		want     error // nil = it works
	}{
		"TLS":                             {Security{UseTLS: true, CAFile: k.CAFile()}, k.BrokersTLS(), nil},
		"TLS with a client's certificate": {Security{UseTLS: true, CAFile: k.CAFile(), CertFile: certFile, KeyFile: keyFile}, k.BrokersTLS(), nil},
		"PLAIN":                           {Security{UseTLS: true, CAFile: k.CAFile(), Mechanism: "PLAIN", Username: "app", Password: password("right-secret")}, k.BrokersSASL(), nil},
		"SCRAM-SHA-256":                   {Security{UseTLS: true, CAFile: k.CAFile(), Mechanism: "SCRAM-SHA-256", Username: "app", Password: password("right-secret")}, k.BrokersSASL(), nil},
		"SCRAM-SHA-512":                   {Security{UseTLS: true, CAFile: k.CAFile(), Mechanism: "SCRAM-SHA-512", Username: "app", Password: password("right-secret")}, k.BrokersSASL(), nil},

		"PLAIN, wrong password":         {Security{UseTLS: true, CAFile: k.CAFile(), Mechanism: "PLAIN", Username: "app", Password: password(wrongSecret)}, k.BrokersSASL(), wire.ErrAuthentication},
		"SCRAM-SHA-256, wrong password": {Security{UseTLS: true, CAFile: k.CAFile(), Mechanism: "SCRAM-SHA-256", Username: "app", Password: password(wrongSecret)}, k.BrokersSASL(), wire.ErrAuthentication},
		"SCRAM-SHA-512, wrong password": {Security{UseTLS: true, CAFile: k.CAFile(), Mechanism: "SCRAM-SHA-512", Username: "app", Password: password(wrongSecret)}, k.BrokersSASL(), wire.ErrAuthentication},
		"SCRAM-SHA-512, unknown user":   {Security{UseTLS: true, CAFile: k.CAFile(), Mechanism: "SCRAM-SHA-512", Username: "nobody", Password: password(wrongSecret)}, k.BrokersSASL(), wire.ErrAuthentication},
		"PLAIN without TLS":             {Security{Mechanism: "PLAIN", Username: "app", Password: password(wrongSecret)}, k.Brokers(), ErrInsecure},
		"an authority we do not know":   {Security{UseTLS: true}, k.BrokersTLS(), x509.UnknownAuthorityError{}},
		"another server's certificate":  {Security{UseTLS: true, CAFile: k.CAFile(), ServerName: "kafka.example"}, k.BrokersTLS(), x509.HostnameError{}},
		"no such file":                  {Security{UseTLS: true, CAFile: k.CAFile() + ".not"}, k.BrokersTLS(), os.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := wire.Open(secure(&tc.security, tc.brokers))
			defer cluster.Close()
			_, err := cluster.Metadata(patient(t))
			switch want := tc.want.(type) {
			case nil:
				if err != nil {
					t.Errorf("got %v, want none", err)
				}
			case x509.UnknownAuthorityError:
				if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
					t.Errorf("got %v, want %T", err, want)
				}
			case x509.HostnameError:
				if _, ok := errors.AsType[x509.HostnameError](err); !ok {
					t.Errorf("got %v, want %T", err, want)
				}
			default:
				if !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), wrongSecret) {
				t.Errorf("%q holds the password", err)
			}
		})
	}
}

// Sessions end every three seconds; the work does not.
func TestSASLSessionsThatEnd(t *testing.T) {
	k := kafkatest.Shared(t, guarded)
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			topics := testTopics(t, 1, 1)
			s := &Security{UseTLS: true, CAFile: k.CAFile(), Mechanism: mechanism, Username: "app", Password: password("right-secret")}
			config := secure(s, k.BrokersSASL())
			var dials atomic.Int32
			config.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				dials.Add(1)
				return (&net.Dialer{}).DialContext(ctx, network, addr)
			}
			f := newFeed(t, 7)
			in := run(t, named(t, "group"), "one", topics, config, f)
			f.progress(t, 1, 0)
			before := dials.Load()
			for began := time.Now(); time.Since(began) < 10*time.Second; {
				f.progress(t, 1, 0)
			}
			if got := f.get(f.sessions, 0); got != 1 {
				t.Errorf("the shard was taken over %d times, want once", got)
			}
			if got := dials.Load() - before; got < 3 {
				t.Errorf("%d connections replaced in ten seconds, want at least 3", got)
			}
			in.stop()
			f.audit(t, k.Brokers(), topics)
		})
	}
}
