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
	fresh  []int32        // the events of page that are new
	old    []int32        // those of them that were created before the window
	dead   []int32        // the malformed elements that are new
	beyond int            // events that were asked for, but lie before the window
	known  int            // events already published
	late   int
	// lateBefore is the time before which a new event is late.
	lateBefore time.Time
	notes      []schemas.Record // of the offsets topic, besides
	done       func()           // once it is committed, or not worth it; may be nil
}

// sort tells new events and dead letters of page from known ones, and adds the
// new ids to the window.
func (s *session) sort(r *reading, page *Page) *change {
	c := &s.scratch
	*c = change{page: page, offset: s.off, fresh: c.fresh[:0], old: c.old[:0], dead: c.dead[:0]}
	c.lateBefore = s.off.Through.Add(-lateAfter)
	asked := r.query.Since.Add(edge)
	for i := range page.Events {
		ev := &page.Events[i]
		t := ev.CreatedAt
		switch {
		case !t.Before(s.win.start):
			if !s.win.add(minuteOf(t), ev.ID) {
				c.known++
				if s.known.guesses > 0 {
					s.known.add(t, ev.ID)
				}
				continue
			}
		case s.off.LastID > 0 && ev.ID > s.off.LastID && s.win.addBefore(minuteOf(t), ev.ID):
			// An id above all that were published cannot come again.
			c.old = append(c.old, int32(i))
		default:
			if !t.Before(asked) && !s.win.has(ev.ID) {
				c.beyond++
			}
			continue
		}
		c.fresh = append(c.fresh, int32(i))
		s.known.add(t, ev.ID)
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

// take makes a batch of c, offers it, and believes it once it is taken; end
// tells that r has come to its end. The error is a *sinkError, an *APIError if a
// record can never be written, or ctx's.
func (s *session) take(ctx context.Context, r *reading, c *change, end bool) error {
	defer func() { c.page = nil }() // lets the answer's body go
	o := &c.offset
	for _, i := range c.fresh {
		o.LastID = max(o.LastID, c.page.Events[i].ID)
	}
	o.Events += int64(len(c.fresh))
	o.Through = s.ledger.through.UTC()
	if s.ledger.complete.After(o.CompleteThrough) && !s.fresh {
		o.CompleteThrough = s.ledger.complete.UTC()
	}
	r.fresh += len(c.fresh)
	r.dead += len(c.dead)
	if !s.worthwhile(c, end && r.first == Sweep) {
		s.count(c)
		free(c.page.held)
		if c.done != nil {
			c.done()
		}
		return nil
	}
	b := s.batch(c)
	if c.page.held != nil {
		b.Release = c.page.held.Release
	}
	if err := s.sink.Offer(ctx, b); err != nil {
		s.takeBack(c)
		free(c.page.held)
		if errors.Is(err, ErrTooLarge) {
			s.p.withdraw()
			return &APIError{Kind: Refused, Stage: "Kafka", Message: ErrTooLarge.Error(),
				Advice: "Raise max.message.bytes of the topic; the connector waits and skips nothing.", Err: err}
		}
		return &sinkError{err}
	}
	s.keep(c)
	return nil
}

// worthwhile tells whether c is worth a transaction. What was completed is
// written with a sweep. Polls that cover the window complete something each
// time; that is not worth a transaction each.
func (s *session) worthwhile(c *change, swept bool) bool {
	if !s.off.RetiredAt.IsZero() {
		return true // it is polled again
	}
	if s.off.SecretGeneration < s.set.SecretGeneration {
		return true // a secret that was used must not be followed by an older one
	}
	if s.fresh || len(c.fresh) > 0 || len(c.notes) > 0 || c.offset.VerifiedThrough.After(s.off.VerifiedThrough) || len(c.dead) > 0 || c.offset.Through.After(s.off.Through) {
		return true
	}
	return c.offset.CompleteThrough.After(s.off.CompleteThrough) && (swept || time.Since(s.savedAt) >= s.set.SweepEvery)
}

// batch makes the records of c: events, dead letters, minutes, tombstones,
// what is noted besides, and
// last the offset.
func (s *session) batch(c *change) *schemas.Batch {
	p, o := s.p, &c.offset
	wall := time.Now().UTC().Round(0)
	o.Version, o.Domain, o.UpdatedAt, o.RetiredAt = schemas.OffsetVersion, s.set.Domain, wall, time.Time{}
	o.AccountID = s.account(c.page)
	o.Calls, o.CallsUntil = p.budget.Used()
	o.CallsLimit = p.budget.RateLimit().Limit
	o.SecretGeneration = max(o.SecretGeneration, s.set.SecretGeneration)
	s.moveWindow()
	o.WindowStart = s.ledger.start
	leaving := s.win.leaving(o.WindowStart)
	changed := s.win.changed(leaving)

	records := make([]schemas.Record, 0, len(c.fresh)+len(c.dead)+len(changed)+len(c.notes)+1)
	p.Encoder.Reserve(len(c.fresh))
	for _, i := range c.fresh {
		ev := &c.page.Events[i]
		records = append(records, p.Encoder.Event(ev, ev.CreatedAt.Before(c.lateBefore)))
	}
	for _, i := range c.dead {
		m := &c.page.Malformed[i]
		records = append(records, p.Encoder.DeadLetter(m.Raw, m.Reason, wall))
	}
	for _, i := range changed {
		rec := schemas.Record{Topic: schemas.Offsets, Key: schemas.MinuteKey(p.Connector, minuteTime(s.win.minutes[i].minute)), Time: wall}
		if i >= leaving { // else a tombstone
			rec.Value = s.win.value(i)
		}
		records = append(records, rec)
	}
	records = append(records, c.notes...)
	records = append(records, schemas.Record{Topic: schemas.Offsets, Key: schemas.OffsetKey(p.Connector), Value: o.Marshal(), Time: wall})

	made := offered{offset: c.offset, events: len(c.fresh), dead: len(c.dead), late: c.late}
	p.offers(made)
	done := c.done
	return &schemas.Batch{Connector: p.Connector, Records: records, Events: made.events, Done: func() {
		p.committed(made.offset)
		if done != nil {
			done()
		}
	}}
}

// moveWindow lets the window begin as late as the ledger says.
func (s *session) moveWindow() {
	var underWay []time.Time
	for _, l := range []*lane{&s.front, &s.back} {
		if l.reading != nil {
			underWay = append(underWay, l.reading.worth.from)
		}
	}
	full := s.win.count > mostWindow/mostOfID && s.win.size() > mostWindow
	if before := s.ledger.swept(); full {
		s.ledger.moveStart(true, underWay...)
		if s.ledger.start.After(before) {
			s.p.log.Warn().Time("from", before).Time("to", s.ledger.start).
				Msg("too many events wait to be read again: late events of this time will not be found")
		}
		return
	}
	s.ledger.moveStart(false, underWay...)
}

// keep believes c, whose batch was taken.
func (s *session) keep(c *change) {
	s.off, s.fresh = c.offset, false
	s.savedAt = time.Now()
	s.win.settle(s.off.WindowStart)
	for _, i := range c.old {
		s.strays.add(c.page.Events[i].ID)
	}
	s.win.clearOld() // the highest id published now tells them
	s.p.meters.windowIDs.Set(float64(s.win.count))
	for _, i := range c.dead {
		s.dead.add(maphash.Bytes(hashSeed, c.page.Malformed[i].Raw))
	}
	s.count(c)
}

// count measures what needs no commit to be true.
func (s *session) count(c *change) {
	m := s.p.meters
	m.beyond.Add(float64(c.beyond))
	m.duplicates.Add(float64(c.known))
	if c.late == 0 || !s.current {
		return // after a gap an event's age says nothing of when it appeared
	}
	now := s.p.clock.now()
	for _, i := range c.fresh {
		if t := c.page.Events[i].CreatedAt; t.Before(c.lateBefore) {
			m.lateness().Observe(now.Sub(t).Seconds())
			s.p.late(now.Sub(t), now)
		}
	}
}

// takeBack undoes c, whose batch was refused.
func (s *session) takeBack(c *change) {
	for _, i := range c.old {
		s.win.removeOld(c.page.Events[i].ID)
	}
	for _, i := range c.fresh {
		ev := &c.page.Events[i]
		s.win.remove(minuteOf(ev.CreatedAt), ev.ID)
	}
	s.win.discardTouched()
	s.known = newRecent(s.known.most, &s.win, s.off.Through)
}
