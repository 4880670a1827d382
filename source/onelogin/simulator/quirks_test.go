package simulator_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"onelogin-kafka/source/onelogin/simulator"
)

func ids(facts []fact) (all []int64) {
	for _, f := range facts {
		all = append(all, f.id)
	}
	return all
}

// With a second sequence ids are still unique and answers in their order, which
// is not that of time any more.
func TestSecondSequence(t *testing.T) {
	for name, second := range map[string]simulator.Second{
		"moved": {Before: simulator.Duration(30 * time.Second)}, "both": {Share: 0.4},
	} {
		t.Run(name, func(t *testing.T) {
			s, k := one(t, func(_ *simulator.Config, tenant *simulator.Tenant) { tenant.Second = second })
			k.advance(20 * time.Second)
			facts := truth(t, s, "acme")
			if len(facts) != 120 || !slices.IsSorted(ids(facts)) {
				t.Fatalf("%d events, in the order of ids: %t", len(facts), slices.IsSorted(ids(facts)))
			}
			high := slices.IndexFunc(facts, func(f fact) bool { return f.id-facts[0].id > 1<<40 })
			if high < 30 || high > 90 {
				t.Fatalf("%d of 120 events are in the first sequence", high)
			}
			if second.Before > 0 {
				if high != 51 || !facts[high].created.Before(facts[0].created) || !facts[high].created.Equal(start.Add(-99*time.Second)) {
					t.Errorf("%d events came after the move, the first at %v", high, facts[0].created)
				}
			} else if !slices.ContainsFunc(facts[:high], func(f fact) bool { return f.created.After(facts[high].created) }) {
				t.Error("the sequences do not overlap in time")
			}
			tok := token(t, s, "acme")
			if got, _ := readAll(t, s, tok, "limit", "7"); !slices.Equal(got, rawOf(facts, nil)) {
				t.Error("ascending: not the truth")
			}
			down, _ := readAll(t, s, tok, "limit", "7", "sort", "-id")
			if slices.Reverse(down); !slices.Equal(down, rawOf(facts, nil)) {
				t.Error("descending: not the truth")
			}
			since := start.Add(-40 * time.Second)
			got, _ := readAll(t, s, tok, "limit", "7", "since", stamp(since))
			if want := rawOf(facts, func(f fact) bool { return !f.created.Before(since) }); !slices.Equal(got, want) {
				t.Error("with since: not the truth")
			}
			for _, i := range []int{0, high - 1, high, 119} {
				if a := page(t, s, tok, "id", itoa(facts[i].id)); len(a.Data) != 1 || string(a.Data[0]) != facts[i].raw {
					t.Errorf("event %d is not found by its id", i)
				}
			}
			back := page(t, s, tok, "limit", "5", "before_cursor", cursorAt(head{AccountID: 232548, ID: facts[high+1].id}))
			if len(back.Data) != 5 || string(back.Data[4]) != facts[high].raw || string(back.Data[3]) != facts[high-1].raw {
				t.Error("the page before does not reach from one sequence into the other")
			}
			after, err := s.TruthAfter("acme", facts[high].id)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for range after {
				n++
			}
			if n != 119-high {
				t.Errorf("%d events after the %d-th", n, high)
			}
		})
	}
}

func TestOrders(t *testing.T) {
	for order, check := range map[simulator.Order]func(want, got []string) bool{
		simulator.OrderDescending: func(want, got []string) bool {
			got = slices.Clone(got)
			slices.Reverse(got)
			return slices.Equal(want, got)
		},
		simulator.OrderBack: func(want, got []string) bool {
			var all []string
			for part := range slices.Chunk(got, 7) {
				all = append(slices.Clone(part), all...)
			}
			return slices.Equal(want, all)
		},
		simulator.OrderShuffled: func(want, got []string) bool {
			moved := 0
			for i, part := range slices.Collect(slices.Chunk(got, 7)) {
				page := want[7*i : min(7*i+7, len(want))]
				if !slices.Equal(page, part) {
					moved++
				}
				page, part = slices.Sorted(slices.Values(page)), slices.Sorted(slices.Values(part))
				if !slices.Equal(page, part) {
					return false
				}
			}
			return moved > 5
		},
	} {
		t.Run(string(order), func(t *testing.T) {
			s, _ := one(t, func(_ *simulator.Config, tenant *simulator.Tenant) { tenant.Page.Order = order })
			want := rawOf(truth(t, s, "acme"), nil)
			tok := token(t, s, "acme")
			got, pages := readAll(t, s, tok, "limit", "7", "sort", "+id")
			if pages != 15 || !check(want, got) {
				t.Errorf("%d pages, not in this order", pages)
			}
			// A page that is told again is the same one.
			if err := s.SetFault(simulator.FaultSetting{Name: simulator.RepeatedPage, Probability: 1, Times: 1}); err != nil {
				t.Fatal(err)
			}
			again, pages := readAll(t, s, tok, "limit", "7", "sort", "+id")
			if pages != 16 || s.Hits(simulator.RepeatedPage, "acme") != 1 || !slices.Equal(again[:7], again[7:14]) || !slices.Equal(again[7:], got) {
				t.Errorf("%d pages with one repeated", pages)
			}
		})
	}
}

