//go:build unix && !linux

package kafkatest

import "syscall"

// dieWithParent cannot be had here: only an orderly end of the test stops the nodes.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
