package simulator_test

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/source/onelogin/simulator"
)

func TestPagesAddUpToTheTruth(t *testing.T) {
	shapes := map[string]simulator.Page{
		"plain":           {},
		"end cursor":      {EndCursor: true},
		"full page links": {FullPageLinks: true, EndCursor: true},
		"clamped":         {Max: 7},
	}
	for name, shape := range shapes {
		for _, limit := range []int{1, 7, 50, 150, 1000} {
			for _, sort := range []string{"", "+id", "-id"} {
				t.Run(fmt.Sprintf("%s/%d/%s", name, limit, sort), func(t *testing.T) {
					s, k := one(t, func(_ *simulator.Config, tenant *simulator.Tenant) {
						tenant.Page = shape
						tenant.Traffic.Ties, tenant.Traffic.Jitter = 0.3, simulator.Duration(3*time.Second)
					})
					k.advance(50 * time.Second)
					want := rawOf(truth(t, s, "acme"), nil)
					if sort == "-id" {
						slices.Reverse(want)
					}
					got, pages := readAll(t, s, token(t, s, "acme"), "limit", itoa(limit), "sort", sort)
					if diff := cmp.Diff(want, got); diff != "" {
						t.Fatalf("events (-want +got):\n%s", diff)
					}
					size := min(limit, 1000)
					if shape.Max > 0 {
						size = min(size, shape.Max)
					}
					wantPages := (len(want) + size - 1) / size
					if shape.FullPageLinks && len(want)%size == 0 {
						wantPages++
					}
					if pages != wantPages {
						t.Errorf("got %d pages, want %d", pages, wantPages)
					}
				})
			}
		}
	}
}

func TestTimeBounds(t *testing.T) {
	for _, test := range []struct {
		name   string
		since  simulator.Since
		bounds func(since, created time.Time) bool
	}{
		{"inclusive", simulator.Since{}, func(s, c time.Time) bool { return !c.Before(s) }},
		{"exclusive", simulator.Since{Exclusive: true}, func(s, c time.Time) bool { return c.After(s) }},
		{"seconds", simulator.Since{Seconds: true}, func(s, c time.Time) bool { return !c.Before(s.Truncate(time.Second)) }},
		{"exclusive seconds", simulator.Since{Exclusive: true, Seconds: true},
			func(s, c time.Time) bool { return c.After(s.Truncate(time.Second)) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, _ := one(t, func(_ *simulator.Config, tenant *simulator.Tenant) {
				tenant.Since = test.since
				tenant.Traffic.Ties, tenant.Traffic.Jitter = 0.5, simulator.Duration(1500*time.Millisecond)
			})
			facts, tok := truth(t, s, "acme"), token(t, s, "acme")
			for _, f := range facts {
				since, until := f.created, f.created.Add(20*time.Second)
				want := rawOf(facts, func(g fact) bool { return test.bounds(since, g.created) && g.created.Before(until) })
				got, _ := readAll(t, s, tok, "since", stamp(since), "until", stamp(until), "limit", "9")
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("since %v until %v (-want +got):\n%s", since, until, diff)
				}
			}
		})
	}
}

func TestFilters(t *testing.T) {
	s, _ := one(t, func(_ *simulator.Config, tenant *simulator.Tenant) { tenant.Backlog = 2000 })
	facts, tok := truth(t, s, "acme"), token(t, s, "acme")
	all, _ := readAll(t, s, tok, "limit", "1000")
	a := answer{}
	for _, raw := range all {
		a.Data = append(a.Data, []byte(raw))
	}
	heads := a.heads(t)
	user := *heads[slices.IndexFunc(heads, func(h head) bool { return h.UserID != nil })].UserID
	keep := func(f func(head) bool) (want []string) {
		for i, h := range heads {
			if f(h) {
				want = append(want, all[i])
			}
		}
		return want
	}
	for _, test := range []struct {
		name, value string
		want        []string
	}{
		{"event_type_id", "5", keep(func(h head) bool { return h.EventTypeID == 5 })},
		{"event_type_id", "8,1400", keep(func(h head) bool { return h.EventTypeID == 8 || h.EventTypeID == 1400 })},
		{"user_id", itoa(user), keep(func(h head) bool { return h.UserID != nil && *h.UserID == user })},
		{"user_id", "1", nil},
		{"id", itoa(facts[77].id), []string{facts[77].raw}},
		{"id", itoa(facts[77].id + 1), nil},
		{"id", "", all},
	} {
		got, _ := readAll(t, s, tok, test.name, test.value, "limit", "10")
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s=%s (-want +got):\n%s", test.name, test.value, diff)
		}
	}
}

