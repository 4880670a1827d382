package simulator_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"onelogin-kafka/source/onelogin/simulator"
)

// outcome is what a client saw of one call through the Transport.
type outcome struct {
	err     error // of the call
	code    int
	header  http.Header
	body    string
	bodyErr error
	took    time.Duration
}

// call asks for a page of 10 behind the cursor.
func call(t *testing.T, s *simulator.Server, tok, cursor string) outcome {
	t.Helper()
	v := url.Values{"limit": {"10"}, "sort": {"+id"}}
	if cursor != "" {
		v.Set("after_cursor", cursor)
	}
	r, err := http.NewRequest("GET", "http://onelogin.invalid/api/1/events?"+v.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "bearer:"+tok)
	r.Header.Set("Accept-Encoding", "gzip")
	begin := time.Now()
	res, err := s.Transport().RoundTrip(r)
	if err != nil {
		return outcome{err: err, took: time.Since(begin)}
	}
	body, err := drain(t, res.Body)
	return outcome{code: res.StatusCode, header: res.Header, body: string(body), bodyErr: err, took: time.Since(begin)}
}

func (o *outcome) page(t *testing.T) answer {
	t.Helper()
	var a answer
	if err := json.Unmarshal([]byte(o.body), &a); err != nil {
		t.Fatalf("%v in %.300s", err, o.body)
	}
	return a
}

// code wants an answer of this code whose body holds the text.
func code(want int, text string) func(*testing.T, *simulator.Server, outcome) {
	return func(t *testing.T, _ *simulator.Server, o outcome) {
		if o.code != want || !strings.Contains(o.body, text) || o.bodyErr != nil {
			t.Errorf("got %d %.300s, want %d with %q", o.code, o.body, want, text)
		}
	}
}

// with wants a second page of ten real events in which one thing is wrong.
func with(text string) func(*testing.T, *simulator.Server, outcome) {
	return func(t *testing.T, s *simulator.Server, o outcome) {
		in := s.Injected("acme")
		if len(in) != 1 || !strings.Contains(o.body, string(in[0].Raw)) || !strings.Contains(string(in[0].Raw), text) {
			t.Fatalf("injected %+v, want one in the page that holds %q", in, text)
		}
		a := o.page(t)
		var rest []string
		for _, e := range a.Data {
			if string(e) != string(in[0].Raw) {
				rest = append(rest, string(e))
			}
		}
		if want := rawOf(truth(t, s, "acme")[10:20], nil); len(a.Data) != 11 || !slices.Equal(rest, want) {
			t.Errorf("the neighbours are not the ten events of the page")
		}
	}
}

// second wants the second page of ten, in which one thing is left out, or a page
// without events.
func second(events int, check func(a answer, body string) bool) func(*testing.T, *simulator.Server, outcome) {
	return func(t *testing.T, s *simulator.Server, o outcome) {
		a := o.page(t)
		var got []string
		for _, e := range a.Data {
			got = append(got, string(e))
		}
		if want := rawOf(truth(t, s, "acme")[10:10+events], nil); o.code != 200 || !slices.Equal(got, want) || !check(a, o.body) {
			t.Errorf("got %d %.500s", o.code, o.body)
		}
	}
}

