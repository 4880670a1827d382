package position

import (
	"errors"
	"fmt"
	"time"

	"onelogin-kafka/schemas"
)

// Target is where a position is to go. Exactly one of its fields counts.
type Target struct {
	// Through is a position: events created at or after it are asked for again, or
	// those before it are not asked for any more.
	Through time.Time
	// Back is how far before the present position that is.
	Back time.Duration
	// Reset forgets the position and all ids; StartFrom is where the connector
	// begins then.
	Reset     bool
	StartFrom time.Time
	// Import is a position that was exported, and maybe edited.
	Import *State
}

// Range is [From, To) of created_at; empty where To is not after From.
type Range struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Empty tells whether nothing is in r.
func (r Range) Empty() bool { return !r.To.After(r.From) }

// Shown is r for JSON and pages; nil where nothing is in it.
func (r Range) Shown() *Range {
	if r.Empty() {
		return nil
	}
	return &r
}

// Holds tells whether t is in r.
func (r Range) Holds(t time.Time) bool { return !t.Before(r.From) && t.Before(r.To) }

// Plan is what a move means.
type Plan struct {
	Target        Target
	Before, After State
	// Again is asked for again. What is known of it is not published again.
	Again Range
	// Repeat is the part of Again whose ids are forgotten: events in it that are in
	// the topic may be published once more.
	Repeat Range
	// Skip is not asked for any more: what is not in the topic of it may never be.
	Skip Range
}

// Why a move is refused; wrapped.
var (
	ErrRefused  = errors.New("refused")
	ErrConflict = errors.New("the position has changed since the plan was made")
)

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrRefused, fmt.Errorf(format, args...))
}

// Nothing tells that the position is there already.
func (p *Plan) Nothing() bool { return p.Before.equal(&p.After) }

// open tells that all is asked for again up to when it is applied: without a
// position before or after, no id is known.
func (p *Plan) open() bool { return p.Before.Fresh || p.After.Fresh }

// Move says what it means to move s to target. now is when the position is
// written.
func (s *State) Move(target Target, now time.Time) (Plan, error) {
	p := Plan{Target: target, Before: *s, After: State{Connector: s.Connector, Minutes: map[time.Time][]int64{}}}
	switch {
	case s.Fresh && target.Import == nil:
		return p, refused("connector %s has no position: it begins at its start_from", s.Connector)
	case target.Reset:
		p.After.Fresh = true
		// Events behind the position may be in the topic, too.
		p.Again = Range{target.StartFrom, later(now, target.StartFrom)}
		p.Repeat, p.Skip = p.Again, Range{s.Offset.WindowStart, target.StartFrom}
		return p, nil
	}
	to := target.Through
	if target.Back > 0 {
		to = s.Offset.Through.Add(-target.Back)
	}
	if target.Import != nil {
		if err := s.foreign(target.Import); err != nil {
			return p, err
		}
		to = target.Import.Offset.Through
	}
	to = to.UTC().Round(0)
	if to.After(now) {
		return p, refused("%s lies in the future", to.Format(time.RFC3339Nano))
	}
	if s.Fresh {
		p.After = *target.Import
		p.After.Offset.UpdatedAt = now
		p.After.Offset.SecretGeneration = 0 // it counts on the control log that it comes from
		p.After.Offset.VerifiedThrough = earlier(p.After.Offset.VerifiedThrough, p.After.Offset.WindowStart)
		p.Again = Range{p.After.Offset.WindowStart, later(p.After.Offset.WindowStart, now)}
		p.Repeat = p.Again
		return p, nil
	}
	p.move(to)
	p.After.Offset.UpdatedAt = now
	return p, nil
}

// foreign refuses what was exported of another account.
func (s *State) foreign(o *State) error {
	a, b := &s.Offset, &o.Offset
	switch {
	case o.Connector != s.Connector:
		return refused("it is the position of connector %s, not of %s", o.Connector, s.Connector)
	case s.Fresh:
	case a.AccountID != 0 && b.AccountID != 0 && a.AccountID != b.AccountID:
		return refused("it is a position in account %d, and connector %s reads account %d", b.AccountID, s.Connector, a.AccountID)
	case a.Domain != b.Domain:
		return refused("it is a position at %s, and connector %s reads %s", b.Domain, s.Connector, a.Domain)
	}
	return nil
}

