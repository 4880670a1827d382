package soak

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"onelogin-kafka/internal/proof/wait"
)

// Instance is one process of the service.
type Instance struct {
	Name    string
	cmd     *exec.Cmd
	log     *tailBuffer
	started time.Time
	done    chan struct{}
	err     error // of the process, once done is closed

	web  chan string
	once sync.Mutex
	url  string
}

// start starts the process and waits for its end beside it, on one thread: the
// process dies with that thread.
func (in *Instance) start() error {
	in.cmd.SysProcAttr = dieWithParent()
	in.done = make(chan struct{})
	in.started = time.Now()
	failed := make(chan error, 1)
	go func() {
		defer close(in.done)
		runtime.LockOSThread()
		err := in.cmd.Start()
		failed <- err
		if err == nil {
			in.err = in.cmd.Wait()
		}
	}()
	return <-failed
}

// URL is the instance's console, once it has said where.
func (in *Instance) URL() (string, bool) {
	in.once.Lock()
	defer in.once.Unlock()
	select {
	case in.url = <-in.web:
	default:
	}
	return in.url, in.url != ""
}

// Ended tells whether the process has ended.
func (in *Instance) Ended() bool {
	select {
	case <-in.done:
		return true
	default:
		return false
	}
}

func (in *Instance) signal(s syscall.Signal) error {
	if in.Ended() {
		return fmt.Errorf("signalling %s: it has ended: %w", in.Name, in.err)
	}
	return in.cmd.Process.Signal(s)
}

// Kill ends the process at whatever instruction it is.
func (in *Instance) Kill() error {
	err := in.signal(syscall.SIGKILL)
	<-in.done
	return err
}

// Pause stops the process where it is until Resume.
func (in *Instance) Pause() error { return in.signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (in *Instance) Resume() error { return in.signal(syscall.SIGCONT) }

// Terminate asks the process to end and waits, for so much of the machine's time.
func (in *Instance) Terminate(bound time.Duration) error {
	if err := in.signal(syscall.SIGTERM); err != nil {
		return err
	}
	ctx, cancel := wait.Within(context.Background(), bound)
	defer cancel()
	select {
	case <-in.done:
		return in.err
	case <-ctx.Done():
		return fmt.Errorf("%s did not end within %s of the machine's time", in.Name, bound)
	}
}

// end makes sure that the process is gone.
func (in *Instance) end() {
	if !in.Ended() {
		_ = in.cmd.Process.Signal(syscall.SIGCONT)
		_ = in.cmd.Process.Kill()
		<-in.done
	}
}
