package source

import (
	"context"
	"errors"
	"net/http"
	"time"

	"onelogin-kafka/schemas"
)

const (
	// minOverlap is how far behind the newest event every poll begins.
	minOverlap = 2 * time.Second
	// lateAfter is how far behind the newest event an event counts as late.
	lateAfter = 2 * time.Second
	// farAhead is how far ahead of the server's clock an event may be created
	// and still move the position.
	farAhead = time.Minute
	// maxOverlapEvents bounds the known events that each poll reads again: they
	// cost no call, but bytes and time on both sides.
	maxOverlapEvents = 250
	// deepEvery is how often a poll reads a page of known events all the same.
	deepEvery = 10 * time.Second
	// quiet is how long nothing new must have come for a sweep to be made
	// early: what is late by less then is found without waiting for the next.
	quiet = 35 * time.Second
	// remembered bounds the dead letters (and events beyond the window) that a
	// session knows again.
	remembered = 1 << 14
	// maxHeld is how many ids the window may hold while it waits for a sweep.
	maxHeld = 1 << 20
	// backlog is how far the position lies behind when a poller with more pages
	// to read counts as catching up.
	backlog = time.Minute
)

// session is one Run: what the poller believes of the topic, and where it is.
// Only the goroutine of Run touches it.
type session struct {
	p    *Poller
	set  Settings
	sink Sink

	off    schemas.Offset // as offered
	fresh  bool           // no offset was ever offered
	win    window
	known  recent
	dead   hashSet
	beyond hashSet
	// placed tells that a fresh start was resolved by the server's clock.
	placed bool
	// saved is the complete_through last offered, savedAt when.
	saved   time.Time
	savedAt time.Time

	nextTail time.Time
	lastDeep time.Time // when a poll last began as far back as a page reaches
	failing  bool      // the last tail poll failed
	whole    bool      // the last tail poll read all of the window
	current  bool      // the last tail poll read to the end

	lastNew      time.Time // when a poll last published something, or the session began
	lastSweep    time.Time // when the last whole read of the window began
	sweepRetryAt time.Time
	sweep        *sweep // under way
	swept        *sweep // the last that was completed
	sweepFailure string

	scratch change
}

func newSession(p *Poller, set Settings, st State, sink Sink) *session {
	s := &session{
		p: p, set: set, sink: sink, off: st.Offset, fresh: st.Fresh,
		dead: hashSet{most: remembered}, beyond: hashSet{most: remembered},
		saved: st.Offset.CompleteThrough, savedAt: time.Now(), lastNew: time.Now(),
	}
	if st.Fresh {
		s.off = schemas.Offset{}
		s.place()
	}
	if s.off.WindowStart.IsZero() {
		s.off.WindowStart = floorMinute(s.off.Through.Add(-set.SweepWindow))
	}
	s.win = newWindow(s.off.WindowStart, st.Minutes)
	s.known = newRecent(deepEvents(p.limit), &s.win, s.off.Through)
	// The last sweep began about when the position was a window ahead of what
	// it completed. Kept as an age, so that setting our clock does not move it.
	now := time.Now()
	age := now.Sub(p.clock.ours(s.off.CompleteThrough.Add(set.SweepWindow)))
	s.lastSweep = now.Add(-max(age, 0))
	return s
}

// place puts a fresh start where the settings say, by the best clock there is.
func (s *session) place() {
	s.startAt(s.set.StartFrom.Time(s.p.clock.at(s.p.born)))
	s.placed = s.p.clock.known
}

func (s *session) startAt(t time.Time) {
	s.off.Through, s.off.WindowStart, s.win.start = t, t, t
}

// overlapEvents is how many known events a poll reads again at no extra call.
func overlapEvents(limit int) int { return max(1, min(limit/2, maxOverlapEvents)) }

// deepEvents is how many known events fit into a page that still has room for
// new ones.
func deepEvents(limit int) int { return max(1, limit*9/10) }

