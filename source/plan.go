package source

import (
	"time"
)

const (
	// minOverlap is how far behind the newest event every poll begins at least,
	// so that this event is proof.
	minOverlap = edge + time.Second
	// lateAfter is how far behind the newest event an event counts as late.
	lateAfter = 2 * time.Second
	// maxOverlapEvents bounds the known events that each poll reads again: they
	// cost no call, but bytes and time on both sides.
	maxOverlapEvents = 250
	// deepEvery is how often a poll reads a page of known events all the same.
	deepEvery = 10 * time.Second
	// sliceFrom is how much of a backlog is read in slices, however few pages it has.
	sliceFrom = 5 * time.Minute
	// slicePages is about how many pages a slice or a sweep has.
	slicePages = 80
	// leastSlice bounds what the overlap of slices costs.
	leastSlice = 15 * time.Second
	// lastSlices is what is left of a backlog, beside what has just happened, to be
	// read in one: the overlap of ever shorter slices would never let a busy account
	// be abreast.
	lastSlices = 2 * leastSlice
	// sliceStep is by how much one slice may differ from the last. The first has
	// so much fewer pages: only a slice that is whole moves the position, also
	// where no session lives for long.
	sliceStep = 8
	// quiet is how long nothing new must have come for a sweep to be made
	// early: what is late by less then is found without waiting for the next.
	quiet = 35 * time.Second
	// mostWindow is how many bytes of ids the window may have before it moves on
	// without a sweep: 24 hours of 500 events a second. From half of it on,
	// sweeps no longer wait for a backlog to end.
	mostWindow = 128 << 20
	// mostOfID is how many bytes of the window an id takes at most, alone in its
	// minute: with fewer, all minutes need not be gone through with each page.
	mostOfID = 256
)

// overlapEvents is how many known events a poll reads again at no extra call.
func overlapEvents(room int) int { return max(1, min(room/2, maxOverlapEvents)) }

// deepEvents is how many known events fit into a page that still has space for
// new ones.
func deepEvents(room int) int { return max(1, room*9/10) }

// newReading begins a reading of what is asked for, which is worth what lies
// from from on and before to, and must show ids.
func (s *session) newReading(since, until, from, to time.Time, ids []int64) *reading {
	for i := 0; i < len(ids) && len(s.gone) > 0; i++ {
		if _, gone := s.gone[ids[i]]; gone {
			ids[i] = ids[len(ids)-1]
			ids = ids[:len(ids)-1]
			i--
		}
	}
	return &reading{
		query: Query{Since: since, Until: until, Limit: s.p.size.limit()},
		first: Tail, further: CatchUp, began: time.Now(),
		worth: entry{from: earlier(from, s.ledger.frontier), to: to, known: s.ledger.through},
		// Where the window begins at the position, an operator has set that: no event
		// is known to be there.
		evidence: expect(ids, s.off.Events > 0 && s.ledger.through.After(s.win.start) && len(s.gone) == 0),
	}
}

// nextPoll is the next slice of a backlog, or a poll to the end.
func (s *session) nextPoll() *reading {
	if left := s.p.clock.now().Add(-backlog).Sub(s.ledger.frontier); s.slice > 0 && left > lastSlices {
		return s.nextSlice(s.ledger.frontier.Add(min(s.slice, left)))
	}
	s.slice = 0
	since, covers := s.since()
	var ids []int64
	if covers {
		ids = s.win.ids(minuteOf(since.Add(edge+time.Minute-1)), maxMinute, nil)
	}
	ids = s.known.seen(since.Add(edge), time.Time{}, ids)
	from := since.Add(edge)
	if covers {
		from = since // what lies before it is forgotten
	}
	r := s.newReading(since, time.Time{}, from, time.Time{}, ids)
	r.covers = covers
	if s.p.clock.now().Sub(s.ledger.frontier) > sliceFrom && time.Now().Before(s.noUntil) {
		r.first = CatchUp // a backlog that is read in one
	}
	return r
}

// nextSlice reads on from the frontier to to. It begins at the newest event that
// is known, so that there is one that it must show.
func (s *session) nextSlice(to time.Time) *reading {
	since, ids := s.ledger.frontier, []int64(nil)
	if last, ok := s.known.last(since); ok {
		since = last.Add(-edge)
		ids = s.known.seen(last, to, nil)
	}
	r := s.newReading(since, to.Add(edge), since.Add(edge), to, ids)
	r.first = CatchUp
	r.evidence.least = len(r.evidence.ids) > 0
	return r
}

// since is where the next poll begins: as far back as known events cost no
// further page, now and then, and else as far as they cost little. covers tells
// that this is the window's start.
func (s *session) since() (since time.Time, covers bool) {
	room := s.p.size.room()
	n := overlapEvents(room)
	if now := time.Now(); now.Sub(s.lastDeep) >= deepEvery {
		// Most late events are late by less than a minute: found here, they need
		// not wait for the sweep.
		s.lastDeep, n = now, deepEvents(room)
	}
	if s.win.count <= n {
		return s.win.start, true
	}
	since = s.ledger.through.Add(-minOverlap)
	if reach, ok := s.known.reach(n); ok {
		since = earlier(since, reach)
	}
	if !since.After(s.win.start) {
		return s.win.start, true
	}
	return since, false
}

