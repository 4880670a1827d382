package audit

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// minutes applies the minute records of s and compares those it touched with
// the ids published so far.
func (a *Auditor) minutes(c *connector, s *step, pieces []*piece) {
	start, hasWindow := int64(math.MinInt64), false
	if p := cmpPosition(s.position, c.last); p != nil && p.hasWindow {
		start, hasWindow = p.windowStart, true
	}
	touched := map[int64]bool{}
	for _, p := range pieces {
		for i := p.lo; i < p.hi; i++ {
			a.addToMinute(c, s, &c.events[i], touched)
		}
	}
	for m, ids := range s.minutes {
		touched[m] = true
		if ids != nil {
			c.live[m] = ids
			continue
		}
		delete(c.live, m)
		if !c.compacted && !leftWindow(c, m, start, hasWindow) {
			a.findings.add(c.name, problem{"A3", "minute-missing", fmt.Sprintf("%s: minute %s is deleted inside the window from %s", s.t, minuteName(m), stamp(start))})
			delete(touched, m)
		}
	}
	if c.compacted {
		return // the others are judged at the end
	}
	for m := range touched {
		ids, ok := c.live[m]
		if ok {
			a.compareMinute(c, s.t.String(), m, ids, c.published[m])
			continue
		}
		if !leftWindow(c, m, start, hasWindow) {
			a.findings.add(c.name, problem{"A3", "minute-missing", fmt.Sprintf("%s: %d ids of minute %s, inside the window from %s, have no record", s.t, len(c.published[m]), minuteName(m), stamp(start))})
		}
	}
	a.leaveWindow(c, s, start, hasWindow)
}

func cmpPosition(p, otherwise *position) *position {
	if p != nil {
		return p
	}
	return otherwise
}

func (a *Auditor) addToMinute(c *connector, s *step, e *event, touched map[int64]bool) {
	before := c.last != nil && c.last.hasWindow && e.created < c.last.windowStart
	if before && s.job && e.late {
		return // repaired; that it is there once is A1's to judge
	}
	m := floorMinute(e.created)
	touched[m] = true
	if c.compacted {
		return
	}
	// An id above all that were published cannot be a repetition, however old its event is.
	if before && e.id <= c.last.lastID {
		a.findings.add(c.name, problem{"A3", "before-window", fmt.Sprintf("%s: event %d created %s is before the window from %s", s.t, e.id, stamp(e.created), stamp(c.last.windowStart))})
	}
	if c.published[m] == nil {
		c.published[m] = map[int64]bool{}
	}
	c.published[m][e.id] = true
}

// leftWindow tells whether minute m may be without a record. Where positions
// do not tell the window's start, no older minute may have one.
func leftWindow(c *connector, m, start int64, hasWindow bool) bool {
	if hasWindow {
		return (m+1)*minuteSeconds*1e6 <= start
	}
	for other := range c.live {
		if other < m {
			return false
		}
	}
	return true
}

// leaveWindow forgets the minutes before the window; none may keep a record.
func (a *Auditor) leaveWindow(c *connector, s *step, start int64, hasWindow bool) {
	for m := range c.published {
		if _, ok := c.live[m]; !ok {
			delete(c.published, m)
		}
	}
	if !hasWindow {
		return
	}
	for m := range c.live {
		if leftWindow(c, m, start, true) {
			a.findings.add(c.name, problem{"A5", "minute-kept", fmt.Sprintf("%s: minute %s left the window from %s and is not deleted", s.t, minuteName(m), stamp(start))})
			delete(c.live, m)
			delete(c.published, m)
		}
	}
}

// compareMinute compares a minute record with the ids published in its minute.
func (a *Auditor) compareMinute(c *connector, where string, m int64, ids []int64, want map[int64]bool) {
	for _, id := range ids {
		if want[id] {
			continue
		}
		n, ok := c.byID[id]
		switch {
		case ok && floorMinute(c.events[n].created) != m:
			a.findings.add(c.name, problem{"A5", "minute-wrong", fmt.Sprintf("%s: minute %s lists id %d of minute %s", where, minuteName(m), id, minuteName(floorMinute(c.events[n].created)))})
		case ok:
			a.findings.add(c.name, problem{"A3", "ids-ahead", fmt.Sprintf("%s: minute %s lists id %d, which comes later", where, minuteName(m), id)})
		default:
			a.findings.add(c.name, problem{"A3", "ids-ahead", fmt.Sprintf("%s: minute %s lists id %d, which is not in the topic", where, minuteName(m), id)})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(want)) {
		if _, ok := slices.BinarySearch(ids, id); !ok {
			a.findings.add(c.name, problem{"A3", "ids-behind", fmt.Sprintf("%s: minute %s does not list published id %d", where, minuteName(m), id)})
		}
	}
}

// finalMinutes compares the minute records of a compacted partition with all
// that is published.
func (a *Auditor) finalMinutes(c *connector) {
	published := map[int64]map[int64]bool{}
	for i := range c.events {
		e := &c.events[i]
		m := floorMinute(e.created)
		if c.last == nil || c.last.hasWindow && leftWindow(c, m, c.last.windowStart, true) {
			continue
		}
		if published[m] == nil {
			published[m] = map[int64]bool{}
		}
		published[m][e.id] = true
	}
	for m, want := range published {
		a.compareMinute(c, "at the end", m, c.live[m], want)
	}
	for m, ids := range c.live {
		if published[m] == nil {
			a.compareMinute(c, "at the end", m, ids, nil)
		}
	}
}

func minuteName(m int64) string { return stamp(m * minuteSeconds * 1e6) }
