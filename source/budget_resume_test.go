package source

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// besideBusyTools polls an account with 5 events a second on pages of 50 for 45
// minutes, from ten minutes into an hour of which others have used up some calls.
// It returns how long an event waited at most.
func besideBusyTools(t *testing.T, others int, before func(b *Budget, api *steadyAPI)) time.Duration {
	t.Helper()
	hour := time.Now().Truncate(time.Hour).Add(time.Hour)
	time.Sleep(time.Until(hour.Add(10 * time.Minute)))
	began := time.Now()
	api := &steadyAPI{began: hour, gap: time.Second / 5, limit: defaultLimit, latency: 50 * time.Millisecond}
	api.window, api.used = hour, others
	sink := &lagSink{from: began}
	p := newPoller(api)
	p.StartFrom, p.Budget = StartFrom{}, NewBudget(0.5)
	if before != nil {
		before(p.Budget, api)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Minute)
	defer cancel()
	_ = p.Run(ctx, &State{Fresh: true}, sink)
	if sink.events < 5*45*60*98/100 {
		t.Errorf("%d events published, want those of 45 minutes", sink.events)
	}
	if ours := api.used - others; ours > defaultLimit/2 || api.over > 0 {
		t.Errorf("%d calls of our own, %d over the account's limit", ours, api.over)
	}
	t.Logf("others used %d before: an event waited for %v; %d calls gone at the end", others, sink.most, api.used)
	return sink.most
}

// What other tools have used of the hour does not count as ours when an owner
// begins in its middle, whether it knows what was made before it or not: an
// event waits as long as beside an owner that was there all the time.
func TestTakeOverBesideBusyTools(t *testing.T) {
	for _, others := range []int{0, 1000, 2000, 2500, 3000} {
		for name, before := range map[string]func(b *Budget, api *steadyAPI){
			"no record": nil,
			"with a record": func(b *Budget, api *steadyAPI) {
				api.used += 300
				b.Resume(300, api.window.Add(time.Hour))
			},
			"there all the time": func(b *Budget, api *steadyAPI) {
				for range 300 {
					b.take(Tail)
				}
				api.used += 300
				b.Observe(RateLimit{Limit: api.limit, Remaining: api.limit - api.used, Reset: 50 * time.Minute})
			},
		} {
			t.Run(name+" "+strconv.Itoa(others), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					if most := besideBusyTools(t, others, before); most > 10*time.Second {
						t.Errorf("other tools used %d of 5000 calls before the start: an event waited for %v", others, most)
					}
				})
			})
		}
	}
}

// Owners that follow each other within a window keep to the share together: each
// goes on where the one before it was, neither full nor empty.
func TestOwnersThatFollowEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone, began := 0, time.Now()
		var record int
		var ends time.Time
		for range 6 {
			b := NewBudget(0.5)
			b.Resume(record, ends)
			if b.Wait(t.Context(), Tail) != nil {
				t.Fatal("no call at all")
			}
			gone++
			b.Observe(RateLimit{Limit: defaultLimit, Remaining: defaultLimit - gone, Reset: time.Hour - time.Since(began)})
			gone += spend(b, CatchUp, time.Millisecond, 20*time.Second)
			gone += spend(b, Tail, 2*time.Second, 8*time.Minute)
			record, ends = b.Used()
		}
		if gone > defaultLimit/2 || gone < defaultLimit/2*8/10 {
			t.Errorf("%d calls, want most of %d", gone, defaultLimit/2)
		}
		if record != gone || !ends.Equal(began.Add(time.Hour)) {
			t.Errorf("the last record says %d calls until %v, want %d until %v", record, ends, gone, began.Add(time.Hour))
		}
		time.Sleep(time.Until(began.Add(time.Hour + rounding)))
		b := NewBudget(0.5)
		b.Resume(record, ends)
		if n, until := b.Used(); n != 0 || !until.IsZero() {
			t.Errorf("after the window a new owner counts %d calls until %v", n, until)
		}
	})
}