func TestUntilForms(t *testing.T) {
	at := start.Add(-50 * time.Second) // an event is created then
	for _, tt := range []struct {
		until simulator.Until
		at    time.Time
		want  int
	}{
		{simulator.Until{}, at, 49},
		{simulator.Until{Inclusive: true}, at, 50},
		{simulator.Until{}, at.Add(999 * time.Millisecond), 50},
		{simulator.Until{Seconds: true}, at.Add(999 * time.Millisecond), 49},
		{simulator.Until{Seconds: true, Inclusive: true}, at.Add(999 * time.Millisecond), 50},
		{simulator.Until{Ignored: true}, at, 100},
	} {
		s, _ := one(t, func(_ *simulator.Config, tenant *simulator.Tenant) { tenant.Until = tt.until })
		got, _ := readAll(t, s, token(t, s, "acme"), "until", stamp(tt.at))
		if len(got) != tt.want {
			t.Errorf("%+v until %v: got %d events, want %d", tt.until, tt.at, len(got), tt.want)
		}
	}
}

// A row of hits goes on with the calls to which it can happen, for the tenant
// that was hit, and counts as one time.
func TestRows(t *testing.T) {
	s, _ := one(t, func(c *simulator.Config, _ *simulator.Tenant) {
		c.Tenants = append(c.Tenants, simulator.Tenant{Name: "globex", Backlog: 10})
	})
	acme, globex := token(t, s, "acme"), token(t, s, "globex")
	if err := s.SetFault(simulator.FaultSetting{Name: simulator.EmptyEnd, Probability: 1, Row: 3, Times: 2}); err != nil {
		t.Fatal(err)
	}
	empty := func(tok string, query ...string) bool { return len(page(t, s, tok, query...).Data) == 0 }
	if !empty(acme) || !empty(globex) {
		t.Error("not hit at once")
	}
	if empty(acme, "until", stamp(start.Add(-time.Hour))); s.Hits(simulator.EmptyEnd, "acme") != 1 {
		t.Error("hit where there is nothing to hide")
	}
	for i, want := range []bool{true, true, false, false} {
		if got := empty(acme); got != want {
			t.Errorf("acme's call %d: empty %t, want %t", i, got, want)
		}
	}
	first, second, third := empty(globex), empty(globex), empty(globex)
	if !first || !second || third || s.Hits(simulator.EmptyEnd, "globex") != 3 {
		t.Error("globex' row is not its own")
	}
	if err := s.SetFault(simulator.FaultSetting{Name: simulator.EmptyEnd, Probability: 1, Row: 9, Times: 1}); err != nil {
		t.Fatal(err)
	}
	if !empty(acme) {
		t.Error("not hit")
	}
	if s.ClearFaults(); empty(acme) {
		t.Error("the row goes on after it was cleared")
	}
	if err := s.SetFault(simulator.FaultSetting{Name: simulator.EmptyEnd, Row: -1}); err == nil {
		t.Error("a negative row is taken")
	}
}

func TestFailAbove(t *testing.T) {
	for form, check := range map[simulator.FailForm]func(o outcome) bool{
		"":                     func(o outcome) bool { return o.code == 504 && strings.HasPrefix(o.body, "<html>") },
		simulator.Fail500:      func(o outcome) bool { return o.code == 500 && strings.HasPrefix(o.body, "{") },
		simulator.FailTooLarge: func(o outcome) bool { return o.code == 200 && len(o.body) == 100_000 },
		simulator.FailTimeout:  func(o outcome) bool { return o.err != nil && o.took == 10*time.Minute },
	} {
		t.Run(string(form), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, simulator.Config{
					Seed: 7, TooLargeBytes: 100_000,
					Tenants: []simulator.Tenant{{Name: "acme", Backlog: 100, Page: simulator.Page{FailAbove: 9, FailWith: form}}},
				})
				tok := token(t, s, "acme")
				if o := call(t, s, tok, ""); !check(o) || s.Hits(simulator.LargePage, "acme") != 1 {
					t.Errorf("got %d %.100s, %v after %v", o.code, o.body, o.err, o.took)
				}
				if got, _ := readAll(t, s, tok, "limit", "9"); len(got) != 100 {
					t.Errorf("%d events by smaller pages", len(got))
				}
			})
		})
	}
}

