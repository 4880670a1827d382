package source

import (
	"context"
	"errors"
	"time"

	"onelogin-kafka/schemas"
)

const (
	// pageTries is how often a page is asked for before its reading fails: a
	// long one would otherwise never end while a few calls in a hundred fail.
	pageTries = 4
	// patience is the longest wait inside a reading; how long a cursor lives is
	// not documented.
	patience = time.Minute
	// longestWait is the API's hour: nothing that it says holds us longer.
	longestWait = time.Hour
	// backlog is how far the position lies behind when a poller with more pages
	// to read counts as catching up.
	backlog = time.Minute
	// starvedFor is how long a poller with a backlog counts as throttled after it
	// had to wait for calls.
	starvedFor = 2 * time.Minute
	// pageWait doubles to the first wait for a page that failed.
	pageWait = time.Second
	// emptyWait is by how much the pause grows with each empty page in a row.
	emptyWait = 50 * time.Millisecond
	// remembered bounds the dead letters that a session knows again.
	remembered = 1 << 20
)

// session is one Run: what the poller believes of the topic, and where it is.
// Only the goroutine of Run touches it.
type session struct {
	p    *Poller
	set  Settings
	sink Sink

	off    schemas.Offset // as offered
	fresh  bool           // no offset was ever offered
	placed bool           // a fresh start was resolved by the server's clock
	ledger ledger
	win    window
	known  recent
	dead   hashSet
	// strays are the ids published in this session of events from before the
	// window.
	strays  idSet
	savedAt time.Time // when a batch was last taken

	front, back lane
	slice       time.Duration // how much of a backlog a reading takes; 0 = there is none
	noUntil     time.Time     // until when we do without until, which the API does not keep to
	current     bool          // the last poll read to the end
	covered     bool          // and all of the window
	starved     time.Time     // when polls last had to wait for calls
	lastDeep    time.Time     // when a poll last began as far back as a page reaches
	lastNew     time.Time     // when something was last published, or the session began
	pass        pass          // of sweeps
	sweepDue    time.Time     // when the next sweep is due
	vanished    vanished
	gone        map[int64]struct{} // ids that are not expected any more
	unread      unread
	swept       string // why sweeps fail; empty if they do not

	scratch change
}

// lane is where one reading after the other is made. A session has two, so that
// no sweep, however slow, holds up a poll.
type lane struct {
	reading *reading
	fetch   *fetch    // of its next page, on its way
	at      time.Time // nothing is asked for before
	tries   int       // failures in a row with the page at hand
	doubts  int       // readings in a row that were not believed
	refused int       // readings in a row whose first page was refused
	retry   retry     // of readings
}

func newSession(p *Poller, set Settings, st *State, sink Sink) *session {
	s := &session{
		p: p, set: set, sink: sink, off: st.Offset, fresh: st.Fresh,
		dead: hashSet{most: remembered}, vanished: vanished{}, gone: map[int64]struct{}{},
		savedAt: time.Now(), lastNew: time.Now(),
		front: lane{retry: *p.retry}, back: lane{retry: newRetry(set.PollMax, longestWait/2)},
	}
	if st.Fresh {
		s.off = schemas.Offset{}
		s.place()
		s.known = newRecent(deepEvents(p.size.room()), &s.win, s.off.Through)
		s.pass.began = time.Now()
		return s
	}
	o := &s.off
	if o.WindowStart.IsZero() {
		o.WindowStart = floorMinute(o.Through.Add(-set.SweepWindow))
	}
	s.ledger = ledger{sweepWindow: set.SweepWindow, frontier: o.Through, through: o.Through, complete: o.CompleteThrough, start: o.WindowStart}
	// Earlier versions let the window run ahead by the time between two sweeps.
	if o.WindowStart.Sub(o.CompleteThrough) <= set.SweepEvery+time.Minute {
		s.ledger.complete = later(o.CompleteThrough, o.WindowStart)
	}
	s.win = newWindow(o.WindowStart, st.Minutes)
	s.known = newRecent(deepEvents(p.size.room()), &s.win, o.Through)
	// The last pass began about when what it completed was a window old. Kept as
	// an age, so that setting our clock does not move it.
	now := time.Now()
	s.pass.began = now.Add(-max(now.Sub(p.clock.ours(s.ledger.swept().Add(set.SweepWindow))), 0))
	return s
}

// place puts a fresh start where the settings say, by the best clock there is,
// and never into the future.
func (s *session) place() {
	now := s.p.clock.at(s.p.born)
	s.startAt(earlier(s.set.StartFrom.Time(now), now))
	s.placed = s.p.clock.known
}

func (s *session) startAt(t time.Time) {
	s.off.Through, s.off.WindowStart = t, t
	s.ledger = ledger{sweepWindow: s.set.SweepWindow, frontier: t, through: t, start: t}
	s.win = newWindow(t, nil)
}

