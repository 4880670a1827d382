package source

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// scenario is a random world: an API with its habits and faults, a sink that
// commits late or goes void, and a process that is killed.
type scenario struct {
	rnd    *rand.Rand
	latest time.Duration // how late an event may appear and still be owed
	lag    int64         // how far a copy of the data may be behind, in nanoseconds
	mu     sync.Mutex
	hits   map[string]int
}

func (sc *scenario) hit(what string) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.hits[what]++
}

// lockedSource lets several goroutines draw from one source.
type lockedSource struct {
	mu  sync.Mutex
	src rand.Source
}

func (s *lockedSource) Uint64() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.src.Uint64()
}

// TestExactlyOnce lives through many random worlds, and asks of each that every
// event the API showed in time is in the topic once, that positions never went
// back, and that each committed batch's offset covered exactly what was
// committed (the topic checks that at each commit).
func TestExactlyOnce(t *testing.T) {
	seeds, first := 200, 0
	if testing.Short() {
		seeds = 20
	}
	if n, err := strconv.Atoi(os.Getenv("SOAK_WORLDS")); err == nil {
		seeds, first = n, 1000
	}
	hits := map[string]int{}
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sc := &scenario{rnd: rand.New(&lockedSource{src: rand.NewPCG(uint64(seed), 7)}), hits: hits}
				sc.live(t)
			})
		})
	}
	for _, what := range []string{
		"kill", "void", "fault", "outage", "late", "downtime", "tie", "disorder", "back-dated",
		"two sequences", "descending", "pages back", "no until", "empty and said", "empty and unsaid", "empty with cursor", "lagging",
	} {
		if hits[what] == 0 {
			t.Errorf("no world had a %s", what)
		}
	}
	t.Logf("hits: %v", hits)
}

func (sc *scenario) live(t *testing.T) {
	rnd := sc.rnd
	g := newRig(t)
	began := time.Now()
	back := time.Duration(rnd.IntN(180)) * time.Minute
	g.poller.StartFrom = StartFrom{Ago: back}
	g.poller.Budget = NewBudget(0.5)
	set := g.poller.Settings.withDefaults()
	if rnd.IntN(4) == 0 {
		g.poller.SweepWindow = 70 * time.Minute
	}
	if rnd.IntN(3) == 0 {
		sc.lag = 1 + rnd.Int64N(int64(90*time.Second))
	}
	// What a copy of the data is behind comes on top of what an event is late.
	sc.latest = cmp.Or(g.poller.SweepWindow, set.SweepWindow) - 5*time.Second - time.Duration(sc.lag)
	live := time.Duration(10+rnd.IntN(80)) * time.Minute
	sc.truth(g, began.Add(-back-time.Hour), began.Add(live))
	g.topic.truth, g.topic.start, g.topic.latest = g.api.events, began.Add(-back+5*time.Second), sc.latest
	sc.habits(g, began, live)

	for time.Since(began) < live {
		g.start()
		up := time.Duration(1+rnd.IntN(600)) * time.Second
		select {
		case <-time.After(up):
			sc.hit("kill")
			_ = g.end()
		case err := <-g.done:
			sc.hit("void")
			g.done <- err
			_ = g.end()
		}
		if rnd.IntN(4) == 0 {
			time.Sleep(time.Duration(rnd.IntN(25)) * time.Minute)
			sc.hit("downtime")
		}
	}
	// Then all is well: whatever is owed must come soon.
	g.api.fault, g.api.after, g.api.lag, g.sink.voids = nil, nil, nil, nil
	time.Sleep(time.Until(began.Add(live)))
	g.during(25 * time.Minute)
	sc.judge(t, g, began.Add(-back))
}

// truth makes up the events.
func (sc *scenario) truth(g *rig, from, to time.Time) {
	rnd := sc.rnd
	n := 20 + rnd.IntN(1500)
	lateShare := rnd.Float64() * 0.1
	lateIDs := rnd.IntN(2) == 0
	at, id, other := from, int64(1000), int64(10_000_000)
	sequences := 1 + rnd.IntN(2)
	step := to.Sub(from) / time.Duration(n)
	var events []happening
	for range n {
		switch rnd.IntN(5) {
		case 0: // a tie
			sc.hit("tie")
		default:
			at = at.Add(time.Duration(rnd.Int64N(int64(2*step) + 1)))
		}
		id += 1 + rnd.Int64N(50)
		h := happening{id: id, created: at.Truncate(time.Millisecond), visible: at}
		if sequences > 1 && rnd.IntN(2) == 0 {
			sc.hit("two sequences")
			other += 1 + rnd.Int64N(50)
			h.id = other
		}
		if rnd.IntN(10) == 0 { // a little out of order
			h.created = h.created.Add(-time.Duration(rnd.IntN(1500)) * time.Millisecond)
			sc.hit("disorder")
		}
		if rnd.Float64() < lateShare {
			sc.hit("late")
			late := time.Duration(rnd.Int64N(int64(sc.latest)))
			if rnd.IntN(3) > 0 {
				late = time.Duration(rnd.Int64N(int64(30 * time.Second)))
			}
			if lateIDs { // the id comes when it appears
				sc.hit("back-dated")
				h.created = h.created.Add(-late)
			} else {
				h.visible = h.visible.Add(late)
			}
		}
		events = append(events, h)
	}
	g.api.add(events...)
}

