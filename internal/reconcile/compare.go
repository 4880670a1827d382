// Package reconcile compares what OneLogin shows of a time with what the events
// topic has of it, event by event and byte by byte: missing, altered, there twice.
// It is one engine for verify, repair and backfill: these differ in whether what
// is missing is published, and in who asks.
package reconcile

import (
	"context"
	"errors"
	"slices"
	"time"

	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
)

// Comparison is one comparison of a range. Its fields are set before Run.
type Comparison struct {
	Wish
	Topic  *Topic
	Reader *source.Reader
	// Publisher publishes what is missing; nil = it is only reported.
	Publisher Publisher
	// Before is what was found before, in [From, its Through): the comparison goes on
	// from there. Zero = nothing.
	Before schemas.Report
	// Older compares also what lies before the time from which on the topic keeps
	// everything, as far back as it was asked for.
	Older bool
	// Tries is how often in a row a reading may fail before the comparison does;
	// 0 = there is no end.
	Tries int
	// Patience is how long the API must have failed to show something that the topic
	// has, before what it shows without that is believed; where it shows nothing of it
	// all, that is a reading that failed. 0 = as soon as some readings lack it.
	Patience time.Duration
	// Records, if not nil, returns what is to be written of the report together with
	// what is published: it counts that in, and its Through lies before.
	Records func(*schemas.Report) []schemas.Record
	// Advance, if not nil, is called whenever the report has got on, Through
	// included. Its error ends the comparison.
	Advance func(context.Context, *schemas.Report) error
	// Troubled, if not nil, is told of each reading that failed.
	Troubled func(error)

	report schemas.Report
	told   *schemas.Report // what Records was last called with, since the last Advance
	span   time.Duration   // of the next slice; 0 = as the index says
	pages  int             // about how many the next slice has
	open   []*slice        // compared, and what they lack not confirmed yet
	// doubted is since when the API has not shown what the topic has; zero = it does.
	doubted time.Time
}

// Publisher publishes events that lie before the window of the live poll.
type Publisher interface {
	// Publish publishes those events of page that its indexes name, less what is
	// known to be published after all, of which it returns how many they are, and
	// note with them. Once it has returned nil the page is the publisher's to release.
	Publish(ctx context.Context, page *source.Page, events []int32, note source.Note) (known int, err error)
}

const (
	// slicePages is about how many pages are compared at a time at most. A comparison
	// begins with one and twice as many each time, since what was compared counts once
	// its slice is whole: sessions may be short.
	slicePages = 40
	// wide is with how many times the pages it was to have a slice is given up for a
	// shorter one, narrower by how much that is shorter at least.
	wide     = 4
	narrower = 8
	// together is how many slices of which the topic lacks something are confirmed by
	// one reading of it.
	together = 16
	// doubts is in how many readings what the API does not show must be missing to
	// be let go.
	doubts = 4
)

// errWide tells that a slice holds far more than was thought.
var errWide = errors.New("the slice is too wide")

// Run compares the range, part by part, until it is at its end. The report is what
// was found till then, with an error too.
func (c *Comparison) Run(ctx context.Context) (*schemas.Report, error) {
	if c.report = c.Before; c.report.Through.IsZero() {
		c.report = schemas.Report{From: c.From, To: c.To, Through: c.From}
	}
	err := c.run(ctx)
	if c.told != nil {
		c.report = *c.told
	}
	return &c.report, err
}

func (c *Comparison) run(ctx context.Context) error {
	for at := c.report.Through; at.Before(c.To); {
		x, err := c.Topic.Index(ctx, Wish{Connector: c.Connector, From: at, To: c.To})
		if err != nil {
			return err
		}
		if x.Kept.After(at) && !c.Older {
			// The index tells the minutes of events, and has some from before Kept.
			at = earlier(x.Kept.Add(time.Minute-1).Truncate(time.Minute), c.To)
			c.report.Kept, c.report.Through = later(at, x.Kept), at
			if !at.Before(x.To) {
				continue // not even a part of this index
			}
		}
		if at, err = c.part(ctx, x, at); err != nil {
			return err
		}
	}
	return c.advance(ctx)
}

