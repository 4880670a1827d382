package simulator

// maker renders the events of one tenant. It is immutable.
type maker struct {
	seed    uint64
	account int64
	firstID int64
	gap     int64
	users   int64
	// moved events, the first ones, have ids of the second sequence, or a share of
	// all.
	moved int64
	share float64
}

// apart is how far the second sequence of ids is above the first.
const apart = 1 << 44

// sequences are the sequences of ids that events may have.
func (m *maker) sequences() int64 {
	if m.moved > 0 || m.share > 0 {
		return 2
	}
	return 1
}

// sequence is the sequence that event i has its id of.
func (m *maker) sequence(i int64) int64 {
	if i < m.moved || m.share > 0 && chance(hash(m.seed, i), saltSequence, m.share) {
		return 1
	}
	return 0
}

// reserved ids at the end of each gap belong to what faults put in, so that no
// event ever has one of them.
const reserved = 16

// id is event i's id: ascending with i within its sequence, with a random gap.
func (m *maker) id(i int64) int64 { return m.idIn(m.sequence(i), i) }

func (m *maker) idIn(seq, i int64) int64 {
	return m.base(seq) + i*m.gap + int64(sub(hash(m.seed, i), saltID)%uint64(m.gap-reserved))
}

// base is the lower bound of a sequence's ids.
func (m *maker) base(seq int64) int64 { return m.firstID + seq*apart }

// after is the index from which on a sequence's ids are above id.
func (m *maker) after(seq, id int64) int64 {
	if id < m.base(seq) {
		return 0
	}
	i := (id - m.base(seq)) / m.gap
	if m.idIn(seq, i) <= id {
		i++
	}
	return i
}

// index is the event that has this id.
func (m *maker) index(id int64) (i int64, ok bool) {
	for seq := range m.sequences() {
		if id >= m.base(seq) {
			i = (id - m.base(seq)) / m.gap
			ok = ok || m.id(i) == id
			if ok {
				break
			}
		}
	}
	return i, ok
}
