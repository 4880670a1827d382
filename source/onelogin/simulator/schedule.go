package simulator

import (
	"math"
	"sort"
	"time"
)

// segment is a stretch of a tenant's events with one traffic. Its k-th event
// has its turn at start + (k+1)*period.
type segment struct {
	first   int64   // index of its first event
	count   int64   // number of its events; open: as many as the clock brings
	start   int64   // Unix time in ns
	period  float64 // ns between events; 0: all at start; +Inf: none
	stopped bool
	traffic Traffic
}

// open is a count that no clock reaches.
const open = 1 << 62

// schedule is a tenant's events so far: segments in the order of time and of
// index. It is never changed once it was handed out: cut makes a new one. All
// its times are Unix nanoseconds.
type schedule struct {
	seed      uint64
	segments  []segment
	maxJitter int64 // of any segment
	maxLate   int64
}

// at is one event's place in time.
type at struct {
	turn    int64 // when it comes into being
	created int64 // its created_at, whole milliseconds, at or before turn
	visible int64 // when the API first shows it, at or after turn

	backdated bool // created is far before turn
}

func newSchedule(seed uint64, t *Tenant, start time.Time) schedule {
	s := schedule{seed: seed}
	if t.Backlog > 0 {
		s.add(segment{
			count:   t.Backlog,
			start:   start.UnixNano() - int64(t.BacklogSpan),
			period:  float64(t.BacklogSpan) / float64(t.Backlog),
			traffic: t.Traffic,
		})
	}
	s.add(live(start.UnixNano(), t.Traffic, false))
	return s
}

func live(start int64, t Traffic, stopped bool) segment {
	period := math.Inf(1)
	if t.Rate > 0 && !stopped {
		period = 1e9 / t.Rate
	}
	return segment{count: open, start: start, period: period, stopped: stopped, traffic: t}
}

func (s *schedule) add(g segment) {
	if n := len(s.segments); n > 0 {
		g.first = s.segments[n-1].first + s.segments[n-1].count
	}
	s.segments = append(s.segments, g)
	s.maxJitter = max(s.maxJitter, int64(g.traffic.Jitter)+int64(g.traffic.BackdatedBy)+int64(time.Second))
	s.maxLate = max(s.maxLate, int64(g.traffic.LateBy))
}

// cut ends the events at now, lets the given segments follow, and goes on with
// live traffic.
func (s schedule) cut(now int64, between []segment, t Traffic, stopped bool) schedule {
	n := s.count(now)
	next := schedule{seed: s.seed, maxJitter: s.maxJitter, maxLate: s.maxLate}
	for _, g := range s.segments {
		if g.first >= n {
			break
		}
		g.count = min(g.count, n-g.first)
		next.segments = append(next.segments, g)
	}
	for _, g := range between {
		next.add(g)
	}
	// Cutting before Start must not bring the live traffic forward.
	next.add(live(max(now, s.segments[len(s.segments)-1].start), t, stopped))
	return next
}

// segmentOf returns the segment of event i.
func (s *schedule) segmentOf(i int64) *segment {
	n := len(s.segments)
	if last := &s.segments[n-1]; i >= last.first {
		return last
	}
	k := sort.Search(n, func(k int) bool { return s.segments[k].first > i })
	return &s.segments[k-1]
}

// count is the number of events whose turn has come at now.
func (s *schedule) count(now int64) int64 {
	k := sort.Search(len(s.segments), func(k int) bool { return s.segments[k].start > now })
	if k == 0 {
		return 0
	}
	g := &s.segments[k-1]
	n := int64(0)
	switch {
	case g.period == 0:
		n = g.count
	case !math.IsInf(g.period, 1):
		n = int64(min(float64(now-g.start)/g.period, 1<<62))
		n = min(n+1, g.count) // one more than the division says, against rounding
	}
	for n > 0 {
		first, turn := s.turn(g, n-1)
		if turn <= now {
			break
		}
		n = first // a tied group comes whole or not at all
	}
	return g.first + n
}

// turn is when event k of segment g comes into being, and the first event of
// the group that comes with it.
func (s *schedule) turn(g *segment, k int64) (first, turn int64) {
	first, last := s.group(g, k)
	return first, g.start + int64(float64(last+1)*g.period)
}

// group is the first and the last event of g that share k's created_at.
func (s *schedule) group(g *segment, k int64) (first, last int64) {
	if g.traffic.Ties == 0 {
		return k, k
	}
	size := int64(orDefault(g.traffic.TieSize, 5))
	first = k - k%size
	if unit(sub(hash(s.seed, g.first+first), saltTie)) >= g.traffic.Ties {
		return k, k
	}
	return first, min(first+size, g.count) - 1
}

// at places event i, of segment g, in time.
func (s *schedule) at(g *segment, i int64) at {
	first, turn := s.turn(g, i-g.first)
	a := at{turn: turn, visible: turn, created: turn}
	if g.traffic.Jitter > 0 {
		a.created -= int64(unit(sub(hash(s.seed, g.first+first), saltJitter)) * float64(g.traffic.Jitter))
	}
	if g.traffic.Backdated > 0 {
		if h := hash(s.seed, i); unit(sub(h, saltBackdated)) < g.traffic.Backdated {
			a.created -= int64(unit(sub(h, saltBackdatedBy)) * float64(g.traffic.BackdatedBy))
			a.backdated = true
		}
	}
	precision := time.Millisecond
	if g.traffic.CreatedAs.whole() {
		precision = time.Second
	}
	a.created -= a.created % int64(precision)
	if g.traffic.Late > 0 {
		if h := hash(s.seed, i); unit(sub(h, saltLate)) < g.traffic.Late {
			a.visible += int64(unit(sub(h, saltLateBy)) * float64(g.traffic.LateBy))
		}
	}
	return a
}

// search is the first event of the first n whose turn is not before t.
func (s *schedule) search(n, t int64) int64 {
	return int64(sort.Search(int(n), func(i int) bool {
		g := s.segmentOf(int64(i))
		_, turn := s.turn(g, int64(i)-g.first)
		return turn >= t
	}))
}