var faultTests = map[string]func(*testing.T, *simulator.Server, outcome){
	simulator.ByteOrderMark: func(t *testing.T, s *simulator.Server, o outcome) {
		if !strings.HasPrefix(o.body, "\xef\xbb\xbf{") {
			t.Errorf("got %.20q", o.body)
		}
		o.body = o.body[3:]
		second(10, func(a answer, _ string) bool { return a.Pagination.NextLink != nil })(t, s, o)
	},
	simulator.EmptyEnd: second(0, func(a answer, body string) bool {
		return a.Pagination.NextLink == nil && a.Pagination.AfterCursor == nil && strings.Contains(body, `"pagination":{`) && strings.Contains(body, `"data":[]`)
	}),
	simulator.EmptyUnsaid: second(0, func(_ answer, body string) bool {
		return !strings.Contains(body, "pagination") && strings.Contains(body, `"data":[]`)
	}),
	simulator.NoContent: func(t *testing.T, _ *simulator.Server, o outcome) {
		if o.code != 204 || o.body != "" || o.header.Get("X-RateLimit-Limit") != "5000" {
			t.Errorf("got %d %q %v", o.code, o.body, o.header)
		}
	},
	simulator.EarlyEnd:     second(10, func(a answer, _ string) bool { return a.Pagination.NextLink == nil }),
	simulator.NoPagination: second(10, func(_ answer, body string) bool { return !strings.Contains(body, "pagination") }),
	simulator.BareLink: second(10, func(a answer, _ string) bool {
		return a.Pagination.NextLink != nil && !strings.Contains(*a.Pagination.NextLink, "cursor") && a.Pagination.AfterCursor == nil
	}),
	simulator.ErrorText: func(t *testing.T, _ *simulator.Server, o outcome) {
		if !strings.HasPrefix(o.body, `{"status":{"error":"false",`) || strings.Count(o.body, `"event_type_id":`) != 10 {
			t.Errorf("got %.200s", o.body)
		}
	},
	simulator.StaleReplica: second(0, func(a answer, _ string) bool { return a.Pagination.NextLink == nil }),
	simulator.Unauthorized: code(401, "Authentication Failure"),
	simulator.TokenRevoked: func(t *testing.T, s *simulator.Server, o outcome) {
		code(401, "Authentication Failure")(t, s, o)
		if again := call(t, s, token(t, s, "acme"), ""); again.code != 200 {
			t.Errorf("a new token got %d", again.code)
		}
	},
	simulator.SecretRotated: func(t *testing.T, s *simulator.Server, o outcome) {
		code(401, "Authentication Failure")(t, s, o)
		if again := call(t, s, token(t, s, "acme"), ""); again.code != 200 {
			t.Errorf("the new secret's token got %d", again.code)
		}
	},
	simulator.Forbidden:         code(403, "Insufficient Permissions"),
	simulator.NotFound:          code(404, "not found"),
	simulator.Conflict:          code(409, "conflict"),
	simulator.RateLimitExceeded: code(400, `"message":"rate_limit_exceeded"`),
	simulator.ServerError:       code(500, `"code":500`),
	simulator.BadGateway:        code(502, "<html>"),
	simulator.Unavailable:       code(503, `"code":503`),
	simulator.HTMLOK:            code(200, "<html>"),
	simulator.ErrorOK:           code(200, `{"status":{"error":true,"code":500`),
	simulator.FlatError:         code(400, `"statusCode":400`),
	simulator.ErrorObject:       code(400, `"message":{"attribute":"since"`),
	simulator.NullBody:          code(200, "null"),
	simulator.ThrottledHTML: func(t *testing.T, s *simulator.Server, o outcome) {
		code(429, "<html>")(t, s, o)
		h := o.header
		if len(o.body) != 117 || h.Get("Retry-After") != "" || h.Get("X-RateLimit-Limit") != "" || h.Get("Content-Type") != "text/html" {
			t.Errorf("got %d bytes and %v", len(o.body), h)
		}
	},
	simulator.ThrottledSeconds: func(t *testing.T, s *simulator.Server, o outcome) {
		code(429, "rate_limit_exceeded")(t, s, o)
		if got := o.header.Get("Retry-After"); got != "2" {
			t.Errorf("Retry-After is %q, want 2", got)
		}
		early(t, s, 2*time.Second)
	},
	simulator.ThrottledDate: func(t *testing.T, s *simulator.Server, o outcome) {
		code(429, "rate_limit_exceeded")(t, s, o)
		at, err := http.ParseTime(o.header.Get("Retry-After"))
		if err != nil || time.Until(at) < 2*time.Second || time.Until(at) > 3*time.Second {
			t.Errorf("Retry-After is %v away, error %v", time.Until(at), err)
		}
		early(t, s, time.Until(at))
	},
	simulator.Redirect: func(t *testing.T, _ *simulator.Server, o outcome) {
		if got := o.header.Get("Location"); o.code != 302 || got != "https://elsewhere.invalid/api/1/events" {
			t.Errorf("got %d to %q", o.code, got)
		}
	},
	simulator.ConnectionReset: func(t *testing.T, _ *simulator.Server, o outcome) {
		if !errors.Is(o.err, io.ErrUnexpectedEOF) {
			t.Errorf("got %+v, want a cut connection", o)
		}
	},
	simulator.SlowHeaders: slow,
	simulator.SlowBody:    slow,
	simulator.TruncatedBody: func(t *testing.T, _ *simulator.Server, o outcome) {
		if o.code != 200 || o.bodyErr != nil || strconv.Itoa(len(o.body)) != o.header.Get("Content-Length") || json.Valid([]byte(o.body)) {
			t.Errorf("got %d, %d bytes, error %v", o.code, len(o.body), o.bodyErr)
		}
	},
	simulator.ConnectionCut: func(t *testing.T, _ *simulator.Server, o outcome) {
		if o.code != 200 || !errors.Is(o.bodyErr, io.ErrUnexpectedEOF) || o.body == "" {
			t.Errorf("got %d, %d bytes, error %v", o.code, len(o.body), o.bodyErr)
		}
	},
	simulator.TruncatedGzip: func(t *testing.T, _ *simulator.Server, o outcome) {
		z, err := gzip.NewReader(strings.NewReader(o.body))
		if err != nil || o.header.Get("Content-Encoding") != "gzip" || o.bodyErr != nil {
			t.Fatalf("got %v, errors %v, %v", o.header, err, o.bodyErr)
		}
		if _, err := io.ReadAll(z); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("unpacking: %v, want an unexpected end", err)
		}
	},
	simulator.BodyTooLarge: func(t *testing.T, _ *simulator.Server, o outcome) {
		if len(o.body) != 100_000 || !json.Valid([]byte(o.body)) {
			t.Errorf("got %d bytes, want 100000 of JSON", len(o.body))
		}
	},
	simulator.WrongContentType: func(t *testing.T, s *simulator.Server, o outcome) {
		if o.header.Get("Content-Type") != "text/plain" || len(o.page(t).Data) != 10 {
			t.Errorf("got %v %.100s", o.header, o.body)
		}
	},
	simulator.RepeatedPage: func(t *testing.T, s *simulator.Server, o outcome) {
		facts := truth(t, s, "acme")
		if a := o.page(t); string(a.Data[0]) != facts[0].raw || len(a.Data) != 10 {
			t.Errorf("not the first page again")
		} else if next := call(t, s, token(t, s, "acme"), *a.Pagination.AfterCursor); string(next.page(t).Data[0]) != facts[10].raw {
			t.Errorf("the run does not go on behind the repeated page")
		}
	},
	simulator.RepeatedCursor: func(t *testing.T, s *simulator.Server, o outcome) {
		if a := o.page(t); *a.Pagination.AfterCursor != cursorAt(head{ID: truth(t, s, "acme")[9].id, AccountID: 232548}) || a.Pagination.NextLink == nil {
			t.Errorf("not the cursor that was sent: %s", *a.Pagination.AfterCursor)
		}
	},
	simulator.EndlessCursor: func(t *testing.T, s *simulator.Server, o outcome) {
		if err := s.SetFault(simulator.FaultSetting{Name: simulator.EndlessCursor, Probability: 1}); err != nil {
			t.Fatal(err)
		}
		first := o.page(t)
		seen := map[string]bool{}
		for range 20 {
			a := o.page(t)
			if seen[*a.Pagination.AfterCursor] || a.Pagination.NextLink == nil || string(a.Data[0]) != string(first.Data[0]) {
				t.Fatalf("the run ends or moves at %s", *a.Pagination.AfterCursor)
			}
			seen[*a.Pagination.AfterCursor] = true
			o = call(t, s, token(t, s, "acme"), *a.Pagination.AfterCursor)
		}
	},
	simulator.EmptyPage: func(t *testing.T, s *simulator.Server, o outcome) {
		a := o.page(t)
		if a.Data == nil || len(a.Data) != 0 || a.Pagination.NextLink == nil {
			t.Fatalf("got %s", o.body)
		}
		next := call(t, s, token(t, s, "acme"), *a.Pagination.AfterCursor)
		if string(next.page(t).Data[0]) != truth(t, s, "acme")[10].raw {
			t.Error("the cursor of the empty page skips events")
		}
	},
	simulator.DataNull: code(200, `"data":null}`),
	simulator.DataMissing: func(t *testing.T, _ *simulator.Server, o outcome) {
		if a := o.page(t); o.code != 200 || strings.Contains(o.body, `"data"`) || a.Pagination == nil {
			t.Errorf("got %s", o.body)
		}
	},
	simulator.MalformedElement: with(""),
	simulator.MissingID:        with(`"event_type_id":5`),
	simulator.BadTime:          with(`"id":`),
	// The bubble's clock stands at the beginning of 2000.
	simulator.FutureTime: with(`"created_at":"2009-`),
}

