//go:build !linux

package benchmark

import "syscall"

func dieWithParent() *syscall.SysProcAttr { return nil }
