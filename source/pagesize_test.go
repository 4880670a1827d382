package source

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"onelogin-kafka/schemas"
)

var (
	errSlow       = &APIError{Kind: Timeout, Stage: "Fetch Logs"}
	errGateway    = &APIError{Kind: Refused, Stage: "Fetch Logs", Status: 504}
	errNarrow     = &APIError{Kind: Unreadable, Stage: "Fetch Logs", Status: 200, Narrow: true}
	errBadRequest = &APIError{Kind: Refused, Stage: "Fetch Logs", Status: 400}
	errBadLimit   = &APIError{Kind: BadLimit, Stage: "Fetch Logs", Status: 422}
)

var elements = make([]schemas.Event, maxPageSize) // of all pages

// sizedAPI is asked for pages through a pageSize. It has an endless account.
type sizedAPI struct {
	t    *testing.T
	size pageSize
	now  time.Time
	// answer says what becomes of a call.
	answer func(limit int) *APIError
	// hold is how many elements a page holds; nil = as many as asked for.
	hold  func(limit int) int
	asked []int // limits, of all calls
	n     int   // readings
}

func newSizedAPI(t *testing.T, configured int) *sizedAPI {
	return &sizedAPI{t: t, size: newPageSize(configured), now: time.Unix(1e9, 0), answer: func(int) *APIError { return nil }}
}

// call asks with q until nothing is to be asked again at once.
func (a *sizedAPI) call(q Query) (Query, *Page, *APIError) {
	for tries := 0; ; tries++ {
		if tries > 20 {
			a.t.Fatalf("a query is asked again at once for ever: %v", a.asked)
		}
		a.asked = append(a.asked, q.Limit)
		if limit := a.size.limit(); limit < 1 || limit > a.size.top || a.size.room() < 1 || a.size.room() > limit {
			a.t.Fatalf("limit %d, room %d", limit, a.size.room())
		}
		err := a.answer(q.Limit)
		if err == nil {
			n := q.Limit
			if a.hold != nil {
				n = a.hold(q.Limit)
			}
			page := &Page{Events: elements[:n], Next: fmt.Sprint("after ", len(a.asked))}
			a.size.answered(q, page, a.now)
			return q, page, nil
		}
		again := a.size.failed(q, err, a.now)
		if again == 0 {
			return q, nil, err
		}
		if again < 1 || again >= q.Limit {
			a.t.Fatalf("asked again with %d after %d", again, q.Limit)
		}
		q.Limit = again
	}
}

// read makes a reading of so many pages, each tried up to tries times, every
// gap of time. It tells whether it was read.
func (a *sizedAPI) read(pages, tries int, gap time.Duration) bool {
	a.n++
	q := Query{Since: a.now, Limit: a.size.limit()}
	for range pages {
		for try := 1; ; try++ {
			a.now = a.now.Add(gap)
			asked, page, err := a.call(q)
			if q = asked; err == nil {
				q.Cursor = page.Next
				break
			}
			if try == tries {
				return false
			}
		}
	}
	return true
}

// above fails what is larger than most.
func above(most int, err *APIError) func(int) *APIError {
	return func(limit int) *APIError {
		if limit > most {
			return err
		}
		return nil
	}
}

func TestPageSizeConfigured(t *testing.T) {
	for configured, want := range map[int]int{0: 1000, -1: 1000, 1: 1, 50: 50, 700: 700, 5000: 1000} {
		p := newPageSize(configured)
		if p.limit() != want || p.room() != want {
			t.Errorf("configured %d: limit %d, room %d, want %d", configured, p.limit(), p.room(), want)
		}
	}
	a := newSizedAPI(t, 400)
	for _, e := range []*APIError{errSlow, errGateway, errBadRequest, errBadLimit} {
		a.answer = above(0, e)
		for range 5 {
			a.read(1, 3, time.Minute)
		}
	}
	if a.size.limit() != 400 || a.asked[len(a.asked)-1] != 400 {
		t.Errorf("a fixed size changed to %d", a.size.limit())
	}
}