func slow(t *testing.T, _ *simulator.Server, o outcome) {
	if o.took != 3*time.Second || len(o.page(t).Data) != 10 {
		t.Errorf("took %v, %d bytes", o.took, len(o.body))
	}
}

// early checks that a call before the time that Retry-After told is noted, and
// one after it is not.
func early(t *testing.T, s *simulator.Server, wait time.Duration) {
	t.Helper()
	tok := token(t, s, "acme")
	before := s.Stats()["acme"].EarlyCalls
	call(t, s, tok, "")
	if got := s.Stats()["acme"].EarlyCalls - before; got != 1 {
		t.Errorf("%d early calls were noted, want 1", got)
	}
	time.Sleep(wait)
	call(t, s, tok, "")
	if got := s.Stats()["acme"].EarlyCalls - before; got != 1 {
		t.Errorf("a call in time was noted as early")
	}
}

func TestFaultsOfCalls(t *testing.T) {
	for _, name := range simulator.FaultNames(true) {
		t.Run(name, func(t *testing.T) {
			check := faultTests[name]
			if check == nil {
				t.Fatal("no test for this fault")
			}
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, simulator.Config{
					Seed: 7, HourlyLimit: 5000, TooLargeBytes: 100_000,
					Tenants: []simulator.Tenant{{Name: "acme", Backlog: 100}},
				})
				tok := token(t, s, "acme")
				first := call(t, s, tok, "")
				f := simulator.FaultSetting{Name: name, Tenant: "acme", Probability: 1, Times: 1}
				if name == simulator.StaleReplica {
					f.Delay = simulator.Duration(24 * time.Hour) // before the backlog
				}
				if err := s.SetFault(f); err != nil {
					t.Fatal(err)
				}
				got := call(t, s, tok, *first.page(t).Pagination.AfterCursor)
				if hits := s.Hits(name, "acme"); hits != 1 {
					t.Fatalf("%d hits, want 1", hits)
				}
				check(t, s, got)
				if err := s.SetFault(simulator.FaultSetting{Name: name, Tenant: "acme"}); err != nil {
					t.Fatal(err)
				}
				s.ClearFaults()
				if after := call(t, s, token(t, s, "acme"), ""); after.body != first.body {
					t.Errorf("after the fault: got %d %.200s, want the first page", after.code, after.body)
				}
			})
		})
	}
}

