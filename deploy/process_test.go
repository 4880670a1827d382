package deploy

import (
	"bytes"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

type process struct {
	cmd    *exec.Cmd
	output buffer
	done   chan struct{}
	err    error // once done is closed
}

// start starts the process, which ends with the test and is told of if that fails.
func (p *process) start(t *testing.T) {
	t.Helper()
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.WaitDelay = 10 * time.Second
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("starting %q: %v", p.cmd.Args, err)
	}
	go func() { defer close(p.done); p.err = p.cmd.Wait() }()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%q said:\n%s", p.cmd.Args, p.output.last(30))
		}
	})
}

func (p *process) kill() {
	select {
	case <-p.done:
		return // its number may be another's by now
	default:
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// buffer is what a process said.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *buffer) last(n int) string {
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// port finds one that nothing listens on, below those that the system gives to
// connections.
func port(t *testing.T) string {
	t.Helper()
	for range 100 {
		if p := 10000 + rand.IntN(8000); listens(p) {
			return strconv.Itoa(p)
		}
	}
	t.Fatal("no port is free")
	return ""
}

// listens tells whether one can listen on a port.
func listens(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err == nil {
		l.Close()
	}
	return err == nil
}
