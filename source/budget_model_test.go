package source

import (
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// countingAPI counts an account's calls as OneLogin does, in fixed hours, and
// knows for whom each was made.
type countingAPI struct {
	limit        int
	ends         time.Time
	ours, others int
	left         int           // as the last answer to us said; -1 = none in this window
	blind        int           // calls of ours that were made by who did not know the limit
	round        time.Duration // what Reset is rounded to, down; 0 = as it is
	windows      int           // seen
}

func (a *countingAPI) turn(now time.Time) {
	if now.Before(a.ends) {
		return
	}
	a.ends, a.ours, a.others, a.blind, a.left = now.Truncate(time.Hour).Add(time.Hour), 0, 0, 0, -1
	a.windows++
}

// call makes one call of ours.
func (a *countingAPI) call() {
	a.ours++
	if a.left > 0 {
		a.left--
	}
}

// answer is what the answer to the last call says.
func (a *countingAPI) answer(now time.Time) RateLimit {
	a.left = max(a.limit-a.ours-a.others, 0)
	reset := a.ends.Sub(now)
	if a.round > 0 {
		reset = reset.Truncate(a.round)
	}
	return RateLimit{Limit: a.limit, Remaining: a.left, Reset: reset, At: now}
}

// The rule's numbers, as Budget documents them.
var modelReserves = [...]float64{Tail: 0, CatchUp: 0.1, Sweep: 0.8, Backfill: 0.9, Verify: 0.95}

const (
	modelSpaced  = 0.9
	modelTail    = 0.8
	modelSpacing = 30 * time.Second
	// modelSlack is by which a window may seem to end later than it does.
	modelSlack = 2 * time.Second
)

// modelWorld is one account with its budget, and what a model of the budget's
// rule makes of the same calls.
type modelWorld struct {
	t      *testing.T
	rnd    *rand.Rand
	api    countingAPI
	share  float64
	budget *Budget
	// What the model knows.
	told        bool // the limit, to the present owner
	silent      int  // answers do not come
	blocked     time.Time
	tailAt      time.Time
	granted     [Verify + 1]int
	held, walls int // tail calls that waited with room; calls that waited for the window's end
	restarts    int
}

func (w *modelWorld) part() float64 {
	if !w.told {
		return defaultLimit * w.share
	}
	return max(1, float64(w.api.limit)*w.share)
}

func (w *modelWorld) room() float64 {
	r := w.part() - float64(w.api.ours)
	if w.api.left >= 0 {
		r = min(r, math.Ceil(float64(w.api.left)*w.share))
	}
	return r
}

// ask asks for one call of priority p, and makes it if it is granted.
func (w *modelWorld) ask(p Priority) time.Duration {
	now := time.Now()
	w.api.turn(now)
	d := w.budget.take(p)
	left, r := w.api.ends.Sub(now), w.room()
	even := w.part() * float64(left) / float64(time.Hour)
	switch {
	case d < 0 || d > time.Hour:
		w.t.Fatalf("priority %d waits %v", p, d)
	case w.blocked.After(now):
		if d != w.blocked.Sub(now) {
			w.t.Fatalf("with a block of %v priority %d waits %v", w.blocked.Sub(now), p, d)
		}
	case d > left+modelSlack:
		w.t.Fatalf("%v before the window's end priority %d waits %v", left, p, d)
	case d == 0:
		if r < 1 {
			w.t.Fatalf("priority %d was granted a call with a room of %v", p, r)
		}
		if reserve := modelReserves[p] * even; r <= reserve {
			w.t.Fatalf("priority %d was granted a call with a room of %v, of which %v is for those before it", p, r, reserve)
		}
		w.granted[p]++
		if p == Tail {
			w.tailAt = now
		}
		w.api.call()
		if !w.told && w.api.limit != defaultLimit {
			w.api.blind++
		}
		if w.silent == 0 {
			w.answer()
		}
	case left < modelSlack || r < 1 || left > time.Hour-modelSlack && d <= modelSlack:
		w.walls++ // or what our window and the API's are apart
	case p != Tail:
		if most := float64(left+modelSlack) * (1 - r/(modelReserves[p]*w.part()*float64(left+modelSlack)/float64(time.Hour))); float64(d) > most+float64(modelSlack) {
			w.t.Fatalf("priority %d waits %v with a room of %v, want at most %v", p, d, r, time.Duration(most))
		}
	default:
		w.held++
		if r >= modelSpaced*w.part()*float64(left+modelSlack)/float64(time.Hour) {
			w.t.Fatalf("a tail call waits %v with a room of %v above an even line of %v", d, r, even)
		}
		most := max(modelSpacing, time.Duration(float64(left+modelSlack)/(modelTail*r)))
		if since := now.Sub(w.tailAt); d+since > most {
			w.t.Fatalf("a tail call waits %v, %v after the last, with a room of %v for %v: want %v at most", d, since, r, left, most)
		}
	}
	return d
}

// answer lets the budget hear of the last call.
func (w *modelWorld) answer() {
	w.budget.Observe(w.api.answer(time.Now()))
	w.told = true
}

// burst takes up to n calls at once, whose answers all come later.
func (w *modelWorld) burst(p Priority, n int) {
	w.api.turn(time.Now())
	left := time.Until(w.api.ends)
	if left < modelSlack || left > time.Hour-modelSlack || w.api.left < 0 {
		return // when the window ends is not known, or not well enough for all calls at once
	}
	before := w.api.ours
	w.silent++
	for ; n > 0 && w.ask(p) == 0; n-- {
	}
	w.silent--
	if w.api.ours > before {
		w.answer()
	}
}

// restart puts another owner in place of the present one, which begins with the
// last record.
func (w *modelWorld) restart() {
	used, ends := w.budget.Used()
	limit := w.budget.RateLimit().Limit
	w.budget = NewBudget(w.share)
	if w.rnd.IntN(2) == 0 { // else it is of an older version
		w.budget.Assume(limit)
		w.told = w.told && limit > 0
	} else {
		w.told = false
	}
	w.budget.Resume(used, ends)
	w.api.left, w.blocked, w.tailAt = -1, time.Time{}, time.Time{}
	w.restarts++
}

// step is one thing that may happen.
func (w *modelWorld) step() {
	switch k := w.rnd.IntN(100); {
	case k < 30: // a run of the tail
		if w.ask(Tail) == 0 {
			for range w.rnd.IntN(1 + w.rnd.IntN(20)) {
				w.ask(CatchUp)
			}
		}
	case k < 35: // as much as is granted at once
		w.burst(Priority(w.rnd.IntN(int(Verify)+1)), w.rnd.IntN(2*w.api.limit))
	case k < 50:
		w.ask(Sweep)
	case k < 60:
		w.ask(Backfill + Priority(w.rnd.IntN(2)))
	case k < 65: // the others
		w.api.turn(time.Now())
		w.api.others += w.rnd.IntN(w.api.limit / 10)
	case k < 68:
		w.restart()
	case k < 69:
		d := time.Duration(w.rnd.Int64N(int64(30 * time.Hour)))
		w.budget.Throttled(d)
		if until := time.Now().Add(min(d, time.Hour)); until.After(w.blocked) {
			w.blocked = until
		}
	case k < 72:
		w.budget.Unblock()
		w.blocked = time.Time{}
	case k < 73:
		time.Sleep(time.Duration(w.rnd.Int64N(int64(2 * time.Hour))))
	default:
		time.Sleep(time.Duration(w.rnd.Int64N(int64(time.Duration(1+w.rnd.IntN(60)) * time.Second))))
	}
}

// The rule of Budget, in whatever order things happen: the calls of all owners in
// a window of the API are never more than the share, each is granted or held as
// the rule says, and nothing is ever stuck.
func TestBudgetModel(t *testing.T) {
	all := modelWorld{}
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 7))
			w := modelWorld{t: t, rnd: rnd, share: 0.05 + 0.95*rnd.Float64()}
			w.api = countingAPI{limit: []int{20, 200, 1000, 5000}[rnd.IntN(4)], round: time.Duration(rnd.IntN(2)) * time.Second}
			time.Sleep(time.Duration(rnd.Int64N(int64(time.Hour))))
			w.budget, w.api.left = NewBudget(w.share), -1
			for range 4000 {
				w.step()
				if most := max(1, float64(w.api.limit)*w.share); float64(w.api.ours-w.api.blind) > most {
					t.Fatalf("seed %d: %d calls of ours in one window, more than %v, and %d by who did not know it", seed, w.api.ours, most, w.api.blind)
				}
			}
			// Nothing is stuck: a call of any priority comes within two windows.
			w.budget.Unblock()
			for p := range Verify + 1 {
				w.api.others = 0
				began := time.Now()
				if err := w.budget.Wait(t.Context(), p); err != nil || time.Since(began) > time.Hour+rounding {
					t.Fatalf("seed %d: priority %d waited %v, %v", seed, p, time.Since(began), err)
				}
				w.api.turn(time.Now())
				w.api.call()
				w.answer()
			}
			for p, n := range w.granted {
				all.granted[p] += n
			}
			all.held, all.walls, all.restarts = all.held+w.held, all.walls+w.walls, all.restarts+w.restarts
			all.api.windows += w.api.windows
		})
	}
	t.Logf("calls granted by priority %v in %d windows with %d restarts; %d tail calls were held, %d calls came to the window's end",
		all.granted, all.api.windows, all.restarts, all.held, all.walls)
	if all.api.windows < 1000 || all.restarts < 1000 || all.held < 1000 || all.walls < 1000 || min(all.granted[Tail], all.granted[CatchUp], all.granted[Sweep], all.granted[Backfill], all.granted[Verify]) < 1000 {
		t.Error("the worlds do not come to what they are for")
	}
}
