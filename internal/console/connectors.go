package console

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"onelogin-kafka/internal/fleet"
	"onelogin-kafka/schemas"
)

// query is which connectors are listed, and how.
type query struct {
	search
	State schemas.State // empty = all
}

// orders are what connectors can be sorted by. All but worst, which they come in, go
// from the least to the most, and by name where it is the same.
var orders = []order[*fleet.Status]{
	{"worst", nil},
	ordered("name", func(a, b *fleet.Status) int { return 0 }),
	ordered("state", func(a, b *fleet.Status) int { return cmp.Compare(a.State, b.State) }),
	ordered("events", func(a, b *fleet.Status) int { return cmp.Compare(a.Events, b.Events) }),
	ordered("lag", func(a, b *fleet.Status) int { return cmp.Compare(a.LagSeconds, b.LagSeconds) }),
	ordered("last_event", func(a, b *fleet.Status) int { return a.LastEventAt.Compare(b.LastEventAt) }),
	ordered("complete_through", func(a, b *fleet.Status) int { return a.CompleteThrough.Compare(b.CompleteThrough) }),
	ordered("budget", func(a, b *fleet.Status) int { return cmp.Compare(left(a), left(b)) }),
	ordered("owner", func(a, b *fleet.Status) int { return cmp.Compare(a.Instance, b.Instance) }),
	ordered("age", func(a, b *fleet.Status) int { return cmp.Compare(a.Age, b.Age) }),
}

func ordered(key string, by func(a, b *fleet.Status) int) order[*fleet.Status] {
	return order[*fleet.Status]{key, func(a, b *fleet.Status) int { return cmp.Or(by(a, b), cmp.Compare(a.Connector, b.Connector)) }}
}

// left is the part of the hourly calls that is left, 0 to 1; 1 where it is not
// known.
func left(s *fleet.Status) float64 {
	if s.RateLimit.Limit <= 0 {
		return 1
	}
	return float64(s.RateLimit.Remaining) / float64(s.RateLimit.Limit)
}

// parseQuery reads q, state, sort, page and per_page.
func parseQuery(v url.Values) (query, []FieldProblem) {
	s, wrong := parseSearch(v, orders, "worst")
	q := query{s, schemas.State(v.Get("state"))}
	if q.State != "" && !q.State.Valid() {
		wrong = append(wrong, FieldProblem{"state", fmt.Sprintf("is none of %v", schemas.States)})
	}
	return q, wrong
}

// found is a page of connectors.
type found struct {
	rows []*fleet.Status
	// counts are by state, of all that match the search.
	counts map[schemas.State]int
	total  int // of those that match the state, too
}

// find picks a page of all.
func (q query) find(all []fleet.Status) found {
	f := found{counts: map[schemas.State]int{}}
	matching := make([]*fleet.Status, 0, len(all))
	for i := range all {
		s := &all[i]
		if !q.matches(s) {
			continue
		}
		f.counts[s.State]++
		if q.State == "" || s.State == q.State {
			matching = append(matching, s)
		}
	}
	f.total, f.rows = len(matching), pick(q.search, matching, orders)
	return f
}

// matches tells whether the search is in what identifies s, or in what is wrong
// with it.
func (q query) matches(s *fleet.Status) bool {
	if q.in(s.Connector, s.Domain, s.Instance, s.Stage, s.Message) {
		return true
	}
	return s.AccountID != 0 && strconv.FormatInt(s.AccountID, 10) == q.Text
}

// row is a connector as the API shows it: its status with events_per_minute.
func (o *Options) row(s *fleet.Status, now time.Time) json.RawMessage {
	b, err := s.MarshalJSON()
	if err != nil {
		panic("console: " + err.Error()) // impossible: numbers and texts
	}
	rate, err := json.Marshal(o.Board.Rate(s.Connector, now))
	if err != nil {
		panic("console: " + err.Error()) // as above
	}
	return append(append(append(b[:len(b)-1], `,"events_per_minute":`...), rate...), '}')
}

// connectorList is what GET /api/v1/connectors answers.
type connectorList struct {
	Connectors []json.RawMessage `json:"connectors"`
	paged
	Counts map[schemas.State]int `json:"counts"`
	// Trouble says why the list may be old.
	Trouble string `json:"trouble,omitempty"`
}

func (o *Options) connectors(w http.ResponseWriter, r *http.Request) {
	q, wrong := parseQuery(r.URL.Query())
	wrong = append(wrong, empty(r.URL.Query(), "state", "sort", "page", "per_page")...)
	if len(wrong) > 0 {
		refuse(w, http.StatusBadRequest, "The query cannot be answered.", wrong...)
		return
	}
	now := time.Now()
	all, err := o.Board.List(now)
	f := q.find(all)
	list := connectorList{Connectors: []json.RawMessage{}, paged: q.of(f.total), Counts: f.counts, Trouble: trouble(err)}
	for _, s := range f.rows {
		list.Connectors = append(list.Connectors, o.row(s, now))
	}
	answer(w, list)
}

// trouble is what keeps what the topics say from being up to date: the statuses,
// and, where they are shown, jobs and changes.
func (o *Options) trouble(jobs, changes bool) string {
	_, err := o.Board.Counts(time.Now())
	all := []string{trouble(err)}
	if jobs && o.Desk != nil {
		_, _, err := o.Desk.Jobs("")
		all = append(all, trouble(err))
	}
	if changes {
		_, err := o.Trail.Entries("", 0)
		all = append(all, trouble(err))
	}
	return strings.Join(slices.DeleteFunc(all, func(text string) bool { return text == "" }), "; ")
}

func trouble(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (o *Options) connector(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	s, ok := o.Board.Get(r.PathValue("name"), now)
	if !ok {
		refuse(w, http.StatusNotFound, noConnector)
		return
	}
	more, err := json.Marshal(struct {
		History []Change  `json:"history"`
		Errors  []Failure `json:"errors"`
	}{append([]Change{}, o.Board.History(s.Connector)...), append([]Failure{}, o.Board.Failures(s.Connector)...)})
	if err != nil {
		panic("console: " + err.Error()) // impossible: times and texts
	}
	row := o.row(&s, now)
	row[len(row)-1], more[0] = ',', ' '
	answer(w, append(row, more...))
}

const noConnector = "There is no connector of this name: no instance has reported it, and this one has no configuration for it."
