package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// freePort is a port of loopback that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestHealth: an instance that is well, behind TLS and in the clear, one that is
// not ready, and none.
func TestHealth(t *testing.T) {
	t.Parallel()
	p := newPlace(t, tenants(1, 10, 0))
	cert, key := keyPair(t)
	for _, secured := range []bool{false, true} {
		address := freePort(t)
		listen := fmt.Sprintf("http: {listen: %q}", address)
		if secured {
			listen = fmt.Sprintf("http: {listen: %q, token: secret-of-http, tls: {cert_file: %q, key_file: %q}}", address, write(t, "cert", string(cert)), write(t, "key", string(key)))
		}
		text := strings.Replace(readFile(t, p.config(t, "")), `http: {listen: "127.0.0.1:0"}`, listen, 1)
		file := write(t, "c.yaml", text)
		expect(t, exitFail, "no instance answers at "+address, "health", "--config", file)
		service := startCommand(t, "run", "--config", file)
		eventually(t, "health", func() bool { code, _, _ := runCommand(t, "health", "--config", file); return code == exitOK })
		eventually(t, "readiness", func() bool {
			code, out, _ := runCommand(t, "health", "--ready", "--config", file)
			return code == exitOK && out == "ready\n"
		})
		service.end()
		expect(t, exitFail, "no instance answers", "health", "--ready", "--config", file)
	}
	expect(t, exitUsage, "port 0", "health", "--config", p.config(t, ""))
	expect(t, exitUsage, "--timeout", "health", "--timeout", "0s", "--config", p.config(t, ""))
}

// TestHealthOfAnother: what is not ready, sends elsewhere, or talks too much.
func TestHealthOfAnother(t *testing.T) {
	t.Parallel()
	answer := http.NewServeMux()
	answer.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, "shard 3 is \x1b[2Jrecovering"+strings.Repeat("x", 1<<20))
	})
	answer.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) })
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	file := write(t, "c.yaml", strings.Replace(brokerConfig("127.0.0.1:1", ""), "127.0.0.1:0", strings.TrimPrefix(s.URL, "http://"), 1))
	code, _, errs := runCommand(t, "health", "--ready", "--config", file)
	if code != exitFail || len(errs) > 5000 || !strings.Contains(errs, "not well: shard 3 is \ufffd[2Jrecovering") {
		t.Errorf("got exit %d: %.300s", code, errs)
	}
	expect(t, exitFail, "(302)", "health", "--config", file)
}

func TestHealthAddress(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:8080": "127.0.0.1:8080", ":8080": "127.0.0.1:8080", "0.0.0.0:1": "127.0.0.1:1", "[::]:1": "[::1]:1",
		"[2001:db8::1]:1": "[2001:db8::1]:1", "host:1": "host:1",
	} {
		if got, err := healthAddress(listen); err != nil || got != want {
			t.Errorf("%s: got %s, %v", listen, got, err)
		}
	}
	if _, err := healthAddress("nonsense"); err == nil {
		t.Error("nonsense is taken")
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
