package source

import (
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"onelogin-kafka/schemas"
)

// A poller that has gone without a successful poll for silence, and for
// silentPolls of its intervals where that is longer, no longer passes for
// active.
const (
	silence     = 5 * time.Minute
	silentPolls = 3
)

const adviceSilent = "A poll hangs, or its shard is not served: /readyz and /api/v1/shards of its instance say which."

// Status is how a poller fares at one moment. A zero time means never.
type Status struct {
	// State is ACTIVE, CATCHING_UP, THROTTLED or FAILING; INACTIVE before the
	// first poll, and when an ACTIVE one had no successful poll for 5 minutes
	// and three intervals.
	State schemas.State
	// Stage, Message and Advice say what is wrong, in DNIF's words; empty when
	// nothing is. Stage is also "Kafka" when a record cannot be written.
	Stage, Message, Advice string
	// Since is when the state began.
	Since time.Time
	// LastPoll is when the API was last read to its end.
	LastPoll time.Time
	// LastEvent is the created_at of the newest event committed.
	LastEvent time.Time
	// Lag is how far what is committed lies behind what the API may show: the
	// time since the last poll began that read to the end and of which all is
	// committed, or the age of the position while there is a backlog. Before the
	// first of them it counts from the last commit there was. Negative = never run.
	Lag time.Duration
	// Events, Through and CompleteThrough are as committed.
	Events                   int64
	Through, CompleteThrough time.Time
	// VerifiedThrough is as committed; zero before the first comparison.
	VerifiedThrough time.Time
	AccountID       int64
	RateLimit       RateLimit
	// Lateness is how old late events were when they were found; nil while there
	// was none. What it points to is not changed.
	Lateness *schemas.Lateness
	// Interval is the present time between polls.
	Interval time.Duration
}

// Status returns how p fares now. It is safe for concurrent use.
func (p *Poller) Status() Status {
	p.mu.Lock()
	st, lagFrom := p.status, p.lagFrom
	if len(p.pending) > 0 {
		lagFrom = p.pending[0].before
	}
	budget := p.budget
	p.mu.Unlock()
	now := time.Now()
	if budget != nil {
		st.RateLimit = budget.RateLimit()
	}
	st.Lag = -1
	if !lagFrom.IsZero() {
		st.Lag = max(now.Sub(lagFrom), 0)
	}
	silent := max(silence, silentPolls*st.Interval)
	switch {
	case st.State == "":
		st.State = schemas.StateInactive
	case st.State == schemas.StateActive && now.Sub(st.LastPoll) > silent:
		st.State, st.Since = schemas.StateInactive, st.LastPoll.Add(silent)
		st.Message = fmt.Sprintf("no successful poll for %v minutes", int(silent.Minutes()))
		st.Advice = adviceSilent
	}
	return st
}

// setState changes the state, logs the change and tells OnChange; nothing
// happens if it is no change. cause may be nil.
func (p *Poller) setState(state schemas.State, cause *APIError) {
	now := time.Now()
	var stage, message, advice string
	if cause != nil {
		stage, message, advice = cause.Stage, cause.Message, cause.Advice
	}
	p.mu.Lock()
	old := p.status
	if old.State == state && old.Stage == stage && old.Message == message {
		p.mu.Unlock()
		return
	}
	p.status.Stage, p.status.Message, p.status.Advice = stage, message, advice
	if old.State != state {
		p.status.State, p.status.Since = state, now
	}
	p.mu.Unlock()

	p.logState(old, state, cause, now)
	if p.OnChange != nil {
		p.OnChange()
	}
}

func (p *Poller) logState(old Status, state schemas.State, cause *APIError, now time.Time) {
	level := zerolog.InfoLevel
	if state == schemas.StateFailing || state == schemas.StateThrottled {
		level = zerolog.WarnLevel
	}
	e := p.log.WithLevel(level).Str("state", string(state))
	if old.State != "" {
		e = e.Str("before", string(old.State)).Dur("for", now.Sub(old.Since))
	}
	if cause != nil {
		e = e.Str("stage", cause.Stage).Err(cause)
		if cause.Advice != "" {
			e = e.Str("advice", cause.Advice)
		}
		if cause.RequestID != "" {
			e = e.Str("request_id", cause.RequestID)
		}
	}
	e.Msg("connector state changed")
}

