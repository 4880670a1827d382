package console

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// writePair puts a certificate of the name and its key into dir, each as
// "<name>.pem".
func writePair(t *testing.T, dir, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	put(t, filepath.Join(dir, "cert.pem"), cert)
	put(t, filepath.Join(dir, "key.pem"), key)
	return cert, key
}

// put writes a file in one step, as one that is another file.
func put(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// TestCertRotation: a certificate that is replaced is shown to the next who
// connects; one that cannot be used changes nothing and is told once, without
// what is in the files.
func TestCertRotation(t *testing.T) {
	t.Parallel()
	dir, log := t.TempDir(), &logged{}
	_, oldKey := writePair(t, dir, "old")
	s, err := Listen(Options{
		Listen: "127.0.0.1:0", CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"),
		Registry: prometheus.NewRegistry(), Log: zerolog.New(log),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	shown := func() string {
		t.Helper()
		c, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	expect := func(want string) {
		t.Helper()
		if got := shown(); got != want {
			t.Fatalf("got the certificate of %q, want %q", got, want)
		}
	}
	expect("old")
	_, newKey := writePair(t, dir, "new")
	expect("new")
	put(t, filepath.Join(dir, "key.pem"), oldKey) // half of another rotation
	expect("new")
	expect("new")
	if err := os.Remove(filepath.Join(dir, "cert.pem")); err != nil {
		t.Fatal(err)
	}
	expect("new")
	writePair(t, dir, "newest")
	expect("newest")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "cannot be used"); n != 2 {
		t.Errorf("told %d times of two pairs that cannot be used:\n%s", n, log)
	}
	if b, _ := pem.Decode(newKey); strings.Contains(log.String(), string(newKey[30:60])) || b == nil {
		t.Error("the log has a part of the key")
	}
}
