package source

import "slices"

const (
	// fewPlaces and mostPlaces bound the ranges of ids that places tells apart;
	// between them there is one for each idsPerPlace ids.
	fewPlaces   = 64
	mostPlaces  = 1 << 14
	idsPerPlace = 64
)

// places tells which minutes may hold an id, so that a window need not look
// into all of them: ids mostly ascend with time, in one sequence or in several.
// It divides the ids into ranges of one length, which doubles as they get too
// many, and knows the minutes of each range that is in use. It may name a minute
// that has no such id any more, but leaves none out. The zero value is empty.
type places struct {
	shift   uint // a range is 1<<shift ids
	minutes map[int64][]int64
	named   int // minutes in all ranges
	// lastRange and lastMinute are what was added last, if last is true: mostly
	// the same again.
	lastRange, lastMinute int64
	last                  bool
}

// of returns the minutes that may hold id.
func (p *places) of(id int64) []int64 { return p.minutes[id>>p.shift] }

// add notes that minute m holds id; count is how many ids there are in all.
func (p *places) add(m, id int64, count int) {
	r := id >> p.shift
	if p.last && r == p.lastRange && m == p.lastMinute {
		return
	}
	if p.minutes == nil {
		p.minutes = make(map[int64][]int64)
	}
	p.lastRange, p.lastMinute, p.last = r, m, true
	p.name(r, m)
	for len(p.minutes) > min(mostPlaces, fewPlaces+count/idsPerPlace) {
		p.widen()
	}
}

func (p *places) name(r, m int64) {
	minutes := p.minutes[r]
	if !slices.Contains(minutes, m) {
		p.minutes[r] = append(minutes, m)
		p.named++
	}
}

// widen makes the ranges twice as long.
func (p *places) widen() {
	narrow := p.minutes
	p.minutes, p.named = make(map[int64][]int64, len(narrow)), 0
	p.shift++
	p.lastRange >>= 1
	for r, minutes := range narrow {
		for _, m := range minutes {
			p.name(r>>1, m)
		}
	}
}

// forget lets go of the minutes before first.
func (p *places) forget(first int64) {
	p.last = false
	for r, minutes := range p.minutes {
		left := slices.DeleteFunc(minutes, func(m int64) bool { return m < first })
		p.named -= len(minutes) - len(left)
		if len(left) == 0 {
			delete(p.minutes, r)
			continue
		}
		p.minutes[r] = left
	}
}

// size is about what p takes, in bytes.
func (p *places) size() int { return 64*len(p.minutes) + 16*p.named }
