package schemas

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"time"
)

// StatusVersion is the format version of the values on the status topic.
const StatusVersion = 1

// State is how a connector fares.
type State string

// The states of a connector.
const (
	// StateActive: polled successfully within three intervals, events or not.
	StateActive State = "ACTIVE"
	// StateCatchingUp: polled successfully, with a backlog still to read.
	StateCatchingUp State = "CATCHING_UP"
	// StateThrottled: waits because the API's budget is used up.
	StateThrottled State = "THROTTLED"
	// StateFailing: does not get on, see stage and message; still retried.
	StateFailing State = "FAILING"
	// StatePaused: not polled because the configuration says so.
	StatePaused State = "PAUSED"
	// StateInactive: nobody owns it, or no successful poll for 5 minutes.
	StateInactive State = "INACTIVE"
)

// States are all states, in the order in which they are listed for users.
var States = [...]State{StateActive, StateCatchingUp, StateThrottled, StateFailing, StatePaused, StateInactive}

// Valid tells whether s is one of States.
func (s State) Valid() bool {
	for _, t := range States {
		if s == t {
			return true
		}
	}
	return false
}

// RateLimit is what is left of an account's hourly budget of calls.
type RateLimit struct {
	// Limit is the number of calls per window; 0 = unknown.
	Limit int `json:"limit"`
	// Remaining is the number of calls left in the window.
	Remaining int `json:"remaining"`
	// ResetSeconds is the time until the window ends.
	ResetSeconds int `json:"reset_seconds"`
}

// LatenessBounds are the upper bounds of a Lateness's buckets, in seconds,
// ascending.
var LatenessBounds = [...]float64{2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600}

// Lateness is how old late events were when they were found, as far as its
// instance has polled the connector.
type Lateness struct {
	// Since is when the first of them was found.
	Since time.Time `json:"since"`
	// Bounds are those of the buckets, as LatenessBounds of the version that wrote
	// it; Counts has one more, for what was later than the last.
	Bounds []float64 `json:"le_seconds"`
	Counts []int64   `json:"counts"`
}

// ConnectorStatus is how one connector fares: the value of the key "<connector>" on the
// status topic. A zero time means never or not known.
type ConnectorStatus struct {
	// Version is StatusVersion; Marshal writes it whatever it is here.
	Version   int    `json:"version"`
	Connector string `json:"connector"`
	State     State  `json:"state"`
	// Stage is "Configuration", "Authentication", "Fetch Logs", "Validation",
	// "Kafka" (what was read cannot be written) or empty.
	Stage string `json:"stage"`
	// Message says what is wrong; empty when nothing is.
	Message string `json:"message"`
	// Advice is one sentence on what to do about it; empty where there is none.
	Advice    string `json:"advice,omitempty"`
	Domain    string `json:"domain"`
	AccountID int64  `json:"account_id"`
	// Events is the number of events published since the connector began.
	Events      int64     `json:"events"`
	LastEventAt time.Time `json:"last_event_at,omitzero"`
	LastPollAt  time.Time `json:"last_poll_at,omitzero"`
	// LagSeconds is how far the topic is behind the API; negative = unknown,
	// and then left out of the JSON.
	LagSeconds      float64   `json:"-"`
	CompleteThrough time.Time `json:"complete_through,omitzero"`
	// VerifiedThrough is as in Offset.
	VerifiedThrough time.Time `json:"verified_through,omitzero"`
	// RateLimit is left out of the JSON while Limit is unknown.
	RateLimit RateLimit `json:"rate_limit,omitzero"`
	Instance  string    `json:"instance"`
	// Console is where the instance's console is reached: scheme, host and maybe
	// port; empty where it is not known.
	Console string `json:"console,omitempty"`
	Shard   int    `json:"shard"`
	// Lateness is nil while no event was late. What it points to is not changed.
	Lateness *Lateness `json:"lateness,omitempty"`
	// Since is when the state began.
	Since     time.Time `json:"since"`
	UpdatedAt time.Time `json:"updated_at"`
}

// wireStatus is ConnectorStatus as JSON, with what needs a pointer.
type wireStatus struct {
	plainStatus
	LagSeconds *float64 `json:"lag_seconds,omitempty"`
}

type plainStatus ConnectorStatus

// Marshal returns s as JSON.
func (s ConnectorStatus) Marshal() []byte {
	s.Version = StatusVersion
	for _, t := range s.times() {
		if !t.IsZero() {
			*t = wireTime(*t)
		}
	}
	if s.RateLimit.Limit == 0 {
		s.RateLimit = RateLimit{}
	}
	w := wireStatus{plainStatus: plainStatus(s)}
	if s.LagSeconds >= 0 && finite(s.LagSeconds) {
		w.LagSeconds = &s.LagSeconds
	}
	return marshal(w)
}

func (s *ConnectorStatus) times() []*time.Time {
	return []*time.Time{&s.LastEventAt, &s.LastPollAt, &s.CompleteThrough, &s.VerifiedThrough, &s.Since, &s.UpdatedAt}
}

// ParseStatus reads what Marshal wrote. Fields it does not know are ignored.
// The error wraps ErrVersion for an unknown version.
func ParseStatus(value []byte) (ConnectorStatus, error) {
	if err := checkVersion(value, StatusVersion); err != nil {
		return ConnectorStatus{}, fmt.Errorf("parsing status: %w", err)
	}
	var w wireStatus
	if err := json.Unmarshal(value, &w); err != nil {
		return ConnectorStatus{}, fmt.Errorf("parsing status: %w", err)
	}
	s := ConnectorStatus(w.plainStatus)
	err := required(field{"connector", s.Connector == ""}, field{"updated_at", s.UpdatedAt.IsZero()})
	if err != nil {
		return ConnectorStatus{}, fmt.Errorf("parsing status: %w", err)
	}
	if !s.State.Valid() {
		return ConnectorStatus{}, fmt.Errorf("parsing status: state %.40q is none of %v", s.State, States)
	}
	if l := s.Lateness; l != nil && !l.sound() {
		s.Lateness = nil // nothing else depends on it
	}
	if !isOrigin(s.Console) {
		s.Console = "" // as above; and it becomes a link
	}
	s.LagSeconds = -1
	if w.LagSeconds != nil && *w.LagSeconds >= 0 {
		s.LagSeconds = *w.LagSeconds
	}
	for _, t := range s.times() {
		*t = timeOf(t)
	}
	return s, nil
}

// maxOrigin is how long an address of a console is at most.
const maxOrigin = 300

// isOrigin tells whether text is http or https with a host, and nothing after it.
func isOrigin(text string) bool {
	u, err := url.Parse(text)
	return err == nil && len(text) <= maxOrigin && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && text == u.Scheme+"://"+u.Host
}

// sound tells whether there is a count for each bucket.
func (l *Lateness) sound() bool {
	return len(l.Bounds) > 0 && len(l.Counts) == len(l.Bounds)+1 && slices.IsSorted(l.Bounds) &&
		!slices.ContainsFunc(l.Counts, func(n int64) bool { return n < 0 })
}
