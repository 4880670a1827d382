package source

import (
	"context"
	"errors"
	"hash/maphash"
	"time"

	"onelogin-kafka/schemas"
)

// change is what one page changes in what the session believes. It is made
// before the page is offered, and kept or taken back afterwards.
type change struct {
	page   *Page
	offset schemas.Offset // what becomes true
	now    time.Time      // by the server's clock
	fresh  []int32        // the events of page that are new
	dead   []int32        // the malformed elements that are new
	before []uint64       // ids of events created before the window, not counted yet
	known  int            // events already published
	late   int
	// lateBefore is the time before which a new event is late.
	lateBefore time.Time
	oldest     time.Time // oldest created_at that may move the position
}

// take makes a batch of what is new in page, offers it, and believes it once it
// is taken. The error is a *sinkError, an *APIError if a record can never be
// written, or ctx's.
func (s *session) take(ctx context.Context, r *run, page *Page) error {
	r.order(page)
	if r.unordered && !s.p.warnedOrder {
		s.p.warnedOrder = true
		s.p.log.Warn().Msg("the API's events do not ascend: the position moves only when a poll has read to its end")
	}
	c := s.sort(r, page)
	defer func() { c.page = nil }() // lets the answer's body go
	final := page.Next == ""
	moved := s.move(r, c, final)
	if !s.worthwhile(r, c, moved, final) {
		s.off.CompleteThrough = c.offset.CompleteThrough
		s.count(c)
		return nil
	}
	b := s.batch(c)
	if err := s.sink.Offer(ctx, b); err != nil {
		s.takeBack(c)
		if errors.Is(err, ErrTooLarge) {
			return &APIError{Kind: Refused, Stage: "Kafka", Message: ErrTooLarge.Error(),
				Advice: "Raise max.message.bytes of the topic; the connector waits and skips nothing.", Err: err}
		}
		return &sinkError{err}
	}
	s.keep(c)
	r.published += len(c.fresh)
	r.moved = r.moved || moved
	return nil
}

// sort tells new events and dead letters from known ones, and adds the new ids
// to the window.
func (s *session) sort(r *run, page *Page) *change {
	c := &s.scratch
	*c = change{page: page, offset: s.off, now: s.p.clock.now(), fresh: c.fresh[:0], dead: c.dead[:0], before: c.before[:0]}
	if !page.ServerTime.IsZero() {
		c.now = page.ServerTime.UTC()
	}
	c.lateBefore = s.off.Through.Add(-lateAfter)
	horizon := c.now.Add(farAhead)
	for i := range page.Events {
		ev := &page.Events[i]
		t := ev.CreatedAt
		if t.Before(s.win.start) {
			if !s.beyond.has(uint64(ev.ID)) {
				c.before = append(c.before, uint64(ev.ID))
			}
			continue
		}
		if !t.After(horizon) {
			if c.oldest.IsZero() || t.Before(c.oldest) {
				c.oldest = t
			}
			if t.After(r.newest) {
				r.newest = t
			}
		}
		if !s.win.add(minuteOf(t), ev.ID) {
			c.known++
			continue
		}
		c.fresh = append(c.fresh, int32(i))
		if t.Before(c.lateBefore) {
			c.late++
		}
	}
	for i := range page.Malformed {
		if !s.dead.has(maphash.Bytes(hashSeed, page.Malformed[i].Raw)) {
			c.dead = append(c.dead, int32(i))
		}
	}
	return c
}

// move sets the position that c makes true, and tells whether it moved.
//
// Within a run only the oldest time of a page is safe: had the newest one been
// taken, a crash would skip whatever the next pages hold before it. Only when
// the run is complete is everything up to the newest time known. A sweep moves
// complete_through alone.
func (s *session) move(r *run, c *change, final bool) bool {
	o := &c.offset
	if !r.isSweep() {
		to := c.oldest
		switch {
		case final:
			to = r.newest
		case r.unordered:
			to = time.Time{}
		}
		if to.After(o.Through) {
			o.Through = to.UTC()
		}
	}
	s.complete(r, c, final)
	for _, i := range c.fresh {
		o.LastID = max(o.LastID, c.page.Events[i].ID)
	}
	o.Events += int64(len(c.fresh))
	return o.Through.After(s.off.Through)
}

// complete moves complete_through to the start of the newest window that r has
// read again whole: a window behind where r is, or where the sweep began.
func (s *session) complete(r *run, c *change, final bool) {
	o := &c.offset
	to := o.Through
	switch {
	case r.isSweep():
		if !final {
			return
		}
		to = r.swept
	case !r.whole:
		return
	case final:
	case r.unordered || c.oldest.IsZero():
		return
	case c.oldest.Before(to):
		to = c.oldest
	}
	if to = to.Add(-s.set.SweepWindow).UTC(); to.After(o.CompleteThrough) {
		o.CompleteThrough = to
	}
}

