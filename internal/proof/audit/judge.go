package audit

import (
	"fmt"
	"math/bits"
	"slices"
	"time"
)

// connector is what is known of one connector.
type connector struct {
	name   string
	source string // ce_source of its events
	events []event
	byID   map[int64]int32

	queues map[int32][]*piece // events side, by events partition
	steps  []*step            // offsets side

	newest *position // last in the log
	last   *position // last judged

	judged    int32 // number of steps judged
	actual    int64 // event records covered by them
	claimed   int64 // events of the last judged position
	maxAt     int64 // newest created_at covered
	maxID     int64
	published map[int64]map[int64]bool // by minute, of minutes in the window
	live      map[int64][]int64        // minute records in force
	claims    []claim                  // of complete_through
	compacted bool                     // positions or minutes are missing from the log
}

// piece is the events of one connector in one transaction on one partition.
type piece struct {
	t      *transaction
	lo, hi int
}

func (p *piece) n() int64 { return int64(p.hi - p.lo) }

// step is what one transaction says of one connector on the offsets partition.
type step struct {
	t        *transaction
	position *position
	minutes  map[int64][]int64 // nil: tombstone
	job      bool              // with how far a job is
	gaps     bool
}

func (s *step) one(p *piece) bool { return s.t.pid == p.t.pid && s.t.epoch == p.t.epoch }

// claim is a position at which complete_through moved.
type claim struct {
	complete int64
	written  int64
	number   int32
}

func (a *Auditor) connector(name string) *connector {
	c := a.connectors[name]
	if c == nil {
		c = &connector{
			name: name, byID: map[int64]int32{}, queues: map[int32][]*piece{},
			published: map[int64]map[int64]bool{}, live: map[int64][]int64{},
		}
		a.connectors[name] = c
	}
	return c
}

// Settle judges all positions below the cut. What lies beyond is judged at a
// later cut.
func (a *Auditor) Settle(cut Cut) {
	for _, c := range a.connectors {
		for len(c.steps) > 0 {
			s := c.steps[0]
			if !cut.Quiet && s.t.first >= cut.Offsets[s.t.log.id.partition] {
				break
			}
			c.steps = c.steps[1:]
			a.judge(c, s)
		}
		if cut.Quiet {
			a.settleRest(c)
		}
	}
	if cut.Quiet {
		a.oneOwner()
	}
}

// settleRest judges what no position of a quiet history covers, and what could
// not be judged step by step.
func (a *Auditor) settleRest(c *connector) {
	for partition, q := range c.queues {
		for _, p := range q {
			if !c.compacted {
				a.uncovered(c, p)
			}
			a.take(c, nil, p)
		}
		c.queues[partition] = nil
	}
	if !c.compacted {
		return
	}
	if c.last != nil && c.actual != c.last.events {
		a.count(c, "at the end", c.last.events, c.actual)
	}
	a.finalMinutes(c)
}

func (a *Auditor) uncovered(c *connector, p *piece) {
	a.findings.add(c.name, problem{"A3", "no-position", fmt.Sprintf("%s: %d events, the first %d, without a position", p.t, p.n(), c.events[p.lo].id)})
}

// count tells that a position and the records do not agree in number.
func (a *Auditor) count(c *connector, where string, says, are int64) {
	name := "position-ahead"
	if says < are {
		name = "position-behind"
	}
	a.findings.add(c.name, problem{"A3", name, fmt.Sprintf("%s: the position says %d events, the records are %d", where, says, are)})
}

func (a *Auditor) judge(c *connector, s *step) {
	c.judged++
	c.compacted = c.compacted || s.gaps
	if s.position == nil {
		if !s.gaps {
			a.findings.add(c.name, problem{"A3", "no-position", fmt.Sprintf("%s: minute records without a position", s.t)})
		}
		a.minutes(c, s, nil)
		return
	}
	var pieces []*piece
	if c.compacted {
		pieces = a.matchCompacted(c, s)
	} else {
		pieces = a.match(c, s)
	}
	for _, p := range pieces {
		q := c.queues[p.t.log.id.partition]
		c.queues[p.t.log.id.partition] = q[1:]
		a.take(c, s, p)
	}
	a.minutes(c, s, pieces)
	a.judgePosition(c, s)
	a.judgeLate(c, s, pieces)
	c.claimed, c.last = s.position.events, s.position
	if s.position.hasComplete && (len(c.claims) == 0 || s.position.complete > c.claims[len(c.claims)-1].complete) {
		c.claims = append(c.claims, claim{s.position.complete, s.position.written, c.judged})
		if w := a.rules.SweepWindow; w > 0 && s.position.complete > s.position.written-(w-a.rules.SweepSlack).Microseconds() {
			a.findings.add(c.name, problem{"A6", "complete_through-young", fmt.Sprintf("%s: complete_through became %s, %s before it was written, with a sweep window of %s",
				s.t, stamp(s.position.complete), time.Duration(s.position.written-s.position.complete)*time.Microsecond, w)})
		}
	}
}

// match returns the heads of c's queues that are in the transaction of s.
func (a *Auditor) match(c *connector, s *step) []*piece {
	var heads []*piece
	for _, q := range c.queues {
		if len(q) > 0 && s.one(q[0]) {
			heads = append(heads, q[0])
		}
	}
	// After one mistake either the difference or the sum is right again.
	for _, want := range []int64{s.position.events - c.claimed, s.position.events - c.actual} {
		if pieces, ok := c.pick(heads, s, want); ok {
			return pieces
		}
	}
	var pieces, open []*piece
	for _, p := range heads {
		switch named, unnamed := c.named(p, s); {
		case named > 0:
			pieces = append(pieces, p)
		case unnamed == 0:
			open = append(open, p)
		}
	}
	if len(pieces) == 0 {
		if behind := a.matchBehind(c, s); behind != nil {
			return behind
		}
		pieces = open
	}
	var n int64
	for _, p := range pieces {
		n += p.n()
	}
	a.count(c, s.t.String(), s.position.events, c.claimed+n)
	return pieces
}

