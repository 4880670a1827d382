package source

import (
	"encoding/binary"
	"iter"
	"slices"
)

// blockIDs is how many ids a block of an idSet holds at most. A lookup decodes
// half of that on average, and each block costs twelve bytes of index.
const blockIDs = 64

// idSet is a set of ids, any int64, in two or three bytes each where they lie
// close together. It may hold up to 400 million. The zero value is empty. A copy
// shares what it holds: only one of the two may be changed.
//
// Blocks of up to blockIDs ids follow each other. The first id of a block is in
// the index; data has the distance of each further one to the id before, which
// two's complement makes right for any pair of int64.
type idSet struct {
	data   []byte
	firsts []int64  // by block, ascending
	starts []uint32 // by block: where its distances begin in data
	n      int
	last   int64
	tail   int // ids in the last block
	seen   finger
}

// finger is where the last lookup ended. Events are mostly asked for in the
// order of their ids, so that the next is mostly found right behind it.
type finger struct {
	block int // counted from 1; 0 = nowhere
	at    int // in the block's data, behind id
	id    int64
}

// newIDSet makes a set of ids that are strictly ascending.
func newIDSet(ids []int64) idSet {
	var s idSet
	size := 0
	for i := 1; i < len(ids); i++ {
		if i%blockIDs != 0 {
			size += uvarintLen(uint64(ids[i]) - uint64(ids[i-1]))
		}
	}
	blocks := (len(ids) + blockIDs - 1) / blockIDs
	s.data, s.firsts, s.starts = make([]byte, 0, size), make([]int64, 0, blocks), make([]uint32, 0, blocks)
	for _, id := range ids {
		s.push(id)
	}
	return s
}

