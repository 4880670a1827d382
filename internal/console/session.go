package console

import (
	"crypto/rand"
	"crypto/sha256"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// sessionLife is how long a browser stays signed in.
	sessionLife = 12 * time.Hour
	// maxSessions is how many can be signed in at once; the oldest makes room.
	maxSessions = 1000
)

// session is a browser that has signed in.
type session struct {
	role  role
	token [sha256.Size]byte // the digest of what it signed in with
	ends  time.Time
}

// sessions are kept in memory, by the digest of their ids: whoever reads it
// finds no id that opens anything.
type sessions struct {
	mu   sync.Mutex
	open map[[sha256.Size]byte]session
}

func newSessions() *sessions { return &sessions{open: map[[sha256.Size]byte]session{}} }

// begin opens a session and returns its id.
func (s *sessions) begin(r role, token [sha256.Size]byte) (id string) {
	id = rand.Text()
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	var oldest [sha256.Size]byte
	var ends time.Time
	for key, other := range s.open {
		if now.After(other.ends) {
			delete(s.open, key)
		} else if ends.IsZero() || other.ends.Before(ends) {
			oldest, ends = key, other.ends
		}
	}
	if len(s.open) >= maxSessions {
		delete(s.open, oldest)
	}
	s.open[sha256.Sum256([]byte(id))] = session{role: r, token: token, ends: now.Add(sessionLife)}
	return id
}

func (s *sessions) find(id string) (session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.open[sha256.Sum256([]byte(id))]
	return found, ok && time.Now().Before(found.ends)
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, sha256.Sum256([]byte(id)))
}

const (
	// maxAttempts is how many wrong tokens in a row an address may try; after
	// that it may try one each attemptEvery.
	maxAttempts  = 5
	attemptEvery = 20 * time.Second
	// maxAddresses is how many addresses are told apart; the others share one count.
	maxAddresses = 10_000
)

// attempts counts failed attempts to sign in by address.
type attempts struct {
	mu   sync.Mutex
	free map[netip.Prefix]time.Time // when an address has none left to be counted
}

func newAttempts() *attempts { return &attempts{free: map[netip.Prefix]time.Time{}} }

// wait is how long an address must wait before it may try again.
func (a *attempts) wait(remote string) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	free, counted := a.free[a.key(remote)]
	if !counted {
		return 0
	}
	return max(time.Until(free)-(maxAttempts-1)*attemptEvery, 0)
}

// failed counts an attempt.
func (a *attempts) failed(remote string) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.free) >= maxAddresses {
		for key, free := range a.free {
			if now.After(free) {
				delete(a.free, key)
			}
		}
	}
	key := a.key(remote)
	from := a.free[key]
	if from.Before(now) {
		from = now
	}
	a.free[key] = from.Add(attemptEvery)
}

// key is the network that an address is counted in: itself, or with IPv6 the 64
// bits that one customer has to himself. The caller holds the lock.
func (a *attempts) key(remote string) netip.Prefix {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	key, err := addr.Prefix(bits)
	if _, known := a.free[key]; err != nil || !known && len(a.free) >= maxAddresses {
		return netip.Prefix{}
	}
	return key
}
