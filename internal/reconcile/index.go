package reconcile

import (
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"maps"
	"slices"
	"time"
)

var seed = maphash.MakeSeed()

// digest stands for the bytes of a value within this process.
func digest(value []byte) uint64 { return maphash.Bytes(seed, value) }

// entry is an event as a topic has it.
type entry struct {
	id     int64
	digest uint64
	shown  bool // by the API, since the entry was loaded
}

// Index is what the events topic has of one connector's events in a range: ids and
// digests of the bytes, in some eleven bytes each, by minute of created_at.
type Index struct {
	// From and To are the range that it holds all of: what was wished, less what
	// the topic does not keep any more at its start, and at its end what did not
	// fit.
	From, To time.Time
	// Kept is the time from which on the topic keeps everything; zero = nothing was
	// deleted yet.
	Kept time.Time

	blocks map[int64]*block
	size   int
}

// block are the events of one minute, in the order of the topic: the zigzag
// distance of each id to the one before, and eight bytes of digest.
type block struct {
	data []byte
	last int64
	n    int
}

// blockSize is about what a block takes besides its data, in bytes.
const blockSize = 96

func minuteOf(t time.Time) int64 { return floorDiv(t.Unix(), 60) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func newIndex(from, to time.Time) *Index {
	return &Index{From: from, To: to, blocks: map[int64]*block{}}
}

// add notes an event; what lies outside the range is not held.
func (x *Index) add(created time.Time, id int64, digest uint64) {
	if created.Before(x.From) || !created.Before(x.To) {
		return
	}
	m := minuteOf(created)
	b := x.blocks[m]
	if b == nil {
		b = &block{}
		x.blocks[m] = b
		x.size += blockSize
	}
	before := cap(b.data)
	b.data = binary.AppendVarint(b.data, int64(uint64(id)-uint64(b.last)))
	b.data = binary.LittleEndian.AppendUint64(b.data, digest)
	x.size += cap(b.data) - before
	b.last = id
	b.n++
}

// cut gives up the later half of what it holds, and so the end of its range.
// It tells whether that was possible: a single minute cannot be cut.
func (x *Index) cut() bool {
	minutes := slices.Sorted(maps.Keys(x.blocks))
	half := x.size / 2
	for i, m := range minutes {
		if half -= blockSize + cap(x.blocks[m].data); half > 0 || i+1 == len(minutes) {
			continue
		}
		for _, later := range minutes[i+1:] {
			x.size -= blockSize + cap(x.blocks[later].data)
			delete(x.blocks, later)
		}
		x.To = time.Unix(minutes[i+1]*60, 0).UTC()
		return true
	}
	return false
}

// end is the end of the minutes from from on in which the topic has n events, or
// most if it has fewer before that.
func (x *Index) end(from, most time.Time, n int) time.Time {
	for t := from.Truncate(time.Minute); t.Before(most); t = t.Add(time.Minute) {
		if b := x.blocks[minuteOf(t)]; b != nil {
			if n -= b.n; n <= 0 {
				return earlier(t.Add(time.Minute), most)
			}
		}
	}
	return most
}

// load returns the entries of the minutes that [from, to) touches, by id, each once,
// and how many repetitions of them the topic has. With forget true they are not
// held any longer.
func (x *Index) load(from, to time.Time) (entries []entry, twice []int64) {
	for m := minuteOf(from); m <= minuteOf(to.Add(-1)); m++ {
		if b := x.blocks[m]; b != nil {
			entries = b.appendTo(entries)
		}
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(a.id, b.id) })
	once := entries[:0]
	for _, e := range entries {
		if n := len(once); n > 0 && once[n-1].id == e.id {
			twice = append(twice, e.id)
			continue
		}
		once = append(once, e)
	}
	return once, twice
}

// forget lets go of what lies before t.
func (x *Index) forget(t time.Time) {
	maps.DeleteFunc(x.blocks, func(m int64, b *block) bool {
		if m >= minuteOf(t) {
			return false
		}
		x.size -= blockSize + cap(b.data)
		return true
	})
}

func (b *block) appendTo(list []entry) []entry {
	id := int64(0)
	for data := b.data; len(data) > 0; {
		d, n := binary.Varint(data)
		id = int64(uint64(id) + uint64(d))
		list = append(list, entry{id: id, digest: binary.LittleEndian.Uint64(data[n:])})
		data = data[n+8:]
	}
	return list
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
