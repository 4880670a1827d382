package source

import (
	"cmp"
	"slices"
	"time"
)

// pair is an event that is known.
type pair struct {
	at int64 // created_at, Unix milliseconds
	id int64
	// guessed tells that at is not known but for the minute.
	guessed bool
}

func comparePairs(a, b pair) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.id, b.id)) }

// recent holds the newest events known, at least most of them if there are as
// many: it says how far back a page of known events reaches, and which they are.
type recent struct {
	most    int
	pairs   []pair // ascending
	guesses int    // pairs that are guessed
}

// newRecent fills in what the minutes of w tell: the ids of a minute count as
// created evenly over it in their order, the newest minute's up to through.
func newRecent(most int, w *window, through time.Time) recent {
	r := recent{most: most}
	var ids []int64
	for i := len(w.minutes) - 1; i >= 0 && len(r.pairs) < most; i-- {
		m := &w.minutes[i]
		start, end := minuteTime(m.minute), minuteTime(m.minute+1)
		if through.After(start) && through.Before(end) {
			end = through
		}
		ids = m.ids.appendTo(ids[:0])
		step := end.Sub(start) / time.Duration(max(len(ids), 1))
		for k := len(ids) - 1; k >= 0 && len(r.pairs) < most; k-- {
			r.pairs = append(r.pairs, pair{at: start.Add(time.Duration(k) * step).UnixMilli(), id: ids[k], guessed: true})
		}
	}
	slices.Reverse(r.pairs)
	r.guesses = len(r.pairs)
	return r
}

// add takes in a known event; one that is there already is left as it is. Where
// only the minute of it was known, t takes the guess's place.
func (r *recent) add(t time.Time, id int64) {
	p := pair{at: t.UnixMilli(), id: id}
	if r.guesses > 0 {
		r.replaceGuess(minuteOf(t), id)
	}
	if len(r.pairs) >= r.most && (r.most == 0 || comparePairs(p, r.pairs[0]) <= 0) {
		return
	}
	i := len(r.pairs)
	if i > 0 && comparePairs(p, r.pairs[i-1]) <= 0 {
		var found bool
		if i, found = slices.BinarySearchFunc(r.pairs, p, comparePairs); found {
			return
		}
	}
	r.pairs = slices.Insert(r.pairs, i, p)
	if len(r.pairs) > 2*r.most { // trimmed now and then: each trim moves them all
		r.keep(r.most)
	}
}

// replaceGuess removes what was guessed of id, an event of minute m.
func (r *recent) replaceGuess(m, id int64) {
	i, end := r.from(minuteTime(m)), minuteTime(m+1).UnixMilli()
	for ; i < len(r.pairs) && r.pairs[i].at < end; i++ {
		if r.pairs[i].id == id && r.pairs[i].guessed {
			r.pairs = slices.Delete(r.pairs, i, i+1)
			r.guesses--
			return
		}
	}
}

// keep forgets all but the newest n.
func (r *recent) keep(n int) {
	r.pairs = slices.Delete(r.pairs, 0, len(r.pairs)-n)
	r.guesses = 0
	for i := range r.pairs {
		if r.pairs[i].guessed {
			r.guesses++
		}
	}
}

func (r *recent) from(t time.Time) int {
	i, _ := slices.BinarySearchFunc(r.pairs, t.UnixMilli(), func(p pair, at int64) int { return cmp.Compare(p.at, at) })
	return i
}

// since returns the events known of those created at or after t, to the
// millisecond, ascending by created_at and id. It is all of them if t is not
// before the first of r. The slice is r's own and good until r changes.
func (r *recent) since(t time.Time) []pair { return r.pairs[r.from(t):] }

// seen appends to ids those of the events known exactly, created at or after
// from and, where to is not zero, before to.
func (r *recent) seen(from, to time.Time, ids []int64) []int64 {
	for _, p := range r.since(from) {
		if !to.IsZero() && p.at >= to.UnixMilli() {
			break
		}
		if !p.guessed {
			ids = append(ids, p.id)
		}
	}
	return ids
}

// last is the created_at, to the millisecond, of the newest event known exactly
// that was created before t; false if there is none.
func (r *recent) last(t time.Time) (time.Time, bool) {
	for i := r.from(t) - 1; i >= 0; i-- {
		if p := r.pairs[i]; !p.guessed {
			return time.UnixMilli(p.at).UTC(), true
		}
	}
	return time.Time{}, false
}

// reach returns the time since which n events are known, or all that r has where
// it has fewer; false if it has none.
func (r *recent) reach(n int) (time.Time, bool) {
	if n = min(n, len(r.pairs)); n < 1 {
		return time.Time{}, false
	}
	return time.UnixMilli(r.pairs[len(r.pairs)-n].at).UTC(), true
}

// setMost changes the bound; a smaller one forgets the oldest.
func (r *recent) setMost(most int) {
	r.most = most
	if len(r.pairs) > most {
		r.keep(most)
	}
}
