package simulator

import (
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// query is a parsed request for a page.
type query struct {
	since, until     int64 // bounds of created_at, since inclusive, until exclusive
	after, before    string
	afterID          int64
	beforeID         int64
	descending       bool
	limit            int
	types            map[int]bool
	user, id         int64
	hasUser, hasID   bool
	hasAfter, hasBef bool
}

// badRequest is an answer of 400 that blames a parameter.
type badRequest struct {
	attribute, text string
	flat            bool
}

func (e *badRequest) write(w http.ResponseWriter) {
	if e.flat {
		writeStatus(w, 400, "bad request", e.text)
		return
	}
	writeStatus(w, 400, "bad request", map[string]string{"description": e.text, "attribute": e.attribute})
}

func (t *tenant) parse(v url.Values) (*query, *badRequest) {
	q := &query{since: math.MinInt64, until: math.MaxInt64, limit: t.page.Default, descending: t.page.Descending}
	if err := q.parseTimes(v, t.since); err != nil {
		return nil, err
	}
	switch sort := v.Get("sort"); sort {
	case "":
	case "+id", " id", "id": // a raw + arrives as a space
		q.descending = false
	case "-id":
		q.descending = true
	default:
		return nil, &badRequest{attribute: "sort", text: "sort has an unknown attribute"}
	}
	if err := q.parseCursors(v, t.maker.account); err != nil {
		return nil, err
	}
	if err := q.parseFilters(v); err != nil {
		return nil, err
	}
	if text := v.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, &badRequest{attribute: "limit", text: "limit has incorrect data type. It should be -> integer", flat: true}
		}
		if n > t.page.Max && t.page.Reject {
			return nil, &badRequest{"limit", "limit should be less than or equal to " + strconv.Itoa(t.page.Max), t.page.RejectText}
		}
		q.limit = min(n, t.page.Max)
	}
	return q, nil
}

func (q *query) parseTimes(v url.Values, s Since) *badRequest {
	for name, bound := range map[string]*int64{"since": &q.since, "until": &q.until} {
		text := v.Get(name)
		if text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return &badRequest{attribute: name, text: name + " has incorrect data type. It should be -> datetime", flat: true}
		}
		*bound = at.UnixNano()
	}
	if q.since != math.MinInt64 {
		if s.Seconds {
			q.since = time.Unix(0, q.since).Truncate(time.Second).UnixNano()
		}
		if s.Exclusive {
			q.since++
		}
	}
	return nil
}

func (q *query) parseCursors(v url.Values, account int64) *badRequest {
	q.after, q.before = v.Get("after_cursor"), v.Get("before_cursor")
	q.hasAfter, q.hasBef = q.after != "", q.before != ""
	ok := true
	if q.hasAfter {
		q.afterID, ok = decodeCursor(q.after, account)
	}
	if q.hasBef && ok {
		q.beforeID, ok = decodeCursor(q.before, account)
	}
	if !ok || q.hasAfter && q.hasBef {
		return &badRequest{attribute: "cursor", text: "Invalid cursor", flat: true}
	}
	return nil
}

func (q *query) parseFilters(v url.Values) *badRequest {
	wrong := func(name string) *badRequest {
		return &badRequest{attribute: name, text: name + " has incorrect data type. It should be -> integer", flat: true}
	}
	if text := v.Get("event_type_id"); text != "" {
		q.types = map[int]bool{}
		for part := range strings.SplitSeq(text, ",") {
			n, err := strconv.Atoi(strings.TrimSpace(part))
			if err != nil {
				return wrong("event_type_id")
			}
			q.types[n] = true
		}
	}
	var err error
	if text := v.Get("user_id"); text != "" {
		if q.user, err = strconv.ParseInt(text, 10, 64); err != nil {
			return wrong("user_id")
		}
		q.hasUser = true
	}
	if text := v.Get("id"); text != "" {
		if q.id, err = strconv.ParseInt(text, 10, 64); err != nil {
			return wrong("id")
		}
		q.hasID = true
	}
	return nil
}

// row is an event of a page.
type row struct {
	index   int64
	created int64
	traffic *Traffic
	late    bool
}

