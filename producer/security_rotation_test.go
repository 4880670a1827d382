package producer

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/producer/wire"
)

// unsigned is a token that the test clusters take: its owner is user, and it
// lives for life.
func unsigned(user string, life time.Duration) string {
	part := base64.RawURLEncoding.EncodeToString
	now := time.Now()
	claims := fmt.Sprintf(`{"sub":%q,"iat":%d,"exp":%d}`, user, now.Add(-time.Second).Unix(), now.Add(life).Unix())
	return part([]byte(`{"alg":"none"}`)) + "." + part([]byte(claims)) + "."
}

// put writes a file in place of another in one step, as what rotates secrets
// does.
func put(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func read(path string) func() (string, error) {
	return func() (string, error) {
		content, err := os.ReadFile(path)
		return string(content), err
	}
}

// secureSetup makes the topics of an instance that is the principal and has the
// least rights.
func secureSetup(t testing.TB, k *kafkatest.Cluster, principals ...string) (group string, topics Topics) {
	t.Helper()
	topics = testTopics(t, 2, 1)
	if _, err := topics.Ensure(patient(t), open(t, k.Brokers()...)); err != nil {
		t.Fatal(err)
	}
	topics.Create = false
	group = named(t, "group")
	for _, p := range principals {
		newGrants(t, k, p).give(leastRights(group, topics)...)
	}
	return group, topics
}

// A session that the brokers limit (connections.max.reauth.ms) does not show:
// connections are replaced before they end, and nothing is taken over.
func TestSessionLifetime(t *testing.T) {
	t.Parallel()
	k := kafkatest.Shared(t, secured)
	password := func() (string, error) { return secured.Users["short"], nil }
	var asked atomic.Int32
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if id, secret, ok := r.BasicAuth(); !ok || id != "client" || secret != "endpoint-secret" || r.FormValue("grant_type") != "client_credentials" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":4}`, unsigned("bearer", 4*time.Second))
	}))
	t.Cleanup(endpoint.Close)
	file := filepath.Join(t.TempDir(), "token")
	put(t, file, []byte(unsigned("bearer", time.Hour)))
	for name, sec := range map[string]*Security{
		"PLAIN":                   {Mechanism: MechanismPlain, Username: "short", Password: password},
		"SCRAM-SHA-256":           {Mechanism: MechanismScramSHA256, Username: "short", Password: password},
		"OAUTHBEARER from a file": {Mechanism: MechanismOAuthBearer, Tokens: FileToken(read(file)), Extensions: map[string]string{"logicalCluster": "lkc-1", "identityPoolId": "pool-1"}},
		"OAUTHBEARER from an endpoint": {Mechanism: MechanismOAuthBearer, Tokens: &EndpointToken{
			URL: endpoint.URL + "/token", ClientID: "client", Secret: func() (string, error) { return "endpoint-secret", nil },
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			group, topics := secureSetup(t, k, "short", "bearer")
			sec.UseTLS, sec.CAFile = true, k.CAFile()
			f := newFullFeed(t)
			in := startSecure(t, group, topics, k.BrokersSASL(), sec, f.serve)
			in.ready(t)
			f.progress(t, 1, 0, 1)
			began, dialled := time.Now(), in.net.dialled()
			waitFor(t, "more than three lifetimes", func() bool { return time.Since(began) > 7*sessionLifetime/2 })
			f.progress(t, 1, 0, 1)
			if n := in.recoveries(t); n != 0 || in.Ready() != nil {
				t.Errorf("taken over %d times, ready: %v", n, in.Ready())
			}
			for shard := range int32(2) {
				if n := f.get(f.sessions, shard); n != 1 {
					t.Errorf("shard %d was served %d times", shard, n)
				}
			}
			n := in.net.dialled() - dialled
			if n < 3 {
				t.Errorf("%d new connections: no session has ended", n)
			}
			if strings.Contains(name, "endpoint") && (asked.Load() < 3 || int(asked.Load()) > n) {
				t.Errorf("the token endpoint was asked %d times for %d connections", asked.Load(), n)
			}
			if err := in.stop(); err != nil {
				t.Error(err)
			}
			f.audit(t, k.Brokers(), topics)
			t.Logf("%d connections in %v, %d of the endpoint's tokens", n, time.Since(began).Round(time.Second), asked.Load())
		})
	}
}

