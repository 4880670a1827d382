package kafkatest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

const (
	portBlock = 32
	portFirst = 20000
)

// ports is a block of TCP ports that no other cluster of this user has while the lock is held.
//
// The block lies below the range from which the kernel takes the ports of outgoing connections: a node that was killed must find
// its port free again when it is started later.
type ports struct {
	base int
	lock *os.File

	mu   sync.Mutex
	used int
}

func reservePorts() (*ports, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cache, "ports")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the folder of port locks: %w", err)
	}
	for base := portFirst; base+portBlock <= firstEphemeralPort(); base += portBlock {
		lock, err := lockFile(filepath.Join(dir, strconv.Itoa(base)), syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if blockFree(base) {
			return &ports{base: base, lock: lock}, nil
		}
		lock.Close()
	}
	return nil, errors.New("no free block of TCP ports on 127.0.0.1")
}

func blockFree(base int) bool {
	for p := base; p < base+portBlock; p++ {
		l, err := net.Listen("tcp", local(p))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}

func (p *ports) next() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used == portBlock {
		return 0, errors.New("the cluster needs more ports than one block has")
	}
	p.used++
	return p.base + p.used - 1, nil
}

func (p *ports) release() { p.lock.Close() }

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// firstEphemeralPort is Linux's default where the kernel does not tell.
func firstEphemeralPort() int {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err == nil {
		if fields := strings.Fields(string(text)); len(fields) == 2 {
			if n, err := strconv.Atoi(fields[0]); err == nil && n >= portFirst+10*portBlock {
				return n
			}
		}
	}
	return 32768
}
