// Package fleet is how all connectors fare, by what the topics say of them: on
// whichever machine it is asked, and also when no instance is alive.
package fleet

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"onelogin-kafka/schemas"
)

// Stale is the age from which a status counts for nothing: an owner writes one
// every 30 s, whatever happens.
const Stale = 2 * time.Minute

// Status is how a connector fares, as far as its record can be believed.
type Status struct {
	// ConnectorStatus is what the record says, but for State, Message, Advice and
	// Since of one that is stale.
	schemas.ConnectorStatus
	// Reported is the state that the record says.
	Reported schemas.State
	// Age is how long ago the record was written, by the broker's clock where it
	// dates the topic. Negative for a connector without a record.
	Age time.Duration
}

// Well tells whether nobody need look at it: it is neither FAILING nor INACTIVE.
func (s *Status) Well() bool {
	return s.State != schemas.StateFailing && s.State != schemas.StateInactive
}

// MarshalJSON is the record with "reported" and "age_seconds", which is left out
// where there is no record.
func (s *Status) MarshalJSON() ([]byte, error) {
	b := s.ConnectorStatus.Marshal()
	b = fmt.Appendf(b[:len(b)-1], `,"reported":%q`, string(s.Reported))
	if s.Age >= 0 {
		age, err := json.Marshal(math.Round(s.Age.Seconds()*10) / 10)
		if err != nil {
			return nil, err
		}
		b = append(append(b, `,"age_seconds":`...), age...)
	}
	return append(b, '}'), nil
}

// record is a status as it was found.
type record struct {
	name   string
	status schemas.ConnectorStatus
	at     time.Time
	err    error // why it cannot be read
}

// View is what the status topic said so far. It is safe for concurrent use.
type View struct {
	configured map[string]bool

	mu      sync.Mutex
	records map[string]*record
	sorted  []*record // by name; nil = one has come or gone since
	changes int
}

// NewView returns a view of connectors that may have no record: they are shown
// all the same.
func NewView(configured ...string) *View {
	v := &View{configured: map[string]bool{}, records: make(map[string]*record, len(configured))}
	for _, name := range configured {
		v.configured[name], v.records[name] = true, &record{name: name}
	}
	return v
}

// Take takes a record of the status topic over. Its slices need not last. What
// cannot be read is a connector nobody can judge, which is shown as such.
func (v *View) Take(r *schemas.Record) {
	v.mu.Lock()
	defer v.mu.Unlock()
	name := string(r.Key)
	v.changes++
	known := v.records[name]
	if r.Value == nil && !v.configured[name] {
		delete(v.records, name)
		v.sorted = nil
		return
	}
	if known == nil {
		known = &record{}
		v.records[name], v.sorted = known, nil
	}
	if r.Value == nil { // it was put back, and nobody has said anything of it yet
		*known = record{name: name}
		return
	}
	st, err := schemas.ParseStatus(r.Value)
	if err == nil && st.Connector != name {
		err = fmt.Errorf("it is that of %.80q", st.Connector)
	}
	*known = record{name: name, status: st, at: r.Time, err: err}
}

// Changes counts the records taken over.
func (v *View) Changes() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.changes
}

// List returns all connectors as they fare at now, worst first, and those of the
// names that have no record.
func (v *View) List(now time.Time, names ...string) []Status {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := v.byName(names)
	// Names hardly ever change and ranks are few: nothing is compared.
	var next [ranks + 1]int // where the next one of a rank belongs
	for _, r := range all {
		next[r.rank(now)+1]++
	}
	for rank := range ranks {
		next[rank+1] += next[rank]
	}
	list := make([]Status, len(all))
	for _, r := range all {
		at := &next[r.rank(now)]
		list[*at] = r.judge(now)
		*at++
	}
	return list
}

// byName returns all records by name, with empty ones for the names that have none.
// The caller holds the lock, and only looks at them.
func (v *View) byName(names []string) []*record {
	order := func(a, b *record) int { return cmp.Compare(a.name, b.name) }
	if v.sorted == nil {
		v.sorted = slices.SortedFunc(maps.Values(v.records), order)
	}
	all := slices.Clip(v.sorted)
	for _, name := range names {
		if v.records[name] == nil {
			all = append(all, &record{name: name})
		}
	}
	if len(all) > len(v.sorted) {
		slices.SortFunc(all, order)
	}
	return all
}

