package simulator

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The edge's pages: HAProxy's stock texts.
const (
	html429 = "<html><body><h1>429 Too Many Requests</h1>\nYou have sent too many requests in a given amount of time.\n</body></html>\n"
	html502 = "<html><body><h1>502 Bad Gateway</h1>\nThe server returned an invalid or incomplete response.\n</body></html>\n"
	html504 = "<html><body><h1>504 Gateway Time-out</h1>\nThe server didn't respond in time.\n</body></html>\n"
	htmlOK  = "<!DOCTYPE html>\n<html><head><title>Maintenance</title></head><body>We will be back soon.</body></html>\n"
)

func writeHTML(w http.ResponseWriter, status int, page string) {
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("Content-Length", strconv.Itoa(len(page)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, page)
}

func throttle(w http.ResponseWriter) {
	dropRateHeaders(w.Header())
	w.Header().Set("Connection", "close")
	writeHTML(w, http.StatusTooManyRequests, html429)
}

// fail answers a call in the place of the API, if f is of that sort.
func (s *Server) fail(w http.ResponseWriter, t *tenant, f *fault) bool {
	if f == nil {
		return false
	}
	switch f.name {
	case TokenRevoked:
		s.revoke(t)
		unauthorized(w)
	case SecretRotated:
		s.rotate(t)
		unauthorized(w)
	case Unauthorized:
		unauthorized(w)
	case Forbidden:
		writeStatus(w, 403, "Forbidden", "Insufficient Permissions")
	case NotFound:
		writeStatus(w, 404, "not found", "No Route Exists")
	case Conflict:
		writeStatus(w, 409, "conflict", "Conflict")
	case RateLimitExceeded:
		writeStatus(w, 400, "bad request", "rate_limit_exceeded")
	case ServerError:
		writeStatus(w, 500, "Internal Server Error", "Internal Server Error")
	case Unavailable:
		writeStatus(w, 503, "Service Unavailable", "Service Unavailable")
	case ErrorOK:
		writeJSON(w, 200, statusBody(500, "Internal Server Error", "Something went wrong"))
	case ErrorObject:
		writeStatus(w, 400, "bad request", map[string]string{
			"description": "since is not a valid attribute for event model", "attribute": "since"})
	case FlatError:
		writeJSON(w, 400, []byte(`{"message":"Bad Request","statusCode":400,"name":"BadRequestError"}`))
	case BadGateway:
		writeHTML(w, 502, html502)
	case HTMLOK:
		writeHTML(w, 200, htmlOK)
	case NullBody:
		writeJSON(w, 200, []byte("null"))
	default:
		return s.refuse(w, t, f)
	}
	return true
}

// refuse is fail for what is done with headers alone.
func (s *Server) refuse(w http.ResponseWriter, t *tenant, f *fault) bool {
	until := s.now().Add(f.wait(2 * time.Second))
	h := w.Header()
	switch f.name {
	case ThrottledHTML:
		throttle(w)
	case ThrottledSeconds:
		h.Set("Retry-After", strconv.Itoa(int((f.wait(2*time.Second)+time.Second-1)/time.Second)))
		s.hold(w, t, until)
	case ThrottledDate:
		until = until.Truncate(time.Second).Add(time.Second) // the form has whole seconds
		h.Set("Retry-After", until.UTC().Format(http.TimeFormat))
		s.hold(w, t, until)
	case Redirect:
		h.Set("Location", orDefault(s.config.RedirectURL, "https://elsewhere.invalid/api/1/events"))
		w.WriteHeader(http.StatusFound)
	case ConnectionReset:
		panic(http.ErrAbortHandler)
	default:
		return false
	}
	return true
}

func (s *Server) hold(w http.ResponseWriter, t *tenant, until time.Time) {
	if t != nil {
		t.hold(until)
	}
	writeStatus(w, http.StatusTooManyRequests, "Too Many Requests", "rate_limit_exceeded")
}

// distort changes a page before it is written.
func (s *Server) distort(f *fault, t *tenant, v *view, q *query, p *page) {
	if f == nil {
		return
	}
	cursor := func(id int64) string { return encodeCursor(t.maker.account, id, s.faults.unique()) }
	switch f.name {
	case RepeatedCursor:
		p.after, p.next = q.after, true
	case RepeatedPage:
		earlier := *q
		earlier.hasAfter, earlier.hasBef = false, true
		// A cursor after an event asks for what follows it; the page before
		// ends with that event itself.
		earlier.beforeID = q.afterID + 1
		if q.descending {
			earlier.beforeID = q.afterID - 1
		}
		rows, _ := t.find(v, &earlier, nil)
		if len(rows) == 0 {
			s.faults.undo(f)
			return
		}
		t.arrange(q, rows)
		p.rows, p.after, p.next = rows, cursor(q.afterID), true
	case EndlessCursor:
		if len(p.rows) == 0 {
			s.faults.undo(f)
			return
		}
		p.after, p.next = cursor(t.position(v, q, p)), true
	case EmptyPage:
		p.after, p.next, p.rows = cursor(t.position(v, q, p)), true, nil
	case EmptyEnd, EmptyUnsaid, NoContent, EarlyEnd, NoPagination, BareLink:
		s.conceal(f, p)
	case ErrorText:
		p.errorText = true
	case DataNull:
		p.data = dataNull
	case DataMissing:
		p.data = dataMissing
	case MalformedElement, MissingID, BadTime, FutureTime:
		if len(p.rows) == 0 {
			s.faults.undo(f)
			return
		}
		t.spoil(f.name, p)
	}
}

// position is the id that the page stands behind.
func (t *tenant) position(v *view, q *query, p *page) int64 {
	ids := make([]int64, 0, len(p.rows))
	for _, r := range p.rows {
		ids = append(ids, t.maker.id(r.index))
	}
	m := &t.maker
	switch {
	case q.hasAfter:
		return q.afterID
	case len(ids) > 0 && q.descending:
		return slices.Max(ids) + 1
	case len(ids) > 0:
		return slices.Min(ids) - 1
	case q.descending || v.count == 0:
		return m.firstID - 1
	default:
		return m.base(m.sequences()-1) + v.count*m.gap
	}
}

// conceal leaves something out of a page, where it hides something.
func (s *Server) conceal(f *fault, p *page) {
	switch f.name {
	case EmptyEnd, EmptyUnsaid, NoContent:
		if len(p.rows) == 0 {
			s.faults.undo(f)
			return
		}
		p.rows, p.after, p.before, p.next, p.prev = nil, "", "", false, false
		p.unsaid = f.name == EmptyUnsaid
		if f.name == NoContent {
			p.data = noContent
		}
	case NoPagination:
		p.unsaid = true
	case EarlyEnd, BareLink:
		if !p.next {
			s.faults.undo(f)
			return
		}
		p.next, p.bare = false, f.name == BareLink
	}
}

// replica is the view that a call is answered from: the present one, or an older
// one where it would make another page.
func (s *Server) replica(f *fault, t *tenant, v *view, q *query) view {
	if !f.is(StaleReplica) {
		return *v
	}
	old := v.before(f.wait(30 * time.Second))
	now, more := t.find(v, q, nil)
	then, before := t.find(&old, q, nil)
	if more == before && slices.Equal(now, then) {
		s.faults.undo(f)
	}
	return old
}

// failLarge answers a page that is too large for the server.
func (s *Server) failLarge(w http.ResponseWriter, r *http.Request, t *tenant, form FailForm) {
	s.faults.count(LargePage, t.name, 1)
	switch form {
	case Fail500:
		writeStatus(w, 500, "Internal Server Error", "Internal Server Error")
	case FailTimeout:
		pause(r, 10*time.Minute)
		panic(http.ErrAbortHandler)
	case FailTooLarge:
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		s.respondTooLarge(w)
	default:
		writeHTML(w, http.StatusGatewayTimeout, html504)
	}
}

// spoil puts one more element into the middle of a page. Its id, if it has one,
// is no event's, and what stands beside an event is always the same.
func (t *tenant) spoil(name string, p *page) {
	k := len(p.rows) / 2
	r := p.rows[k]
	p.insertAt = k + 1
	m := &t.maker
	end := m.base(m.sequence(r.index)) + (r.index+1)*m.gap - reserved
	h := sub(hash(m.seed, r.index), saltBody)
	account := strconv.FormatInt(m.account, 10)
	created := string(appendTime(nil, r.created))
	in := Injected{Fault: name}
	switch name {
	case MalformedElement:
		forms := [...]string{`42`, `"not an event"`, `null`, `[]`, `[[{"id":1}]]`, `true`}
		in.Raw = []byte(forms[h%uint64(len(forms))])
	case MissingID:
		forms := [...]string{``, `"id":null,`, `"id":"4519-2198208",`, `"id":4.5e3,`, `"id":{},`, `"id":99999999999999999999,`}
		in.Raw = []byte(`{"account_id":` + account + `,` + forms[h%uint64(len(forms))] + `"created_at":` + created + `,"event_type_id":5}`)
	case BadTime:
		forms := [...]string{`"yesterday"`, `null`, `1709077689212`, `""`, `"2024-02-30T25:61:61.000Z"`}
		in.ID = end + 1
		in.Raw = []byte(`{"account_id":` + account + `,"created_at":` + forms[h%uint64(len(forms))] +
			`,"event_type_id":5,"id":` + strconv.FormatInt(in.ID, 10) + `}`)
	case FutureTime:
		in.ID = end + 2
		in.CreatedAt = time.Unix(0, r.created).UTC().AddDate(10, 0, 0)
		in.Raw = m.renderAs(nil, m.look(r.traffic, r.index), in.ID, in.CreatedAt.UnixNano())
	}
	p.insert = in.Raw
	t.inject(in)
}

// tally counts what a page shows of the events' shape.
func (s *Server) tally(t *tenant, v *view, p *page) {
	t.mu.Lock()
	t.served += int64(len(p.rows))
	t.mu.Unlock()
	hits := map[string]int64{}
	for i, r := range p.rows {
		if r.late {
			hits[LateEvents]++
		}
		if i > 0 && r.created < p.rows[i-1].created && r.index > p.rows[i-1].index {
			hits[OutOfOrder]++
		}
		if tr := r.traffic; tr.shaped() {
			l := t.maker.look(tr, r.index)
			for name, yes := range map[string]bool{
				UnknownFields: l.unknownField, UnknownTypes: l.unknownType, NullEverywhere: l.nulls,
				WhiteSpace: l.spaced && !l.nulls, LargeEvent: l.large > 0, BrokenEvents: l.broken,
				TextIDs: l.idAs == IDText, WebhookTimes: l.createdAs == TimeWebhook, BackdatedEvents: r.backdated,
			} {
				if yes {
					hits[name]++
				}
			}
		}
	}
	if n := len(p.rows); n > 0 && p.next && p.rows[n-1].index+1 < v.count {
		last := p.rows[n-1]
		i := last.index + 1
		g := v.schedule.segmentOf(i)
		if v.schedule.at(g, i).created == last.created {
			hits[EqualTimestamps]++
		}
	}
	for name, n := range hits {
		s.faults.count(name, t.name, n)
	}
}

// respond sends a success, the way f leaves it.
func (s *Server) respond(w http.ResponseWriter, r *http.Request, f *fault, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	if f.is(WrongContentType) {
		h.Set("Content-Type", "text/plain")
	}
	if f.is(ByteOrderMark) {
		body = append([]byte("\ufeff"), body...)
	}
	if f.is(BodyTooLarge) {
		s.respondTooLarge(w)
		return
	}
	if s.config.Gzip && acceptsGzip(r) || f.is(TruncatedGzip) {
		h.Set("Content-Encoding", "gzip")
		body = compressed(body)
	}
	half := len(body) / 2
	if f.is(TruncatedBody) || f.is(TruncatedGzip) {
		body = body[:half]
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if f.is(SlowBody) || f.is(ConnectionCut) {
		_, _ = w.Write(body[:half])
		body = body[half:]
		_ = http.NewResponseController(w).Flush() // a writer that cannot flush sends it all at once
		if f.is(ConnectionCut) {
			panic(http.ErrAbortHandler)
		}
		pause(r, f.wait(3*time.Second))
	}
	_, _ = w.Write(body) // the client's loss
}

// respondTooLarge sends valid JSON that is too much.
func (s *Server) respondTooLarge(w http.ResponseWriter) {
	const begin, end = "{" + statusOK + `,"data":[],"padding":"`, `"}`
	left := orDefault(s.config.TooLargeBytes, 33<<20) - len(begin) - len(end)
	w.WriteHeader(http.StatusOK)
	if _, err := io.WriteString(w, begin); err != nil {
		return
	}
	chunk := strings.Repeat("x", 64<<10)
	for ; left > 0; left -= len(chunk) {
		if _, err := io.WriteString(w, chunk[:min(left, len(chunk))]); err != nil {
			return
		}
	}
	_, _ = io.WriteString(w, end)
}

func compressed(body []byte) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed) // the level is valid
	_, _ = z.Write(body)                            // a Buffer takes everything
	_ = z.Close()
	return b.Bytes()
}

func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			return !strings.HasPrefix(strings.ReplaceAll(weight, " ", ""), "q=0") || strings.ContainsAny(weight, "123456789")
		}
	}
	return false
}

// pause waits, and ends the call if the client goes away first.
func pause(r *http.Request, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	}
}