// loop begins what is due and takes what comes, until the sink or ctx ends it.
func (s *session) loop(ctx context.Context) error {
	defer s.front.drop()
	defer s.back.drop()
	for {
		s.ask(ctx, &s.front)
		s.ask(ctx, &s.back)
		if err := s.wait(ctx); err != nil {
			return err
		}
	}
}

// wait waits for a page or for the next time at which something is due. Connectors
// by the thousand wait here: what their stacks hold meanwhile is kept small, since
// the runtime takes half of a stack back of which a quarter is not in use.
func (s *session) wait(ctx context.Context) error {
	timer := time.NewTimer(s.idle())
	defer timer.Stop()
	select {
	case <-s.front.fetch.come():
		return s.arrived(ctx, &s.front)
	case <-s.back.fetch.come():
		return s.arrived(ctx, &s.back)
	case <-s.woken():
		s.wake()
		return nil
	case q := <-s.p.asked():
		return s.repair(ctx, q)
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// idle is how long nothing is due.
func (s *session) idle() time.Duration {
	next := time.Now().Add(time.Hour)
	if s.front.fetch == nil {
		next = earlier(next, s.front.at)
	}
	if s.back.fetch == nil {
		next = earlier(next, later(s.back.at, s.sweepDue))
	}
	return time.Until(next)
}

// woken tells of a Wake, but while a poll is on its way that may have begun before:
// another follows it.
func (s *session) woken() <-chan struct{} {
	if s.front.fetch != nil {
		return nil
	}
	return s.p.woken()
}

// wake has everything be due at once.
func (s *session) wake() {
	s.p.budget.Unblock()
	for _, l := range []*lane{&s.front, &s.back} {
		l.retry.reset()
		l.at = time.Time{}
	}
}

// ask asks for the lane's next page if it is time for it.
func (s *session) ask(ctx context.Context, l *lane) {
	now := time.Now()
	if l.fetch != nil || now.Before(l.at) {
		return
	}
	if l.reading == nil {
		if l == &s.front {
			l.reading = s.nextPoll()
		} else if l.reading = s.nextSweep(now); l.reading == nil {
			return
		}
	}
	priority := l.reading.further
	if l.reading.query.Cursor == "" {
		priority = l.reading.first
	}
	if d := s.p.budget.take(priority); d > 0 {
		l.at = now.Add(d)
		if l == &s.front {
			s.waits(d)
		}
		return
	}
	l.fetch = s.p.fetch(ctx, l.reading.query)
}

// drop gives up what l is at.
func (l *lane) drop() {
	l.fetch.abandon()
	l.fetch, l.reading, l.tries = nil, nil, 0
}

// arrived takes the page that has come on l: what is new goes to the sink, while
// the next page is on its way. What a page shows is published whatever becomes
// of its reading.
func (s *session) arrived(ctx context.Context, l *lane) error {
	f, r := l.fetch, l.reading
	l.fetch = nil
	f.stop()
	if f.err == nil {
		f.err = s.admit(&f.page, f.at)
	}
	if f.err != nil {
		f.abandon()
	}
	if errors.Is(f.err, errPlaced) {
		l.drop()
		return nil
	}
	if f.err != nil {
		return s.trouble(l, f.err)
	}
	page := &f.page
	s.p.size.answered(r.query, page, f.at)
	s.known.setMost(deepEvents(s.p.size.room()))
	s.p.meters.pageSize.Set(float64(s.p.size.room()))
	r.see(page, s.p.clock.now().Add(farAhead), s.p.clock.latest().Add(farAhead), s.ledger.frontier)
	how, err := r.next(page, s.p.size.room(), s.p.clock.now())
	before, end := s.ledger, how == stepEnd && err == nil
	if r.overran {
		s.noUntil = f.at.Add(longestWait)
		if l == &s.back { // what lies behind its end is held against nothing: it is made anew, without
			how, end = stepEnd, false
		}
	}
	if end {
		if err = s.prove(r); err == nil {
			s.ledger.enter(r.result(s.p.clock.at(r.began)))
		}
	}
	c := s.sort(r, page)
	if err == nil {
		s.proceed(ctx, l, how, page, len(c.fresh) > 0)
	}
	if refused := s.take(ctx, r, c, end && err == nil); refused != nil {
		s.ledger, l.reading = before, nil
		l.drop()
		return s.trouble(l, refused)
	}
	if err != nil {
		return s.trouble(l, err)
	}
	if l.tries = 0; end {
		s.ended(l, r)
	} else if l == &s.front && r.fresh > 0 {
		s.behind(r.worth.newest)
	}
	return nil
}

// proceed goes on from page before it is offered, so that the next is fetched
// meanwhile. When the next poll or sweep is due is seen once this one is over.
func (s *session) proceed(ctx context.Context, l *lane, how step, page *Page, fresh bool) {
	r := l.reading
	// An API that shows nothing page after page is not hurried.
	wait := min(time.Duration(r.empty)*emptyWait, s.set.PollMin)
	switch {
	case how == stepOn:
		r.query.Cursor = page.Next
		r.query.Limit = max(r.query.Limit, min(2*r.query.Limit, r.wide))
		if l == &s.front && s.cut(r, page, fresh) {
			l.reading = nil
		}
	case how == stepAgain:
	case l == &s.front && s.slice > 0:
		s.resize(r)
		l.reading, wait = nil, 0 // after one without events comes a longer one
	default:
		l.reading = nil
		return
	}
	l.at = time.Now().Add(wait)
	s.ask(ctx, l)
}

// ended says what follows a reading that was believed.
func (s *session) ended(l *lane, r *reading) {
	l.retry.reset()
	l.doubts, l.refused = 0, 0
	if l == &s.back {
		s.sweptTo(r)
		return
	}
	now := time.Now()
	if r.fresh > 0 {
		s.lastNew = now
	}
	if !r.query.Until.IsZero() {
		if r.fresh > 0 {
			s.behind(s.off.Through)
		}
		return
	}
	s.current, s.covered = true, r.covers
	wait := jitter(s.p.pace.after(&s.set, r.fresh > 0))
	l.at = later(r.began.Add(wait), now.Add(wait/4))
	s.p.setLag(r.began, true)
	if s.unread.after(r) {
		s.p.setState(schemas.StateFailing, errUnread)
		return
	}
	s.p.setState(schemas.StateActive, nil)
}

// behind shows a backlog, if what was read up to at shows one.
func (s *session) behind(at time.Time) {
	if s.p.clock.now().Sub(at) <= backlog {
		return
	}
	s.p.setLag(s.p.clock.ours(s.off.Through), false)
	if time.Since(s.starved) > starvedFor {
		s.p.setState(schemas.StateCatchingUp, nil)
	}
}

// waits says that polls wait d for calls, where that holds them up.
func (s *session) waits(d time.Duration) {
	r := s.front.reading
	late := (s.slice > 0 || r.fresh > 0) && d >= time.Second && s.p.clock.now().Sub(s.off.Through) > backlog
	if !late && d <= max(s.set.PollMax, mostSpacing) {
		return
	}
	s.starved = time.Now()
	s.p.setState(schemas.StateThrottled, &APIError{Kind: Throttled, Stage: "Fetch Logs", Message: "the connector's share of the rate limit is used up"})
}

// trouble decides how l goes on after err: the same page again, or another
// reading later. It returns what ends the session.
func (s *session) trouble(l *lane, err error) error {
	var api *APIError
	var sinkErr *sinkError
	if errors.As(err, &sinkErr) || !errors.As(err, &api) {
		return err
	}
	now, r := time.Now(), l.reading
	if r != nil {
		if limit := s.p.size.failed(r.query, api, now); limit > 0 {
			if api.Narrow {
				r.wide = max(r.wide, r.query.Limit)
			}
			r.query.Limit, l.at = limit, now
			return nil
		}
		l.tries++
		wait := max(api.RetryAfter, pageWait<<min(l.tries, 5))
		if passing(api) && l.tries < pageTries && wait <= patience && (r.query.Cursor != "" || l == &s.back) {
			s.p.log.Debug().Err(api).Int("try", l.tries).Dur("wait", wait).Msg("asking for the page again")
			s.p.throttled(api, wait)
			l.at = now.Add(wait)
			return nil
		}
		if r.fresh > 0 && !r.query.Until.IsZero() {
			l.retry.reset()
		}
	}
	if r != nil && !r.query.Until.IsZero() && r.query.Cursor == "" && api.Kind == Refused && api.Status/100 == 4 {
		if l.refused++; l.refused >= 2 { // perhaps it is until that is refused
			s.noUntil, s.slice = now.Add(longestWait), 0
		}
	}
	l.drop()
	if l == &s.back {
		s.sweepFailed(api, now)
		return nil
	}
	return s.pollFailed(api, r, now)
}

// pollFailed says when the next poll follows one that failed.
func (s *session) pollFailed(api *APIError, r *reading, now time.Time) error {
	l := &s.front
	if r != nil && r.fresh > 0 {
		l.retry.reset()
	}
	wait := min(max(api.RetryAfter, l.retry.next()), longestWait)
	if refusedCredentials(api) {
		wait = min(max(wait, s.p.refused.next()), longestWait)
	} else {
		s.p.refused.reset()
	}
	l.at = now.Add(wait)
	if _, doubt := errors.AsType[errShown](api.Err); doubt {
		if l.doubts++; l.doubts < pageTries {
			return nil
		}
	}
	s.current = false
	state := schemas.StateFailing
	if api.Kind == Throttled {
		state = schemas.StateThrottled
		s.p.throttled(api, wait)
	}
	s.p.setState(state, api)
	return nil
}
