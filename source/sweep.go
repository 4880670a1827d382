package source

import (
	"context"
	"errors"
	"time"
)

const (
	// sweepsPerPage is how many pages an owed sweep gets for each page of the
	// tail.
	sweepsPerPage = 4
	// sweepPages is about how many pages a sweep may have that reads more than
	// two windows at once.
	sweepPages = 20
)

// sweep is a reading of the whole window again, one page at a time between the
// tail polls.
type sweep struct {
	run
	query Query
	tries int
	// unsaid counts the answers to the page at hand that said nothing.
	unsaid int
	retry  retry
}

// sweepAt is when the next page of a sweep may be asked for; false while there
// is nothing to sweep.
func (s *session) sweepAt(now time.Time) (time.Time, bool) {
	if s.failing || s.fresh {
		return time.Time{}, false
	}
	at := s.lastSweep.Add(s.set.SweepEvery)
	if early := s.lastNew.Add(quiet); !s.whole && early.Before(at) && s.lastSweep.Before(early) {
		at = early
	}
	if s.sweep != nil {
		at = now
	}
	if at.Before(s.sweepRetryAt) {
		at = s.sweepRetryAt
	}
	if at.After(now) {
		return at, true
	}
	return now.Add(s.p.budget.Delay(Sweep)), true
}

// sweepPage begins a sweep if none is under way, and reads one page of it.
func (s *session) sweepPage(ctx context.Context, p Priority) error {
	if s.p.budget.take(p) > 0 {
		return nil // not now
	}
	sw := s.sweep
	if sw == nil {
		sw = s.newSweep()
		s.sweep = sw
	}
	page, err := s.p.ask(ctx, sw.query)
	if err != nil {
		return s.sweepTrouble(sw, err)
	}
	// A sweep's first page, too, is never empty but for an account without events.
	if page.Unsaid && sw.unsaid+1 < pageTries {
		sw.unsaid++
		return s.sweepTrouble(sw, listingError(errUnsaid))
	}
	sw.tries, sw.unsaid = 0, 0
	s.p.clock.learn(page.ServerTime, time.Now())
	if err := s.admit(&page); err != nil {
		return s.sweepTrouble(sw, err)
	}
	before := s.off.CompleteThrough
	further, broken := sw.next(&page)
	if err := s.take(ctx, &sw.run, &page); err != nil {
		return s.sweepTrouble(sw, err)
	}
	if broken != nil {
		return s.sweepTrouble(sw, broken)
	}
	sw.query.Cursor = page.Next
	if !further {
		s.sweep, s.swept = nil, sw
		s.sweepFailed("")
		// A part of a window that had to wait is followed by the next at once.
		after := s.off.CompleteThrough
		if s.off.Through.Sub(after) <= s.set.SweepWindow+s.set.SweepEvery || !after.After(before) {
			s.lastSweep = sw.began
		}
	}
	return nil
}

// newSweep begins at the window's start and ends just behind the position: what
// is newer is the tail's. A window that had to wait is read again in parts.
func (s *session) newSweep() *sweep {
	start, end := s.win.start, s.off.Through
	if most := start.Add(2 * s.set.SweepWindow); end.After(most) && s.win.count > sweepPages*s.p.limit {
		end = most
	}
	return &sweep{
		run:   run{since: start, swept: end, began: time.Now()},
		query: Query{Since: start, Until: end.Add(time.Second), Limit: s.p.limit},
		retry: newRetry(s.set.PollMin, s.set.PollMax),
	}
}

// owes tells whether the position has moved so far, within r, that the window
// would have to leave behind what no sweep has read again. This is so where r
// began after a gap: events may have appeared late while the process or the API
// was down, or hide in pages that a broken run did not come to. A poll that is
// up to date is not held up: the window waits until a sweep gets there, if need
// be in a quieter hour.
func (s *session) owes(r *run) bool {
	c := s.off.CompleteThrough
	if r.whole || c.IsZero() || s.win.count > maxHeld || s.off.Through.Sub(c) <= 2*s.set.SweepWindow+s.set.SweepEvery {
		return false
	}
	return s.p.clock.now().Sub(s.off.Through) > backlog
}

// sweepBetween reads some pages of a sweep between two pages of r: more than one,
// so that the sweep wins the race against the position, and not all, so that a
// process that is killed over and over still gets on. Where calls are short the
// tail goes first, for as long as the window can hold what waits. Once the sweep
// reaches to where r began, r counts as a part of it.
func (s *session) sweepBetween(ctx context.Context, r *run) error {
	p := Sweep
	if s.win.count > maxHeld/2 {
		p = CatchUp
	}
	for range sweepsPerPage {
		if time.Now().Before(s.sweepRetryAt) {
			return nil
		}
		if err := s.sweepPage(ctx, p); err != nil {
			return err
		}
		if sw := s.swept; sw != nil && !sw.began.Before(r.began) && !sw.swept.Before(r.since) {
			r.whole, r.since = true, sw.since
			return nil
		}
	}
	return nil
}

// sweepTrouble decides how a sweep goes on after err: the same page again, or
// another sweep later. It returns what ends the session.
func (s *session) sweepTrouble(sw *sweep, err error) error {
	var api *APIError
	var sinkErr *sinkError
	if errors.As(err, &sinkErr) || !errors.As(err, &api) {
		return err
	}
	if s.settleLimit(api) {
		s.sweep = nil
		return nil
	}
	sw.tries++
	wait := max(api.RetryAfter, sw.retry.next())
	if api.Kind == Throttled {
		// The tail finds the same wall, and says so when it does.
		s.p.budget.Throttled(wait)
	}
	if sw.tries >= pageTries || wait > patience || !passing(api) || api.Stage == "Kafka" {
		s.sweep = nil
		wait = max(wait, s.set.PollMax)
		s.sweepFailed(api.Error())
	}
	s.sweepRetryAt = time.Now().Add(wait)
	return nil
}

// sweepFailed logs that sweeps began to fail, or (why empty) that they are well
// again; each once.
func (s *session) sweepFailed(why string) {
	if why == s.sweepFailure {
		return
	}
	if s.sweepFailure = why; why == "" {
		s.p.log.Info().Msg("the window was read again whole")
		return
	}
	s.p.log.Warn().Str("error", why).Msg("reading the window again failed; late events wait for the next try")
}
