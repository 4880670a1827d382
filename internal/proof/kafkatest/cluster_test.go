package kafkatest_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"go.uber.org/goleak"

	"onelogin-kafka/internal/proof/faultproxy"
	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/internal/proof/wait"
)

// orphan makes the test binary start a node, print its address and wait to be killed.
const orphan = "KAFKATEST_ORPHAN"

func TestMain(m *testing.M) {
	if os.Getenv(orphan) != "" {
		c, err := kafkatest.New(context.Background(), kafkatest.Options{Nodes: 1})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("addr", c.Brokers()[0])
		select {}
	}
	goleak.VerifyTestMain(kafkatest.Main(m))
}

func client(t *testing.T, brokers []string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(50 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func ctx(t *testing.T) context.Context {
	t.Helper()
	return wait.Context(t, time.Minute)
}

func createTopic(t *testing.T, c *kgo.Client, replicas int16) string {
	t.Helper()
	topic := strings.ReplaceAll(t.Name(), "/", "-")
	if _, err := kadm.NewClient(c).CreateTopic(ctx(t), 3, replicas, nil, topic); err != nil {
		t.Fatalf("creating topic %s: %v", topic, err)
	}
	return topic
}

func produce(t *testing.T, c *kgo.Client, topic, value string) {
	t.Helper()
	if err := c.ProduceSync(ctx(t), &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr(); err != nil {
		t.Fatalf("producing %q: %v", value, err)
	}
}

// transactionVersion is the finalised feature level, 0 where the cluster has no such feature.
func transactionVersion(t *testing.T, c *kgo.Client) int16 {
	t.Helper()
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "kafkatest", "1"
	answer, err := req.RequestWith(ctx(t), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range answer.FinalizedFeatures {
		if f.Name == "transaction.version" {
			return f.MaxVersionLevel
		}
	}
	return 0
}

func transact(t *testing.T, brokers []string, topic, value string) {
	t.Helper()
	c := client(t, brokers, kgo.TransactionalID(t.Name()))
	if err := c.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	produce(t, c, topic, value)
	if err := c.EndTransaction(ctx(t), kgo.TryCommit); err != nil {
		t.Fatalf("committing: %v", err)
	}
}

func TestNodesFailOneByOne(t *testing.T) {
	cluster := kafkatest.Shared(t, kafkatest.Options{})
	c := client(t, cluster.Brokers())
	topic := createTopic(t, c, 3)
	if got, want := transactionVersion(t, c), int16(2); got != want {
		t.Errorf("transaction.version of Kafka %s: got %d, want %d", cluster.Version(), got, want)
	}
	transact(t, cluster.Brokers(), topic, "all up")

	steps := []struct {
		name      string
		fail      func(*kafkatest.Node) error
		repair    func(*kafkatest.Node) error
		wantAlive bool
	}{
		{"kill", (*kafkatest.Node).Kill, (*kafkatest.Node).Start, false},
		{"pause", (*kafkatest.Node).Pause, (*kafkatest.Node).Resume, true},
		{"stop", (*kafkatest.Node).Stop, (*kafkatest.Node).Start, false},
	}
	want := []string{"all up"}
	for i, s := range steps {
		n := cluster.Node(i + 1)
		if err := s.fail(n); err != nil {
			t.Fatal(err)
		}
		if got := n.Alive(); got != s.wantAlive {
			t.Errorf("alive after %s: got %v, want %v", s.name, got, s.wantAlive)
		}
		produce(t, c, topic, s.name)
		want = append(want, s.name)
		if err := s.repair(n); err != nil {
			t.Fatal(err)
		}
		if err := cluster.WaitReady(ctx(t)); err != nil {
			t.Fatal(err)
		}
	}

	got := readAll(t, cluster.Brokers(), topic, len(want))
	wanted := map[string]int{}
	for _, v := range want {
		wanted[v] = 1
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestNodeThatHasEnded(t *testing.T) {
	cluster := kafkatest.Shared(t, kafkatest.Options{})
	n := cluster.Node(3)
	if err := n.Start(); err == nil {
		t.Error("starting a running node: got no error")
	}
	if err := n.Kill(); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func() error{"kill": n.Kill, "stop": n.Stop, "pause": n.Pause, "resume": n.Resume} {
		if err := f(); !errors.Is(err, kafkatest.ErrNotRunning) {
			t.Errorf("%s: got %v, want %v", name, err, kafkatest.ErrNotRunning)
		}
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	if err := cluster.WaitReady(ctx(t)); err != nil {
		t.Fatal(err)
	}
}

func TestRunTool(t *testing.T) {
	cluster := kafkatest.Shared(t, kafkatest.Options{})
	out, err := cluster.Run(ctx(t), "org.apache.kafka.tools.FeatureCommand", "--bootstrap-server", cluster.Brokers()[0], "describe")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if want := "Feature: transaction.version"; !strings.Contains(out, want) {
		t.Errorf("got %q, want it to contain %q", out, want)
	}
	if _, err := cluster.Run(ctx(t), "no.such.Class"); err == nil {
		t.Error("an unknown class: got no error")
	}
}

func TestVersion3SpeaksTransactionProtocol1(t *testing.T) {
	cluster := kafkatest.Start(t, kafkatest.Options{Version: kafkatest.Version3})
	c := client(t, cluster.Brokers())
	if got := transactionVersion(t, c); got != 0 {
		t.Errorf("transaction.version of Kafka %s: got %d, want none", cluster.Version(), got)
	}
	transact(t, cluster.Brokers(), createTopic(t, c, 3), "v1")
}

func TestSecureListeners(t *testing.T) {
	const user, password = "alice", "alice-secret"
	cluster := kafkatest.Start(t, kafkatest.Options{Nodes: 1, TLS: true, ACL: true, Users: map[string]string{user: password, "bob": "bob-secret"}})
	admin := client(t, cluster.Brokers())
	topic := createTopic(t, admin, 1)
	allow := kadm.NewACLs().Allow("User:"+user, "User:CN=client").AllowHosts().Topics(topic).Operations(kadm.OpAll).ResourcePatternType(kadm.ACLPatternLiteral)
	if results, err := kadm.NewClient(admin).CreateACLs(ctx(t), allow); err != nil || len(results) == 0 || results[0].Err != nil {
		t.Fatalf("creating ACLs: %v %v", results, err)
	}

	ca, err := os.ReadFile(cluster.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	pair, err := tls.LoadX509KeyPair(cluster.ClientCert())
	if err != nil {
		t.Fatal(err)
	}
	trusting := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	presenting := trusting.Clone()
	presenting.Certificates = []tls.Certificate{pair}
	mechanisms := func(user, password string) map[string]sasl.Mechanism {
		auth := scram.Auth{User: user, Pass: password}
		return map[string]sasl.Mechanism{
			"PLAIN": plain.Auth{User: user, Pass: password}.AsMechanism(), "SCRAM-SHA-256": auth.AsSha256Mechanism(), "SCRAM-SHA-512": auth.AsSha512Mechanism(),
		}
	}

	type attempt struct {
		brokers []string
		opts    []kgo.Opt
		want    error
	}
	attempts := map[string]attempt{
		"TLS, certificate":    {cluster.BrokersTLS(), []kgo.Opt{kgo.DialTLSConfig(presenting)}, nil},
		"TLS, no certificate": {cluster.BrokersTLS(), []kgo.Opt{kgo.DialTLSConfig(trusting)}, nil},
	}
	for name, m := range mechanisms(user, password) {
		attempts[name] = attempt{cluster.BrokersSASL(), []kgo.Opt{kgo.DialTLSConfig(trusting), kgo.SASL(m)}, nil}
	}
	for name, m := range mechanisms(user, "wrong") {
		attempts[name+", wrong password"] = attempt{cluster.BrokersSASL(), []kgo.Opt{kgo.DialTLSConfig(trusting), kgo.SASL(m)}, kerr.SaslAuthenticationFailed}
	}
	for name, m := range mechanisms("bob", "bob-secret") {
		attempts[name+", no rights"] = attempt{cluster.BrokersSASL(), []kgo.Opt{kgo.DialTLSConfig(trusting), kgo.SASL(m)}, kerr.TopicAuthorizationFailed}
	}
	for name, a := range attempts {
		t.Run(name, func(t *testing.T) {
			c := client(t, a.brokers, append(a.opts, kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()), kgo.RecordRetries(1), kgo.UnknownTopicRetries(0))...)
			var err error
			if !wait.Until(time.Minute, func() bool { // each broker hears of rights in its own time
				err = c.ProduceSync(ctx(t), &kgo.Record{Topic: topic, Value: []byte(name)}).FirstErr()
				return errors.Is(err, a.want)
			}) {
				t.Errorf("got error %v, want %v", err, a.want)
			}
		})
	}
}

func TestProxiedClientsStayBehindTheProxy(t *testing.T) {
	cluster := kafkatest.Shared(t, kafkatest.Options{})
	proxy := cluster.Proxied(t)
	c := client(t, proxy.Bootstrap(), kgo.RequestRetries(0), kgo.RetryTimeout(time.Second))
	admin := kadm.NewClient(c)
	brokers, err := admin.ListBrokers(ctx(t))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range brokers {
		got = append(got, net.JoinHostPort(b.Host, fmt.Sprint(b.Port)))
	}
	if diff := cmp.Diff(proxy.Bootstrap(), got); diff != "" {
		t.Errorf("advertised brokers (-want +got):\n%s", diff)
	}
}

func TestProxyMakesOutcomesUnknown(t *testing.T) {
	cluster := kafkatest.Shared(t, kafkatest.Options{})
	const createTopics = 19
	for name, tc := range map[string]struct {
		kind faultproxy.Kind
		done bool
	}{
		"answer lost":  {faultproxy.DropAnswer, true},
		"answer torn":  {faultproxy.TearAnswer, true},
		"request lost": {faultproxy.DropRequest, false},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := cluster.Proxied(t)
			topic := strings.ReplaceAll(t.Name(), "/", "-")
			fault := proxy.Add(faultproxy.Fault{Kind: tc.kind, Key: createTopics})
			c := client(t, proxy.Bootstrap(), kgo.RequestRetries(0))
			if _, err := kadm.NewClient(c).CreateTopic(ctx(t), 1, 3, nil, topic); err == nil {
				t.Error("creating a topic through the fault: got no error")
			}
			if got := fault.Hits(); got != 1 {
				t.Errorf("hits: got %d, want 1", got)
			}
			_, err := kadm.NewClient(client(t, cluster.Brokers())).CreateTopic(ctx(t), 1, 3, nil, topic)
			if got := errors.Is(err, kerr.TopicAlreadyExists); got != tc.done {
				t.Errorf("created by the first call: got %v (%v), want %v", got, err, tc.done)
			}
		})
	}
}

func TestNodesDieWithTheirTest(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), orphan+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "addr ")
	if err != nil || !ok {
		t.Fatalf("the other test process said %q: %v", line, err)
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	stop := context.AfterFunc(wait.Context(t, 30*time.Second), func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the broker's end of the connection: got %v, want it closed", err)
	}
}

func TestMissingTools(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := kafkatest.New(t.Context(), kafkatest.Options{}); !errors.Is(err, kafkatest.ErrMissingTool) {
		t.Errorf("got %v, want %v", err, kafkatest.ErrMissingTool)
	}
}

func TestOptionsRefused(t *testing.T) {
	for name, opts := range map[string]kafkatest.Options{
		"too many nodes":       {Nodes: 6},
		"negative nodes":       {Nodes: -1},
		"users without TLS":    {Users: map[string]string{"a": "b"}},
		"password with quotes": {TLS: true, Users: map[string]string{"a": `b"`}},
		"version":              {Version: "4.3"},
	} {
		t.Run(name, func(t *testing.T) {
			if c, err := kafkatest.New(t.Context(), opts); err == nil {
				t.Error("got no error", c.Close())
			}
		})
	}
}
