package source

import (
	"fmt"
	"slices"
	"time"
)

const (
	// vanishedAfter and vanishedReadings are how long, and in how many readings,
	// an id must have been missing before later ones to be let go.
	vanishedAfter    = time.Hour
	vanishedReadings = 6
	// forgottenAfter is the same where nothing newer is shown: an API that
	// answers with nothing, or with old data, may be in trouble for hours.
	forgottenAfter = 24 * time.Hour
)

// evidence is what an answer is held against: the ids that are known of the
// range that was asked for. A reading that does not show them all is not
// believed, whatever it says of its end.
type evidence struct {
	ids   []int64 // ascending
	shown []bool
	left  int   // how many are not shown
	least bool  // whatever it is, something must be shown
	any   bool  // something was shown
	high  int64 // of all that was shown
}

// expect begins evidence of ids, which are taken over.
func expect(ids []int64, least bool) evidence {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return evidence{ids: ids, shown: make([]bool, len(ids)), left: len(ids), least: least}
}

// show notes that id was shown.
func (v *evidence) show(id int64) {
	if !v.any || id > v.high {
		v.high, v.any = id, true
	}
	if v.left == 0 || id < v.ids[0] || id > v.ids[len(v.ids)-1] {
		return
	}
	if i, found := slices.BinarySearch(v.ids, id); found && !v.shown[i] {
		v.shown[i] = true
		v.left--
	}
}

// holds tells whether all that must be shown was.
func (v *evidence) holds() bool { return v.left == 0 && (v.any || !v.least) }

// errShown is why a reading is not believed.
type errShown struct{ shown, known int }

func (e errShown) Error() string {
	return fmt.Sprintf("the API shows %d of %d events that are known of the time asked for", e.shown, e.known)
}

// errForgotten is the same where the API may not keep events that long.
type errForgotten struct {
	errShown
	through, oldest time.Time
}

func (e errForgotten) Error() string {
	return fmt.Sprintf("%v: it shows nothing from the position, %s, to %s, and may not keep events that long; after an hour this goes on from there",
		e.errShown, e.through.Format(time.RFC3339), e.oldest.Format(time.RFC3339))
}

// Unwrap returns what it is a kind of.
func (e errForgotten) Unwrap() error { return e.errShown }

// err is why a reading is not believed. oldest is the oldest that it showed.
func (v *evidence) err(through, oldest time.Time) error {
	e := errShown{len(v.ids) - v.left, len(v.ids)}
	if v.any && !slices.Contains(v.shown[:v.left], true) && oldest.After(through.Add(edge)) { // the first of them lack
		return errForgotten{e, through, oldest}
	}
	if len(v.ids) == 0 {
		return errShown{0, 1}
	}
	return e
}

// vanished are the ids that readings lack, by id.
type vanished map[int64]absence

type absence struct {
	since    time.Time
	readings int
}

// lacking notes what v lacks at the end of a reading, and returns what of it has
// been gone so long that it will not come again: an hour where later ids were
// shown. What is newer than all that was shown may be behind on its way to the
// copy of the data that answered.
func (g vanished) lacking(v *evidence, now time.Time) (gone []int64) {
	for i, id := range v.ids {
		if v.shown[i] {
			delete(g, id)
			continue
		}
		a := g[id]
		if a.readings++; a.since.IsZero() {
			a.since = now
		}
		g[id] = a
		wait := forgottenAfter
		if v.any && id < v.high {
			wait = vanishedAfter
		}
		if a.readings >= vanishedReadings && now.Sub(a.since) >= wait {
			gone = append(gone, id)
		}
	}
	return gone
}
