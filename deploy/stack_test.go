package deploy

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"onelogin-kafka/internal/proof/audit"
	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/internal/proof/wait"
)

// tenants are those of deploy/compose/simulator.yaml.
var tenants = []string{"acme", "globex", "initech"}

// bound is how long anything here may take of the machine's time before it counts
// as stuck.
const bound = 5 * time.Minute

// TestStack: docker-compose.yml on a container engine does what it promises, in
// the order in which a person would try it.
func TestStack(t *testing.T) {
	if got := read(t).Services["kafka"].Image; !strings.HasSuffix(got, ":"+kafkatest.DefaultVersion) {
		t.Fatalf("the stack's Kafka is %s, the tests' %s", got, kafkatest.DefaultVersion)
	}
	s := &stack{engine: startEngine(t), kafka: port(t), simulator: port(t), console: ports(t, 10)}
	s.env = append(s.env, "KAFKA_PORT="+s.kafka, "SIMULATOR_PORT="+s.simulator, "CONSOLE_PORTS="+s.console)
	if info, err := os.Stat("../.git"); err != nil || !info.IsDir() {
		// Not a clone, but one of its work trees: git is not to be had in the context.
		s.env = append(s.env, "VERSION="+version(t, "version"), "COMMIT="+version(t, "commit"))
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.last("ps", "--all"), s.last("logs", "--tail", "20"))
		}
	})
	s.docker("compose", "build", "--quiet")
	began := time.Now()
	s.docker("compose", "up", "--detach", "--wait")
	s.image()
	s.shown()
	s.consoleAnswers()
	for _, name := range []string{"service", "kafka", "simulator", "tail"} {
		s.kill(name)
	}
	s.scale()
	s.cut()
	s.audit(began)
	s.down()
}

// stack is docker-compose.yml at work.
type stack struct {
	*engine
	kafka, simulator, console string // ports
}

func version(t *testing.T, what string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "../scripts/version.sh", what).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// image: what ships is small, is not root's, knows its health and its commit.
func (s *stack) image() {
	s.t.Helper()
	var images []struct {
		Size   int64
		Config struct {
			User        string
			Healthcheck struct{ Test []string }
		}
	}
	if err := json.Unmarshal([]byte(s.docker("image", "inspect", "onelogin-kafka:compose")), &images); err != nil {
		s.t.Fatal(err)
	}
	image := images[0]
	if image.Size > 30<<20 || image.Config.User != "65532:65532" || !slices.Equal(image.Config.Healthcheck.Test, []string{"CMD", "/usr/local/bin/onelogin-kafka", "health"}) {
		s.t.Errorf("the image: %+v", image)
	}
	var v struct{ Version, Commit string }
	if err := json.Unmarshal([]byte(s.docker("compose", "exec", "-T", "service", "onelogin-kafka", "version", "--json")), &v); err != nil {
		s.t.Fatal(err)
	}
	if v.Commit != version(s.t, "commit") || v.Version != version(s.t, "version") {
		s.t.Errorf("the image is of %+v", v)
	}
	s.t.Logf("image: %.1f MB", float64(image.Size)/1e6)
}

// shown: tail has events of every tenant.
func (s *stack) shown() {
	s.t.Helper()
	id := s.containers("tail")[0].ID
	wait.For(s.t, "tail to show events of every tenant", bound, func() bool {
		said := s.said(id)
		return !slices.ContainsFunc(tenants, func(tenant string) bool { return !strings.Contains(said, "Z  "+tenant) })
	})
	wait.For(s.t, "every tenant to be active", bound, func() bool {
		return strings.Contains(s.docker("compose", "exec", "-T", "service", "onelogin-kafka", "status"), "3 ACTIVE")
	})
}

// progress waits until tail has shown more.
func (s *stack) progress(after string) {
	s.t.Helper()
	id := s.containers("tail")[0].ID
	shown := strings.Count(s.said(id), "Z  acme")
	wait.For(s.t, "events to go on "+after, bound, func() bool { return strings.Count(s.said(id), "Z  acme") > shown+3 })
}

// client trusts the certificate that the stack has made.
func (s *stack) client() *http.Client {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "cert.pem")
	s.docker("compose", "cp", "simulator:/var/lib/onelogin-kafka/tls/cert.pem", file)
	pem, err := os.ReadFile(file)
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		s.t.Fatalf("no certificate: %v", err)
	}
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}}}
}

// consoleAnswers: on this machine's loopback, to who has the token.
func (s *stack) consoleAnswers() {
	s.t.Helper()
	token, err := os.ReadFile("compose/console.token")
	if err != nil {
		s.t.Fatal(err)
	}
	_, at, _ := strings.Cut(strings.TrimSpace(s.docker("compose", "port", "service", "8080")), ":")
	client := s.client()
	for _, c := range []struct {
		token string
		want  int
	}{{strings.TrimSpace(string(token)), http.StatusOK}, {"another", http.StatusUnauthorized}} {
		req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "https://localhost:"+at+"/", http.NoBody)
		if err != nil {
			s.t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+c.token)
		res, err := client.Do(req)
		if err != nil {
			s.t.Fatalf("the console: %v", err)
		}
		res.Body.Close()
		if res.StatusCode != c.want {
			s.t.Errorf("the console with the token %.3s…: got %s", c.token, res.Status)
		}
	}
}

