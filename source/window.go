package source

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"time"
	"unsafe"

	"onelogin-kafka/schemas"
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
	// low is a minute before which none is touched.
	low int64
	// old are ids published although created before the window. Nothing but
	// memory holds them.
	old   idSet
	where places
	gone  int // minutes that have left since where forgot those that had
	buf   []int64
}

// maxMinute is behind every minute.
const maxMinute = 1 << 50

// minuteIDs are the ids of one minute.
type minuteIDs struct {
	minute int64
	ids    idSet
	// written tells that the offsets topic has a record of this minute, as far
	// as the batches offered go.
	written bool
	// touched tells that the batch being made adds to it.
	touched bool
}

// newWindow takes over the sets of minutes.
func newWindow(start time.Time, minutes map[int64]idSet) window {
	w := window{start: start, highest: math.MinInt64, low: maxMinute, minutes: make([]minuteIDs, 0, len(minutes))}
	for m, ids := range minutes {
		w.minutes = append(w.minutes, minuteIDs{minute: m, ids: ids, written: true})
		w.count += ids.len()
		if _, last, ok := ids.bounds(); ok {
			w.highest = max(w.highest, last)
		}
	}
	slices.SortFunc(w.minutes, func(a, b minuteIDs) int { return cmp.Compare(a.minute, b.minute) })
	for i := range w.minutes {
		for id := range w.minutes[i].ids.all() {
			w.where.add(w.minutes[i].minute, id, w.count)
		}
	}
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
// is known under another minute, or as an old one, is known: dedup is by id
// alone.
func (w *window) add(m, id int64) bool {
	i, found := w.find(m)
	if id <= w.highest {
		if found && w.minutes[i].ids.has(id) {
			return false
		}
		if w.has(id) {
			return false
		}
	}
	if !found {
		if i > 0 {
			w.minutes[i-1].ids.trim()
		}
		w.minutes = slices.Insert(w.minutes, i, minuteIDs{minute: m})
	}
	w.minutes[i].ids.add(id)
	w.minutes[i].touched = true
	w.low = min(w.low, m)
	w.highest = max(w.highest, id)
	w.count++
	w.where.add(m, id, w.count)
	return true
}

// has tells whether id is known, under whatever minute or as an old one.
func (w *window) has(id int64) bool {
	if id > w.highest {
		return false
	}
	for _, m := range w.where.of(id) {
		if i, found := w.find(m); found && w.minutes[i].ids.has(id) {
			return true
		}
	}
	return w.old.has(id)
}

// addBefore makes the id of an event known that is published although it was
// created before the window, in minute m, and tells whether it was new. The
// window may begin within that minute, whose record then tells it.
func (w *window) addBefore(m, id int64) bool {
	if m >= minuteOf(w.start) {
		return w.add(m, id)
	}
	return w.addOld(id)
}

func (w *window) addOld(id int64) bool {
	if w.has(id) {
		return false
	}
	w.old.add(id)
	w.highest = max(w.highest, id)
	return true
}

// removeOld takes back an addOld whose batch was refused.
func (w *window) removeOld(id int64) { w.old.remove(id) }

// clearOld forgets the old ids.
func (w *window) clearOld() { w.old = idSet{} }

// between returns where the minutes from from to before to are.
func (w *window) between(from, to int64) []minuteIDs {
	i, _ := w.find(from)
	j, _ := w.find(to)
	return w.minutes[i:max(i, j)]
}

// ids appends to buf the ids of the minutes from from to before to, minute by
// minute and ascending within each.
func (w *window) ids(from, to int64, buf []int64) []int64 {
	minutes := w.between(from, to)
	for i := range minutes {
		buf = minutes[i].ids.appendTo(buf)
	}
	return buf
}

// countIn is the number of ids of the minutes from from to before to.
func (w *window) countIn(from, to int64) int {
	n := 0
	minutes := w.between(from, to)
	for i := range minutes {
		n += minutes[i].ids.len()
	}
	return n
}

// reachOn is the end of the minute, from that of from on, with which n ids are
// reached; false if there are fewer.
func (w *window) reachOn(from time.Time, n int) (time.Time, bool) {
	minutes := w.between(minuteOf(from), maxMinute)
	for i := range minutes {
		if n -= minutes[i].ids.len(); n <= 0 {
			return minuteTime(minutes[i].minute + 1), true
		}
	}
	return time.Time{}, false
}

// size is what the window takes, in bytes, but for an allowance of some
// hundred bytes.
func (w *window) size() int {
	n := int(unsafe.Sizeof(minuteIDs{}))*cap(w.minutes) + w.old.size() + w.where.size() + 8*cap(w.buf)
	for i := range w.minutes {
		n += w.minutes[i].ids.size()
	}
	return n
}

// mostScratch is how many ids what value decodes into may keep room for.
const mostScratch = 1 << 16

// value is the value of the record of the i-th minute.
func (w *window) value(i int) []byte {
	w.buf = w.minutes[i].ids.appendTo(w.buf[:0])
	value := schemas.EncodeMinute(w.buf)
	if cap(w.buf) > mostScratch {
		w.buf = nil
	}
	return value
}

// remove takes back an add whose batch was refused.
func (w *window) remove(m, id int64) {
	if i, found := w.find(m); found && w.minutes[i].ids.remove(id) {
		w.count--
	}
}

// discardTouched ends a batch that was refused: minutes that only it would have
// made go.
func (w *window) discardTouched() {
	w.minutes = slices.DeleteFunc(w.minutes, func(m minuteIDs) bool { return m.ids.len() == 0 && !m.written })
	for i := range w.minutes {
		w.minutes[i].touched = false
	}
	w.low = maxMinute
}

// leaving is the number of minutes that lie before start.
func (w *window) leaving(start time.Time) int {
	m := minuteOf(start)
	return sort.Search(len(w.minutes), func(i int) bool { return w.minutes[i].minute >= m })
}

// changed returns where the minutes are that a batch removes, if the first leaving
// of them leave, and those that it writes.
func (w *window) changed(leaving int) (at []int) {
	for i := range leaving {
		if w.minutes[i].written {
			at = append(at, i)
		}
	}
	low, _ := w.find(w.low)
	for i := max(low, leaving); i < len(w.minutes); i++ {
		if w.minutes[i].touched {
			at = append(at, i)
		}
	}
	return at
}

// settle ends a batch that was taken: what it touched is written, and the
// window begins at start.
func (w *window) settle(start time.Time) {
	n := w.leaving(start)
	for i := range w.minutes[:n] {
		w.count -= w.minutes[i].ids.len()
	}
	w.minutes = slices.Delete(w.minutes, 0, n)
	w.start = start
	if w.gone += n; w.gone > len(w.minutes)/4 {
		// Not each time: it goes through all places. Until then they only point
		// to minutes that are not there.
		w.where.forget(minuteOf(start))
		w.gone = 0
	}
	for _, i := range w.changed(0) {
		m := &w.minutes[i]
		m.touched, m.written = false, true
		if i < len(w.minutes)-1 {
			m.ids.trim()
		}
	}
	w.low = maxMinute
}
