package source

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Page sizes. OneLogin documents 50; newer collectors ask for 1000 and get it.
const (
	maxPageSize  = 1000
	safePageSize = 50
)

// Settings say when and how far back a connector is polled. A zero field stands
// for its default.
type Settings struct {
	// StartFrom is where a connector without any offset begins. The zero value
	// is "now".
	StartFrom StartFrom
	// PollMin is the interval while events come; default 2 s.
	PollMin time.Duration
	// PollMax is the longest interval of an idle connector; default 30 s.
	PollMax time.Duration
	// SweepEvery is how often the window is read again; default 5 min.
	SweepEvery time.Duration
	// SweepWindow is how far behind the newest event the window reaches;
	// default 15 min. An event that the API shows up to SweepWindow minus
	// SweepEvery after its created_at is found whatever happens in between.
	SweepWindow time.Duration
	// PageSize is the limit asked for, 1 to 1000; 0 = auto: 1000, or 50 where
	// the API refuses or clamps that.
	PageSize int
	// Domain is the account's host name, written into each offset.
	Domain string
	// SecretGeneration is that of the sealed client secret, written into each
	// offset; 0 = it is not sealed.
	SecretGeneration int64
}

// withDefaults returns s with its zero fields filled in.
func (s Settings) withDefaults() Settings {
	s.PollMin = cmp.Or(s.PollMin, 2*time.Second)
	s.PollMax = max(cmp.Or(s.PollMax, 30*time.Second), s.PollMin)
	s.SweepEvery = cmp.Or(s.SweepEvery, 5*time.Minute)
	s.SweepWindow = cmp.Or(s.SweepWindow, 15*time.Minute)
	return s
}

// StartFrom is where a connector without any offset begins: at At if that is
// set, else Ago before now.
type StartFrom struct {
	Ago time.Duration
	At  time.Time
}

// Time returns the start as seen at now.
func (s StartFrom) Time(now time.Time) time.Time {
	if !s.At.IsZero() {
		return s.At.UTC()
	}
	return now.Add(-s.Ago).UTC()
}

// String returns the form that ParseStartFrom reads.
func (s StartFrom) String() string {
	switch {
	case !s.At.IsZero():
		return s.At.UTC().Format(time.RFC3339Nano)
	case s.Ago == 0:
		return "now"
	}
	return s.Ago.String()
}

var errStartFrom = errors.New(`want "now", a duration back such as 24h, or a time such as 2026-11-22T07:05:00Z`)

// ParseStartFrom reads "now", a duration back from now (not negative) or an
// RFC 3339 time.
func ParseStartFrom(text string) (StartFrom, error) {
	if strings.EqualFold(text, "now") {
		return StartFrom{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		if d < 0 {
			return StartFrom{}, fmt.Errorf("parsing start %q: a duration back is not negative", text)
		}
		return StartFrom{Ago: d}, nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || at.IsZero() {
		return StartFrom{}, fmt.Errorf("parsing start %q: %w", text, errStartFrom)
	}
	return StartFrom{At: at.UTC()}, nil
}
