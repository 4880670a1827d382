package console

import (
	"crypto/rand"
	"crypto/sha256"
	"maps"
	"net"
	"net/netip"
	"slices"
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
	// maxAttempts is how many wrong tokens in a row an address may try, each
	// another one; after that it may try one each attemptEvery.
	maxAttempts  = 5
	attemptEvery = 20 * time.Second
	// maxAddresses is how many addresses are told apart; the others share one count.
	maxAddresses = 10_000
)

// attempts counts wrong tokens by address: at the sign-in page and as Bearer.
type attempts struct {
	mu   sync.Mutex
	made map[netip.Prefix]attempted
}

// attempted are the wrong tokens of an address.
type attempted struct {
	free time.Time // when none is left to be counted
	// last are the digests of the last of them. The same one again guesses nothing,
	// and is what a scraper with an old token sends: it is not counted.
	last [][sha256.Size]byte
}

func newAttempts() *attempts { return &attempts{made: map[netip.Prefix]attempted{}} }

// wait is how long an address must wait before it may try again.
func (a *attempts) wait(remote string) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	made, counted := a.made[a.key(remote)]
	if !counted {
		return 0
	}
	return max(time.Until(made.free)-(maxAttempts-1)*attemptEvery, 0)
}

// failed counts a wrong token by its digest, and tells whether it is another one
// than those before.
func (a *attempts) failed(remote string, token [sha256.Size]byte) bool {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.made) >= maxAddresses {
		maps.DeleteFunc(a.made, func(_ netip.Prefix, made attempted) bool { return now.After(made.free) })
	}
	key := a.key(remote)
	made := a.made[key]
	if slices.Contains(made.last, token) {
		return false
	}
	if made.last = append(made.last, token); len(made.last) > maxAttempts {
		made.last = made.last[1:]
	}
	if made.free.Before(now) {
		made.free = now
	}
	made.free = made.free.Add(attemptEvery)
	a.made[key] = made
	return true
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
	if _, known := a.made[key]; err != nil || !known && len(a.made) >= maxAddresses {
		return netip.Prefix{}
	}
	return key
}
