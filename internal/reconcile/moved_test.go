package reconcile

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"onelogin-kafka/internal/position"
	"onelogin-kafka/schemas"
)

// move moves the position as an operator does, and returns what that skips and
// repeats.
func (g *rig) move(target position.Target) position.Plan {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	st, err := position.Read("acme", g.state)
	if err != nil {
		g.t.Fatal(err)
	}
	p, err := st.Move(target, time.Now())
	if err != nil {
		g.t.Fatal(err)
	}
	for _, r := range p.Records(time.Now()) {
		if r.Value == nil {
			delete(g.state, string(r.Key))
		} else {
			g.state[string(r.Key)] = r.Value
		}
	}
	return p
}

// verified is up to where the position says that all was compared.
func (g *rig) verified() time.Time {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	o, err := schemas.ParseOffset(g.state[string(schemas.OffsetKey("acme"))])
	if err != nil {
		g.t.Fatal(err)
	}
	return o.VerifiedThrough
}

// TestMovedBackAndForward: whatever way the position is moved and whenever, what it
// says is verified is in the topic, the daily comparison publishes what was skipped,
// once, and nothing is there twice but what the move said it would repeat.
func TestMovedBackAndForward(t *testing.T) {
	t.Parallel()
	skipped, repeated := 0, 0
	for seed := range 8 {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(uint64(seed), 16))
			g := newRig(t)
			began := time.Now()
			const days = 5
			for i := range days * 24 * 6 {
				g.api.add(event(int64(10*i+10), began.Add(time.Duration(i)*10*time.Minute)))
			}
			var skips, repeats []position.Range
			in := func(all []position.Range, at time.Time) (n int) {
				for _, r := range all {
					if r.Holds(at) {
						n++
					}
				}
				return n
			}
			check := func(when string) {
				t.Helper()
				n, _ := g.times()
				verified := g.verified()
				for _, ev := range g.api.events {
					if !ev.CreatedAt.Before(began) && ev.CreatedAt.Before(verified) && n[ev.ID] == 0 {
						t.Fatalf("seed %d, %s: verified through %v, and the event of %v is not there", seed, when, verified.Sub(began), ev.CreatedAt.Sub(began))
					}
					if most := 1 + in(repeats, ev.CreatedAt); n[ev.ID] > most {
						t.Fatalf("seed %d, %s: the event of %v is there %d times, at most %d were said", seed, when, ev.CreatedAt.Sub(began), n[ev.ID], most)
					}
				}
			}
			first := time.Duration(rnd.IntN(120)) * time.Second // also before anything was verified
			if rnd.IntN(2) == 0 {
				first = time.Duration(1+rnd.IntN(30)) * time.Hour
			}
			g.during(first+5*time.Second, 24*time.Hour)
			for time.Since(began) < (days-3)*24*time.Hour {
				var p position.Plan
				switch rnd.IntN(3) {
				case 0: // nobody is there for a while, and what came is given up
					time.Sleep(time.Duration(rnd.IntN(300)) * time.Minute)
					p = g.move(position.Target{Through: time.Now()})
				case 1:
					p = g.move(position.Target{Back: time.Duration(1+rnd.IntN(30)) * time.Minute})
				default:
					p = g.move(position.Target{Back: min(time.Duration(1+rnd.IntN(10))*time.Hour, time.Since(began)/2)})
				}
				if !p.Skip.Empty() {
					skips = append(skips, p.Skip)
				}
				if !p.Repeat.Empty() {
					repeats = append(repeats, p.Repeat)
				}
				check("moved")
				for range 1 + rnd.IntN(6) {
					g.during(time.Duration(1+rnd.IntN(600))*time.Minute, 24*time.Hour)
					check("at work")
				}
			}
			for range 50 {
				g.during(time.Hour, 24*time.Hour)
				check("at rest")
			}
			n, _ := g.times()
			for _, ev := range g.api.events {
				if !ev.CreatedAt.Before(began) && ev.CreatedAt.Before(time.Now().Add(-time.Hour)) && n[ev.ID] == 0 {
					t.Errorf("seed %d: the event of %v is not there at the end", seed, ev.CreatedAt.Sub(began))
				}
				if in(skips, ev.CreatedAt) > 0 {
					skipped++
				}
				if n[ev.ID] > 1 {
					repeated++
				}
			}
		})
	}
	if skipped < 20 || repeated < 20 {
		t.Errorf("%d events were skipped, %d repeated", skipped, repeated)
	}
}