func (c *Comparison) advance(ctx context.Context) error {
	if c.told = nil; c.Advance == nil {
		return nil
	}
	return c.Advance(ctx, &c.report)
}

// part compares from at on what x holds, slice by slice.
func (c *Comparison) part(ctx context.Context, x *Index, at time.Time) (time.Time, error) {
	wide := x.To // the end of the last slice that was, until there
	for at.Before(x.To) {
		c.pages = max(c.pages, 1)
		end := x.end(at, x.To, c.pages*c.Reader.Room())
		if c.span > 0 {
			end = earlier(end, at.Add(c.span).Truncate(time.Minute))
		}
		// An answer of nothing is believed late: where it can be, it is held against
		// what is known next.
		if next := x.end(at, wide, 1); next.Before(wide) {
			end = later(end, next)
		}
		if end.Before(at.Add(time.Minute)) {
			end = earlier(at.Add(time.Minute).Truncate(time.Minute), x.To)
		}
		s := c.newSlice(x, at, end)
		err := s.compare(ctx)
		switch {
		case errors.Is(err, errWide):
			// Half of what was seen, if that comes in order.
			wide = end
			c.span = max(min(end.Sub(at)/narrower, s.reach.Sub(at)/2), time.Minute)
			s.hand(x)
			continue
		case err != nil:
			return at, err
		}
		c.open = append(c.open, s)
		x.forget(end)
		if at = end; !at.Before(wide) {
			wide = x.To
		}
		c.pages = min(2*c.pages, slicePages)
		if c.span > 0 && s.pages <= c.pages/2 {
			c.span *= 2
		}
		if at.Before(x.To) && len(c.open) < together && c.lacks() {
			continue
		}
		if err := c.settle(ctx, at); err != nil {
			return at, err
		}
	}
	return at, nil
}

// lacks tells whether there is something to confirm.
func (c *Comparison) lacks() bool {
	return c.Publisher == nil && slices.ContainsFunc(c.open, func(s *slice) bool { return len(s.missing) > 0 })
}

// settle takes into the report what was compared up to end.
func (c *Comparison) settle(ctx context.Context, end time.Time) error {
	if c.lacks() {
		if err := c.confirm(ctx); err != nil {
			return err
		}
	}
	for _, s := range c.open {
		s.account()
	}
	c.open = nil
	c.report.Through = end
	return c.advance(ctx)
}

// confirm looks whether the topic has by now what it lacked, where nothing is to be
// published: somebody else may have.
func (c *Comparison) confirm(ctx context.Context) error {
	to := c.open[len(c.open)-1].to
	for at := c.open[0].from; at.Before(to); {
		x, err := c.Topic.Index(ctx, Wish{Connector: c.Connector, From: at, To: to})
		if err != nil {
			return err
		}
		for _, s := range c.open {
			s.confirm(x)
		}
		at = x.To
	}
	return nil
}

// slice is the part of a comparison that is read at a time.
type slice struct {
	c        *Comparison
	from, to time.Time
	entries  []entry
	twice    []int64
	altered  map[int64]time.Time
	// missing are the events that the topic lacked when it was read, known those
	// of them that were there after all, fresh those of this reading.
	missing map[int64]lack
	known   int
	came    int // of what was missing, by the time it was confirmed
	fresh   int
	pages   int       // of the reading at hand, as far as they hold some of the slice
	reach   time.Time // the newest that was shown
	picked  []int32
	runs    []schemas.Finding // of missing events with none between them that is there
	gap     bool              // the last of runs goes on
}

// lack is an event that the topic lacked.
type lack struct {
	created time.Time
	digest  uint64
}

func (c *Comparison) newSlice(x *Index, from, to time.Time) *slice {
	s := &slice{c: c, from: from, to: to, altered: map[int64]time.Time{}, missing: map[int64]lack{}}
	s.entries, s.twice = x.load(from, to)
	return s
}

