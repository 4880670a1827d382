package console

import (
	"slices"
	"time"

	"onelogin-kafka/schemas"
)

const (
	// rateMinutes is how far back events per minute are known.
	rateMinutes = 30
	// maxChanges is how many states of a connector are remembered.
	maxChanges = 20
	// maxFailures is how many different errors of a connector are.
	maxFailures = 10
)

// Failure is an error of a connector, however often it came.
type Failure struct {
	Stage   string `json:"stage"`
	Message string `json:"message"`
	// First is when it was told for the first time, Last for the last time; Times
	// is how often it began.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Times int       `json:"times"`
}

// Change is the beginning of a state.
type Change struct {
	State   schemas.State `json:"state"`
	Stage   string        `json:"stage"`
	Message string        `json:"message"`
	Since   time.Time     `json:"since"`
}

// track is what is remembered of a connector.
type track struct {
	known   bool
	events  int64 // in all, when last reported
	minute  int64 // since 1970, of the newest of minutes
	minutes [rateMinutes]int64
	changes []Change // the last one first

	told     time.Time // the newest status
	failures []Failure // the last one first
	failing  bool      // the first of them is what is wrong now
}

// add takes a status over that follows the one before.
func (t *track) add(st *schemas.ConnectorStatus) {
	t.to(st.UpdatedAt.Unix() / 60)
	if n := st.Events - t.events; t.known && n > 0 {
		t.minutes[rateMinutes-1] += n
	}
	t.known, t.events = true, st.Events
	t.fail(st)
	c := Change{State: st.State, Stage: st.Stage, Message: st.Message, Since: st.Since}
	if len(t.changes) > 0 && t.changes[0].State == c.State && t.changes[0].Stage == c.Stage && t.changes[0].Message == c.Message {
		return
	}
	if len(t.changes) > 0 && !c.Since.After(t.changes[0].Since) {
		c.Since = st.UpdatedAt // the state is the same and the message another
	}
	t.changes = slices.Insert(t.changes, 0, c)
	t.changes = t.changes[:min(len(t.changes), maxChanges)]
}

// fail takes over what a status says is wrong. What is read once more is no news:
// the topic is read from its start whenever it had to be left.
func (t *track) fail(st *schemas.ConnectorStatus) {
	if !st.UpdatedAt.After(t.told) {
		return
	}
	t.told = st.UpdatedAt
	if st.Message == "" {
		t.failing = false
		return
	}
	same := func(f Failure) bool { return f.Stage == st.Stage && f.Message == st.Message }
	f := Failure{Stage: st.Stage, Message: st.Message, First: st.Since, Times: 1}
	if i := slices.IndexFunc(t.failures, same); i >= 0 {
		goesOn := i == 0 && t.failing
		f = t.failures[i]
		t.failures = slices.Delete(t.failures, i, i+1)
		if !goesOn {
			f.Times++
		}
	}
	f.Last, t.failing = st.UpdatedAt, true
	t.failures = slices.Insert(t.failures, 0, f)
	t.failures = t.failures[:min(len(t.failures), maxFailures)]
}

// to moves on to a minute, if it is a later one.
func (t *track) to(minute int64) {
	n := minute - t.minute
	if n <= 0 {
		return
	}
	t.minute = minute
	if n >= rateMinutes {
		t.minutes = [rateMinutes]int64{}
		return
	}
	copy(t.minutes[:], t.minutes[n:])
	clear(t.minutes[rateMinutes-n:])
}

// rate returns the events of each minute up to now.
func (t *track) rate(now time.Time) []int64 {
	shown := *t
	shown.to(now.Unix() / 60)
	return shown.minutes[:]
}
