package audit

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kversion"
)

func TestRightHistoriesPass(t *testing.T) {
	for _, protocol := range []struct {
		name     string
		versions *kversion.Versions
	}{{"v1", kversion.V3_9_0()}, {"v2", nil}} {
		for _, key := range []string{"tenant", "user", "event"} {
			t.Run(protocol.name+" "+key, func(t *testing.T) {
				p := rightPlan(key)
				r := judgePlan(t, p, protocol.versions, Rules{Key: key, Canaries: []string{canary}})
				if !r.OK() {
					t.Fatalf("a right history is refused:\n%s", r)
				}
				var want int64
				for _, facts := range p.truth {
					want += int64(len(facts))
				}
				if got := r.Published(); got != want || want == 0 {
					t.Errorf("published: got %d, want %d", got, want)
				}
				if r.Counts.Aborted == 0 || r.Counts.Aborts == 0 {
					t.Errorf("no aborted records were met: %+v", r.Counts)
				}
				if r.Counts.DeadLetters != 1 {
					t.Errorf("dead letters: got %d, want 1", r.Counts.DeadLetters)
				}
			})
		}
	}
}

// What need not be in the topic is excused, and nothing else.
func TestExcuses(t *testing.T) {
	at := func(d time.Duration) int64 { return micros(start.Add(d)) }
	const h = time.Hour
	for _, c := range []struct {
		name    string
		fact    Fact
		rules   Rules
		until   time.Time
		excused bool
	}{
		{"ordinary", Fact{ID: 1, Created: at(h), Visible: at(h)}, Rules{}, time.Time{}, false},
		{"before the start", Fact{ID: 1, Created: at(-h), Visible: at(h)}, Rules{From: start}, time.Time{}, true},
		{"at the start", Fact{ID: 1, Created: at(0), Visible: at(0)}, Rules{From: start}, time.Time{}, false},
		{"too late", Fact{ID: 1, Created: at(0), Visible: at(h + 1e6)}, Rules{MaxLateness: h}, time.Time{}, true},
		{"just in time", Fact{ID: 1, Created: at(0), Visible: at(h)}, Rules{MaxLateness: h}, time.Time{}, false},
		{"not visible yet", Fact{ID: 1, Created: at(0), Visible: at(h + 1e6)}, Rules{}, start.Add(h), true},
		{"just visible", Fact{ID: 1, Created: at(0), Visible: at(h)}, Rules{}, start.Add(h), false},
	} {
		p := rightPlan("tenant")
		p.truth["zebra"] = []Fact{c.fact}
		r := New(c.rules).Report(Truth{"zebra": p.truth["zebra"]}, c.until)
		if got := r.Connectors[0]; got.Excused == 1 != c.excused || got.Missing == 1 == c.excused || r.OK() != c.excused {
			t.Errorf("%s: got %+v", c.name, got)
		}
	}
}

// claimed is a history whose last position vouches for an event that is not
// there and was visible so long before the position's updated_at.
func claimed(t *testing.T, visible time.Duration) *plan {
	t.Helper()
	p := rightPlan("tenant")
	last := lastPosition(t, p, "acme")
	last.edit(t, "complete_through", func(any) any { return start.Add(10 * time.Minute) })
	last.edit(t, "updated_at", func(any) any { return start.Add(time.Hour) })
	p.truth["acme"] = append([]Fact{{ID: 3, Created: micros(start.Add(9 * time.Minute)), Visible: micros(start.Add(time.Hour - visible))}}, p.truth["acme"]...)
	return p
}

// An event that was visible too shortly before the position was written is not
// vouched for by its complete_through.
func TestCompleteThroughVouchesForWhatWasVisible(t *testing.T) {
	for _, c := range []struct {
		visible time.Duration // before updated_at
		told    bool
	}{{11 * time.Second, true}, {10 * time.Second, true}, {9 * time.Second, false}} {
		r := judgePlan(t, claimed(t, c.visible), nil, Rules{})
		if got := r.Has("A6", "complete_through-early"); got != c.told {
			t.Errorf("visible %s before: got %t, want %t\n%s", c.visible, got, c.told, r)
		}
	}
}

// Where the broker says when a position was written, the clock of who wrote it
// does not count: it may be hours ahead.
func TestCompleteThroughByTheBrokersClock(t *testing.T) {
	for _, c := range []struct {
		appended time.Duration // before updated_at
		told     bool
	}{{0, true}, {time.Second, true}, {2 * time.Second, false}, {time.Hour, false}} {
		p, brokers, kept := claimed(t, 11*time.Second), cluster(t, nil), keeper{}
		write(t, brokers, p.txns)
		if _, err := reader(t, brokers).Snapshot(t.Context(), &kept); err != nil {
			t.Fatal(err)
		}
		for i := range kept.entries {
			if e := &kept.entries[i]; e.Kind == Offsets && !e.Control {
				e.Appended = start.Add(time.Hour - c.appended)
			}
		}
		r := Check(Rules{}, nil, slices.Values(kept.entries), p.truth)
		if got := r.Has("A6", "complete_through-early"); got != c.told {
			t.Errorf("written %s before updated_at: got %t, want %t\n%s", c.appended, got, c.told, r)
		}
	}
}

// Nothing that may still show late events is complete.
func TestCompleteThroughIsAWindowOld(t *testing.T) {
	for _, c := range []struct {
		window time.Duration // complete_through is 5 minutes before the position
		told   bool
	}{{0, false}, {5 * time.Minute, false}, {5*time.Minute + 10*time.Second, false}, {5*time.Minute + 11*time.Second, true}} {
		p := rightPlan("tenant")
		last := lastPosition(t, p, "acme")
		last.edit(t, "complete_through", func(any) any { return start.Add(10 * time.Minute) })
		last.edit(t, "updated_at", func(any) any { return start.Add(15 * time.Minute) })
		r := judgePlan(t, p, nil, Rules{SweepWindow: c.window})
		if got := r.Has("A6", "complete_through-young"); got != c.told {
			t.Errorf("window %s: got %t, want %t\n%s", c.window, got, c.told, r)
		}
	}
}