// Counts returns how many connectors are in each state at now, with those of the
// names that have no record.
func (v *View) Counts(now time.Time, names ...string) map[schemas.State]int {
	n := map[schemas.State]int{}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range v.records {
		n[r.state(now)]++
	}
	for _, name := range names {
		if v.records[name] == nil {
			n[schemas.StateInactive]++
		}
	}
	return n
}

// Get returns one connector as it fares at now, and false if there is none of
// that name.
func (v *View) Get(name string, now time.Time) (Status, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	r, ok := v.records[name]
	if !ok {
		return Status{}, false
	}
	return r.judge(now), true
}

// What is said of a connector that no owner speaks for.
const (
	adviceDead   = "Is an instance running? Its log and /readyz say why it owns no shards."
	adviceUnread = "Read it with the version that wrote it."
)

// state is the connector's: nobody is there to say it where the record is old,
// whatever that says.
func (r *record) state(now time.Time) schemas.State {
	if r.err != nil || r.at.IsZero() || now.Sub(r.at) > Stale {
		return schemas.StateInactive
	}
	return r.status.State
}

// judge says how a connector fares.
func (r *record) judge(now time.Time) Status {
	s := Status{ConnectorStatus: r.status, Reported: r.status.State, Age: max(now.Sub(r.at), 0)}
	switch {
	case r.err != nil:
		s.ConnectorStatus = schemas.ConnectorStatus{
			Connector: r.name, State: schemas.StateInactive, LagSeconds: -1, UpdatedAt: r.at, Since: r.at,
			Message: "its status cannot be read: " + r.err.Error(), Advice: adviceUnread,
		}
		s.Reported = ""
	case r.at.IsZero():
		s.ConnectorStatus = schemas.ConnectorStatus{
			Connector: r.name, State: schemas.StateInactive, LagSeconds: -1,
			Message: "no instance has ever reported it", Advice: adviceDead,
		}
		s.Reported, s.Age = "", -1
	case s.Age > Stale:
		s.State, s.Advice = schemas.StateInactive, adviceDead
		s.Message = fmt.Sprintf("nobody has reported it for %s; the last word was %s", Ago(s.Age), said(&r.status))
		s.LagSeconds = -1
		if s.Reported != schemas.StateInactive {
			s.Since = r.at.Add(Stale)
		}
	}
	return s
}

// said is a state with its stage and message.
func said(st *schemas.ConnectorStatus) string {
	parts := []string{string(st.State)}
	for _, part := range []string{st.Stage, st.Message} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// WorstFirst are all states, that which most asks for somebody first.
var WorstFirst = [...]schemas.State{
	schemas.StateFailing, schemas.StateInactive, schemas.StateThrottled, schemas.StateCatchingUp, schemas.StatePaused, schemas.StateActive,
}

// mended is the rank of one that is well while something is to be mended; ranks is
// how many ranks there are.
const mended, ranks = 4, len(WorstFirst) + 1

func (r *record) rank(now time.Time) int {
	rank := slices.Index(WorstFirst[:], r.state(now))
	switch {
	case rank < mended:
		return rank
	case r.status.Message != "":
		return mended
	}
	return rank + 1
}

// Silent tells that no instance is alive by what the topic says, and since when
// nobody has reported anything.
func Silent(all []Status, now time.Time) (since time.Time, silent bool) {
	newest := time.Duration(math.MaxInt64)
	for i := range all {
		if all[i].Age >= 0 {
			newest = min(newest, all[i].Age)
		}
	}
	if newest == math.MaxInt64 || newest <= Stale {
		return time.Time{}, false
	}
	return now.Add(-newest), true
}

// Counts are how many connectors are in each state.
func Counts(all []Status) map[schemas.State]int {
	n := map[schemas.State]int{}
	for i := range all {
		n[all[i].State]++
	}
	return n
}

// Ago is a length of time in at most four characters, cut off: "8s", "59m",
// "23h", "400d"; "now" below a second.
func Ago(d time.Duration) string {
	switch {
	case d < time.Second:
		return "now"
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", min(d/(24*time.Hour), 9999))
}
