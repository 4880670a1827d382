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

// perPage is how many connectors, or jobs, are listed at once unless another number is
// asked for, and at most.
const perPage, maxPerPage = 100, 1000

// query is which connectors are listed, and how.
type query struct {
	Search string
	State  schemas.State // empty = all
	Sort   string        // a key of orders, "-" before it for the other way round
	paging
}

// paging is which page of a list is meant.
type paging struct {
	Page    int // from 1
	PerPage int
}

// pages is how many there are of a list of n, at least 1.
func (p paging) pages(n int) int { return max((n+p.PerPage-1)/p.PerPage, 1) }

// cut is where the page begins and ends in a list of n.
func (p paging) cut(n int) (from, to int) {
	from = min((p.Page-1)*p.PerPage, n)
	return from, min(from+p.PerPage, n)
}

// parsePaging reads page and per_page.
func parsePaging(v url.Values) (paging, []FieldProblem) {
	p := paging{1, perPage}
	var wrong []FieldProblem
	for _, n := range []struct {
		name string
		most int
		into *int
	}{{"page", 1_000_000, &p.Page}, {"per_page", maxPerPage, &p.PerPage}} {
		text := v.Get(n.name)
		if text == "" {
			continue
		}
		value, err := strconv.Atoi(text)
		if err != nil || value < 1 || value > n.most {
			wrong = append(wrong, FieldProblem{n.name, fmt.Sprintf("is no number from 1 to %d", n.most)})
			continue
		}
		*n.into = value
	}
	return p, wrong
}

// orders are what can be sorted by. All but worst go from the least to the most.
var orders = map[string]func(a, b *fleet.Status) int{
	"worst":            nil, // as they are
	"name":             func(a, b *fleet.Status) int { return 0 },
	"state":            func(a, b *fleet.Status) int { return cmp.Compare(a.State, b.State) },
	"events":           func(a, b *fleet.Status) int { return cmp.Compare(a.Events, b.Events) },
	"lag":              func(a, b *fleet.Status) int { return cmp.Compare(a.LagSeconds, b.LagSeconds) },
	"last_event":       func(a, b *fleet.Status) int { return a.LastEventAt.Compare(b.LastEventAt) },
	"complete_through": func(a, b *fleet.Status) int { return a.CompleteThrough.Compare(b.CompleteThrough) },
	"budget":           func(a, b *fleet.Status) int { return cmp.Compare(left(a), left(b)) },
	"owner":            func(a, b *fleet.Status) int { return cmp.Compare(a.Instance, b.Instance) },
	"age":              func(a, b *fleet.Status) int { return cmp.Compare(a.Age, b.Age) },
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
	page, wrong := parsePaging(v)
	q := query{Search: strings.ToLower(strings.TrimSpace(v.Get("q"))), State: schemas.State(v.Get("state")), Sort: cmp.Or(v.Get("sort"), "worst"), paging: page}
	if q.State != "" && !q.State.Valid() {
		wrong = append(wrong, FieldProblem{"state", fmt.Sprintf("is none of %v", schemas.States)})
	}
	if _, ok := orders[strings.TrimPrefix(q.Sort, "-")]; !ok {
		wrong = append(wrong, FieldProblem{"sort", "is none of worst, name, state, events, lag, last_event, complete_through, budget, owner and age, nor - and one of them"})
	}
	return q, wrong
}

// empty are those of the parameters that are given and empty: a form of a page
// sends what was not filled in, but whoever writes a program has made a mistake.
func empty(v url.Values, names ...string) (wrong []FieldProblem) {
	for _, name := range names {
		if v.Has(name) && v.Get(name) == "" {
			wrong = append(wrong, FieldProblem{name, "is empty; leave it out"})
		}
	}
	return wrong
}

// found is a page of connectors.
type found struct {
	query query
	rows  []fleet.Status
	// counts are by state, of all that match the search.
	counts map[schemas.State]int
	total  int // of those that match the state, too
}

// find picks a page of all.
func (q query) find(all []fleet.Status) found {
	f := found{query: q, counts: map[schemas.State]int{}}
	var matching []*fleet.Status
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
	f.total = len(matching)
	name, reversed := strings.CutPrefix(q.Sort, "-")
	if by := orders[name]; by != nil {
		slices.SortStableFunc(matching, func(a, b *fleet.Status) int { return cmp.Or(by(a, b), cmp.Compare(a.Connector, b.Connector)) })
	}
	if reversed {
		slices.Reverse(matching)
	}
	from, to := q.cut(len(matching))
	for _, s := range matching[from:to] {
		f.rows = append(f.rows, *s)
	}
	return f
}

// matches tells whether the search is in what identifies s, or in what is wrong
// with it.
func (q query) matches(s *fleet.Status) bool {
	if q.Search == "" {
		return true
	}
	for _, text := range []string{s.Connector, s.Domain, s.Instance, s.Stage, s.Message} {
		if strings.Contains(strings.ToLower(text), q.Search) {
			return true
		}
	}
	return s.AccountID != 0 && strconv.FormatInt(s.AccountID, 10) == q.Search
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
	Connectors []json.RawMessage     `json:"connectors"`
	Total      int                   `json:"total"`
	Page       int                   `json:"page"`
	Pages      int                   `json:"pages"`
	PerPage    int                   `json:"per_page"`
	Counts     map[schemas.State]int `json:"counts"`
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
	list := connectorList{Connectors: []json.RawMessage{}, Total: f.total, Page: q.Page, Pages: q.pages(f.total), PerPage: q.PerPage, Counts: f.counts, Trouble: trouble(err)}
	for i := range f.rows {
		list.Connectors = append(list.Connectors, o.row(&f.rows[i], now))
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