func TestEmptyForms(t *testing.T) {
	for form, check := range map[simulator.EmptyForm]func(w *httptest.ResponseRecorder) bool{
		simulator.EmptyList: func(w *httptest.ResponseRecorder) bool {
			return w.Code == 200 && strings.HasSuffix(w.Body.String(), `"next_link":null},"data":[]}`)
		},
		simulator.EmptyNull: func(w *httptest.ResponseRecorder) bool {
			return w.Code == 200 && strings.HasSuffix(w.Body.String(), `"next_link":null},"data":null}`)
		},
		simulator.EmptyNoContent: func(w *httptest.ResponseRecorder) bool { return w.Code == 204 && w.Body.Len() == 0 },
		simulator.EmptyNoPagination: func(w *httptest.ResponseRecorder) bool {
			return w.Code == 200 && strings.HasSuffix(w.Body.String(), `"message":"Success"},"data":[]}`)
		},
	} {
		s, k := one(t, func(_ *simulator.Config, tenant *simulator.Tenant) {
			tenant.Page.Empty, tenant.Backlog = form, 0
		})
		tok := token(t, s, "acme")
		if w := do(s, apiRequest(tok, "/api/1/events")); !check(w) {
			t.Errorf("%q: got %d %s", form, w.Code, w.Body)
		}
		k.advance(10 * time.Second)
		if a := page(t, s, tok); len(a.Data) != 10 {
			t.Errorf("%q: %d events", form, len(a.Data))
		}
	}
}

// A replica that lags shows what there was before, and nothing that was not.
func TestStaleReplica(t *testing.T) {
	s, k := one(t, func(_ *simulator.Config, tenant *simulator.Tenant) { tenant.Backlog = 0 })
	tok := token(t, s, "acme")
	k.advance(time.Minute)
	if err := s.SetFault(simulator.FaultSetting{Name: simulator.StaleReplica, Probability: 1}); err != nil {
		t.Fatal(err)
	}
	facts := truth(t, s, "acme")
	got, _ := readAll(t, s, tok, "limit", "10")
	if want := rawOf(facts[:30], nil); !slices.Equal(got, want) || s.Hits(simulator.StaleReplica, "acme") != 1 {
		t.Errorf("%d of %d events, %d hits", len(got), len(facts), s.Hits(simulator.StaleReplica, "acme"))
	}
	s.ClearFaults()
	if got, _ := readAll(t, s, tok); len(got) != 60 {
		t.Errorf("%d of %d events after that", len(got), len(facts))
	}
}

