package source

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/semaphore"

	"onelogin-kafka/schemas"
)

// errNotBegun tells that a connector has no position yet, before which to repair.
var errNotBegun = errors.New("the connector has no position yet")

// Note is what becomes true together with what is published, or alone.
type Note struct {
	// Verified is up to where everything was compared with the topic; zero = as it
	// is.
	Verified time.Time
	// Records, if not nil, returns further records of the offsets topic, by how many
	// events are published with them. Run calls it, while who has asked waits.
	Records func(published int) []schemas.Record
}

// repair is what a session is asked to publish, or to note, besides what it finds.
type repair struct {
	page   *Page
	events []int32
	note   Note
	done   func() // once it is committed, or nothing was to be written
	reply  chan repaired
}

type repaired struct {
	known int
	err   error
}

// repairBytes is how much Publish may have handed on that is not yet committed, by
// the answers' bytes: what a poll finds does not wait behind more. It is some ten
// pages of 1,000 usual events, and a third of what a connector may have waiting.
const repairBytes = 8 << 20

// Publish has the session at work publish those events of page that its indexes
// name, as late ones, in transactions of its own, together with note. It takes only
// what was created before the window, whose ids nothing else will publish: what lies
// in it is the sweep's, and what the session has published itself is not repeated;
// known counts both. The caller has looked into the topic, in this session, for what
// was committed before it: see Committed. When nil is returned the page is the
// sink's, else it is the caller's; it is not committed yet, but will be before what
// is published next, or the session ends.
//
// The error is an *APIError where the events are of another account, or one can
// never be written; any other means that the session is over.
func (p *Poller) Publish(ctx context.Context, page *Page, events []int32, note Note) (known int, err error) {
	size := int64(0)
	for _, i := range events {
		size += int64(len(page.Events[i].Raw))
	}
	size = min(size, repairBytes)
	room := p.repairRoom()
	if err := room.Acquire(ctx, size); err != nil {
		return 0, err
	}
	return p.request(ctx, &repair{page: page, events: events, note: note, done: func() { room.Release(size) }})
}

// Note writes what became true without anything being published.
func (p *Poller) Note(ctx context.Context, note Note) error {
	_, err := p.request(ctx, &repair{page: &Page{}, note: note, done: func() {}})
	return err
}

func (p *Poller) request(ctx context.Context, r *repair) (known int, err error) {
	r.reply = make(chan repaired, 1)
	select {
	case p.asked() <- r:
		got := <-r.reply
		return got.known, got.err
	case <-ctx.Done():
		r.done()
		return 0, ctx.Err()
	}
}

func (p *Poller) asked() chan *repair {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.repairs == nil {
		p.repairs = make(chan *repair)
	}
	return p.repairs
}

// repairRoom holds the bytes that were published and are not committed. Each session
// has its own: what was under way in another is void.
func (p *Poller) repairRoom() *semaphore.Weighted {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.room == nil {
		p.room = semaphore.NewWeighted(repairBytes)
	}
	return p.room
}

// Committed is the position as it is known to be committed; zero while there is
// none. What was created before its WindowStart is in the topic by then, or will
// never be published but by a repair.
func (p *Poller) Committed() schemas.Offset {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.offset
}

// repair publishes what q asks for. It returns what ends the session.
func (s *session) repair(ctx context.Context, q *repair) error {
	known, err := s.publish(ctx, q)
	q.reply <- repaired{known, err}
	if _, void := errors.AsType[*sinkError](err); void || ctx.Err() != nil {
		return err
	}
	return nil
}

func (s *session) publish(ctx context.Context, q *repair) (known int, err error) {
	switch {
	case s.fresh:
		q.done()
		return 0, errNotBegun
	case !s.ours(q.page):
		q.done()
		return 0, &APIError{Kind: Configuration, Stage: "Configuration", Message: "Configuration Error", Err: errOtherAccount}
	}
	c := &s.scratch
	*c = change{page: q.page, offset: s.off, fresh: c.fresh[:0], old: c.old[:0], dead: c.dead[:0], done: q.done}
	c.lateBefore = s.win.start
	c.offset.VerifiedThrough = later(c.offset.VerifiedThrough, q.note.Verified.UTC())
	for _, i := range q.events {
		ev := &q.page.Events[i]
		if !ev.CreatedAt.Before(s.win.start) || s.win.has(ev.ID) || !s.strays.add(ev.ID) {
			known++
			continue
		}
		c.fresh = append(c.fresh, i)
	}
	if q.note.Records != nil {
		c.notes = q.note.Records(len(c.fresh))
	}
	ids := make([]int64, 0, len(c.fresh))
	for _, i := range c.fresh {
		ids = append(ids, q.page.Events[i].ID)
	}
	before := s.ledger
	if err := s.take(ctx, &reading{}, c, false); err != nil {
		q.done()
		s.ledger = before
		for _, id := range ids {
			s.strays.remove(id)
		}
		return 0, err
	}
	return known, nil
}
