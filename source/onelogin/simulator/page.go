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
	rules            rules
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
	r := t.rules()
	q := &query{since: math.MinInt64, until: math.MaxInt64, limit: r.page.Default, descending: r.page.Descending, rules: r}
	if err := q.parseTimes(v); err != nil {
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
	switch r.page.Order {
	case OrderDescending, OrderBack:
		q.descending = true
	case OrderShuffled:
		q.descending = false
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
		if n > r.page.Max && r.page.Reject {
			return nil, &badRequest{"limit", "limit should be less than or equal to " + strconv.Itoa(r.page.Max), r.page.RejectText}
		}
		q.limit = min(n, r.page.Max)
	}
	return q, nil
}

func (q *query) parseTimes(v url.Values) *badRequest {
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
	if s := q.rules.since; q.since != math.MinInt64 {
		if s.Seconds {
			q.since = time.Unix(0, q.since).Truncate(time.Second).UnixNano()
		}
		if s.Exclusive {
			q.since++
		}
	}
	if u := q.rules.until; u.Ignored {
		q.until = math.MaxInt64
	} else if q.until != math.MaxInt64 {
		if u.Seconds {
			q.until = time.Unix(0, q.until).Truncate(time.Second).UnixNano()
		}
		if u.Inclusive {
			q.until++
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

	backdated bool
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
	down := q.descending != q.hasBef
	n := 0
	var seq int64
	take := func(i int64, g *segment, a at) bool {
		if a.visible > v.now || a.created < q.since || a.created >= q.until || t.maker.sequence(i) != seq || !t.matches(q, g, i) {
			return true
		}
		if n == q.limit {
			more = true
			return false
		}
		n++
		rows = append(rows, row{index: i, created: a.created, traffic: &g.traffic, late: a.visible > a.turn, backdated: a.backdated})
		return true
	}
	for k := range t.maker.sequences() {
		if seq = k; down {
			seq = t.maker.sequences() - 1 - k
		}
		from, to := t.bounds(q, seq, first, end)
		if down {
			v.eachDown(from, to, take)
		} else {
			v.each(from, to, take)
		}
		if more {
			break
		}
	}
	if q.hasBef {
		found := rows[len(rows)-n:]
		for i, j := 0, len(found)-1; i < j; i, j = i+1, j-1 {
			found[i], found[j] = found[j], found[i]
		}
	}
	return rows, more
}

// bounds narrows the events from first to end to those of a sequence that the
// cursors of q leave. A cursor stands at an id; before it in one order is after
// it in the other.
func (t *tenant) bounds(q *query, seq, first, end int64) (int64, int64) {
	m := &t.maker
	switch {
	case q.hasAfter && !q.descending:
		first = max(first, m.after(seq, q.afterID))
	case q.hasAfter:
		end = min(end, m.after(seq, q.afterID-1))
	case q.hasBef && !q.descending:
		end = min(end, m.after(seq, q.beforeID-1))
	case q.hasBef:
		first = max(first, m.after(seq, q.beforeID))
	}
	if m.moved > 0 && seq == 0 {
		first = max(first, m.moved)
	} else if m.moved > 0 {
		end = min(end, m.moved)
	}
	return first, end
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
		if above := q.rules.page.FailAbove; above > 0 && q.limit > above {
			s.faults.undo(f)
			s.failLarge(w, r, t, q.rules.page.FailWith)
			return
		}
		rows, buffer := rowPool.Get().(*[]row), bufferPool.Get().(*[]byte)
		defer func() { rowPool.Put(rows); bufferPool.Put(buffer) }()
		v := t.view(s.now())
		p := page{}
		var more bool
		shown := s.replica(f, t, &v, q)
		p.rows, more = t.find(&shown, q, (*rows)[:0])
		*rows = p.rows
		t.paginate(&p, q, more)
		t.arrange(q, p.rows)
		s.distort(f, t, &v, q, &p)
		s.tally(t, &v, &p)
		if p.data == noContent {
			w.WriteHeader(http.StatusNoContent)
			return
		}
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