func TestFormsOfEvents(t *testing.T) {
	shape := func(edit func(*simulator.Traffic)) []simulator.Event {
		s, k := one(t, func(_ *simulator.Config, tenant *simulator.Tenant) {
			tenant.Backlog = 0
			edit(&tenant.Traffic)
		})
		k.advance(20*time.Second + 345*time.Millisecond)
		events, err := s.Truth("acme")
		if err != nil {
			t.Fatal(err)
		}
		var all []simulator.Event
		for e := range events {
			e.Raw = slices.Clone(e.Raw)
			all = append(all, e)
		}
		return all
	}
	for form, want := range map[simulator.TimeForm]string{
		simulator.TimeMillis: `"2026-11-22T07:00:01.000Z"`, simulator.TimeSeconds: `"2026-11-22T07:00:01Z"`,
		simulator.TimeWebhook: `"2026-11-22 07:00:01 UTC"`, simulator.TimeOffset: `"2026-11-22T09:00:01.000+02:00"`,
		simulator.TimeBasic: `"2026-11-22T07:00:01.000+0000"`, simulator.TimeSpace: `"2026-11-22 07:00:01.000z"`,
		simulator.TimeLocal: `"2026-11-22T07:00:01.000"`, simulator.TimeEpoch: `1795330801000`,
	} {
		odd := form == simulator.TimeLocal || form == simulator.TimeEpoch
		e := shape(func(tr *simulator.Traffic) { tr.CreatedAs = form })[0]
		if !strings.Contains(string(e.Raw), `"created_at":`+want+`,`) || e.Odd != odd {
			t.Errorf("%q: odd %t, %s", form, e.Odd, e.Raw)
		}
	}
	whole := shape(func(tr *simulator.Traffic) { tr.CreatedAs, tr.Rate = simulator.TimeWebhook, 3.1 })
	if slices.ContainsFunc(whole, func(e simulator.Event) bool { return e.CreatedAt.Nanosecond() != 0 }) {
		t.Error("a time without a part of a second has one")
	}
	for form, odd := range map[simulator.IDForm]bool{simulator.IDText: false, simulator.IDFloat: true} {
		e := shape(func(tr *simulator.Traffic) { tr.IDAs = form })[0]
		text := map[simulator.IDForm]string{simulator.IDText: `"` + itoa(e.ID) + `"`, simulator.IDFloat: itoa(e.ID) + ".0"}[form]
		if !strings.Contains(string(e.Raw), `"id":`+text+`,`) || e.Odd != odd {
			t.Errorf("%q: odd %t, %s", form, e.Odd, e.Raw)
		}
	}
	for form, text := range map[simulator.BrokenForm]string{
		simulator.BrokenControl: "\"two\nlines\"}", simulator.BrokenNaN: `:NaN}`, simulator.BrokenQuote: `"so "to speak", or so"}`, simulator.BrokenAny: `"zz_broken":`,
	} {
		odd := 0
		for _, e := range shape(func(tr *simulator.Traffic) { tr.Broken, tr.BrokenAs = 0.5, form }) {
			if e.Odd != strings.Contains(string(e.Raw), text) {
				t.Errorf("%q: odd %t, %s", form, e.Odd, e.Raw)
			}
			if e.Odd {
				odd++
			}
		}
		if odd < 3 || odd > 17 {
			t.Errorf("%q: %d of 20 events", form, odd)
		}
	}
}

// How answers are made can be changed while the simulator runs.
func TestAnswersAreChanged(t *testing.T) {
	s, _ := one(t, nil)
	tok := token(t, s, "acme")
	post := func(body string) *httptest.ResponseRecorder {
		return do(s, httptest.NewRequest(http.MethodPost, "/_sim/tenants/acme", strings.NewReader(body)))
	}
	if w := post(`{"page":{"max":20,"order":"back"},"until":{"ignored":true}}`); w.Code != 200 ||
		!strings.Contains(w.Body.String(), `"page":{"default":50,"max":20,"order":"back"}`) {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	a := page(t, s, tok, "limit", "1000", "until", stamp(start.Add(-time.Hour)))
	facts := truth(t, s, "acme")
	if len(a.Data) != 20 || string(a.Data[0]) != facts[80].raw {
		t.Errorf("%d events", len(a.Data))
	}
	err := s.SetAnswers("acme", func(p *simulator.Page, since *simulator.Since, until *simulator.Until) {
		p.Max, p.Order, since.Exclusive, until.Ignored = 100, "", true, false
	})
	if err != nil {
		t.Fatal(err)
	}
	if a := page(t, s, tok, "limit", "1000", "since", stamp(facts[0].created)); len(a.Data) != 99 {
		t.Errorf("%d events", len(a.Data))
	}
	for _, body := range []string{`{"page":{"max":0}}`, `{"page":{"order":"up"}}`, `{"page":{"empty":"x"}}`, `{"page":{"fail_with":"x"}}`, `{"page":{"fail_above":-1}}`, `{"created_as":"x"}`, `{"backdated":2}`} {
		if w := post(body); w.Code != 400 {
			t.Errorf("%s: got %d", body, w.Code)
		}
	}
	if s.SetAnswers("nobody", func(*simulator.Page, *simulator.Since, *simulator.Until) {}) == nil {
		t.Error("a tenant that is not there was changed")
	}
	if a := page(t, s, tok, "limit", "1000"); len(a.Data) != 100 {
		t.Errorf("a refused change took effect: %d events", len(a.Data))
	}
	for _, second := range []simulator.Second{{Share: 2}, {Before: -1}, {Share: 0.5, Before: 1}} {
		if _, err := s.AddTenant(simulator.Tenant{Name: "x", Second: second}); err == nil {
			t.Errorf("%+v is taken", second)
		}
	}
}
