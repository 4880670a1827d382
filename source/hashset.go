package source

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