// cut tells whether an open reading is given up for slices: from a page with new
// events on that is not the last, if much was left when it began, or as one of many.
// What has come since is no reason: an account that is busy would never be abreast.
func (s *session) cut(r *reading, page *Page, fresh bool) bool {
	left := s.p.clock.at(r.began).Sub(s.ledger.frontier)
	if !r.query.Until.IsZero() {
		if !fresh || s.slice <= leastSlice || r.overran {
			return false
		}
		smaller := s.smaller(r)
		if smaller == 0 {
			return false
		}
		s.slice = max(smaller, leastSlice)
		return true
	}
	many := r.pages >= slicePages/sliceStep && left > backlog+lastSlices
	much := fresh && left > max(sliceFrom, 3*s.set.PollMin)
	if r.began.Before(s.noUntil) || len(page.Events) == 0 || !many && !much {
		return false
	}
	oldest, newest := page.Events[0].CreatedAt, page.Events[0].CreatedAt
	for i := range page.Events {
		oldest, newest = earlier(oldest, page.Events[i].CreatedAt), later(newest, page.Events[i].CreatedAt)
	}
	s.slice = max(slicePages/sliceStep*newest.Sub(oldest), leastSlice)
	return true
}

// smaller is how much to read instead of a slice that holds far more than
// thought; 0 if it does not. All of it is read again, so that is told as soon as
// its pages let it be expected: from where the first ended, for what lies before
// can be a long time without events. Where their order says nothing, it is told
// by their number.
func (s *session) smaller(r *reading) time.Duration {
	const most = sliceStep * slicePages
	pages, span, rest := r.pages-1, r.worth.newest.Sub(r.begun), r.worth.to.Sub(r.begun)
	if pages >= slicePages/sliceStep && span > 0 && float64(pages)*float64(rest) > most*float64(span) {
		return max(r.begun.Sub(s.ledger.frontier), 0) + span*(slicePages/sliceStep)/time.Duration(pages)
	}
	if r.pages < most {
		return 0
	}
	return min(s.slice, r.worth.to.Sub(r.worth.from)) / sliceStep
}

// resize makes the next slice as long as r lets one of slicePages pages expect,
// the last of them half full: what it shows again would else take a page more.
func (s *session) resize(r *reading) {
	if r.overran {
		s.slice = 0
		return
	}
	least, most := s.slice/sliceStep, s.slice*sliceStep
	if r.events > 0 {
		room := s.p.size.room()
		most = min(most, time.Duration(float64(s.slice)*float64(slicePages*room-room/2)/float64(r.events)))
	}
	s.slice = max(most, least, leastSlice)
}

// pass is one time through all that is to be read again, in sweeps.
type pass struct {
	next, end time.Time // nothing is left where end is not after next
	began     time.Time
}

// nextSweep is the next sweep, or nil while none is due.
func (s *session) nextSweep(now time.Time) *reading {
	if s.fresh || !s.current && s.win.size() < mostWindow/2 {
		s.sweepDue = now.Add(backlog / 10)
		return nil
	}
	l, p := &s.ledger, &s.pass
	if !p.end.After(p.next) {
		if s.sweepDue = s.whenDue(now); s.sweepDue.After(now) {
			return nil
		}
		*p = pass{next: l.swept(), end: l.through.Add(1), began: now}
	}
	to, ceil := p.end, minuteTime(minuteOf(p.end)+1)
	until := ceil.Add(edge)
	if now.Before(s.noUntil) {
		to, until = time.Time{}, time.Time{}
	} else if part, ok := s.win.reachOn(p.next, slicePages*s.p.size.room()); ok && part.Before(p.end) {
		to, ceil, until = part, part, part.Add(edge)
	}
	floor := minuteOf(p.next)
	r := s.newReading(minuteTime(floor).Add(-edge), until, p.next, to, s.win.ids(floor, minuteOf(ceil), nil))
	r.first, r.further = Sweep, Sweep
	r.evidence.least = false
	return r
}

// whenDue is when the next pass is due: some time after the last, or when an
// account has gone quiet, as long as anything is not complete.
func (s *session) whenDue(now time.Time) time.Time {
	if s.covered || !s.ledger.through.After(s.ledger.swept()) {
		return now.Add(time.Hour) // nothing is left, or each poll is as good
	}
	at := s.pass.began.Add(s.set.SweepEvery)
	if early := s.lastNew.Add(quiet); s.pass.began.Before(early) {
		at = earlier(at, early)
	}
	return at
}

// sweptTo notes that r was read again.
func (s *session) sweptTo(r *reading) {
	s.pass.next = r.worth.to
	if r.worth.to.IsZero() {
		s.pass.next = s.pass.end
	}
	s.sweepFailure("")
}

// sweepFailed puts the next sweep off, longer each time.
func (s *session) sweepFailed(api *APIError, now time.Time) {
	wait := min(max(api.RetryAfter, s.back.retry.next()), longestWait)
	s.p.throttled(api, wait)
	s.back.at = now.Add(wait)
	s.sweepFailure(api.Error())
}

// sweepFailure logs that sweeps began to fail, or (why empty) that they are well
// again; each once.
func (s *session) sweepFailure(why string) {
	if why == s.swept {
		return
	}
	if s.swept = why; why == "" {
		s.p.log.Info().Msg("the window is read again")
		return
	}
	s.p.log.Warn().Str("error", why).Time("complete_through", s.off.CompleteThrough).
		Msg("reading the window again fails; late events wait for the next try")
}
