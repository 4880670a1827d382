package simulator

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"time"
)

// Event is the truth about one event.
type Event struct {
	ID        int64
	CreatedAt time.Time
	VisibleAt time.Time // when the API first shows it
	// Odd tells that no client can read it as an event: it is not JSON, or its id
	// or created_at is of a form whose meaning is in doubt. It is a dead letter.
	Odd bool
	Raw []byte // as every answer has it; the reader's only until the next event
}

// SHA256 is the hexadecimal digest of Raw.
func (e *Event) SHA256() string {
	sum := sha256.Sum256(e.Raw)
	return hex.EncodeToString(sum[:])
}

// Truth yields every event of a tenant that exists at the time of the call,
// those not yet visible included, by ascending id.
func (s *Server) Truth(tenant string) (iter.Seq[Event], error) { return s.TruthAfter(tenant, 0) }

// TruthAfter is Truth for the events with an id above the given one. Where there
// is a second sequence of ids, events below it still come into being.
func (s *Server) TruthAfter(tenant string, id int64) (iter.Seq[Event], error) {
	t := s.tenant(tenant)
	if t == nil {
		return nil, fmt.Errorf("there is no tenant %q", tenant)
	}
	v := t.view(s.now())
	return func(yield func(Event) bool) {
		var raw []byte
		m, on := &t.maker, true
		for seq := range m.sequences() {
			v.each(m.after(seq, id), v.count, func(i int64, g *segment, a at) bool {
				if m.sequence(i) != seq {
					return true
				}
				l := m.look(&g.traffic, i)
				raw = m.renderAs(raw[:0], l, m.id(i), a.created)
				on = yield(Event{
					ID:        m.id(i),
					CreatedAt: time.Unix(0, a.created).UTC(),
					VisibleAt: time.Unix(0, a.visible).UTC(),
					Odd:       l.odd(),
					Raw:       raw,
				})
				return on
			})
			if !on {
				return
			}
		}
	}, nil
}

// Count is the number of events of a tenant that exist now; 0 if there is no
// such tenant.
func (s *Server) Count(tenant string) int64 {
	t := s.tenant(tenant)
	if t == nil {
		return 0
	}
	v := t.view(s.now())
	return v.count
}

// SettledAt is when everything that exists now is visible: the past, or up to
// the longest lateness ahead. Zero if nothing exists.
func (s *Server) SettledAt() time.Time {
	latest := int64(0)
	for _, t := range s.list("") {
		v := t.view(s.now())
		latest = max(latest, v.settled())
	}
	if latest == 0 {
		return time.Time{}
	}
	return time.Unix(0, latest).UTC()
}

// Injected is an element that a fault put into a page. It is no event.
type Injected struct {
	Fault     string
	ID        int64     // 0 if it has none
	CreatedAt time.Time // zero if it has none
	Raw       []byte
}

const maxInjected = 10_000

func (t *tenant) inject(in Injected) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.injected) < maxInjected {
		t.injected = append(t.injected, in)
	}
}

// Injected lists what faults put into a tenant's pages, up to 10,000 elements.
// The same element appears once for each time it was served.
func (s *Server) Injected(tenant string) []Injected {
	t := s.tenant(tenant)
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]Injected(nil), t.injected...)
}