func TestPageSizeFallsForWhatIsTooHeavy(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  *APIError
		most int
		want int // the size kept
		// asked are the first limits
		asked []int
	}{
		{"timeouts", errSlow, 400, 250, []int{1000, 1000, 500, 500, 250, 1000, 1000, 500, 500, 250}},
		{"gateway", errGateway, 999, 500, []int{1000, 1000, 500, 1000, 1000, 500}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newSizedAPI(t, 0)
			a.answer = above(tc.most, tc.err)
			for range 2 {
				if !a.read(1, 20, time.Second) {
					t.Fatal("the page was not read")
				}
			}
			for i, want := range tc.asked {
				if a.asked[i] != want {
					t.Fatalf("asked %v, want %v first", a.asked, tc.asked)
				}
			}
			if a.size.limit() != tc.want {
				t.Errorf("the size kept is %d, want %d", a.size.limit(), tc.want)
			}
			// From then on what is too much is tried each hour at last.
			for range 3 * 3600 / 10 {
				a.read(1, 20, 10*time.Second)
			}
			a.asked = nil
			for range 24 * 3600 / 10 {
				a.read(1, 20, 10*time.Second)
			}
			failed := 0
			for _, limit := range a.asked {
				if limit > tc.most {
					failed++
				}
			}
			if most := 2 * 24; failed > most || failed < 20 {
				t.Errorf("%d calls of a day fail for their size, want 20 to %d", failed, most)
			}
		})
	}
}

// What a page holds says nothing of other pages: it is asked for in half the
// size, whatever is configured, and nothing is kept.
func TestPageSizeForOnePageOnly(t *testing.T) {
	for configured, want := range map[int][]int{
		0: {1000, 500, 250, 125, 62, 31, 15, 7, 3, 1, 1000}, 50: {50, 25, 12, 6, 3, 1, 50},
	} {
		a, held := newSizedAPI(t, configured), true
		a.answer = func(limit int) *APIError {
			if held && limit > 1 {
				return errNarrow
			}
			held = false
			return nil
		}
		if !a.read(1, 20, time.Second) || !a.read(1, 1, time.Second) || !slices.Equal(a.asked, want) {
			t.Errorf("asked %v, want %v", a.asked, want)
		}
	}
}

func TestPageSizeNotForOneFailure(t *testing.T) {
	for name, e := range map[string]*APIError{
		"timeout": errSlow, "gateway": errGateway, "400": errBadRequest,
		"throttled":     {Kind: Throttled, Status: 429},
		"loaded":        {Kind: Refused, Status: 503, RetryAfter: time.Second},
		"token timeout": {Kind: Timeout, Stage: "Authentication"},
		"token 400":     {Kind: Refused, Stage: "Authentication", Status: 400},
		"unreachable":   {Kind: Unreachable},
		"credentials":   {Kind: Credentials, Status: 401},
	} {
		a := newSizedAPI(t, 0)
		repeated := e.RetryAfter > 0 || e.Stage == "Authentication" || e.Kind != Timeout && e.Kind != Refused
		fail := false
		a.answer = func(limit int) *APIError {
			if fail && limit > 50 {
				fail = repeated
				return e
			}
			return nil
		}
		for range 10 {
			fail = true
			a.read(1, 5, time.Second)
			fail = false
			a.read(1, 5, time.Second)
		}
		if a.size.limit() != 1000 {
			t.Errorf("%s: size is %d", name, a.size.limit())
		}
	}
}

// A trouble that is not for the size ends with pages as large as before at the
// next reading.
func TestPageSizeAfterAnOutage(t *testing.T) {
	a := newSizedAPI(t, 0)
	a.answer = above(0, errGateway)
	for range 100 {
		a.read(1, 4, time.Second)
	}
	if a.size.limit() != 1 {
		t.Errorf("size is %d in an outage", a.size.limit())
	}
	a.answer = above(1000, nil)
	a.read(1, 1, time.Second)
	if a.size.limit() != 1000 || !a.read(1, 1, time.Second) || a.size.limit() != 1000 {
		t.Errorf("size is %d after an outage", a.size.limit())
	}
}

