package config_test

import (
	"net"
	"testing"

	"onelogin-kafka/internal/config"
)

// TestAddress: where the console is reached is what is said of it, or what it
// listens on if that is one address.
func TestAddress(t *testing.T) {
	t.Parallel()
	at := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4711}
	tls := &config.ServerTLS{CertFile: "c", KeyFile: "k"}
	for _, c := range []struct {
		http config.HTTP
		want string
	}{
		{config.HTTP{Listen: "127.0.0.1:0"}, "http://127.0.0.1:4711"},
		{config.HTTP{Listen: "one.example.com:4711", TLS: tls}, "https://one.example.com:4711"},
		{config.HTTP{Listen: "[::1]:4711"}, "http://[::1]:4711"},
		{config.HTTP{Listen: ":4711", TLS: tls}, ""},
		{config.HTTP{Listen: "0.0.0.0:4711", TLS: tls}, ""},
		{config.HTTP{Listen: "[::]:4711", TLS: tls}, ""},
		{config.HTTP{Listen: ":4711", TLS: tls, URL: "https://one.example.com"}, "https://one.example.com"},
	} {
		if got := c.http.Address(at); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.http, got, c.want)
		}
	}
}
