package onelogin

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"onelogin-kafka/source"
)

const (
	// maxWait bounds what a header may make us wait: OneLogin's window is an hour,
	// and no answer may stop a connector for longer.
	maxWait = time.Hour
	// maxReset is past every count of seconds that X-RateLimit-Reset may be: what
	// is beyond it is something else, an epoch most likely, and says nothing.
	maxReset = 24 * time.Hour
)

// readRateLimit reads X-RateLimit-*. Reset is in seconds from now, not an
// epoch (recorded from the real service). A header that cannot be right says
// nothing: Limit is then 0.
func readRateLimit(h http.Header, at time.Time) source.RateLimit {
	limit, ok1 := headerInt(h, "X-RateLimit-Limit")
	remaining, ok2 := headerInt(h, "X-RateLimit-Remaining")
	if !ok1 || !ok2 || limit == 0 {
		return source.RateLimit{}
	}
	return source.RateLimit{Limit: limit, Remaining: remaining, Reset: readReset(h), At: at}
}

// readReset reads X-RateLimit-Reset, an hour at most; 0 if it is missing or
// cannot be right.
func readReset(h http.Header) time.Duration {
	if reset, ok := headerInt(h, "X-RateLimit-Reset"); ok && reset <= int(maxReset/time.Second) {
		return min(time.Duration(reset)*time.Second, maxWait)
	}
	return 0
}

// headerInt reads a header that is a number from 0 to 2^31-1.
func headerInt(h http.Header, name string) (int, bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(h.Get(name)), 10, 31)
	return int(n), err == nil
}

// readRetryAfter reads Retry-After in both its forms (RFC 9110, 10.2.3), an hour
// at most; 0 if it is missing, past or unreadable. A date is taken relative to the answer's
// own Date, so that our clock does not matter.
func readRetryAfter(h http.Header, at time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	if digits(v) {
		n, err := strconv.ParseUint(v, 10, 31)
		if err != nil {
			return maxWait
		}
		return min(time.Duration(n)*time.Second, maxWait)
	}
	until, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	return min(max(until.Sub(serverTime(h, at)), 0), maxWait)
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// serverTime is the answer's Date, or at where it has none.
func serverTime(h http.Header, at time.Time) time.Time {
	if t, err := http.ParseTime(h.Get("Date")); err == nil {
		return t
	}
	return at
}

// requestID is the answer's x-request-id if it looks like one: it goes into
// logs and status records.
func requestID(h http.Header) string {
	id := h.Get("X-Request-Id")
	if len(id) > 128 {
		return ""
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c >= 0x7f {
			return ""
		}
	}
	return id
}
