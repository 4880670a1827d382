package kafkatest

import "syscall"

// dieWithParent makes the kernel kill the child as soon as the thread that started it ends, whatever ended it: a panic, a test
// timeout or SIGKILL. The thread must therefore live as long as the child, see process.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
