package benchmark

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one running party.
type process struct {
	name  string
	cmd   *exec.Cmd
	lines chan string   // its standard output
	done  chan struct{} // closed when it has ended
	err   error         // of the process, once done is closed

	mu  sync.Mutex
	log []string // the last lines of its standard error
}

// start starts a program and waits for its end beside it, on one thread: the
// process dies with that thread.
func start(name, program string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(program, args...), lines: make(chan string, 16), done: make(chan struct{})}
	p.cmd.SysProcAttr = dieWithParent()
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	log, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	started := make(chan error, 1)
	go func() {
		defer close(p.done)
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		var readers sync.WaitGroup
		readers.Go(func() { each(out, func(line string) { p.lines <- line }); close(p.lines) })
		readers.Go(func() { each(log, p.note) })
		readers.Wait()
		p.err = p.cmd.Wait()
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return p, nil
}

func each(r io.Reader, f func(string)) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		f(s.Text())
	}
	_, _ = io.Copy(io.Discard, r)
}

func (p *process) note(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.log = append(p.log, line); len(p.log) > 60 {
		p.log = p.log[1:]
	}
}

// tail is the end of its log, for an error.
func (p *process) tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.log, "\n")
}

// line waits for a line of its standard output.
func (p *process) line(patience time.Duration) (string, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case line, ok := <-p.lines:
		if !ok {
			<-p.done
			return "", fmt.Errorf("%s has ended: %w\n%s", p.name, orEnd(p.err), p.tail())
		}
		return line, nil
	case <-timer.C:
		return "", fmt.Errorf("%s said nothing within %s\n%s", p.name, patience, p.tail())
	}
}

func orEnd(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// stop asks the process to end, and makes it.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	go func() { // drained so that a last line does not hold it
		for range p.lines {
		}
	}()
	select {
	case <-p.done:
	case <-time.After(15 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// tick is the unit of processor time in /proc, USER_HZ: 100 on every Linux.
const tick = 10 * time.Millisecond

// cpu is the processor time used so far, user and system.
func (p *process) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("reading the processor time of %s: %w", p.name, err)
	}
	// The name in parentheses can hold anything; user and system time are the
	// 12th and 13th field after it.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 13 {
		return 0, errors.New("reading the processor time: too few fields")
	}
	user, err1 := strconv.ParseInt(string(fields[11]), 10, 64)
	system, err2 := strconv.ParseInt(string(fields[12]), 10, 64)
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

// memory is what is resident now, and the most that ever was, in bytes.
func (p *process) memory() (now, peak int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, fmt.Errorf("reading the memory of %s: %w", p.name, err)
	}
	for line := range strings.Lines(string(text)) {
		key, rest, _ := strings.Cut(line, ":")
		slot := map[string]*int64{"VmRSS": &now, "VmHWM": &peak}[key]
		if slot == nil {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("reading the memory of %s: %w", p.name, err)
		}
		*slot = kib << 10
	}
	return now, peak, nil
}

// machineCPU is the processor time that all processes used so far.
func machineCPU() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	total := time.Duration(0)
	for i, f := range strings.Fields(line) {
		// cpu user nice system idle iowait irq softirq steal
		if i == 0 || i == 4 || i == 5 || i > 7 {
			continue
		}
		n, err := strconv.ParseInt(f, 10, 64)
		if err == nil {
			total += time.Duration(n) * tick
		}
	}
	return total
}

// selfCPU is the processor time this process used so far.
func selfCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
