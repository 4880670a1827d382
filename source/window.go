package source

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"time"
)

// window holds the ids already offered of the events created at or after its
// start, by minute of created_at. An event is new if its id is in none of them.
type window struct {
	// start is Offset.WindowStart.
	start   time.Time
	minutes []minuteIDs // by minute, ascending
	// highest is the highest id ever added; nothing above it is known.
	highest int64
	count   int
}

// minuteIDs are the ids of one minute.
type minuteIDs struct {
	minute int64
	ids    []int64 // strictly ascending
	// written tells that the offsets topic has a record of this minute, as far
	// as the batches offered go.
	written bool
	// touched tells that the batch being made adds to it.
	touched bool
}

// newWindow takes over the ids of st.
func newWindow(start time.Time, minutes map[int64][]int64) window {
	w := window{start: start, highest: math.MinInt64, minutes: make([]minuteIDs, 0, len(minutes))}
	for m, ids := range minutes {
		w.minutes = append(w.minutes, minuteIDs{minute: m, ids: ids, written: true})
		w.count += len(ids)
		if len(ids) > 0 {
			w.highest = max(w.highest, ids[len(ids)-1])
		}
	}
	slices.SortFunc(w.minutes, func(a, b minuteIDs) int { return cmp.Compare(a.minute, b.minute) })
	return w
}

// find returns where minute m is, or where it belongs.
func (w *window) find(m int64) (int, bool) {
	n := len(w.minutes)
	if n == 0 || w.minutes[n-1].minute < m {
		return n, false
	}
	i := sort.Search(n, func(i int) bool { return w.minutes[i].minute >= m })
	return i, w.minutes[i].minute == m
}

// add makes id known as of minute m and tells whether it was new. An id that
// is known under another minute is known: dedup is by id alone.
func (w *window) add(m, id int64) bool {
	i, found := w.find(m)
	if id <= w.highest {
		if found && holds(w.minutes[i].ids, id) {
			return false
		}
		if w.anywhere(id) {
			return false
		}
	}
	if !found {
		if i > 0 {
			w.minutes[i-1].trim()
		}
		w.minutes = slices.Insert(w.minutes, i, minuteIDs{minute: m})
	}
	w.minutes[i].insert(id)
	w.highest = max(w.highest, id)
	w.count++
	return true
}

func (w *window) anywhere(id int64) bool {
	for i := range w.minutes {
		if holds(w.minutes[i].ids, id) {
			return true
		}
	}
	return false
}

// holds tells whether ids, ascending, hold id. Ids mostly ascend with time, so
// that the ends of the slice answer most questions.
func holds(ids []int64, id int64) bool {
	if len(ids) == 0 || id < ids[0] || id > ids[len(ids)-1] {
		return false
	}
	_, found := slices.BinarySearch(ids, id)
	return found
}

func (m *minuteIDs) insert(id int64) {
	m.touched = true
	if len(m.ids) == cap(m.ids) {
		// Grown by a quarter, not doubled: there are up to a million.
		grown := make([]int64, len(m.ids), len(m.ids)+len(m.ids)/4+8)
		copy(grown, m.ids)
		m.ids = grown
	}
	if n := len(m.ids); n == 0 || id > m.ids[n-1] {
		m.ids = append(m.ids, id)
		return
	}
	i, _ := slices.BinarySearch(m.ids, id)
	m.ids = slices.Insert(m.ids, i, id)
}

// trim gives back the room of a minute that will hardly grow any more.
func (m *minuteIDs) trim() {
	if cap(m.ids)-len(m.ids) > len(m.ids)/16 {
		m.ids = slices.Clone(m.ids)
		m.ids = m.ids[:len(m.ids):len(m.ids)]
	}
}

// remove takes back an add whose batch was refused.
func (w *window) remove(m, id int64) {
	i, found := w.find(m)
	if !found {
		return
	}
	if j, found := slices.BinarySearch(w.minutes[i].ids, id); found {
		w.minutes[i].ids = slices.Delete(w.minutes[i].ids, j, j+1)
		w.count--
	}
}