// A record counts for its own window only, and never twice.
func TestBudgetResume(t *testing.T) {
	const left = 30 * time.Minute
	told := RateLimit{Limit: defaultLimit, Remaining: 1000, Reset: left}
	for name, tc := range map[string]struct {
		do   func(b *Budget, now time.Time)
		used int
		ends time.Duration
	}{
		"twice": {func(b *Budget, now time.Time) {
			b.Resume(700, now.Add(left))
			b.Resume(600, now.Add(left))
		}, 700, left},
		"with its own": {func(b *Budget, now time.Time) {
			for range 100 {
				b.take(CatchUp)
			}
			b.Resume(60, now.Add(left))
		}, 100, left},
		"with what it granted after the record": {func(b *Budget, now time.Time) {
			b.Resume(700, now.Add(left))
			b.take(Tail)
			b.Observe(told)
			b.Resume(700, now.Add(left))
		}, 701, left},
		"after another owner": {func(b *Budget, now time.Time) {
			b.take(Tail)
			b.Observe(told)
			b.Resume(900, now.Add(left))
		}, 900, left},
		"over": {func(b *Budget, now time.Time) { b.Resume(700, now.Add(-time.Minute)) }, 0, 0},
		"of the window before, by a clock that is slow": {func(b *Budget, now time.Time) {
			b.Resume(700, now.Add(time.Minute))
			b.take(Tail)
			b.Observe(RateLimit{Limit: defaultLimit, Remaining: 4999, Reset: time.Hour})
		}, 1, time.Hour},
		"of the window before, where the API has told the next": {func(b *Budget, now time.Time) {
			b.take(Tail)
			b.Observe(RateLimit{Limit: defaultLimit, Remaining: 4999, Reset: time.Hour})
			b.Resume(700, now.Add(time.Minute))
		}, 1, time.Hour},
		"by a clock that is ten minutes slow": {func(b *Budget, now time.Time) {
			b.Resume(700, now.Add(left-10*time.Minute))
			b.take(Tail)
			b.Observe(told)
		}, 701, left},
		"by a clock that is a day fast": {func(b *Budget, now time.Time) {
			b.Resume(700, now.Add(left+24*time.Hour))
			b.take(Tail)
			b.Observe(told)
		}, 701, left},
		"by a clock that is a day fast, with no answer": {func(b *Budget, now time.Time) {
			b.Resume(700, now.Add(left+24*time.Hour))
		}, 700, limitWindow},
		"nonsense": {func(b *Budget, now time.Time) {
			b.Resume(-1, now.Add(left))
			b.Resume(5, time.Time{})
		}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, now := NewBudget(0.5), time.Now()
				tc.do(b, now)
				want := time.Time{}
				if tc.ends != 0 {
					want = now.Add(tc.ends)
				}
				if used, ends := b.Used(); used != tc.used || !ends.Equal(want) {
					t.Errorf("%d calls until %v, want %d until %v", used, ends, tc.used, want)
				}
			})
		})
	}
}

// More calls than the usual limit has, but few of this account's, do not stop
// whoever comes next until the window ends.
func TestTakeOverOfALargeLimit(t *testing.T) {
	within(t, func(t *testing.T, g *rig) {
		const n = defaultLimit // calls, at one event each
		g.api.limit = RateLimit{Limit: 100 * n, Remaining: 90 * n, Reset: time.Hour}
		g.poller.PageSize = 1
		g.api.add(series(time.Now().Add(-n*time.Second), 1, n, time.Second)...)
		g.during(30 * time.Minute)
		g.wantPublished(n)
		g.poller = newPoller(g.api) // another process
		g.api.add(series(time.Now(), n+1, 10, time.Second)...)
		g.during(time.Minute)
		g.wantPublished(n + 10)
	})
}