// A token that the brokers refuse is said to be refused, and its successor is
// taken up.
func TestRefusedToken(t *testing.T) {
	t.Parallel()
	k := kafkatest.Shared(t, secured)
	group, topics := secureSetup(t, k, "bearer")
	file := filepath.Join(t.TempDir(), "token")
	put(t, file, []byte(unsigned("bearer", -time.Minute)))
	f := newFullFeed(t)
	in := startSecure(t, group, topics, k.BrokersSASL(), &Security{
		UseTLS: true, CAFile: k.CAFile(), Mechanism: MechanismOAuthBearer, Tokens: FileToken(read(file)),
	}, f.serve)
	var refused *TokenRefusedError
	waitFor(t, "the token to be refused", func() bool { return errors.As(in.Ready(), &refused) })
	if err := in.Ready(); refused.Status != "invalid_token" || !errors.Is(err, wire.ErrAuthentication) {
		t.Errorf("got %v, want invalid_token", err)
	}
	put(t, file, []byte("no token\n"))
	waitFor(t, "the file to be refused", func() bool { return errors.Is(in.Ready(), wire.ErrCredentials) })
	if err := in.Ready(); !errors.Is(err, errNoBearer) || strings.Contains(err.Error(), "no token") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
	put(t, file, []byte(unsigned("bearer", time.Hour)))
	in.ready(t)
	f.progress(t, 2, 0, 1)
	if err := in.stop(); err != nil {
		t.Error(err)
	}
	f.audit(t, k.Brokers(), topics)
}

// A certificate that is rotated while an instance runs is shown by the
// connections made afterwards; a pair that is none is one clear error, and its
// end is the error's.
func TestRotatedCertificate(t *testing.T) {
	t.Parallel()
	k := kafkatest.Shared(t, secured)
	group, topics := secureSetup(t, k, "CN=first", "CN=second")
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	rotate := func(cert, key []byte) { put(t, certFile, cert); put(t, keyFile, key) }
	firstCert, firstKey := k.IssueClientCert(t, "first")
	secondCert, secondKey := k.IssueClientCert(t, "second")
	rotate(firstCert, firstKey)
	f := newFullFeed(t)
	in := startSecure(t, group, topics, k.BrokersTLS(), &Security{UseTLS: true, CAFile: k.CAFile(), CertFile: certFile, KeyFile: keyFile}, f.serve)
	in.ready(t)
	f.progress(t, 2, 0, 1)

	// Without the first one's rights only the second can go on.
	rotate(secondCert, secondKey)
	in.net.cut()
	f.progress(t, 2, 0, 1)
	g := newGrants(t, k, "CN=first")
	for _, r := range leastRights(group, topics) {
		g.take(r)
	}
	in.ready(t)
	before := in.recoveries(t)
	f.progress(t, 5, 0, 1)
	if n := in.recoveries(t) - before; n != 0 || in.Ready() != nil {
		t.Errorf("with the second certificate: taken over %d times, ready: %v", n, in.Ready())
	}

	rotate(secondCert, firstKey)
	in.net.cut()
	waitFor(t, "the broken pair to be told", func() bool { return errors.Is(in.Ready(), wire.ErrCredentials) })
	want := "kafka.tls.cert_file and key_file: " + certFile + " and " + keyFile + " are no pair of a certificate and its key in PEM form"
	if got := in.Ready().Error(); !strings.HasSuffix(got, want) || strings.Contains(got, "\n") {
		t.Errorf("got %s, want one line that ends in %s", got, want)
	}
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the missing key to be told", func() bool { return errors.Is(in.Ready(), fs.ErrNotExist) })
	rotate(secondCert, secondKey)
	mended := time.Now()
	in.ready(t)
	f.progress(t, 2, 0, 1)
	t.Logf("at work again %v after the pair was mended, %d take-overs in all", time.Since(mended).Round(time.Millisecond), in.recoveries(t))
	if err := in.stop(); err != nil {
		t.Error(err)
	}
	f.audit(t, k.Brokers(), topics)
}

func TestSecretsGoOverTLSOnly(t *testing.T) {
	for _, mechanism := range []string{MechanismPlain, MechanismOAuthBearer} {
		s := Security{Mechanism: mechanism, Password: func() (string, error) { return "p", nil }, Tokens: FileToken(func() (string, error) { return "t", nil })}
		if _, err := s.SASL(); !errors.Is(err, ErrInsecure) {
			t.Errorf("%s without TLS: got %v, want ErrInsecure", mechanism, err)
		}
		s.UseTLS = true
		if m, err := s.SASL(); err != nil || m.Name() != mechanism {
			t.Errorf("%s over TLS: got %v, %v", mechanism, m, err)
		}
	}
	s := Security{Mechanism: "GSSAPI", Password: func() (string, error) { return "p", nil }}
	if _, err := s.SASL(); err == nil {
		t.Error("GSSAPI was taken")
	}
	none := Security{}
	if cfg, err := none.TLS(); cfg != nil || err != nil {
		t.Errorf("the zero value: got %v, %v, want plain text", cfg, err)
	}
}
