package kafkatest

import (
	"os/exec"
	"runtime"
	"syscall"
)

// process is one running Java program.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the program has ended
	err  error         // why it ended; read after done
}

// launch starts cmd on a goroutine that keeps its thread until the program has ended: the kernel ties the child's life to the
// thread that started it, and Go may end a thread that no goroutine holds.
func launch(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = dieWithParent()
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		<-p.done
		return nil, err
	}
	return p, nil
}

func (p *process) signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// java is a JVM command with the jars of one Kafka version. The first C1 compiler tier is enough for short-lived tools.
func (c *Cluster) java(heap string, tool bool, class string, args ...string) *exec.Cmd {
	all := []string{"-Xmx" + heap, "-XX:+UseSerialGC", "-Xshare:auto", "-Dlog4j2.configurationFile=" + c.path("log4j2.properties")}
	if tool {
		all = append(all, "-XX:TieredStopAtLevel=1")
	}
	all = append(append(all, "-cp", c.jars+"/*", class), args...)
	cmd := exec.Command("java", all...)
	cmd.Dir = c.dir
	return cmd
}
