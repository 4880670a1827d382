package deploy

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/internal/proof/wait"
)

// compose is what the test needs of docker-compose.yml.
type compose struct {
	Services map[string]*service `yaml:"services"`
	Volumes  map[string]any      `yaml:"volumes"`
}

type service struct {
	Image       string            `yaml:"image"`
	User        string            `yaml:"user"`
	ReadOnly    bool              `yaml:"read_only"`
	CapDrop     []string          `yaml:"cap_drop"`
	SecurityOpt []string          `yaml:"security_opt"`
	Restart     string            `yaml:"restart"`
	Command     []string          `yaml:"command"`
	Environment map[string]string `yaml:"environment"`
	Volumes     []string          `yaml:"volumes"`
	Network     string            `yaml:"network_mode"`
	DependsOn   map[string]struct {
		Condition string `yaml:"condition"`
	} `yaml:"depends_on"`
	Healthcheck struct {
		Test []string `yaml:"test"`
	} `yaml:"healthcheck"`
}

func read(t *testing.T) *compose {
	t.Helper()
	text, err := os.ReadFile("../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	c := &compose{}
	if err := yaml.Unmarshal(text, c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestComposeIsHardened: no root, no rights, nothing written but to volumes, no
// image that may change under its name.
func TestComposeIsHardened(t *testing.T) {
	pinned := regexp.MustCompile(`:([0-9]+\.[0-9]+\.[0-9]+|compose)$`)
	for name, s := range read(t).Services {
		switch uid, _, _ := strings.Cut(s.User, ":"); {
		case uid == "" || uid == "0" || uid == "root":
			t.Errorf("%s runs as %q", name, s.User)
		case !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true"):
			t.Errorf("%s: read_only %v, cap_drop %v, security_opt %v", name, s.ReadOnly, s.CapDrop, s.SecurityOpt)
		case !pinned.MatchString(s.Image):
			t.Errorf("%s: image %s is not pinned", name, s.Image)
		case s.Restart != "unless-stopped":
			t.Errorf("%s is not started again", name)
		}
	}
}

// TestComposeStack runs docker-compose.yml without containers: each service's
// command with its mounted files, in the order of depends_on, judged by its
// health check. Only ports, paths and host names are others.
func TestComposeStack(t *testing.T) {
	s := newStack(t)
	for _, name := range s.order() {
		s.start(name)
	}
	tenants := []string{"acme", "globex", "initech"}
	wait.For(t, "tail to show events of every tenant", 2*time.Minute, func() bool {
		text := s.processes["tail"].output.String()
		return !slices.ContainsFunc(tenants, func(tenant string) bool { return !strings.Contains(text, tenant) })
	})

	// restart: unless-stopped
	s.processes["service"].kill()
	shown := strings.Count(s.processes["tail"].output.String(), "\n")
	s.start("service")
	wait.For(t, "tail to go on after the service was killed", time.Minute, func() bool {
		return strings.Count(s.processes["tail"].output.String(), "\n") > shown+3
	})
}

// stack is docker-compose.yml as processes.
type stack struct {
	t         *testing.T
	compose   *compose
	dir       string
	binary    string
	here      *strings.Replacer // from the containers' names and paths to this machine's
	processes map[string]*process
}

func newStack(t *testing.T) *stack {
	t.Helper()
	s := &stack{t: t, compose: read(t), dir: t.TempDir(), processes: map[string]*process{}}
	s.binary = build(t, filepath.Join(s.dir, "out"))
	var pairs []string
	inside, outside, controller, simulator, console := port(t), port(t), port(t), port(t), port(t)
	for _, p := range [][2]string{
		{"kafka:19092", "127.0.0.1:" + inside}, {"://:19092", "://127.0.0.1:" + inside},
		{"localhost:9092", "127.0.0.1:" + outside}, {"://:9092", "://127.0.0.1:" + outside}, {"127.0.0.1/9092", "127.0.0.1/" + outside},
		{"localhost:9093", "127.0.0.1:" + controller},
		{"127.0.0.1:9000", "127.0.0.1:" + simulator}, {"127.0.0.1:8080", "127.0.0.1:" + console},
		{"/opt/kafka/bin/", filepath.Join(s.dir, "bin") + "/"},
		{"/etc/", filepath.Join(s.dir, "etc") + "/"}, {"/var/lib/", filepath.Join(s.dir, "lib") + "/"}, {"/tmp/", filepath.Join(s.dir, "tmp") + "/"},
	} {
		pairs = append(pairs, p[0], p[1])
	}
	s.here = strings.NewReplacer(pairs...)
	jars, err := kafkatest.Fetch(t.Context(), kafkatest.DefaultVersion)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.compose.Services["kafka"].Image; !strings.HasSuffix(got, ":"+kafkatest.DefaultVersion) {
		t.Fatalf("the stack's Kafka is %s, the tests' %s", got, kafkatest.DefaultVersion)
	}
	s.write("bin/kafka-storage.sh", fmt.Sprintf("#!/bin/sh\nexec java -cp '%s/*' kafka.tools.StorageTool \"$@\"\n", jars))
	s.write("bin/kafka-server-start.sh", fmt.Sprintf("#!/bin/sh\nexec java $KAFKA_HEAP_OPTS -cp '%s/*' kafka.Kafka \"$@\"\n", jars))
	return s
}

func (s *stack) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

// order is that of depends_on.
func (s *stack) order() []string {
	var order []string
	var visit func(name string)
	visit = func(name string) {
		svc := s.compose.Services[name]
		if svc == nil {
			s.t.Fatalf("service %q is depended on and does not exist", name)
		}
		if slices.Contains(order, name) {
			return
		}
		for other, d := range svc.DependsOn {
			if d.Condition != "service_healthy" {
				s.t.Errorf("%s starts when %s is %s", name, other, d.Condition)
			}
			visit(other)
		}
		if other, ok := strings.CutPrefix(svc.Network, "service:"); ok {
			visit(other)
		}
		order = append(order, name)
	}
	for name := range s.compose.Services {
		visit(name)
	}
	return order
}

// mount puts a service's files where its command looks for them.
func (s *stack) mount(name string) {
	s.t.Helper()
	var inside []string
	for _, v := range s.compose.Services[name].Volumes {
		parts := strings.Split(v, ":")
		inside = append(inside, parts[1])
		target := s.here.Replace(parts[1])
		if !strings.HasPrefix(parts[0], "./") {
			if _, ok := s.compose.Volumes[parts[0]]; !ok {
				s.t.Errorf("%s: volume %s is not declared", name, parts[0])
			}
			if err := os.MkdirAll(target, 0o755); err != nil {
				s.t.Fatal(err)
			}
			continue
		}
		text, err := os.ReadFile(filepath.Join("..", parts[0]))
		if err != nil {
			s.t.Fatal(err)
		}
		rel, err := filepath.Rel(s.dir, target)
		if err != nil {
			s.t.Fatal(err)
		}
		s.write(rel, s.here.Replace(string(text)))
	}
	for _, path := range regexp.MustCompile(`/(etc|var)/[\w./-]+`).FindAllString(strings.Join(s.compose.Services[name].Command, " "), -1) {
		if !slices.ContainsFunc(inside, func(mounted string) bool { return strings.HasPrefix(path, mounted) }) {
			s.t.Errorf("%s is told of %s, which is not mounted", name, path)
		}
	}
}

// start starts a service and waits until it is healthy.
func (s *stack) start(name string) {
	s.t.Helper()
	s.mount(name)
	svc := s.compose.Services[name]
	args := make([]string, len(svc.Command))
	for i, a := range svc.Command {
		args[i] = s.here.Replace(a)
	}
	if svc.Image == "onelogin-kafka:compose" {
		args = append([]string{s.binary}, args...) // the image's entry point
	}
	p := &process{cmd: exec.CommandContext(s.t.Context(), args[0], args[1:]...), done: make(chan struct{})}
	p.cmd.Dir = s.dir
	p.cmd.Env = p.cmd.Environ()
	for k, v := range svc.Environment {
		p.cmd.Env = append(p.cmd.Env, k+"="+s.here.Replace(v))
	}
	p.start(s.t)
	s.processes[name] = p
	wait.For(s.t, name+" to be healthy", time.Minute, func() bool {
		select {
		case <-p.done:
			s.t.Fatalf("%s has ended: %v", name, p.err)
		default:
		}
		return s.healthy(svc.Healthcheck.Test)
	})
}

// healthy does what a health check does; wget is not there.
func (s *stack) healthy(test []string) bool {
	if len(test) == 0 {
		return true
	}
	ctx, cancel := wait.Within(s.t.Context(), 3*time.Second)
	defer cancel()
	args := make([]string, len(test)-1)
	for i, a := range test[1:] {
		args[i] = s.here.Replace(a)
	}
	if !strings.HasSuffix(strings.Join(args[:min(2, len(args))], " "), "busybox wget") {
		return exec.CommandContext(ctx, args[0], args[1:]...).Run() == nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, args[len(args)-1], http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}