// kill ends a service's process from outside, as a crash does: the engine starts
// it again, and all goes on.
func (s *stack) kill(name string) {
	s.t.Helper()
	before := s.containers(name)[0]
	if err := syscall.Kill(before.State.Pid, syscall.SIGKILL); err != nil {
		s.t.Fatalf("killing %s: %v", name, err)
	}
	watch := wait.Begin()
	wait.For(s.t, name+" to be started again and healthy", bound, func() bool {
		now := s.inspect(before.ID)
		return now.RestartCount > before.RestartCount && now.State.Health.Status == "healthy"
	})
	s.progress("after " + name + " was killed")
	s.t.Logf("%s killed, and events again: %s", name, watch)
}

// scale: three instances share the work, and two of them go on without the third.
func (s *stack) scale() {
	s.t.Helper()
	s.docker("compose", "up", "--detach", "--wait", "--no-recreate", "--scale", "service=3")
	names := map[string]bool{}
	for _, c := range s.containers("service") {
		names[c.Config.Hostname] = true
	}
	if len(names) != 3 {
		s.t.Fatalf("got the instances %v", names)
	}
	wait.For(s.t, "each of three instances to have a tenant", bound, func() bool { return len(s.owners()) == 3 })
	s.docker("compose", "up", "--detach", "--wait", "--no-recreate", "--scale", "service=2")
	wait.For(s.t, "two instances to have the tenants", bound, func() bool { return len(s.owners()) == 2 })
	s.progress("after an instance was removed")
}

// owners are the instances that serve the tenants, by the status topic.
func (s *stack) owners() map[string]bool {
	s.t.Helper()
	owners := map[string]bool{}
	for line := range strings.Lines(s.docker("compose", "exec", "-T", "service", "onelogin-kafka", "status")) {
		if words := strings.Fields(line); len(words) > 2 && slices.Contains(tenants, words[0]) && words[1] == "ACTIVE" {
			owners[words[len(words)-1]] = true
		}
	}
	return owners
}

// cut takes the service's way to Kafka away, and gives it back.
func (s *stack) cut() {
	s.t.Helper()
	s.docker("compose", "up", "--detach", "--wait", "--no-recreate", "--scale", "service=1")
	c := s.containers("service")[0]
	s.docker("network", "disconnect", "onelogin-kafka_kafka", c.ID)
	wait.For(s.t, "the instance to notice that Kafka is away", bound, func() bool { return s.inspect(c.ID).State.Health.Status == "unhealthy" })
	s.docker("network", "connect", "onelogin-kafka_kafka", c.ID)
	wait.For(s.t, "the instance to be well again", bound, func() bool { return s.inspect(c.ID).State.Health.Status == "healthy" })
	if now := s.inspect(c.ID); now.RestartCount != c.RestartCount {
		s.t.Errorf("it was started again %d times", now.RestartCount-c.RestartCount)
	}
	s.progress("after Kafka was away")
}

// audit has the independent auditor compare the topic with what the simulator has.
func (s *stack) audit(began time.Time) {
	s.t.Helper()
	client, base := s.client(), "https://localhost:"+s.simulator+"/_sim/"
	res, err := client.Post(base+"freeze", "", http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	res.Body.Close()
	truth := audit.Truth{}
	for _, tenant := range tenants {
		res, err := client.Get(base + "truth/" + tenant)
		if err == nil {
			truth[tenant], err = audit.TruthFromNDJSON(res.Body)
			res.Body.Close()
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	reader, err := audit.NewReader([]string{"localhost:" + s.kafka}, audit.Topics{
		Events: "onelogin.events", Offsets: "onelogin.offsets", DeadLetter: "onelogin.deadletter", Others: []string{"onelogin.status", "onelogin.audit", "onelogin.connectors"},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	defer reader.Close()
	// The backlog is of the last 24 hours, which is from where it is read, a moment later.
	auditor := audit.New(audit.Rules{From: began.Add(-23 * time.Hour)})
	var report *audit.Report
	if !wait.Until(bound, func() bool {
		cut, err := reader.Snapshot(s.t.Context(), auditor)
		if err != nil {
			s.t.Fatal(err)
		}
		report = auditor.Report(truth, time.Time{})
		return cut.Quiet && report.OK() || !report.OnlyMissing() && !report.OK()
	}) || !report.OK() || report.Published() < 1000 {
		s.t.Errorf("audit:\n%s", report)
	}
	s.t.Logf("audit:\n%s", report)
}

// down removes all, down to the data.
func (s *stack) down() {
	s.t.Helper()
	s.docker("compose", "down", "--volumes")
	for _, kind := range [][]string{{"ps", "--all", "--quiet"}, {"volume", "ls", "--quiet"}, {"network", "ls", "--quiet", "--filter", "type=custom"}} {
		if left := s.docker(kind...); left != "" {
			s.t.Errorf("docker %s: left are\n%s", strings.Join(kind, " "), left)
		}
	}
}

// ports finds a range of n that nothing listens on.
func ports(t *testing.T, n int) string {
	t.Helper()
	for {
		first, err := strconv.Atoi(port(t))
		if err != nil {
			t.Fatal(err)
		}
		free := true
		for p := first; p < first+n && free; p++ {
			free = listens(p)
		}
		if free {
			return strconv.Itoa(first) + "-" + strconv.Itoa(first+n-1)
		}
	}
}
