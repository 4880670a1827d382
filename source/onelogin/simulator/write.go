package simulator

import (
	"math/rand/v2"
	"net/url"
	"slices"
)

// page is an answer before it is written.
type page struct {
	rows          []row
	before, after string // cursors; empty: null
	prev, next    bool   // whether there are links
	data          dataForm
	insert        []byte // an element that is no event
	insertAt      int    // its place in rows
	bare          bool   // next_link has no cursor
	unsaid        bool   // there is no pagination
	errorText     bool   // "error" is a text
}

type dataForm uint8

const (
	dataArray dataForm = iota
	dataNull
	dataMissing
	noContent
)

// arrange puts rows, found in the order of q, into the order of the page.
func (t *tenant) arrange(q *query, rows []row) {
	switch q.rules.page.Order {
	case OrderBack:
		slices.Reverse(rows)
	case OrderShuffled:
		if len(rows) > 0 {
			r := rand.New(rand.NewPCG(t.maker.seed, uint64(rows[0].index)))
			r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		}
	}
}

// paginate sets cursors and links as OneLogin does.
func (t *tenant) paginate(p *page, q *query, more bool) {
	rules := &q.rules.page
	full := len(p.rows) == q.limit
	forward := more || rules.FullPageLinks && full
	backward := q.hasAfter
	if q.hasBef {
		forward, backward = true, more
	}
	if len(p.rows) == 0 {
		if rules.EndCursor {
			p.after = q.after
		}
		switch rules.Empty {
		case EmptyNull:
			p.data = dataNull
		case EmptyNoContent:
			p.data = noContent
		case EmptyNoPagination:
			p.unsaid = true
		}
		return
	}
	if forward || rules.EndCursor {
		p.after = encodeCursor(t.maker.account, t.maker.id(p.rows[len(p.rows)-1].index), 0)
	}
	if backward {
		p.before = encodeCursor(t.maker.account, t.maker.id(p.rows[0].index), 0)
	}
	p.next, p.prev = forward, backward
}

const (
	statusOK  = `"status":{"error":false,"code":200,"type":"success","message":"Success"}`
	errorText = `"status":{"error":"false","code":200,"type":"success","message":"Success"}`
	linkPath  = "/api/1/events?"
)

func appendCursor(b []byte, name, cursor string) []byte {
	b = append(append(append(b, '"'), name...), `":`...)
	if cursor == "" {
		return append(b, "null,"...)
	}
	return append(append(append(b, '"'), cursor...), `",`...)
}

func appendLink(b []byte, name, base, param, cursor string, there bool) []byte {
	b = append(append(append(b, '"'), name...), `":`...)
	if !there {
		return append(b, "null"...)
	}
	b = append(append(append(b, '"'), base...), linkPath...)
	b = append(append(append(b, param...), '='), url.QueryEscape(cursor)...)
	return append(b, '"')
}

// write appends the answer.
func (t *tenant) write(b []byte, p *page, base string) []byte {
	b = append(b, '{')
	if p.errorText {
		b = append(b, errorText...)
	} else {
		b = append(b, statusOK...)
	}
	if !p.unsaid {
		b = p.writePagination(b, base)
	}
	switch p.data {
	case dataMissing:
		return append(b, '}')
	case dataNull:
		return append(b, `,"data":null}`...)
	}
	b = append(b, `,"data":[`...)
	for i, r := range p.rows {
		if i > 0 {
			b = append(b, ',')
		}
		if p.insert != nil && i == p.insertAt {
			b = append(append(b, p.insert...), ',')
		}
		b = t.maker.render(b, r.traffic, r.index, r.created)
	}
	if p.insert != nil && p.insertAt >= len(p.rows) {
		b = append(append(b, ','), p.insert...)
	}
	return append(b, "]}"...)
}

func (p *page) writePagination(b []byte, base string) []byte {
	b = append(b, `,"pagination":{`...)
	b = appendCursor(b, "before_cursor", p.before)
	if p.bare {
		b = append(b, `"after_cursor":null,"previous_link":null,"next_link":"`...)
		return append(append(b, base...), `/api/1/events?limit=50"}`...)
	}
	b = appendCursor(b, "after_cursor", p.after)
	b = appendLink(b, "previous_link", base, "before_cursor", p.before, p.prev)
	b = append(b, ',')
	b = appendLink(b, "next_link", base, "after_cursor", p.after, p.next)
	return append(b, '}')
}
