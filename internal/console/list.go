package console

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// perPage is how many rows are listed at once unless another number is asked for,
// and at most.
const perPage, maxPerPage = 100, 1000

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

// paged is what the API tells of a list beside its rows.
type paged struct {
	Total   int `json:"total"`
	Page    int `json:"page"`
	Pages   int `json:"pages"`
	PerPage int `json:"per_page"`
}

func (p paging) of(total int) paged { return paged{total, p.Page, p.pages(total), p.PerPage} }

// turn is the part of a page that goes to those before and after it.
type turn struct {
	From, To, Total int
	Before, After   string // links
}

// turn of a list of n, whose pages link returns.
func (p paging) turn(n int, link func(page string) string) turn {
	from, to := p.cut(n)
	t := turn{From: from + 1, To: to, Total: n}
	if p.Page > 1 {
		t.Before = link(strconv.Itoa(p.Page - 1))
	}
	if p.Page < p.pages(n) {
		t.After = link(strconv.Itoa(p.Page + 1))
	}
	return t
}

// order is something to sort by, from the least to the most.
type order[T any] struct {
	key string
	by  func(a, b T) int // nil = as they are
}

// search is which rows of a list are shown, in which order, and which page of them.
type search struct {
	Text string // in lower case
	Sort string // the key of an order, "-" before it for the other way round
	paging
	usual string // is sorted by unless something else is asked for
}

// parseSearch reads q, sort, page and per_page.
func parseSearch[T any](v url.Values, orders []order[T], usual string) (search, []FieldProblem) {
	page, wrong := parsePaging(v)
	s := search{Text: strings.ToLower(strings.TrimSpace(v.Get("q"))), Sort: v.Get("sort"), paging: page, usual: usual}
	if s.Sort == "" {
		s.Sort = usual
	}
	var keys []string
	for _, o := range orders {
		keys = append(keys, o.key)
	}
	if !slices.Contains(keys, strings.TrimPrefix(s.Sort, "-")) {
		last := len(keys) - 1
		wrong = append(wrong, FieldProblem{"sort", "is none of " + strings.Join(keys[:last], ", ") + " and " + keys[last] + ", nor - and one of them"})
	}
	return s, wrong
}

// in tells whether one of the texts has what is searched.
func (s search) in(texts ...string) bool {
	return s.Text == "" || slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(strings.ToLower(text), s.Text) })
}

// pick sorts rows and returns those of the page. What is equal stays as it is.
func pick[T any](s search, rows []T, orders []order[T]) []T {
	key, reversed := strings.CutPrefix(s.Sort, "-")
	if i := slices.IndexFunc(orders, func(o order[T]) bool { return o.key == key }); i >= 0 && orders[i].by != nil {
		slices.SortStableFunc(rows, orders[i].by)
	}
	if reversed {
		slices.Reverse(rows)
	}
	from, to := s.cut(len(rows))
	return rows[from:to]
}

// link is a path with what is searched, and with more parameters, each its name and
// then its value; those that say nothing are left out.
func (s search) link(path string, more ...string) string {
	v := url.Values{}
	all := append([]string{"q", s.Text, "sort", s.Sort}, more...)
	for i := 0; i+1 < len(all); i += 2 {
		if v.Del(all[i]); all[i+1] != "" {
			v.Set(all[i], all[i+1])
		}
	}
	if v.Get("sort") == s.usual {
		v.Del("sort")
	}
	if len(v) == 0 {
		return path
	}
	return path + "?" + v.Encode()
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