func TestFaultsOfTheToken(t *testing.T) {
	for name, want := range map[string]int{
		simulator.Unauthorized: 401, simulator.ErrorOK: 200, simulator.ServerError: 500, simulator.ThrottledHTML: 429,
		simulator.BadGateway: 502, simulator.HTMLOK: 200, simulator.FlatError: 400, simulator.TruncatedBody: 200,
	} {
		s, _ := one(t, nil)
		if err := s.SetFault(simulator.FaultSetting{Name: name, Endpoint: "token", Probability: 1, Times: 1}); err != nil {
			t.Fatal(err)
		}
		id, secret := s.Credentials("acme")
		w := do(s, tokenForms(id, secret)["basic"])
		var a tokenAnswer
		if err := json.Unmarshal(w.Body.Bytes(), &a); w.Code != want || err == nil && a.AccessToken != "" {
			t.Errorf("%s: got %d %s, want %d and no token", name, w.Code, w.Body, want)
		}
		if s.Hits(name, "acme") != 1 {
			t.Errorf("%s was not hit", name)
		}
		page(t, s, token(t, s, "acme"))
	}
}

func TestFaultsOfEvents(t *testing.T) {
	shows := func(text string) func([]fact) bool {
		return func(facts []fact) bool {
			return slices.ContainsFunc(facts, func(f fact) bool { return strings.Contains(f.raw, text) })
		}
	}
	pair := func(f func(a, b fact) bool) func([]fact) bool {
		return func(facts []fact) bool {
			for i := 1; i < len(facts); i++ {
				if f(facts[i-1], facts[i]) {
					return true
				}
			}
			return false
		}
	}
	for name, test := range map[string]func([]fact) bool{
		simulator.EqualTimestamps: pair(func(a, b fact) bool { return a.created.Equal(b.created) }),
		simulator.OutOfOrder:      pair(func(a, b fact) bool { return b.created.Before(a.created) }),
		simulator.LateEvents: func(f []fact) bool {
			return slices.ContainsFunc(f, func(f fact) bool { return f.visible.Sub(f.created) > 5*time.Second })
		},
		simulator.UnknownFields:  shows(`"zz_future_field":{`),
		simulator.UnknownTypes:   shows(`"event_type_id":9900`),
		simulator.NullEverywhere: shows(`"user_id":null,"user_name":null}`),
		simulator.WhiteSpace:     shows(" ,\n  "),
		simulator.LargeEvent:     shows(strings.Repeat("large ", 100_000)),
		simulator.BackdatedEvents: func(f []fact) bool {
			return slices.ContainsFunc(f, func(f fact) bool { return f.visible.Sub(f.created) > 5*time.Second })
		},
		simulator.TextIDs:      shows(`,"id":"`),
		simulator.WebhookTimes: shows(` UTC","custom`),
	} {
		t.Run(name, func(t *testing.T) {
			s, k := one(t, nil)
			before := truth(t, s, "acme")
			if test(before) && name != simulator.NullEverywhere {
				t.Fatal("there before the fault")
			}
			f := simulator.FaultSetting{Name: name, Probability: 0.5, Delay: simulator.Duration(20 * time.Second)}
			if err := s.SetFault(f); err != nil {
				t.Fatal(err)
			}
			k.advance(20 * time.Second)
			s.ClearFaults()
			k.advance(time.Minute)
			facts := truth(t, s, "acme")
			if !slices.Equal(before, facts[:100]) {
				t.Error("the fault changed events that were there")
			}
			if !test(facts[100:120]) {
				t.Error("no event shows it")
			}
			if test(facts[125:]) && name != simulator.NullEverywhere {
				t.Error("events show it after its end")
			}
			got, _ := readAll(t, s, token(t, s, "acme"), "limit", "3")
			if want := rawOf(facts, nil); !slices.Equal(got, want) {
				t.Errorf("read %d events, want the %d of the truth", len(got), len(want))
			}
			if s.Hits(name, "acme") == 0 {
				t.Error("not hit")
			}
		})
	}
	if got, want := len(simulator.FaultNames(false))-len(simulator.FaultNames(true))-1, 11; got != want {
		t.Errorf("%d faults of events exist, %d are tested", got, want)
	}
}