// What is known of a size goes for the pages of a reading that began before.
func TestPageSizeOfAReadingUnderWay(t *testing.T) {
	a := newSizedAPI(t, 0)
	a.answer = above(500, errSlow)
	a.read(2, 5, time.Second)
	a.read(2, 5, time.Second)
	q, _, err := a.call(Query{Since: a.now, Cursor: "x", Limit: 1000})
	if err != nil || q.Limit != 500 {
		t.Errorf("asked with %d, %v", q.Limit, err)
	}
}

// The small pages of one reading must not hide that another's fails each time.
func TestPageSizeOfTwoReadings(t *testing.T) {
	p := newPageSize(0)
	now := time.Unix(1e9, 0)
	sweep := Query{Since: now.Add(-time.Hour), Until: now, Cursor: "x", Limit: 1000}
	for range 2 {
		if p.limit() != 1000 {
			t.Fatalf("the size fell to %d at the first failure", p.limit())
		}
		sweep.Limit = p.failed(sweep, errSlow, now)
		if sweep.Limit == 0 {
			sweep.Limit = 1000
		}
		for i := range 3 {
			q := Query{Since: now, Limit: p.limit()}
			now = now.Add(time.Second)
			if i == 1 {
				_ = p.failed(q, errGateway, now)
			}
			p.answered(q, &Page{Events: elements[:3]}, now)
		}
	}
	if sweep.Limit != 500 {
		t.Errorf("the sweep's page is asked for with %d", sweep.Limit)
	}
}

func TestPageSizeBlamesTheLimit(t *testing.T) {
	for _, tc := range []struct {
		name  string
		err   *APIError
		reads int // until the limit is blamed
	}{{"said", errBadLimit, 1}, {"not said", errBadRequest, 2}} {
		t.Run(tc.name, func(t *testing.T) {
			a := newSizedAPI(t, 0)
			a.answer = above(50, tc.err)
			for i := range tc.reads {
				if a.size.limit() != 1000 {
					t.Errorf("size is %d after %d readings", a.size.limit(), i)
				}
				if !a.read(3, 1, time.Second) {
					t.Error("a reading failed that the small size would have made")
				}
			}
			if a.size.limit() != 50 {
				t.Errorf("size is %d, want 50", a.size.limit())
			}
			a.asked = nil
			for range 24 * 360 {
				a.read(1, 1, 10*time.Second)
			}
			large := 0
			for _, limit := range a.asked {
				if limit > 50 {
					large++
				}
			}
			if large < 20 || large > 48 {
				t.Errorf("%d calls of a day with a large size", large)
			}
			// What it gives of it is made use of, within an hour.
			a.answer = above(200, tc.err)
			for range 5 * 360 {
				a.read(1, 1, 10*time.Second)
			}
			if got := a.size.limit(); got != 200 && got != 400 {
				t.Errorf("size is %d where 200 is given", got)
			}
			a.answer = above(1000, nil)
			for range 361 + 10 {
				a.read(1, 1, 10*time.Second)
			}
			if a.size.limit() != 1000 {
				t.Errorf("size is %d an hour after the API gives all", a.size.limit())
			}
		})
	}
}

// A 400 for another cause is there with small pages too, or gone the next time.
func TestPageSizeAfter400ForAnotherCause(t *testing.T) {
	a := newSizedAPI(t, 0)
	a.answer = above(0, errBadRequest)
	for range 50 {
		a.read(1, 3, time.Second)
	}
	if a.size.limit() != 1000 {
		t.Errorf("size is %d though small pages are refused too", a.size.limit())
	}
	for range 50 {
		fail := true
		a.answer = func(limit int) *APIError {
			if fail && limit > 50 {
				return errBadRequest
			}
			return nil
		}
		a.read(1, 1, time.Second)
		fail = false
		a.read(1, 1, time.Second)
	}
	if a.size.limit() != 1000 {
		t.Errorf("size is %d though the large size was given in between", a.size.limit())
	}
}