// worthwhile tells whether c is worth a transaction.
func (s *session) worthwhile(r *run, c *change, moved, final bool) bool {
	if s.fresh || moved || len(c.fresh) > 0 || len(c.dead) > 0 {
		return true
	}
	// What was completed is written with a sweep. Polls that cover the window
	// complete something each time; that is not worth a transaction each.
	return final && c.offset.CompleteThrough.After(s.saved) &&
		(r.isSweep() || time.Since(s.savedAt) >= s.set.SweepEvery)
}

// batch makes the records of c: events, dead letters, minutes, tombstones, and
// last the offset.
func (s *session) batch(c *change) *schemas.Batch {
	p, o := s.p, &c.offset
	wall := time.Now().UTC().Round(0)
	o.Version, o.Domain, o.UpdatedAt = schemas.OffsetVersion, s.set.Domain, wall
	if p.AccountID != nil && o.AccountID == 0 {
		o.AccountID = p.AccountID()
	}
	o.WindowStart = s.windowStart(o)
	leaving := s.win.leaving(o.WindowStart)

	records := make([]schemas.Record, 0, len(c.fresh)+len(c.dead)+s.win.changes(leaving)+1)
	p.Encoder.Reserve(len(c.fresh))
	for _, i := range c.fresh {
		ev := &c.page.Events[i]
		records = append(records, p.Encoder.Event(ev, ev.CreatedAt.Before(c.lateBefore)))
	}
	for _, i := range c.dead {
		m := &c.page.Malformed[i]
		records = append(records, p.Encoder.DeadLetter(m.Raw, m.Reason, wall))
	}
	for i := range s.win.minutes {
		m := &s.win.minutes[i]
		rec := schemas.Record{Topic: schemas.Offsets, Time: wall}
		switch {
		case i < leaving && m.written: // a tombstone
		case i >= leaving && m.touched:
			rec.Value = s.win.value(i)
		default:
			continue
		}
		rec.Key = schemas.MinuteKey(p.Connector, minuteTime(m.minute))
		records = append(records, rec)
	}
	records = append(records, schemas.Record{Topic: schemas.Offsets, Key: schemas.OffsetKey(p.Connector), Value: o.Marshal(), Time: wall})

	committed, events, dead, late := c.offset, len(c.fresh), len(c.dead), c.late
	meters := p.meters
	return &schemas.Batch{Connector: p.Connector, Records: records, Events: events, Done: func() {
		meters.events.Add(float64(events))
		meters.deadLetters.Add(float64(dead))
		meters.late.Add(float64(late))
		p.committed(committed)
	}}
}

// windowStart is where the window begins once o is true: a sweep window behind
// the position. It waits for what no sweep has read again yet, so that an event
// which appeared late is not left behind by a position that moves quickly; but
// not for ever, since sweeps may come to nothing for want of calls.
func (s *session) windowStart(o *schemas.Offset) time.Time {
	start := o.Through.Add(-s.set.SweepWindow)
	if !o.CompleteThrough.IsZero() && s.win.count <= maxHeld {
		if hold := o.CompleteThrough.Add(s.set.SweepEvery); hold.Before(start) {
			start = hold
		}
	}
	if start = floorMinute(start); start.After(o.WindowStart) {
		return start
	}
	return o.WindowStart
}

// keep believes c, whose batch was taken.
func (s *session) keep(c *change) {
	s.off, s.fresh = c.offset, false
	s.saved, s.savedAt = s.off.CompleteThrough, time.Now()
	s.win.settle(s.off.WindowStart)
	for _, i := range c.fresh {
		s.known.add(c.page.Events[i].CreatedAt, c.page.Events[i].ID)
	}
	for _, i := range c.dead {
		s.dead.add(maphash.Bytes(hashSeed, c.page.Malformed[i].Raw))
	}
	s.count(c)
}

// count measures what needs no commit to be true.
func (s *session) count(c *change) {
	for _, id := range c.before {
		s.beyond.add(id)
	}
	m := s.p.meters
	m.beyond.Add(float64(len(c.before)))
	m.duplicates.Add(float64(c.known))
	if c.late == 0 || !s.current {
		return // after a gap an event's age says nothing of when it appeared
	}
	for _, i := range c.fresh {
		if t := c.page.Events[i].CreatedAt; t.Before(c.lateBefore) {
			m.lateness().Observe(c.now.Sub(t).Seconds())
		}
	}
}

// takeBack undoes c, whose batch was refused.
func (s *session) takeBack(c *change) {
	for _, i := range c.fresh {
		ev := &c.page.Events[i]
		s.win.remove(minuteOf(ev.CreatedAt), ev.ID)
	}
	s.win.discardTouched()
}