func TestFaultsThatCannotHappenAreNotCounted(t *testing.T) {
	s, _ := one(t, func(_ *simulator.Config, tenant *simulator.Tenant) { tenant.Backlog, tenant.Traffic.Rate = 0, 0 })
	tok := token(t, s, "acme")
	for _, name := range []string{
		simulator.RepeatedPage, simulator.RepeatedCursor, simulator.TruncatedGzip, simulator.MalformedElement,
		simulator.EndlessCursor, simulator.FutureTime,
	} {
		if err := s.SetFault(simulator.FaultSetting{Name: name, Probability: 1, Times: 1}); err != nil {
			t.Fatal(err)
		}
		if a := page(t, s, tok); len(a.Data) != 0 || s.Hits(name, "") != 0 {
			t.Errorf("%s was hit on an empty first page", name)
		}
		s.ClearFaults()
	}
	// A fault that was taken back waits for a call to which it can happen.
	if err := s.SetFault(simulator.FaultSetting{Name: simulator.MissingID, Probability: 1, Times: 1}); err != nil {
		t.Fatal(err)
	}
	page(t, s, tok)
	if err := s.Burst("acme", 3); err != nil {
		t.Fatal(err)
	}
	if a := page(t, s, tok); len(a.Data) != 4 || s.Hits(simulator.MissingID, "acme") != 1 {
		t.Errorf("%d elements, %d hits", len(a.Data), s.Hits(simulator.MissingID, "acme"))
	}
}

func TestFaultProbability(t *testing.T) {
	c := simulator.Default(2)
	c.HourlyLimit = 0
	c.Faults = []simulator.FaultSetting{{Name: simulator.Unavailable, Tenant: "acme", Probability: 0.3}}
	s := newServer(t, c)
	failed := map[string]int{}
	for _, name := range []string{"acme", "globex"} {
		tok := token(t, s, name)
		for range 1000 {
			if do(s, apiRequest(tok, "/api/1/events", "limit", "1")).Code == 503 {
				failed[name]++
			}
		}
	}
	if n := failed["acme"]; n < 250 || n > 350 || failed["globex"] != 0 || int64(n) != s.Hits(simulator.Unavailable, "") {
		t.Errorf("failed calls: %v, hits %d", failed, s.Hits(simulator.Unavailable, ""))
	}
}

