package reconcile

import (
	"maps"
	"slices"

	"onelogin-kafka/schemas"
)

// soFar is the report with what of the slice was published, less what is known of
// the last page.
func (s *slice) soFar(known int) *schemas.Report {
	r := s.c.report
	r.Findings = slices.Clip(r.Findings)
	s.countMissing(&r, known)
	return &r
}

// lacks notes an event that the topic lacks.
func (s *slice) lacks(ev *schemas.Event) {
	if s.gap {
		f := &s.runs[len(s.runs)-1]
		f.Events++
		f.ID = min(f.ID, ev.ID)
		f.From, f.To = earlier(f.From, ev.CreatedAt), later(f.To, ev.CreatedAt)
		return
	}
	s.runs = append(s.runs, schemas.Finding{Kind: schemas.Missing, ID: ev.ID, Events: 1, From: ev.CreatedAt, To: ev.CreatedAt})
	s.gap = true
}

// mark is what is known of runs, to go back to.
type mark struct {
	runs int
	last schemas.Finding
	gap  bool
}

func (s *slice) mark() mark {
	m := mark{runs: len(s.runs), gap: s.gap}
	if m.runs > 0 {
		m.last = s.runs[m.runs-1]
	}
	return m
}

func (s *slice) back(m mark) {
	s.runs, s.gap = s.runs[:m.runs], m.gap
	if m.runs > 0 {
		s.runs[m.runs-1] = m.last
	}
}

// confirm takes what x has from what the topic lacked.
func (s *slice) confirm(x *Index) {
	if len(s.missing) == 0 {
		return
	}
	entries, _ := x.load(s.from, s.to)
	before := len(s.missing)
	for i := range entries {
		delete(s.missing, entries[i].id)
	}
	if s.came += before - len(s.missing); len(s.missing) == before {
		return
	}
	s.runs = s.runs[:0]
	for _, id := range slices.Sorted(maps.Keys(s.missing)) {
		at := s.missing[id].created
		s.runs = append(s.runs, schemas.Finding{Kind: schemas.Missing, ID: id, Events: 1, From: at, To: at})
	}
}

// hand leaves what was published to the index, for narrower slices to find there.
func (s *slice) hand(x *Index) {
	if s.c.Publisher == nil {
		return
	}
	for id, l := range s.missing {
		x.add(l.created, id, l.digest)
	}
	s.accountMissing()
}

func (s *slice) accountMissing() { s.countMissing(&s.c.report, 0) }

// countMissing counts what lacked in, less some of it that was known after all.
func (s *slice) countMissing(r *schemas.Report, known int) {
	n := int64(len(s.missing) - s.known - known)
	r.Missing += n
	if s.c.Publisher != nil {
		r.Repaired += n
	}
	for _, f := range s.runs {
		r.Find(f)
	}
}

// account adds what the slice came to to the report.
func (s *slice) account() {
	r := &s.c.report
	s.accountMissing()
	for i := range s.entries {
		if s.entries[i].shown {
			r.Events++
		} else {
			r.Unshown++
			r.Find(schemas.Finding{Kind: schemas.Unshown, ID: s.entries[i].id, Events: 1})
		}
	}
	r.Events += int64(len(s.missing) + s.came)
	r.Altered += int64(len(s.altered))
	r.Duplicate += int64(len(s.twice))
	for _, id := range slices.Sorted(maps.Keys(s.altered)) {
		r.Find(schemas.Finding{Kind: schemas.Altered, ID: id, Events: 1, From: s.altered[id], To: s.altered[id]})
	}
	for _, id := range s.twice {
		r.Find(schemas.Finding{Kind: schemas.Duplicate, ID: id, Events: 1})
	}
}
