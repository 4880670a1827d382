//go:build linux || darwin

package main

import "syscall"

// files is how many files this process may have open at once; 0 = not known. Go
// has raised that to what the system allows.
func files() uint64 {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	return l.Cur
}