// discardTouched ends a batch that was refused: minutes that only it would have
// made go.
func (w *window) discardTouched() {
	w.minutes = slices.DeleteFunc(w.minutes, func(m minuteIDs) bool { return len(m.ids) == 0 && !m.written })
	for i := range w.minutes {
		w.minutes[i].touched = false
	}
}

// leaving is the number of minutes that lie before start.
func (w *window) leaving(start time.Time) int {
	m := minuteOf(start)
	return sort.Search(len(w.minutes), func(i int) bool { return w.minutes[i].minute >= m })
}

// changes is the number of minutes that a batch writes or removes, if the first
// leaving of them leave.
func (w *window) changes(leaving int) int {
	n := 0
	for i := range w.minutes {
		if m := &w.minutes[i]; i < leaving && m.written || i >= leaving && m.touched {
			n++
		}
	}
	return n
}

// settle ends a batch that was taken: what it touched is written, and the
// window begins at start.
func (w *window) settle(start time.Time) {
	n := w.leaving(start)
	for i := range w.minutes[:n] {
		w.count -= len(w.minutes[i].ids)
	}
	w.minutes = slices.Delete(w.minutes, 0, n)
	w.start = start
	for i := range w.minutes {
		if m := &w.minutes[i]; m.touched {
			m.touched, m.written = false, true
		}
	}
}

// recent holds the created_at of the newest events known, at most most of
// them: it says how far back a page of known events reaches.
type recent struct {
	most  int
	times []int64 // Unix nanoseconds, ascending
}

// newRecent fills in what the minutes of w tell: the ids of a minute count as
// created evenly over it, the newest minute's up to through.
func newRecent(most int, w *window, through time.Time) recent {
	r := recent{most: most}
	for i := len(w.minutes) - 1; i >= 0 && len(r.times) < most; i-- {
		m := &w.minutes[i]
		start, end := minuteTime(m.minute), minuteTime(m.minute+1)
		if through.After(start) && through.Before(end) {
			end = through
		}
		n := len(m.ids)
		step := end.Sub(start) / time.Duration(max(n, 1))
		for k := n - 1; k >= 0 && len(r.times) < most; k-- {
			r.times = append(r.times, start.Add(time.Duration(k)*step).UnixNano())
		}
	}
	slices.Reverse(r.times)
	return r
}

func (r *recent) add(t time.Time) {
	ns := t.UnixNano()
	if len(r.times) >= r.most && (r.most == 0 || ns <= r.times[0]) {
		return
	}
	if len(r.times) >= 2*r.most { // trimmed now and then: each trim moves them all
		r.times = r.times[:copy(r.times, r.times[len(r.times)-r.most+1:])]
	}
	i := len(r.times)
	if i > 0 && ns < r.times[i-1] {
		i, _ = slices.BinarySearch(r.times, ns)
	}
	r.times = slices.Insert(r.times, i, ns)
}

// reach returns the time since which n events are known, n at most most; false
// when fewer are known at all.
func (r *recent) reach(n int) (time.Time, bool) {
	if len(r.times) < n {
		return time.Time{}, false
	}
	return time.Unix(0, r.times[len(r.times)-n]).UTC(), true
}

// setMost changes the bound; a smaller one forgets the oldest.
func (r *recent) setMost(most int) {
	r.most = most
	if n := len(r.times) - most; n > 0 {
		r.times = slices.Delete(r.times, 0, n)
	}
}

// hashSet remembers the last few things it was told, as 64-bit hashes.
type hashSet struct {
	most  int
	known map[uint64]struct{}
	order []uint64
	next  int // the oldest in order, once it is full
}

// has tells whether h is remembered.
func (s *hashSet) has(h uint64) bool {
	_, found := s.known[h]
	return found
}

// add remembers h in place of the oldest.
func (s *hashSet) add(h uint64) {
	if s.has(h) {
		return
	}
	if s.known == nil {
		s.known = make(map[uint64]struct{})
	}
	s.known[h] = struct{}{}
	if len(s.order) < s.most {
		s.order = append(s.order, h)
		return
	}
	delete(s.known, s.order[s.next])
	s.order[s.next] = h
	s.next = (s.next + 1) % s.most
}