// find appends the events that q asks for, in its order, and tells whether
// more follow in the direction of the search.
func (t *tenant) find(v *view, q *query, rows []row) (_ []row, more bool) {
	first, end := int64(0), v.count
	if q.since != math.MinInt64 {
		first = v.schedule.search(v.count, q.since)
	}
	if q.until != math.MaxInt64 {
		end = v.schedule.search(v.count, q.until+v.schedule.maxJitter)
	}
	if q.hasID {
		i, ok := t.maker.index(q.id)
		if !ok {
			return rows, false
		}
		first, end = max(first, i), min(end, i+1)
	}
	// A cursor stands at an id; before it in one order is after it in the other.
	down := q.descending != q.hasBef
	switch {
	case q.hasAfter && !q.descending:
		first = max(first, t.maker.after(q.afterID))
	case q.hasAfter:
		end = min(end, t.maker.after(q.afterID-1))
	case q.hasBef && !q.descending:
		end = min(end, t.maker.after(q.beforeID-1))
	case q.hasBef:
		first = max(first, t.maker.after(q.beforeID))
	}
	n := 0
	take := func(i int64, g *segment, a at) bool {
		if a.visible > v.now || a.created < q.since || a.created >= q.until || !t.matches(q, g, i) {
			return true
		}
		if n == q.limit {
			more = true
			return false
		}
		n++
		rows = append(rows, row{index: i, created: a.created, traffic: &g.traffic, late: a.visible > a.turn})
		return true
	}
	if down {
		v.eachDown(first, end, take)
	} else {
		v.each(first, end, take)
	}
	if q.hasBef {
		found := rows[len(rows)-n:]
		for i, j := 0, len(found)-1; i < j; i, j = i+1, j-1 {
			found[i], found[j] = found[j], found[i]
		}
	}
	return rows, more
}

func (t *tenant) matches(q *query, g *segment, i int64) bool {
	if q.types == nil && !q.hasUser {
		return true
	}
	l := t.maker.look(&g.traffic, i)
	if q.types != nil && !q.types[l.eventType] {
		return false
	}
	return !q.hasUser || l.user >= 0 && t.maker.userID(l.user) == q.user
}

// page is an answer before it is written.
type page struct {
	rows          []row
	before, after string // cursors; empty: null
	prev, next    bool   // whether there are links
	data          dataForm
	insert        []byte // an element that is no event
	insertAt      int    // its place in rows
}

type dataForm uint8

const (
	dataArray dataForm = iota
	dataNull
	dataMissing
)

// paginate sets cursors and links as OneLogin does.
func (t *tenant) paginate(p *page, q *query, more bool) {
	full := len(p.rows) == q.limit
	forward := more || t.page.FullPageLinks && full
	backward := q.hasAfter
	if q.hasBef {
		forward, backward = true, more
	}
	if len(p.rows) == 0 {
		if t.page.EndCursor {
			p.after = q.after
		}
		return
	}
	if forward || t.page.EndCursor {
		p.after = encodeCursor(t.maker.account, t.maker.id(p.rows[len(p.rows)-1].index), 0)
	}
	if backward {
		p.before = encodeCursor(t.maker.account, t.maker.id(p.rows[0].index), 0)
	}
	p.next, p.prev = forward, backward
}

const (
	statusOK = `"status":{"error":false,"code":200,"type":"success","message":"Success"}`
	linkPath = "/api/1/events?"
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
	b = append(b, statusOK...)
	b = append(b, `,"pagination":{`...)
	b = appendCursor(b, "before_cursor", p.before)
	b = appendCursor(b, "after_cursor", p.after)
	b = appendLink(b, "previous_link", base, "before_cursor", p.before, p.prev)
	b = append(b, ',')
	b = appendLink(b, "next_link", base, "after_cursor", p.after, p.next)
	b = append(b, '}')
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

var (
	rowPool    = sync.Pool{New: func() any { return new([]row) }}
	bufferPool = sync.Pool{New: func() any { return new([]byte) }}
)

func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	s.serveAPI(w, r, endpointEvents, func(w http.ResponseWriter, t *tenant, f *fault) {
		q, bad := t.parse(r.URL.Query())
		if bad != nil {
			s.faults.undo(f)
			bad.write(w)
			return
		}
		rows, buffer := rowPool.Get().(*[]row), bufferPool.Get().(*[]byte)
		defer func() { rowPool.Put(rows); bufferPool.Put(buffer) }()
		v := t.view(s.now())
		p := page{}
		var more bool
		p.rows, more = t.find(&v, q, (*rows)[:0])
		*rows = p.rows
		t.paginate(&p, q, more)
		s.distort(f, t, &v, q, &p)
		s.tally(t, &v, &p)
		*buffer = t.write((*buffer)[:0], &p, s.linkBase(r))
		s.respond(w, r, f, *buffer)
	})
}

func (s *Server) linkBase(r *http.Request) string {
	if s.config.LinkBase != "" {
		return s.config.LinkBase
	}
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func (s *Server) serveEvent(w http.ResponseWriter, r *http.Request) {
	s.serveAPI(w, r, endpointEvent, func(w http.ResponseWriter, t *tenant, f *fault) {
		id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
		if err != nil {
			s.faults.undo(f)
			writeStatus(w, 400, "bad request", "id has incorrect data type. It should be -> integer")
			return
		}
		v := t.view(s.now())
		q := query{since: math.MinInt64, until: math.MaxInt64, limit: 1, id: id, hasID: true}
		rows, _ := t.find(&v, &q, nil)
		if len(rows) == 0 {
			s.faults.undo(f)
			writeStatus(w, 404, "not found", "Event not found")
			return
		}
		b := append([]byte("{"+statusOK+`,"data":[`), nil...)
		b = t.maker.render(b, rows[0].traffic, rows[0].index, rows[0].created)
		s.respond(w, r, f, append(b, "]}"...))
	})
}