// Calls that fail by chance, whatever the size, must not wear the size down.
func TestPageSizeOfAnUnreliableAPI(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	a := newSizedAPI(t, 0)
	a.answer = func(int) *APIError {
		if rnd.IntN(10) < 3 {
			return errGateway
		}
		return nil
	}
	sum := 0
	const readings = 24 * 360
	for range readings {
		a.read(2, 4, 5*time.Second)
		sum += a.size.limit()
	}
	if mean := sum / readings; mean < 700 {
		t.Errorf("the mean size is %d where three calls of ten fail", mean)
	}
}

func TestPageSizeLearnsTheClamp(t *testing.T) {
	for _, configured := range []int{0, 400} {
		for _, most := range []int{1, 7, 50, 100, 399} {
			a := newSizedAPI(t, configured)
			a.hold = func(limit int) int { return min(limit, most) }
			a.read(4, 1, time.Second)
			if a.size.room() != most || a.size.limit() != a.size.top {
				t.Errorf("clamped to %d: limit %d, room %d", most, a.size.limit(), a.size.room())
			}
			a.hold = nil
			a.read(1, 1, time.Second)
			if a.size.room() != a.size.top {
				t.Errorf("room is %d though a page held %d", a.size.room(), a.size.top)
			}
			a.hold = func(limit int) int { return min(limit, most) }
			a.read(2, 1, time.Second)
			a.now = a.now.Add(lately)
			a.read(4, 1, time.Second)
			if a.size.room() != most {
				t.Errorf("clamped to %d again: room %d", most, a.size.room())
			}
		}
	}
}

// An API that links on from its last page gives short pages that are not cut
// off.
func TestPageSizeIsNoClampAtTheEnd(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for name, pages := range map[string]func(i, k int) int{
		"nothing follows":   func(_, k int) int { return []int{300, 0, 0}[k] },
		"what has happened": func(i, k int) int { return []int{300 + i%7, 1 + rnd.IntN(3), 1}[k] },
		"nothing at all":    func(int, int) int { return 0 },
	} {
		p := newPageSize(0)
		now := time.Unix(1e9, 0)
		rooms := map[int]int{}
		for i := range 10_000 {
			q := Query{Limit: p.limit()}
			for k := range 3 {
				now = now.Add(time.Second)
				page := &Page{Events: elements[:pages(i, k)], Next: fmt.Sprint(i, k)}
				p.answered(q, page, now)
				q.Cursor = page.Next
			}
			rooms[p.room()]++
		}
		for room := range rooms {
			if room < 300 {
				t.Errorf("%s: room is %v", name, rooms)
				break
			}
		}
	}
}

// Whatever an API does for a while: the size stays in its bounds, and once it is
// well the size is the configured one within an hour and ten readings.
func TestPageSizeRecovers(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		a := newSizedAPI(t, 0)
		errs := []*APIError{errSlow, errGateway, errNarrow, errBadRequest, errBadLimit, {Kind: Unreachable}}
		for range 1 + rnd.IntN(8) {
			most, chance, e := rnd.IntN(1200), rnd.IntN(101), errs[rnd.IntN(len(errs))]
			held := 1 + rnd.IntN(1000)
			a.hold = func(limit int) int { return min(limit, held) }
			a.answer = func(limit int) *APIError {
				if limit > most && rnd.IntN(100) < chance {
					return e
				}
				return nil
			}
			for range rnd.IntN(300) {
				a.read(1+rnd.IntN(4), 1+rnd.IntN(4), time.Duration(rnd.IntN(60))*time.Second)
			}
		}
		a.answer, a.hold = above(1000, nil), nil
		a.read(1, 1, time.Second)
		well := a.now
		for a.now.Sub(well) < time.Hour {
			a.read(1, 1, 30*time.Second)
		}
		for range 10 {
			a.read(1, 1, time.Second)
		}
		if a.size.limit() != 1000 || a.size.room() != 1000 {
			t.Errorf("seed %d: limit %d, room %d once the API is well: %+v", seed, a.size.limit(), a.size.room(), a.size)
		}
	}
}