func uvarintLen(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// len is the number of ids.
func (s *idSet) len() int { return s.n }

// bounds returns the lowest and the highest id; false if there is none.
func (s *idSet) bounds() (first, last int64, ok bool) {
	if s.n == 0 {
		return 0, 0, false
	}
	return s.firsts[0], s.last, true
}

// size is what the set takes, in bytes, beside the struct itself.
func (s *idSet) size() int { return cap(s.data) + 8*cap(s.firsts) + 4*cap(s.starts) }

// has tells whether id is in the set. It remembers where it ended: two goroutines
// may not ask at once.
func (s *idSet) has(id int64) bool {
	if s.n == 0 || id < s.firsts[0] || id > s.last {
		return false
	}
	if f := &s.seen; f.block == 0 || id < f.id || f.block < len(s.firsts) && id >= s.firsts[f.block] {
		b := s.block(id)
		*f = finger{block: b + 1, id: s.firsts[b]}
	}
	f := &s.seen
	data := s.blockData(f.block - 1)
	at, seen := f.at, f.id
	for seen < id && at < len(data) {
		d, n := uint64(data[at]), 1
		if d >= 0x80 {
			d, n = binary.Uvarint(data[at:])
		}
		if d > uint64(id)-uint64(seen) {
			break
		}
		seen = int64(uint64(seen) + d)
		at += n
	}
	f.at, f.id = at, seen
	return seen == id
}

// block returns the block that id is in, if it is in any: the last that begins
// at or before it. id is not below the first id of all.
func (s *idSet) block(id int64) int {
	lo, hi := 0, len(s.firsts)
	for hi-lo > 1 {
		if mid := int(uint(lo+hi) >> 1); s.firsts[mid] <= id {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

func (s *idSet) blockData(b int) []byte {
	if b+1 < len(s.starts) {
		return s.data[s.starts[b]:s.starts[b+1]]
	}
	return s.data[s.starts[b]:]
}

// add puts id in and tells whether it was new.
func (s *idSet) add(id int64) bool {
	if s.n == 0 || id > s.last {
		s.push(id)
		return true
	}
	s.seen = finger{}
	var buf [blockIDs + 1]int64
	b := 0
	if id > s.firsts[0] {
		b = s.block(id)
	}
	ids := s.appendBlock(buf[:0], b)
	i, found := slices.BinarySearch(ids, id)
	if found {
		return false
	}
	switch full := len(ids) == blockIDs; {
	case full && i == blockIDs:
		// What goes on ascending in the middle fills block after block.
		s.insertBlock(b+1, id)
	case full && i == 0:
		s.insertBlock(0, id)
	case full:
		ids = slices.Insert(ids, i, id)
		half := len(ids) / 2
		s.insertBlock(b+1, ids[half])
		s.encode(b+1, ids[half:])
		s.encode(b, ids[:half])
	default:
		s.encode(b, slices.Insert(ids, i, id))
	}
	s.n++
	return true
}

// push adds id, which is above all others.
func (s *idSet) push(id int64) {
	if s.n == 0 || s.tail >= blockIDs {
		s.firsts = append(grown(s.firsts, 1), id)
		s.starts = append(grown(s.starts, 1), uint32(len(s.data)))
		s.tail = 0
	} else {
		d := uint64(id) - uint64(s.last)
		s.data = binary.AppendUvarint(grown(s.data, uvarintLen(d)), d)
	}
	s.n++
	s.tail++
	s.last = id
}

// grown returns s with room for n more. It grows by a quarter, not to the
// double: there are up to some ten million ids.
func grown[E any](s []E, n int) []E {
	if cap(s)-len(s) >= n {
		return s
	}
	if len(s) == 0 {
		return make([]E, 0, n)
	}
	// Appending to nil makes use of all that the allocator gives.
	g := append([]E(nil), make([]E, len(s)+max(n, len(s)/4))...)
	return g[:copy(g, s)]
}

// remove takes id out and tells whether it was there.
func (s *idSet) remove(id int64) bool {
	if s.n == 0 || id < s.firsts[0] || id > s.last {
		return false
	}
	s.seen = finger{}
	var buf [blockIDs]int64
	b := s.block(id)
	ids := s.appendBlock(buf[:0], b)
	i, found := slices.BinarySearch(ids, id)
	if !found {
		return false
	}
	s.n--
	if len(ids) > 1 {
		s.encode(b, slices.Delete(ids, i, i+1))
		return true
	}
	s.firsts = slices.Delete(s.firsts, b, b+1)
	s.starts = slices.Delete(s.starts, b, b+1)
	if s.n > 0 && b == len(s.firsts) {
		s.end(s.appendBlock(buf[:0], b-1))
	}
	return true
}

// insertBlock makes a block b that holds id alone.
func (s *idSet) insertBlock(b int, id int64) {
	at := len(s.data)
	if b < len(s.starts) {
		at = int(s.starts[b])
	}
	s.firsts = slices.Insert(grown(s.firsts, 1), b, id)
	s.starts = slices.Insert(grown(s.starts, 1), b, uint32(at))
}

// encode makes ids, at least one and at most blockIDs, what block b holds.
func (s *idSet) encode(b int, ids []int64) {
	var buf [(blockIDs - 1) * binary.MaxVarintLen64]byte
	data := buf[:0]
	for i := 1; i < len(ids); i++ {
		data = binary.AppendUvarint(data, uint64(ids[i])-uint64(ids[i-1]))
	}
	from := int(s.starts[b])
	to := from + len(s.blockData(b))
	more := len(data) - (to - from)
	if more > 0 {
		s.data = grown(s.data, more)
	}
	s.data = slices.Replace(s.data, from, to, data...)
	s.firsts[b] = ids[0]
	for i := b + 1; more != 0 && i < len(s.starts); i++ {
		s.starts[i] = uint32(int(s.starts[i]) + more)
	}
	if b == len(s.firsts)-1 {
		s.end(ids)
	}
}

// end notes what the last block holds.
func (s *idSet) end(ids []int64) { s.last, s.tail = ids[len(ids)-1], len(ids) }

// appendTo appends the ids, ascending, to buf.
func (s *idSet) appendTo(buf []int64) []int64 {
	buf = slices.Grow(buf, s.n)
	for b := range s.firsts {
		buf = s.appendBlock(buf, b)
	}
	return buf
}

func (s *idSet) appendBlock(buf []int64, b int) []int64 {
	id := s.firsts[b]
	buf = append(buf, id)
	for data := s.blockData(b); len(data) > 0; {
		d, n := uint64(data[0]), 1
		if d >= 0x80 {
			d, n = binary.Uvarint(data)
		}
		id = int64(uint64(id) + d)
		buf = append(buf, id)
		data = data[n:]
	}
	return buf
}

// all yields the ids ascending. The set must not change meanwhile.
func (s *idSet) all() iter.Seq[int64] {
	return func(yield func(int64) bool) {
		var buf [blockIDs]int64
		for b := range s.firsts {
			for _, id := range s.appendBlock(buf[:0], b) {
				if !yield(id) {
					return
				}
			}
		}
	}
}

// trim gives back the room of a set that will hardly grow any more.
func (s *idSet) trim() {
	if spare := s.size() - len(s.data) - 12*len(s.firsts); spare > s.size()/16 {
		s.data, s.firsts, s.starts = slices.Clone(s.data), slices.Clone(s.firsts), slices.Clone(s.starts)
	}
}
