package deploy

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// engine is scripts/engine.sh at work: a container engine that ends with the test.
type engine struct {
	t      *testing.T
	env    []string
	client *http.Client // of the engine's own API
}

// startEngine starts it. What is running by then ends when the script's input
// does, so also when this process dies.
func startEngine(t *testing.T) *engine {
	t.Helper()
	cmd := exec.Command("../scripts/engine.sh", "sh", "-c", `env | grep -E '^(PATH|DOCKER_[A-Z]*|COMPOSE_[A-Z]*)='; echo ready; exec cat`)
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	e := &engine{t: t, env: os.Environ()}
	socket := ""
	t.Cleanup(func() {
		input.Close()
		_, _ = io.Copy(io.Discard, output)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the engine's script: %v\n%s", err, said.last(20))
		}
		if dir := filepath.Dir(socket); socket != "" {
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("the engine has left %s: %v", dir, err)
			}
		}
	})
	lines := bufio.NewScanner(output)
	for lines.Scan() && lines.Text() != "ready" {
		e.env = append(e.env, lines.Text())
		if path, ok := strings.CutPrefix(lines.Text(), "DOCKER_HOST=unix://"); ok {
			socket = path
		}
	}
	if socket == "" {
		t.Fatalf("there is no engine:\n%s", said.last(20))
	}
	e.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	return e
}

// docker runs a command and returns what it says.
func (e *engine) docker(args ...string) string {
	e.t.Helper()
	out, err := e.command(e.t.Context(), args...)
	if err != nil {
		e.t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (e *engine) command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", `exec docker "$@"`, "docker"}, args...)...) // by the engine's PATH
	cmd.Dir, cmd.Env = "..", e.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// last is for a test that has failed: what compose has to say of the stack.
func (e *engine) last(args ...string) string {
	out, err := e.command(context.WithoutCancel(e.t.Context()), append([]string{"compose"}, args...)...)
	if err != nil {
		return err.Error()
	}
	return out
}

// get asks the engine's API, which costs far less than the command.
func (e *engine) get(path string, query url.Values) ([]byte, error) {
	req, err := http.NewRequestWithContext(e.t.Context(), http.MethodGet, "http://engine"+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	res, err := e.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, body)
	}
	return body, err
}

// state is what the engine says of a container.
type state struct {
	ID           string `json:"Id"`
	Image        string
	RestartCount int
	Config       struct{ Hostname string }
	State        struct {
		Pid    int
		Health struct{ Status string }
	}
}

// containers are those of a service, in the order of their numbers.
func (e *engine) containers(service string) []state {
	e.t.Helper()
	var all []state
	for id := range strings.FieldsSeq(e.docker("compose", "ps", "--all", "--quiet", "--orphans=false", service)) {
		all = append(all, e.inspect(id))
	}
	return all
}

func (e *engine) inspect(id string) (s state) {
	e.t.Helper()
	body, err := e.get("/containers/"+id+"/json", nil)
	if err == nil {
		err = json.Unmarshal(body, &s)
	}
	if err != nil {
		e.t.Fatalf("inspecting a container: %v", err)
	}
	return s
}

// said is all that a container has written, over its restarts.
func (e *engine) said(id string) string {
	e.t.Helper()
	body, err := e.get("/containers/"+id+"/logs", url.Values{"stdout": {"1"}, "stderr": {"1"}})
	if err != nil {
		e.t.Fatalf("reading a container's log: %v", err)
	}
	return string(body)
}
