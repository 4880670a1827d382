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
)

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
}

// add takes a status over that follows the one before.
func (t *track) add(st *schemas.ConnectorStatus) {
	t.to(st.UpdatedAt.Unix() / 60)
	if n := st.Events - t.events; t.known && n > 0 {
		t.minutes[rateMinutes-1] += n
	}
	t.known, t.events = true, st.Events
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