// late counts an event that was late when it was found.
func (p *Poller) late(age time.Duration, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := schemas.Lateness{Since: now.UTC(), Bounds: schemas.LatenessBounds[:], Counts: make([]int64, len(schemas.LatenessBounds)+1)}
	if before := p.status.Lateness; before != nil {
		l.Since = before.Since
		copy(l.Counts, before.Counts)
	}
	bucket, _ := slices.BinarySearch(l.Bounds, age.Seconds())
	l.Counts[bucket]++
	p.status.Lateness = &l
}

// setOffset makes o what Status shows as committed.
func (p *Poller) setOffset(o schemas.Offset, fresh bool) {
	p.mu.Lock()
	p.status.Events, p.status.AccountID = o.Events, o.AccountID
	p.status.Through, p.status.CompleteThrough, p.status.VerifiedThrough = o.Through, o.CompleteThrough, o.VerifiedThrough
	if !fresh && o.Events > 0 {
		p.status.LastEvent = o.Through
		p.meters.lastEvent.Set(seconds(o.Through))
	}
	p.offset = o
	if !fresh {
		complete := o.CompleteThrough
		if complete.IsZero() { // nothing is yet
			complete = o.WindowStart
		}
		p.meters.through.Set(seconds(o.Through))
		p.meters.completeThrough.Set(seconds(complete))
		if !o.VerifiedThrough.IsZero() {
			p.meters.verifiedThrough().Set(seconds(o.VerifiedThrough))
		}
	}
	p.mu.Unlock()
}

// offered is a batch whose outcome is not known yet.
type offered struct {
	offset             schemas.Offset
	events, dead, late int
	before             time.Time // Poller.lagFrom as it was
}

// offers notes a batch that is about to be offered.
func (p *Poller) offers(o offered) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o.before = p.lagFrom
	p.pending = append(p.pending, o)
}

// withdraw takes the newest offer back, which was refused.
func (p *Poller) withdraw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = p.pending[:len(p.pending)-1]
}

// committed is called when a batch is known to be committed; it may be called
// after the session has ended. What was offered before it is committed too.
func (p *Poller) committed(o schemas.Offset) {
	p.mu.Lock()
	i := slices.IndexFunc(p.pending, func(b offered) bool { return b.offset.UpdatedAt.Equal(o.UpdatedAt) && b.offset.Events == o.Events })
	for _, b := range p.pending[:i+1] {
		p.meters.events.Add(float64(b.events))
		p.meters.deadLetters.Add(float64(b.dead))
		p.meters.late.Add(float64(b.late))
	}
	p.pending = slices.Delete(p.pending, 0, i+1)
	p.mu.Unlock()
	if i >= 0 {
		p.setOffset(o, false)
	}
}

// resume begins with what is committed: of what was offered and never heard of
// again it says how much there is.
func (p *Poller) resume(st *State) {
	if !st.Fresh {
		p.committed(st.Offset)
		p.budget.Assume(st.Offset.CallsLimit)
		p.budget.Resume(st.Offset.Calls, st.Offset.CallsUntil)
	}
	p.mu.Lock()
	switch {
	case len(p.pending) > 0:
		p.lagFrom = p.pending[0].before // it is offered once more
	case p.lagFrom.IsZero() && st.Fresh:
		p.lagFrom = p.born
	case p.lagFrom.IsZero():
		p.lagFrom = st.Offset.UpdatedAt
	}
	p.pending = nil
	p.mu.Unlock()
	p.setOffset(st.Offset, st.Fresh)
}

// setLag says that everything created before from (by our clock) is offered;
// polled tells that the API was read to its end.
func (p *Poller) setLag(from time.Time, polled bool) {
	now := time.Now()
	p.mu.Lock()
	p.lagFrom = from
	p.status.Interval = p.pace.interval
	if polled {
		p.status.LastPoll = now
	}
	p.mu.Unlock()
	if polled {
		p.meters.lastPoll.Set(seconds(now))
	}
}

// unread tells that what comes is not what an event looks like.
type unread struct {
	begun bool // a poll has read to the end
	dead  int  // elements that are not events since the last new event
}

var errUnread = &APIError{Kind: Unreadable, Stage: "Validation", Message: "Log reading error",
	Advice: "None of the newest events can be read; they are in the dead-letter topic. Ask for an update of this connector."}

// after tells whether r has shown nothing new that can be read, but several
// elements that cannot: the format has changed.
func (u *unread) after(r *reading) bool {
	if r.fresh > 0 || r.malformed == 0 {
		u.dead = 0
	} else if u.begun {
		u.dead += r.dead
	}
	u.begun = true
	return r.fresh == 0 && r.malformed > 0 && (r.malformed > r.shown || u.dead >= 3)
}
