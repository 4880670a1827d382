package source

import (
	"testing"
	"testing/synctest"
	"time"
)

// Two budgets that turn out to be of one account never grant more than its
// share together, whatever each granted before.
func TestBudgetsJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := NewBudget(0.5), NewBudget(0.4), NewBudget(0.5)
		n := spend(a, CatchUp, time.Millisecond, 300*time.Millisecond) + spend(b, Tail, time.Millisecond, 400*time.Millisecond)
		a.Join(b)
		b.Join(c)
		c.Join(a)
		most := int(0.4 * defaultLimit)
		for _, other := range []*Budget{a, b, c} {
			n += spend(other, CatchUp, time.Millisecond, 10*time.Second)
		}
		if n < most*8/10 {
			t.Errorf("%d calls at once, want most of %d", n, most)
		}
		b.Throttled(time.Minute)
		for _, other := range []*Budget{a, b, c} {
			if d := other.Delay(Tail); d != time.Minute {
				t.Errorf("one of the joined waits %v, want a minute", d)
			}
		}
		n += spend(c, Tail, time.Second, 50*time.Minute)
		if n > most {
			t.Errorf("%d calls in an hour, want at most %d", n, most)
		}
	})
}

// What the API said to one of two counts for both.
func TestBudgetsJoinWhatIsKnown(t *testing.T) {
	for name, join := range map[string]func(known, fresh *Budget){
		"known joins fresh": func(known, fresh *Budget) { known.Join(fresh) },
		"fresh joins known": func(known, fresh *Budget) { fresh.Join(known) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				known, fresh := NewBudget(0.5), NewBudget(0.5)
				fresh.take(Tail)
				known.Observe(RateLimit{Limit: 1000, Remaining: 10, Reset: 20 * time.Minute})
				join(known, fresh)
				for _, b := range []*Budget{known, fresh} {
					if r := b.RateLimit(); r.Limit != 1000 || r.Remaining != 10 || r.Reset != 20*time.Minute {
						t.Errorf("got %+v", r)
					}
				}
			})
		})
	}
}

// After a restart the records of two connectors of one account tell of the same
// calls. What each has granted since, before they were found to be of one account,
// counts as well.
func TestBudgetsJoinAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, ends := NewBudget(0.5), NewBudget(0.5), time.Now().Add(20*time.Minute)
		a.Resume(1500, ends)
		b.Resume(1490, ends)
		a.take(Tail)
		b.take(Tail)
		b.take(Tail)
		a.Join(b)
		if used, until := b.Used(); used != 1503 || !until.Equal(ends) {
			t.Errorf("%d calls until %v, want 1503 until %v", used, until, ends)
		}
		a.Resume(1495, ends)
		if used, _ := a.Used(); used != 1503 {
			t.Errorf("%d calls after an older record, want 1503", used)
		}
	})
}