// pick chooses those of heads that hold want events together: first those that
// the minute records name, then with those of which they say nothing, then any.
func (c *connector) pick(heads []*piece, s *step, want int64) ([]*piece, bool) {
	var in, open []*piece
	all := want
	for _, p := range heads {
		switch named, unnamed := c.named(p, s); {
		case named > 0:
			in = append(in, p)
			want -= p.n()
		case unnamed == 0:
			open = append(open, p)
		}
		all -= p.n()
	}
	const most = 16 // partitions to try all combinations of
	if len(open) > most {
		open = open[:most]
	}
	for set := range uint32(1) << len(open) {
		var n int64
		for rest := set; rest != 0; rest &= rest - 1 {
			n += open[bits.TrailingZeros32(rest)].n()
		}
		if n != want {
			continue
		}
		for rest := set; rest != 0; rest &= rest - 1 {
			in = append(in, open[bits.TrailingZeros32(rest)])
		}
		return in, true
	}
	return heads, all == 0
}

// named counts the events of p that the minute records of s list, and those
// that they should list and do not.
func (c *connector) named(p *piece, s *step) (named, unnamed int) {
	for i := p.lo; i < p.hi; i++ {
		ids, ok := s.minutes[floorMinute(c.events[i].created)]
		if !ok || ids == nil {
			continue
		}
		if _, ok := slices.BinarySearch(ids, c.events[i].id); ok {
			named++
		} else {
			unnamed++
		}
	}
	return named, unnamed
}

// matchBehind looks for the events of s behind others that have no position.
func (a *Auditor) matchBehind(c *connector, s *step) []*piece {
	want := s.position.events - c.claimed
	for _, q := range c.queues {
		k := slices.IndexFunc(q, func(p *piece) bool { return s.one(p) && p.n() == want })
		if k < 1 {
			continue
		}
		for _, p := range q[:k] {
			a.uncovered(c, p)
		}
		return slices.Clone(q[:k+1])
	}
	return nil
}

// matchCompacted takes events up to the sum that s says; some of the positions
// in between are gone. With events in several partitions the order of their
// transactions is not known, and only the sum at the end is judged.
func (a *Auditor) matchCompacted(c *connector, s *step) []*piece {
	if len(c.queues) != 1 {
		return nil
	}
	for _, q := range c.queues {
		n, k := c.actual, 0
		for k < len(q) && n < s.position.events {
			n += q[k].n()
			k++
		}
		if n != s.position.events {
			a.count(c, s.t.String(), s.position.events, n)
		}
		return slices.Clone(q[:k])
	}
	return nil
}

// take notes that p is covered by s; by nothing if s is nil.
func (a *Auditor) take(c *connector, s *step, p *piece) {
	c.actual += p.n()
	for i := p.lo; i < p.hi; i++ {
		e := &c.events[i]
		if s != nil {
			e.covered = c.judged
		}
		c.maxAt, c.maxID = max(c.maxAt, e.created), max(c.maxID, e.id)
	}
	if s == nil || c.compacted || !s.one(p) {
		return
	}
	partition := p.t.log.id.partition
	if s.t.homeOf == nil {
		s.t.homeOf = map[int32]*transaction{}
	}
	other := s.t.homeOf[partition]
	if p.t.home != nil && p.t.home != s.t || other != nil && other != p.t {
		a.findings.add(c.name, problem{"A3", "torn", fmt.Sprintf("%s: for another connector it is one with another transaction than %s", p.t, s.t)})
	}
	p.t.home, s.t.homeOf[partition] = s.t, p.t
}

// judgePosition judges through and last_id: what moves them is committed.
func (a *Auditor) judgePosition(c *connector, s *step) {
	p := s.position
	if want := "https://" + p.domain + "/api/1/events"; c.source != "" && c.source != want {
		a.findings.add(c.name, problem{"A4", "header-ce_source", fmt.Sprintf("%s: domain %q, but events have ce_source %q", s.t, p.domain, c.source)})
	}
	if c.last == nil || c.compacted {
		return
	}
	if p.through > c.last.through && p.through > c.maxAt {
		a.findings.add(c.name, problem{"A3", "through-ahead", fmt.Sprintf("%s: through is %s, the newest event %s", s.t, stamp(p.through), stamp(c.maxAt))})
	}
	if p.lastID > c.last.lastID && p.lastID > c.maxID {
		a.findings.add(c.name, problem{"A3", "last_id-ahead", fmt.Sprintf("%s: last_id is %d, the highest id %d", s.t, p.lastID, c.maxID)})
	}
}

// judgeLate judges the late header by the positions around it: an event is late
// if, and only if, it is more than 2 s behind through when it is found.
func (a *Auditor) judgeLate(c *connector, s *step, pieces []*piece) {
	const behind = 2e6
	for _, p := range pieces {
		for i := p.lo; i < p.hi; i++ {
			e := &c.events[i]
			switch {
			case e.late && e.created >= s.position.through-behind:
				a.findings.add(c.name, problem{"A4", "header-late", fmt.Sprintf("event %d at %s is marked late, but not 2 s behind %s", e.id, e.at(), stamp(s.position.through))})
			case !e.late && c.last != nil && !c.compacted && e.created < c.last.through-behind:
				a.findings.add(c.name, problem{"A4", "header-late", fmt.Sprintf("event %d at %s is more than 2 s behind %s, but not marked late", e.id, e.at(), stamp(c.last.through))})
			}
		}
	}
}