func TestSingleEvent(t *testing.T) {
	s, _ := one(t, nil)
	facts, tok := truth(t, s, "acme"), token(t, s, "acme")
	w := do(s, apiRequest(tok, "/api/1/events/"+itoa(facts[3].id)))
	if a := decode(t, w); w.Code != 200 || len(a.Data) != 1 || string(a.Data[0]) != facts[3].raw {
		t.Errorf("got %d %s, want %s", w.Code, w.Body, facts[3].raw)
	}
	for path, want := range map[string]int{itoa(facts[3].id + 1): 404, "1": 404, "x": 400, "9223372036854775807": 404} {
		if w := do(s, apiRequest(tok, "/api/1/events/"+path)); w.Code != want {
			t.Errorf("event %s: got %d, want %d", path, w.Code, want)
		}
	}
}

func TestPagination(t *testing.T) {
	s, k := one(t, func(_ *simulator.Config, tenant *simulator.Tenant) { tenant.Page.EndCursor = true })
	tok := token(t, s, "acme")
	facts := truth(t, s, "acme")
	first := page(t, s, tok, "limit", "40")
	if p := first.Pagination; p.BeforeCursor != nil || p.PreviousLink != nil || p.AfterCursor == nil || p.NextLink == nil {
		t.Fatalf("first page: %+v", p)
	}
	if want := "http://example.com/api/1/events?after_cursor="; !strings.HasPrefix(*first.Pagination.NextLink, want) {
		t.Errorf("next_link is %s, want %s…", *first.Pagination.NextLink, want)
	}
	// A link carries the cursor alone: the other parameters are the client's.
	r := httptest.NewRequest("GET", *first.Pagination.NextLink, nil)
	r.Header.Set("Authorization", "Bearer "+tok)
	if a := decode(t, do(s, r)); len(a.Data) != 50 || string(a.Data[0]) != facts[40].raw {
		t.Errorf("next_link leads to %d events", len(a.Data))
	}
	second := page(t, s, tok, "limit", "40", "after_cursor", *first.Pagination.AfterCursor)
	back := page(t, s, tok, "limit", "40", "before_cursor", *second.Pagination.BeforeCursor)
	if diff := cmp.Diff(first.Data, back.Data); diff != "" {
		t.Errorf("the page before the second (-first +got):\n%s", diff)
	}
	third := page(t, s, tok, "limit", "40", "after_cursor", *second.Pagination.AfterCursor)
	if p := third.Pagination; len(third.Data) != 20 || p.NextLink != nil || p.AfterCursor == nil {
		t.Fatalf("last page: %d events, %+v", len(third.Data), p)
	}
	empty := page(t, s, tok, "limit", "40", "after_cursor", *third.Pagination.AfterCursor)
	if p := empty.Pagination; len(empty.Data) != 0 || p.NextLink != nil || p.AfterCursor == nil {
		t.Fatalf("page behind the last: %d events, %+v", len(empty.Data), p)
	}
	k.advance(3 * time.Second)
	tail := page(t, s, tok, "after_cursor", *empty.Pagination.AfterCursor)
	if got, want := len(tail.Data), 3; got != want {
		t.Errorf("the last cursor as a bookmark shows %d events, want %d", got, want)
	}
}