func TestRefusedFaults(t *testing.T) {
	s, _ := one(t, nil)
	for _, f := range []simulator.FaultSetting{
		{Name: "x", Probability: 1}, {Name: simulator.Forbidden, Tenant: "x"}, {Name: simulator.Forbidden, Probability: 1.1},
		{Name: simulator.Forbidden, Probability: -1}, {Name: simulator.Forbidden, Times: -1}, {Name: simulator.Forbidden, Endpoint: "x"},
	} {
		if s.SetFault(f) == nil {
			t.Errorf("%+v was taken", f)
		}
	}
}

func TestGzip(t *testing.T) {
	s, _ := one(t, func(c *simulator.Config, _ *simulator.Tenant) { c.Gzip = true })
	tok := token(t, s, "acme")
	plain := do(s, apiRequest(tok, "/api/1/events"))
	r := apiRequest(tok, "/api/1/events")
	r.Header.Set("Accept-Encoding", "br;q=1.0, gzip;q=0.5")
	packed := do(s, r)
	z, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, plain.Body.Bytes()) {
		t.Errorf("unpacked %d bytes, want %d, error %v", len(got), plain.Body.Len(), err)
	}
	r.Header.Set("Accept-Encoding", "gzip;q=0")
	if w := do(s, r); w.Header().Get("Content-Encoding") != "" {
		t.Error("gzip for a client that refuses it")
	}
}

// What the Transport shows is what a network shows.
func TestFaultsOverTheNetwork(t *testing.T) {
	s, _ := one(t, nil)
	h := httptest.NewServer(s)
	defer h.Close()
	for _, name := range []string{
		simulator.ConnectionCut, simulator.ConnectionReset, simulator.TruncatedBody, simulator.BodyTooLarge,
		simulator.ThrottledHTML, "",
	} {
		s.ClearFaults()
		if name != "" {
			if err := s.SetFault(simulator.FaultSetting{Name: name, Probability: 1}); err != nil {
				t.Fatal(err)
			}
		}
		r := apiRequest(token(t, s, "acme"), "/api/1/events")
		r.RequestURI, r.URL.Scheme = "", "http"
		r.URL.Host = strings.TrimPrefix(h.URL, "http://")
		res, err := h.Client().Transport.RoundTrip(r)
		if name == simulator.ConnectionReset {
			if err == nil {
				t.Errorf("%s: got %v, want an error", name, res.Status)
			}
			continue
		}
		if err != nil {
			t.Fatal(name, err)
		}
		body, err := drain(t, res.Body)
		if cut := name == simulator.ConnectionCut; cut != errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: reading: %v", name, err)
		}
		if whole := name == "" || name == simulator.BodyTooLarge; whole != json.Valid(body) {
			t.Errorf("%s: %d bytes, which are JSON: %t", name, len(body), !whole)
		}
		if name == simulator.BodyTooLarge && len(body) != 33<<20 {
			t.Errorf("%s: got %d bytes", name, len(body))
		}
		if name != "" && s.Hits(name, "acme") != 1 {
			t.Errorf("%s was not hit", name)
		}
	}
}

// The shape of events in the Config holds from the first event, so that a
// simulator that is restarted later makes the same ones.
func TestFaultsOfEventsAfterARestart(t *testing.T) {
	edit := func(at time.Duration) func(c *simulator.Config, _ *simulator.Tenant) {
		return func(c *simulator.Config, _ *simulator.Tenant) {
			c.Now = func() time.Time { return start.Add(at) }
			c.Faults = []simulator.FaultSetting{{Name: simulator.UnknownFields, Probability: 0.5}}
		}
	}
	early, _ := one(t, edit(0))
	late, _ := one(t, edit(time.Minute))
	was, is := truth(t, early, "acme"), truth(t, late, "acme")
	if len(is) != 160 || !slices.Equal(was, is[:100]) {
		t.Errorf("%d events, not the same as before the restart", len(is))
	}
}
