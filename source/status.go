package source

import (
	"fmt"
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
	// Lag is how far what is offered lies behind what the API may show: the
	// time since the last poll that read to the end began, or the age of the
	// position while there is a backlog. Negative = not known.
	Lag time.Duration
	// Events, Through and CompleteThrough are as committed.
	Events                   int64
	Through, CompleteThrough time.Time
	AccountID                int64
	RateLimit                RateLimit
	// Interval is the present time between polls.
	Interval time.Duration
}

// Status returns how p fares now. It is safe for concurrent use.
func (p *Poller) Status() Status {
	p.mu.Lock()
	st, lagFrom := p.status, p.lagFrom
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

	p.meters.setState(state)
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

// setOffset makes o what Status shows as committed.
func (p *Poller) setOffset(o schemas.Offset, fresh bool) {
	p.mu.Lock()
	p.status.Events, p.status.AccountID = o.Events, o.AccountID
	p.status.Through, p.status.CompleteThrough = o.Through, o.CompleteThrough
	if !fresh && o.Events > 0 {
		p.status.LastEvent = o.Through
		p.meters.lastEvent.Set(seconds(o.Through))
	}
	p.mu.Unlock()
}

// committed is called when a batch of this session is known to be committed;
// it may be called after the session has ended.
func (p *Poller) committed(o schemas.Offset) {
	p.mu.Lock()
	newer := o.Events >= p.status.Events && !o.Through.Before(p.status.Through)
	p.mu.Unlock()
	if newer {
		p.setOffset(o, false)
	}
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
	p.measureLag()
}

// measureLag brings the gauges up to date.
func (p *Poller) measureLag() {
	p.mu.Lock()
	from := p.lagFrom
	p.mu.Unlock()
	if !from.IsZero() {
		p.meters.lag.Set(max(time.Since(from), 0).Seconds())
	}
	if r := p.budget.RateLimit(); r.Limit > 0 {
		p.meters.remaining.Set(float64(r.Remaining))
	}
}
