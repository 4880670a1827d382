package benchmark

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"time"
)

// hostOf is a tenant's own address in the loopback network.
func hostOf(tenant int) string {
	n := tenant + 2 // 127.1.0.0 and .1 are left out
	return net.IPv4(127, byte(1+n>>16), byte(n>>8), byte(n)).String()
}

// authority makes who signs the hosts' certificates: its certificate and its key
// with it, in PEM form.
func authority() (certificate, both []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making an authority: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "benchmark"}, NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, fmt.Errorf("making an authority: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("making an authority: %w", err)
	}
	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return certificate, append(certificate[:len(certificate):len(certificate)], pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...), nil
}

// serveHosts answers on every address of the loopback network, each with a
// certificate of its own, and returns the port. A handshake takes a distance
// more: its first message and the answer to it.
func serveHosts(ctx context.Context, handler http.Handler, signer []byte, distance time.Duration) (port string, err error) {
	ca, err := tls.X509KeyPair(signer, signer)
	if err != nil {
		return "", fmt.Errorf("reading the authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", fmt.Errorf("making a key: %w", err)
	}
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		return "", fmt.Errorf("listening: %w", err)
	}
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute, TLSConfig: &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			at, ok := hello.Conn.LocalAddr().(*net.TCPAddr)
			if !ok || !at.IP.IsLoopback() {
				return nil, errors.New("not of the loopback network")
			}
			time.Sleep(distance)
			template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{at.IP}}
			der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, &key.PublicKey, ca.PrivateKey)
			return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
		},
	}}
	context.AfterFunc(ctx, func() { srv.Close() })
	go func() { _ = srv.ServeTLS(l, "", "") }() // ends with the process
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}