func TestBadParameters(t *testing.T) {
	s, _ := one(t, func(_ *simulator.Config, tenant *simulator.Tenant) {
		tenant.Page = simulator.Page{Max: 50, Reject: true}
	})
	tok := token(t, s, "acme")
	for _, test := range []struct{ name, value, blames string }{
		{"limit", "51", `"attribute":"limit"`}, {"limit", "0", "limit"}, {"limit", "x", "limit"},
		{"since", "yesterday", "since"}, {"until", "1", "until"}, {"sort", "created_at", "sort"},
		{"after_cursor", "!!", "cursor"}, {"after_cursor", "YWJj", "cursor"},
		{"after_cursor", "YWNjb3VudF9pZDo6OjEtLSMjaWQ6OjoxMA==", "cursor"}, // of another account
		{"event_type_id", "5,x", "event_type_id"}, {"user_id", "x", "user_id"}, {"id", "x", "id"},
	} {
		w := do(s, apiRequest(tok, "/api/1/events", test.name, test.value))
		a := decode(t, w)
		if w.Code != 400 || a.Status.Code != 400 || !a.Status.Error || !strings.Contains(string(a.Status.Message), test.blames) {
			t.Errorf("%s=%s: got %d %s", test.name, test.value, w.Code, w.Body)
		}
	}
	if a := page(t, s, tok, "limit", "50"); len(a.Data) != 50 {
		t.Errorf("got %d events with the largest limit", len(a.Data))
	}
}

func TestRawPlusInSort(t *testing.T) {
	s, _ := one(t, func(_ *simulator.Config, tenant *simulator.Tenant) { tenant.Page.Descending = true })
	tok := token(t, s, "acme")
	first := truth(t, s, "acme")[0].raw
	for _, raw := range []string{"sort=+id", "sort=%2Bid"} {
		r := apiRequest(tok, "/api/1/events")
		r.URL.RawQuery = raw
		if a := decode(t, do(s, r)); string(a.Data[0]) != first {
			t.Errorf("%s does not begin with the oldest", raw)
		}
	}
	if a := page(t, s, tok); string(a.Data[0]) == first {
		t.Error("the default order is not the descending one")
	}
}

// Late events keep their id and time, appear when the truth says so, and a
// cursor that went past them never shows them.
func TestLateVisibility(t *testing.T) {
	s, k := one(t, func(_ *simulator.Config, tenant *simulator.Tenant) {
		tenant.Backlog = 0
		tenant.Traffic = simulator.Traffic{Rate: 10, Late: 0.2, LateBy: simulator.Duration(30 * time.Second)}
	})
	tok := token(t, s, "acme")
	byCursor, cursor := map[string]bool{}, ""
	for range 60 {
		k.advance(time.Second)
		facts := truth(t, s, "acme")
		want := rawOf(facts, func(f fact) bool { return !f.visible.After(k.at) })
		got, _ := readAll(t, s, tok, "limit", "1000")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("at %v (-want +got):\n%s", k.at, diff)
		}
		a := page(t, s, tok, "limit", "1000", "after_cursor", cursor)
		for _, e := range a.Data {
			byCursor[string(e)] = true
		}
		if n := len(a.Data); n > 0 {
			cursor = cursorAt(a.heads(t)[n-1])
		}
	}
	s.Freeze()
	k.at = s.SettledAt()
	facts := truth(t, s, "acme")
	got, _ := readAll(t, s, tok, "limit", "1000")
	if diff := cmp.Diff(rawOf(facts, nil), got); diff != "" {
		t.Fatalf("settled (-want +got):\n%s", diff)
	}
	if len(facts) != 600 || len(byCursor) > 590 {
		t.Errorf("%d events, of which a cursor alone found %d", len(facts), len(byCursor))
	}
	if n := s.Hits(simulator.LateEvents, "acme"); n == 0 {
		t.Error("no late event was counted")
	}
	k.advance(time.Hour)
	if n := s.Count("acme"); n != 600 {
		t.Errorf("frozen, but there are %d events", n)
	}
	s.Thaw()
	k.advance(time.Second)
	if n := s.Count("acme"); n != 610 {
		t.Errorf("thawed for a second, and there are %d events, want 610", n)
	}
}