// move fills in After and the ranges for a position that goes to to.
//
// The window begins no later than the new position, so that what lies behind it
// is published; and all that is known stays known, so that nothing in the window
// is published again. What lies before the window that was, is forgotten. A
// position that goes forward takes the window's start along: a sweep would
// bring back what is to be skipped. What was verified stays so, but for what is
// asked for again: nothing that is skipped counts as verified, and where nothing was
// yet, verifying begins with it.
func (p *Plan) move(to time.Time) {
	before, doc := &p.Before, p.Target.Import
	o := before.Offset
	o.Through = to
	o.CompleteThrough = earlier(o.CompleteThrough, to)
	p.After.merge(before.Minutes)
	if doc != nil {
		p.After.merge(doc.Minutes)
		o.LastID = max(o.LastID, doc.Offset.LastID)
	}
	if !to.After(before.Offset.Through) {
		p.Again = Range{to, before.Offset.Through}
		o.WindowStart = earlier(o.WindowStart, to)
		p.Repeat = Range{to, earlier(before.Offset.WindowStart, before.Offset.Through.Add(1))}
	} else {
		p.Skip = Range{before.Offset.WindowStart, to} // late events, too
		o.WindowStart = to
		if o.VerifiedThrough.IsZero() {
			o.VerifiedThrough = p.Skip.From
		}
		if doc != nil {
			o.WindowStart = later(before.Offset.WindowStart, doc.Offset.WindowStart)
		}
	}
	if p.Repeat.Empty() {
		p.Repeat = Range{}
	}
	if p.Again.Empty() {
		p.Again = Range{}
	}
	o.VerifiedThrough = earlier(o.VerifiedThrough, o.WindowStart)
	p.After.Offset = o
	for minute := range p.After.Minutes {
		if minute.Before(o.WindowStart.Truncate(time.Minute)) {
			delete(p.After.Minutes, minute)
		}
	}
}

// merge adds what is known.
func (s *State) merge(minutes map[time.Time][]int64) {
	for minute, ids := range minutes {
		s.Minutes[minute] = union(s.Minutes[minute], ids)
	}
}

// union merges two ascending lists.
func union(a, b []int64) []int64 {
	all := make([]int64, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] < b[0]:
			all, a = append(all, a[0]), a[1:]
		case a[0] > b[0]:
			all, b = append(all, b[0]), b[1:]
		default:
			all, a, b = append(all, a[0]), a[1:], b[1:]
		}
	}
	return append(append(all, a...), b...)
}

// Renew is the plan by what is there now. ErrConflict where that means more than
// p said: the owner may have gone on, as it does all the time, but nobody else
// has moved the position, and nothing more is repeated or skipped.
func (p *Plan) Renew(now *State, at time.Time) (Plan, error) {
	a, b := &p.Before.Offset, &now.Offset
	switch {
	case now.Fresh != p.Before.Fresh:
		return Plan{}, conflict("it was forgotten, or made")
	case now.Fresh:
	case a.AccountID != b.AccountID && a.AccountID != 0 || a.Domain != b.Domain:
		return Plan{}, conflict("it is another account's")
	case b.Through.Before(a.Through) || b.WindowStart.Before(a.WindowStart) || b.CompleteThrough.Before(a.CompleteThrough):
		return Plan{}, conflict("it was set back")
	}
	target := p.Target
	if target.Back > 0 {
		target.Through, target.Back = p.After.Offset.Through, 0
	}
	q, err := now.Move(target, at)
	switch {
	case err != nil:
		return q, err
	case p.Skip.Empty() != q.Skip.Empty():
		return q, conflict("it is at %s now", b.Through.Format(time.RFC3339Nano))
	case !p.open() && !q.Repeat.Empty() && (p.Repeat.Empty() || q.Repeat.To.After(p.Repeat.To)):
		return q, conflict("its window begins at %s now, so that more may be repeated", b.WindowStart.Format(time.RFC3339Nano))
	}
	return q, nil
}

func conflict(format string, args ...any) error {
	return fmt.Errorf("%w: %w; look at the plan again", ErrConflict, fmt.Errorf(format, args...))
}

// Records are what makes After true: the position, the minutes that are others
// than before, and a tombstone for each that goes.
func (p *Plan) Records(now time.Time) []schemas.Record {
	var records []schemas.Record
	add := func(key, value []byte) {
		records = append(records, schemas.Record{Topic: schemas.Offsets, Key: key, Value: value, Time: now})
	}
	name := p.Before.Connector
	for minute, ids := range p.After.Minutes {
		if before, ok := p.Before.Minutes[minute]; !ok || len(before) != len(ids) { // nothing is ever taken out
			add(schemas.MinuteKey(name, minute), schemas.EncodeMinute(ids))
		}
	}
	for minute := range p.Before.Minutes {
		if _, ok := p.After.Minutes[minute]; !ok {
			add(schemas.MinuteKey(name, minute), nil)
		}
	}
	var value []byte
	if !p.After.Fresh {
		value = p.After.Offset.Marshal()
	}
	add(schemas.OffsetKey(name), value)
	return records
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