// habits are the API's, its faults and the sink's.
func (sc *scenario) habits(g *rig, began time.Time, live time.Duration) {
	rnd := sc.rnd
	api := g.api
	api.exclusive = rnd.IntN(2) == 0
	api.round = []time.Duration{0, time.Second, time.Minute}[rnd.IntN(3)]
	api.limit = RateLimit{Limit: 1_000_000, Remaining: 900_000, Reset: time.Hour}
	api.skew = time.Duration(rnd.IntN(7)-3) * time.Second
	switch rnd.IntN(4) {
	case 0:
		api.clamp = 50
	case 1:
		api.maxLimit = 50
	case 2:
		g.poller.PageSize = 1 + rnd.IntN(50)
	}
	api.latency = func() time.Duration { return time.Duration(rnd.IntN(400)) * time.Millisecond }
	faults := rnd.Float64() * 0.05
	var outage time.Time
	if rnd.IntN(3) == 0 {
		outage = began.Add(time.Duration(rnd.Int64N(int64(live))))
	}
	length := time.Duration(rnd.IntN(40)) * time.Minute
	api.fault = func(int, Query) error {
		now := time.Now()
		switch {
		case !outage.IsZero() && now.After(outage) && now.Before(outage.Add(length)):
			sc.hit("outage")
			return &APIError{Kind: Unreachable, Stage: "Fetch Logs", Message: "Unable to connect"}
		case rnd.Float64() < faults:
			sc.hit("fault")
			kinds := []Kind{Unknown, Credentials, Forbidden, Unreachable, Timeout, Throttled, Refused, Unreadable}
			e := &APIError{Kind: kinds[rnd.IntN(len(kinds))], Stage: "Fetch Logs", Message: "Unknown Error"}
			if rnd.IntN(2) == 0 {
				e.RetryAfter = time.Duration(rnd.IntN(20)) * time.Second
			}
			return e
		}
		return nil
	}
	sc.oddities(api)
	voids := rnd.Float64() * 0.05
	g.sink.room = 1 + rnd.IntN(5)
	g.sink.delay = func() time.Duration { return time.Duration(rnd.IntN(1000)) * time.Millisecond }
	g.sink.voids = func() bool { return rnd.Float64() < voids }
}

// oddities are what no documentation promises not to happen.
func (sc *scenario) oddities(api *fakeAPI) {
	rnd := sc.rnd
	switch rnd.IntN(5) {
	case 0:
		api.descend = true
		sc.hit("descending")
	case 1:
		api.pagesBack = true
		sc.hit("pages back")
	}
	if rnd.IntN(5) == 0 {
		api.noUntil = true
		sc.hit("no until")
	}
	if sc.lag > 0 {
		api.lag = func() time.Duration {
			if rnd.IntN(3) > 0 {
				return 0
			}
			sc.hit("lagging")
			return time.Duration(rnd.Int64N(sc.lag))
		}
	}
	lies := 0.0
	if rnd.IntN(3) == 0 {
		lies = rnd.Float64() * 0.1
	}
	n := 0
	api.after = func(q Query, p *Page) {
		if rnd.Float64() >= lies {
			return
		}
		n++
		switch rnd.IntN(3) {
		case 0:
			sc.hit("empty and said")
			p.Events, p.Next = nil, ""
		case 1:
			sc.hit("empty and unsaid")
			p.Events, p.Next, p.Unsaid = nil, "", true
		case 2:
			if len(p.Events) > 0 { // else it may be the end
				sc.hit("empty with cursor")
				p.Events, p.Next = nil, fmt.Sprintf("%s~%d", cmp.Or(q.Cursor, "0@x"), n)
				api.freeze(p.Next, q)
			}
		}
	}
}

func (sc *scenario) judge(t *testing.T, g *rig, start time.Time) {
	owed, missing := 0, 0
	for _, h := range g.api.events {
		// The start is the server's clock's, which tells whole seconds.
		if h.created.Before(start.Add(5*time.Second)) || h.visible.After(time.Now().Add(-6*time.Minute)) {
			continue
		}
		owed++
		if g.topic.count[h.id] == 0 {
			missing++
			if missing < 5 {
				t.Errorf("event %d of %v, visible %v later, is missing; state %+v", h.id, h.created, h.visible.Sub(h.created), g.topic.last)
			}
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d events missing; page size %d", missing, owed, g.poller.size.limit())
	}
	if st := g.poller.Status(); st.State != "ACTIVE" {
		t.Errorf("state is %s (%s Stage: %s)", st.State, st.Stage, st.Message)
	}
}
