package source

import "time"

// edge is how far from the ends of what was asked for an answer proves nothing:
// servers round since and until their own way, and leave the ends out or in.
const edge = 2 * time.Second

// ledger keeps what was read, and derives from it how far the position, the
// complete part and the window may move. It knows readings that were believed
// only, each as an entry; what order they showed events in means nothing to it.
type ledger struct {
	// sweepWindow is Settings.SweepWindow.
	sweepWindow time.Duration
	// frontier is how far everything was read once. It lies ahead of through
	// where nothing happened, and only in memory.
	frontier time.Time
	// through is the created_at of the newest event before the frontier.
	through time.Time
	// complete is how far everything was read again when it was old enough.
	complete time.Time
	// start is where the window begins. What lies before it is forgotten.
	start time.Time
}

// entry is a reading that was believed: all that the API had of the events
// created from from on and before to.
type entry struct {
	from time.Time
	to   time.Time // zero: no end was asked for
	// asOf is when it began, by a clock that is not ahead of true time.
	asOf time.Time
	// known is the position when it began: what lies before it had been read
	// before, and what of it was known has been seen again.
	known time.Time
	// newest is the newest created_at before to; zero if nothing was shown.
	newest time.Time
}

// enter takes e over.
//
// The frontier moves to the end of a reading that begins before it, as far as
// that was the past when it began, and the position to the newest event of it. A part of the past is complete once a
// reading that knew it already, and so could be held against what is known,
// began when it was a sweep window old; an event that the API showed by then is
// published. Nothing else moves either.
func (l *ledger) enter(e entry) {
	if e.from.After(l.frontier) {
		return
	}
	l.frontier = later(l.frontier, later(e.newest, earlier(e.to, e.asOf)))
	l.through = later(l.through, e.newest)
	if e.from.After(l.swept()) {
		return
	}
	again := e.known
	if !e.to.IsZero() {
		again = earlier(again, e.to)
	}
	if to := earlier(again, e.asOf.Add(-l.sweepWindow)); to.After(l.swept()) {
		l.complete = to
	}
}

// swept is where the next sweep begins: behind what is complete, or, where the
// window had to move on before, behind what is forgotten.
func (l *ledger) swept() time.Time { return later(l.complete, l.start) }

// moveStart begins the window a sweep window behind the position, but neither
// behind what is not complete nor behind where a reading under way began: what
// it shows must be known. With full true, what is not complete is given up.
func (l *ledger) moveStart(full bool, underWay ...time.Time) {
	start := l.through.Add(-l.sweepWindow)
	if !full {
		start = earlier(start, l.swept())
	}
	for _, from := range underWay {
		start = earlier(start, from)
	}
	l.start = later(l.start, floorMinute(start.Add(-edge)))
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
