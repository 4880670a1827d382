package source

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// spend takes calls of priority p every gap (and as the budget allows) for d,
// and returns how many it got.
func spend(b *Budget, p Priority, gap, d time.Duration) int {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	n := 0
	for b.Wait(ctx, p) == nil {
		n++
		if sleep(ctx, gap) != nil {
			break
		}
	}
	return n
}

func TestBudgetLetsPollsThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if n := spend(NewBudget(0.5), Tail, 2*time.Second, time.Hour); n < 1799 {
			t.Errorf("a poll every 2 s got %d of 1800 calls in an hour", n)
		}
	})
}

func TestBudgetBurstsToCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(0.5)
		if n := spend(b, CatchUp, time.Millisecond, 5*time.Second); n < 2000 || n > 2300 {
			t.Errorf("catching up got %d calls at once, want about nine tenths of 2500", n)
		}
		// What is left must do for the tail until the window ends.
		if n := spend(b, Tail, 2*time.Second, 50*time.Minute); n < 150 {
			t.Errorf("after the burst the tail got %d calls in 50 minutes", n)
		}
	})
}

// A run that makes up for an outage does not put off the polls that follow it.
func TestBudgetGoesOnAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(0.5)
		spend(b, Tail, 2*time.Second, time.Minute)
		for range 400 { // the pages of one run
			b.take(CatchUp)
		}
		if d := b.Delay(Tail); d > 10*time.Second {
			t.Errorf("the first poll after the run waits %v", d)
		}
		if n := spend(b, Tail, 2*time.Second, time.Minute); n < 20 {
			t.Errorf("%d polls in the minute after the run", n)
		}
	})
}

func TestBudgetKeepsToItsShare(t *testing.T) {
	for _, share := range []float64{0.1, 0.5, 1} {
		synctest.Test(t, func(t *testing.T) {
			b := NewBudget(share)
			most := int(share * defaultLimit)
			n := 0
			for p := range Verify + 1 {
				n += spend(b, Verify-p, time.Millisecond, 11*time.Minute)
			}
			if n > most {
				t.Errorf("share %v: %d calls in an hour, more than %d", share, n, most)
			}
			if n < most*8/10 {
				t.Errorf("share %v: only %d of %d calls in an hour", share, n, most)
			}
		})
	}
}

func TestBudgetOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(0.5)
		for range 1400 {
			b.take(CatchUp)
		}
		for p, waits := range map[Priority]bool{Tail: false, CatchUp: false, Sweep: true, Backfill: true, Verify: true} {
			if got := b.Delay(p) > 0; got != waits {
				t.Errorf("with half of the share gone, priority %d waits: %v, want %v", p, got, waits)
			}
		}
	})
}

// Other tools of the customer use the same account: the budget must slow down
// before the wall, and never take the last calls.
func TestBudgetSlowsBeforeTheWall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(0.5)
		b.Observe(RateLimit{Limit: 5000, Remaining: 100, Reset: 30 * time.Minute})
		if n := spend(b, Tail, 2*time.Second, 15*time.Minute); n < 10 || n > 35 {
			t.Errorf("with 100 calls left for half an hour the tail took %d in the first half", n)
		}
		b.Observe(RateLimit{Limit: 5000, Remaining: 0, Reset: 10 * time.Minute})
		if d := b.Delay(Tail); d != 10*time.Minute+rounding {
			t.Errorf("with nothing left the tail waits %v, want until the window ends", d)
		}
		time.Sleep(10*time.Minute + rounding)
		if d := b.Delay(Tail); d != 0 {
			t.Errorf("in a new window the tail waits %v", d)
		}
	})
}

// When others have used nearly all calls up, the tail still begins with the new
// window.
func TestBudgetWaitsNoLongerThanTheWindow(t *testing.T) {
	for share, remaining := range map[float64]int{0.5: 2, 0.1: 10, 0.02: 40, 1: 1} {
		synctest.Test(t, func(t *testing.T) {
			b := NewBudget(share)
			_ = b.Wait(t.Context(), Tail)
			b.Observe(RateLimit{Limit: 5000, Remaining: remaining, Reset: 50 * time.Minute})
			for end := time.Now().Add(50*time.Minute + rounding); time.Now().Before(end); _ = b.Wait(t.Context(), Tail) {
				if d := b.Delay(Tail); d > time.Until(end) {
					t.Errorf("share %v: %v before the window's end, the tail waits %v", share, time.Until(end), d)
				}
			}
		})
	}
}

func TestBudgetThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(0.5)
		b.Throttled(7 * time.Minute)
		b.Throttled(time.Minute)
		began := time.Now()
		if err := b.Wait(t.Context(), Tail); err != nil || time.Since(began) != 7*time.Minute {
			t.Errorf("waited %v, %v, want 7m", time.Since(began), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		b.Throttled(time.Hour)
		if err := b.Wait(ctx, Tail); err == nil {
			t.Error("Wait outlived its context")
		}
	})
}

// An answer that asks for a day is about no more than the API's hour.
func TestBudgetThrottledForAnHourAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(0.5)
		began := time.Now()
		b.Throttled(24 * time.Hour)
		if err := b.Wait(t.Context(), Tail); err != nil || time.Since(began) != limitWindow {
			t.Errorf("waited %v, %v, want an hour", time.Since(began), err)
		}
		b.Observe(RateLimit{Limit: 5000, Remaining: 0, Reset: 24 * time.Hour})
		began = time.Now()
		if err := b.Wait(t.Context(), Tail); err != nil || time.Since(began) > limitWindow+rounding {
			t.Errorf("waited %v, %v, want an hour", time.Since(began), err)
		}
	})
}

// What ends a refusal wakes the calls that wait for its end, also where the
// budget they asked has become a part of another.
func TestBudgetUnblock(t *testing.T) {
	for _, join := range []string{"never", "before", "while they wait"} {
		t.Run("joined "+join, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := NewBudget(0.5), NewBudget(0.5)
				which := a
				if join == "before" {
					b.Join(a)
					which = b
				}
				began := time.Now()
				a.Throttled(time.Hour)
				done := make(chan time.Duration, 3)
				for range cap(done) {
					go func() {
						if a.Wait(t.Context(), Tail) != nil {
							t.Error("no call")
						}
						done <- time.Since(began)
					}()
				}
				time.Sleep(10 * time.Minute)
				if join == "while they wait" {
					b.Join(a)
					which = b
				}
				time.Sleep(10 * time.Minute)
				which.Unblock()
				for range cap(done) {
					if d := <-done; d != 20*time.Minute {
						t.Errorf("a call waited for %v, though all were let go after 20 minutes", d)
					}
				}
			})
		})
	}
}

// Whatever an API says of its limits, a budget must not stand still for ever.
func TestBudgetNeverStuck(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			b := NewBudget(rnd.Float64())
			for range 50 {
				began := time.Now()
				if err := b.Wait(t.Context(), Priority(rnd.IntN(4))); err != nil {
					t.Fatal(err)
				}
				if d := time.Since(began); d > limitWindow+rounding {
					t.Fatalf("waited %v", d)
				}
				limit := rnd.IntN(20)
				b.Observe(RateLimit{Limit: limit, Remaining: rnd.IntN(limit + 3), Reset: time.Duration(rnd.IntN(4000)-300) * time.Second, At: time.Now()})
			}
		})
	}
}