// loop polls and sweeps in turn until the sink or ctx ends it. Tail polls come
// first: a sweep gets one page at a time while none is due.
func (s *session) loop(ctx context.Context) error {
	for {
		now := time.Now()
		next := s.nextTail
		if !now.Before(next) {
			if err := s.tail(ctx); err != nil {
				return err
			}
			continue
		}
		if at, ok := s.sweepAt(now); ok {
			if !now.Before(at) {
				if err := s.sweepPage(ctx, Sweep); err != nil {
					return err
				}
				continue
			}
			if at.Before(next) {
				next = at
			}
		}
		if err := sleep(ctx, next.Sub(now)); err != nil {
			return err
		}
	}
}

// tail makes one tail poll and decides when the next is due.
func (s *session) tail(ctx context.Context) error {
	began := time.Now()
	r, err := s.runTail(ctx)
	if errors.Is(err, errPlaced) {
		r, err = s.runTail(ctx)
	}
	if err != nil {
		return s.tailFailed(err, r)
	}
	now := time.Now()
	s.p.retry.reset()
	if r.whole {
		s.lastSweep, s.sweep = began, nil
		s.sweepFailed("")
	}
	s.failing, s.current, s.whole = false, true, r.whole
	if r.published > 0 {
		s.lastNew = now
	}
	wait := jitter(s.p.pace.after(&s.set, r.published > 0))
	s.nextTail = began.Add(wait)
	if soonest := now.Add(wait / 4); s.nextTail.Before(soonest) {
		s.nextTail = soonest
	}
	s.p.setLag(began, true)
	s.p.setState(schemas.StateActive, nil)
	return nil
}

// tailFailed decides how to go on after err. It returns what ends the session.
func (s *session) tailFailed(err error, r *run) error {
	var api *APIError
	var sinkErr *sinkError
	if errors.As(err, &sinkErr) || !errors.As(err, &api) {
		return err
	}
	if s.settleLimit(api) {
		return nil
	}
	s.failing, s.current = true, false
	if r.moved || r.published > 0 {
		s.p.retry.reset()
	}
	wait := max(api.RetryAfter, s.p.retry.next())
	state := schemas.StateFailing
	if api.Kind == Throttled {
		state = schemas.StateThrottled
		s.p.budget.Throttled(wait)
	}
	s.nextTail = time.Now().Add(wait)
	s.p.measureLag()
	s.p.setState(state, api)
	return nil
}

// settleLimit falls back on the page size that always works, if api says, or
// may mean, that the present one does not: what a 400 for it says is documented
// nowhere. The poll is then made again at once.
func (s *session) settleLimit(api *APIError) bool {
	mayMean := api.Kind == Refused && (api.Status == http.StatusBadRequest || api.Status == http.StatusUnprocessableEntity)
	if api.Kind != BadLimit && !mayMean || s.set.PageSize != 0 || s.p.limit <= safePageSize {
		return false
	}
	s.setLimit(safePageSize)
	return true
}

func (s *session) setLimit(limit int) {
	s.p.log.Info().Int("asked", s.p.limit).Int("page_size", limit).Msg("the API does not give pages of the size asked for")
	s.p.limit = limit
	s.known.setMost(deepEvents(limit))
}

// since is where the next tail poll begins: as far back as known events cost no
// further page, now and then, and else as far as they cost little. whole tells that this is the window's start.
func (s *session) since() (since time.Time, whole bool) {
	n := overlapEvents(s.p.limit)
	if now := time.Now(); now.Sub(s.lastDeep) >= deepEvery {
		// Most late events are late by less than a minute: found here, they need
		// not wait for the sweep.
		s.lastDeep, n = now, deepEvents(s.p.limit)
	}
	since, more := s.known.reach(n)
	if !more {
		return s.win.start, true
	}
	if least := s.off.Through.Add(-minOverlap); least.Before(since) {
		since = least
	}
	if !since.After(s.win.start) {
		return s.win.start, true
	}
	return since, false
}
