package console

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// role is what a caller may do.
type role int

const (
	nobody role = iota // /healthz, /readyz and the way in
	viewer             // may look
	admin              // may change things
)

// String returns the role as it is told to people.
func (r role) String() string {
	switch r {
	case viewer:
		return "viewer"
	case admin:
		return "admin"
	}
	return "nobody"
}

// caller is who sent a request.
type caller struct {
	role role
	// session is true for a browser that has signed in.
	session bool
	// wait is how long whoever has tried too many wrong tokens is not heard.
	wait time.Duration
}

type callerKey struct{}

func callerOf(r *http.Request) caller {
	c, _ := r.Context().Value(callerKey{}).(caller)
	return c
}

// doors decides who is let in. Tokens are read for each request, so that a
// rotated file needs no restart.
type doors struct {
	opts     *Options
	sessions *sessions
	attempts *attempts
	unread   [2]atomic.Bool // told that the token cannot be read
}

func newDoors(o *Options) *doors {
	return &doors{opts: o, sessions: newSessions(), attempts: newAttempts()}
}

// need lets in who may do what wanted may.
func (d *doors) need(wanted role, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := d.caller(r)
		switch {
		case c.role >= wanted:
			h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
		case c.wait > 0:
			w.Header().Set("Retry-After", seconds(c.wait))
			refuse(w, http.StatusTooManyRequests, "Too many wrong tokens from this address. Try again in "+seconds(c.wait)+" seconds.")
		case c.role != nobody:
			refuse(w, http.StatusForbidden, "The viewer's token may look and change nothing. Use the token of http.token_file.")
		case r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html"):
			http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
		default:
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(w, http.StatusUnauthorized, "A token is needed: send Authorization: Bearer and the token, or sign in at /login.")
		}
	})
}

// caller tells who sent a request. Without a token in the configuration it is
// whoever reaches the loopback address.
func (d *doors) caller(r *http.Request) caller {
	if d.opts.Token == nil {
		return caller{role: admin}
	}
	if given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		role, _, wait := d.try(r.RemoteAddr, given)
		return caller{role: role, wait: wait}
	}
	if cookie, err := r.Cookie(d.cookie()); err == nil {
		if s, ok := d.sessions.find(cookie.Value); ok && d.valid(s) {
			return caller{role: s.role, session: true}
		}
	}
	return caller{}
}

// try is what a token from an address opens, with its digest; nothing while the
// address has to wait, whatever the token.
func (d *doors) try(remote, given string) (r role, sum [sha256.Size]byte, wait time.Duration) {
	if wait = d.attempts.wait(remote); wait > 0 {
		return nobody, sum, wait
	}
	r, sum = d.role(given)
	if r == nobody && d.attempts.failed(remote, sum) {
		d.opts.Log.Warn().Str("remote", remote).Msg("somebody asked the console with a wrong token")
	}
	return r, sum, 0
}

// seconds is a length of time for Retry-After.
func seconds(d time.Duration) string { return strconv.Itoa(int(math.Ceil(d.Seconds()))) }

// role is what a token opens, with its digest.
func (d *doors) role(given string) (role, [sha256.Size]byte) {
	// Hashed first, so that the time taken tells nothing of the length; and both
	// compared, so that it tells nothing of which it was.
	sum := sha256.Sum256([]byte(given))
	found := nobody
	for _, r := range []role{viewer, admin} {
		if want, ok := d.digest(r); ok && subtle.ConstantTimeCompare(sum[:], want[:]) == 1 {
			found = r
		}
	}
	return found, sum
}

// valid tells whether the token that a session was opened with still opens it.
func (d *doors) valid(s session) bool {
	want, ok := d.digest(s.role)
	return ok && subtle.ConstantTimeCompare(s.token[:], want[:]) == 1
}

// digest is that of a role's token; false if there is none, or if it cannot be
// read, which opens nothing.
func (d *doors) digest(r role) (sum [sha256.Size]byte, ok bool) {
	read, told, key := d.opts.Token, &d.unread[0], "http.token"
	if r == viewer {
		read, told, key = d.opts.ViewerToken, &d.unread[1], "http.viewer_token"
	}
	if read == nil {
		return sum, false
	}
	text, err := read()
	// Once, not for each request of whoever asks.
	if was := told.Swap(err != nil); err != nil && !was {
		d.opts.Log.Error().Err(err).Str("setting", key).Msg("the console's token cannot be read: nobody is let in by it")
	}
	return sha256.Sum256([]byte(text)), err == nil && text != ""
}