// compare reads the slice until a reading holds what is known of it, and nothing
// else that is new. What the API does not show in any of some readings is let go, and
// nothing at all is believed after as many.
func (s *slice) compare(ctx context.Context) error {
	failed, doubted, empty := 0, 0, 0
	wait := time.Second
	for {
		s.fresh, s.pages = 0, 0
		known := make([]int64, 0, len(s.entries)+len(s.missing))
		for i := range s.entries {
			known = append(known, s.entries[i].id)
		}
		for id := range s.missing {
			known = append(known, id)
		}
		read, err := s.c.Reader.Read(ctx, s.from, s.to, known, func(p *source.Page) (bool, error) { return s.page(ctx, p) })
		if read.Overran { // a short slice costs as much
			s.c.pages = slicePages
		}
		var api *source.APIError
		switch {
		case err == nil && s.fresh == 0 && len(known) == 0 && empty < doubts-1:
			empty++ // nothing holds it against anything
		case err == nil && s.fresh == 0:
			if doubted > 0 {
				s.c.doubted = time.Time{} // it was the API
			}
			return nil
		case err == nil:
			continue // held against what it has shown now
		case source.Doubted(err) && (s.c.Patience == 0 || s.shows()):
			if s.c.doubted.IsZero() {
				s.c.doubted = time.Now()
			}
			if doubted++; doubted >= doubts && time.Since(s.c.doubted) >= s.c.Patience {
				return nil
			}
		case !errors.As(err, &api):
			return err
		default:
			if failed++; failed == s.c.Tries {
				return err
			}
			wait = max(wait, api.RetryAfter)
		}
		if err != nil && s.c.Troubled != nil {
			s.c.Troubled(err)
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		wait = min(2*wait, 5*time.Minute)
	}
}

// shows tells whether the API has shown anything of the slice.
func (s *slice) shows() bool {
	return len(s.missing) > 0 || slices.ContainsFunc(s.entries, func(e entry) bool { return e.shown })
}

// page compares what a page shows. It returns true where the page is published, and
// its memory not ours any more.
func (s *slice) page(ctx context.Context, p *source.Page) (kept bool, err error) {
	if slices.ContainsFunc(p.Events, func(ev schemas.Event) bool { return ev.CreatedAt.Before(s.to) }) { // else it ignores until
		s.pages++
	}
	if s.pages > wide*s.c.pages && s.to.Sub(s.from) > time.Minute {
		return false, errWide
	}
	s.picked = s.picked[:0]
	before := s.mark()
	for i := range p.Events {
		ev := &p.Events[i]
		if ev.CreatedAt.Before(s.from) || !ev.CreatedAt.Before(s.to) {
			continue
		}
		s.reach = later(s.reach, ev.CreatedAt)
		at, found := slices.BinarySearchFunc(s.entries, ev.ID, func(e entry, id int64) int {
			switch {
			case e.id < id:
				return -1
			case e.id > id:
				return 1
			}
			return 0
		})
		if found {
			s.present(&s.entries[at], ev)
			continue
		}
		if _, again := s.missing[ev.ID]; again {
			continue
		}
		s.missing[ev.ID] = lack{ev.CreatedAt, digest(ev.Raw)}
		s.fresh++
		s.lacks(ev)
		s.picked = append(s.picked, int32(i))
	}
	if len(s.picked) == 0 || s.c.Publisher == nil {
		return false, nil
	}
	var told *schemas.Report
	note := source.Note{}
	if s.c.Records != nil {
		note.Records = func(published int) []schemas.Record {
			told = s.soFar(len(s.picked) - published)
			return s.c.Records(told)
		}
	}
	known, err := s.c.Publisher.Publish(ctx, p, s.picked, note)
	if err != nil { // they lack as before, and the next reading meets them again
		for _, i := range s.picked {
			delete(s.missing, p.Events[i].ID)
		}
		s.back(before)
		return false, err
	}
	s.known += known
	s.c.told = told
	return true, nil
}

// present compares an event that the topic has.
func (s *slice) present(e *entry, ev *schemas.Event) {
	s.gap = false
	if e.shown {
		return
	}
	e.shown = true
	if e.digest != digest(ev.Raw) && e.digest != digest(schemas.Compact(ev.Raw)) {
		s.altered[ev.ID] = ev.CreatedAt
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
