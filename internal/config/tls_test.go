package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"strings"
	"testing"

	"onelogin-kafka/internal/config"
)

// pair returns a certificate of its own and its key, in PEM form.
func pair(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	c, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func TestLoadCertificates(t *testing.T) {
	t.Parallel()
	cert, key := pair(t)
	otherCert, _ := pair(t)
	tests := []struct{ name, http, kafka, want string }{
		{"both sides", "{listen: '0.0.0.0:8080', tls: {cert_file: c, key_file: k}, token_file: token}", "{ca_file: other, cert_file: c, key_file: k}", ""},
		{"token as a reference", "{listen: ':8080', tls: {cert_file: c, key_file: k}, token: env:SECRET}", "{}", ""},
		{"no token", "{listen: ':8080', tls: {cert_file: c, key_file: k}}", "{}", `http.listen: ":8080" can be reached from other hosts; add http.tls and http.token_file, or listen on 127.0.0.1`},
		{"no tls", "{listen: 'example.com:8080', token_file: token}", "{}", `http.listen: "example.com:8080" can be reached from other hosts; add http.tls and http.token_file, or listen on 127.0.0.1`},
		{"tls without files", "{tls: {}}", "{}", "http.tls: cert_file and key_file are not both given; give both"},
		{"not a pair", "{tls: {cert_file: other, key_file: k}}", "{}", "http.tls: DIR/other and DIR/k are no pair of a certificate and its key in PEM form; use the two that belong together"},
		{"swapped", "{}", "{cert_file: k, key_file: c}", "kafka.tls: DIR/k and DIR/c are no pair of a certificate and its key in PEM form; use the two that belong together"},
		{"key as authority", "{}", "{ca_file: k}", "kafka.tls.ca_file: DIR/k holds no certificate; use a file in PEM form"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(minimal, "9092]}", "9092], tls: "+tt.kafka+"}", 1) + "http: " + tt.http + "\n"
			path := write(t, map[string]string{"config.yaml": text, "c": cert, "k": key, "other": otherCert, "token": canary})
			_, err := config.Load(path, lookup)
			want := strings.ReplaceAll(tt.want, "DIR", filepath.Dir(path))
			switch {
			case want == "" && err != nil:
				t.Error(err)
			case want != "" && (err == nil || !strings.HasSuffix(err.Error(), ": "+want) || strings.Contains(err.Error(), "\n")):
				t.Errorf("got error %v, want %s", err, want)
			}
		})
	}
}
