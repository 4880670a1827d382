package producer

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/xdg-go/scram"
)

// The SASL mechanisms.
const (
	MechanismPlain       = "PLAIN" // over TLS only
	MechanismScramSHA256 = "SCRAM-SHA-256"
	MechanismScramSHA512 = "SCRAM-SHA-512"
	MechanismOAuthBearer = "OAUTHBEARER" // over TLS only
)

// Security says how to prove ourselves to the brokers, and they to us. The zero
// value is plain text.
type Security struct {
	// UseTLS secures the connections; the files below may be empty.
	UseTLS                    bool
	CAFile, CertFile, KeyFile string
	ServerName                string
	// Mechanism is one of the above, or empty.
	Mechanism string
	Username  string
	// Password is read for each new connection, so that a rotated one needs no
	// restart. Its error must not hold it.
	Password func() (string, error)
	// Tokens are those of OAUTHBEARER, which needs no user name or password.
	Tokens BearerToken
	// Extensions are sent to the brokers with each token of OAUTHBEARER; see
	// ValidExtension.
	Extensions map[string]string
}

// TLS returns the configuration for one new connection, nil for plain text. The
// files are read each time, so that rotated ones need no restart.
func (s *Security) TLS() (*tls.Config, error) {
	if !s.UseTLS {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.ServerName}
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading kafka.tls.ca_file: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading kafka.tls.ca_file: %s holds no PEM certificate", s.CAFile)
		}
	}
	if s.CertFile != "" {
		pair, err := s.clientCertificate()
		if err != nil {
			return nil, fmt.Errorf("reading kafka.tls.cert_file and key_file: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// clientCertificate reads the client's certificate and key. What the library
// says of them is not passed on: it can quote a file, and a key can be in the
// wrong one.
func (s *Security) clientCertificate() (tls.Certificate, error) {
	cert, err := os.ReadFile(s.CertFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := os.ReadFile(s.KeyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	switch {
	case err == nil:
		return pair, nil
	case encryptedKey(key):
		return tls.Certificate{}, fmt.Errorf("%s is encrypted, and nobody is there to type its password", s.KeyFile)
	}
	return tls.Certificate{}, fmt.Errorf("%s and %s are no pair of a certificate and its key in PEM form", s.CertFile, s.KeyFile)
}

// encryptedKey tells whether the first private key in a file is encrypted.
func encryptedKey(content []byte) bool {
	for {
		var block *pem.Block
		if block, content = pem.Decode(content); block == nil {
			return false
		}
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return block.Type == "ENCRYPTED PRIVATE KEY" || strings.HasSuffix(block.Headers["Proc-Type"], ",ENCRYPTED")
		}
	}
}

// ErrInsecure is returned (wrapped) for a mechanism that sends a secret in the
// clear, without TLS.
var ErrInsecure = errors.New("allowed over TLS only")

// SASL returns the mechanism for one new connection.
func (s *Security) SASL() (sasl.Mechanism, error) {
	legible := s.Mechanism == MechanismPlain || s.Mechanism == MechanismOAuthBearer
	if legible && !s.UseTLS {
		return nil, fmt.Errorf("SASL %s: %w", s.Mechanism, ErrInsecure)
	}
	if s.Mechanism == MechanismOAuthBearer {
		return oauthBearer{s.Tokens, s.Extensions}, nil
	}
	password, err := s.Password()
	if err != nil {
		return nil, err
	}
	switch s.Mechanism {
	case MechanismPlain:
		return plain.Mechanism{Username: s.Username, Password: password}, nil
	case MechanismScramSHA256:
		return newScram(s.Mechanism, scram.SHA256, s.Username, password)
	case MechanismScramSHA512:
		return newScram(s.Mechanism, scram.SHA512, s.Username, password)
	}
	return nil, fmt.Errorf("SASL mechanism %q is not one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER", s.Mechanism)
}
