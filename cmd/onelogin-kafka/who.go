package main

import (
	"cmp"
	"os"
	"os/user"
)

// who is whom the audit topic is told of: the user of this machine who gave the
// command.
func who() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, _ := os.Hostname()
	return name + "@" + cmp.Or(host, "unknown")
}
