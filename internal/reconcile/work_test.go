package reconcile

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"onelogin-kafka/internal/registry"
	"onelogin-kafka/schemas"
)

// past is what lies before the position of a rig: what OneLogin shows of it, and what
// the topic has.
type past struct {
	from               time.Time
	events             int
	missing            map[int64]bool
	altered, duplicate int64
	copies             map[int64]int
}

// past makes a past of n events within two days: with gaps of 1 to most events, some
// altered and some there twice.
func (g *rig) past(rnd *rand.Rand, n, most int) past {
	end := time.Now().Add(-2 * time.Hour)
	p := past{from: end.Add(-48 * time.Hour), events: n, missing: map[int64]bool{}, copies: map[int64]int{}}
	for i, gap := 0, 0; i < n; i++ {
		id := int64(1000 + 3*i)
		ev := event(id, p.from.Add(48*time.Hour*time.Duration(i)/time.Duration(n)))
		g.api.events = append(g.api.events, ev)
		if gap == 0 && rnd.IntN(n/10+1) == 0 {
			gap = 1 + rnd.IntN(most)
		}
		switch {
		case gap > 0:
			gap--
			p.missing[id] = true
			continue
		case rnd.IntN(100) == 0:
			other := ev
			other.Raw = append([]byte(nil), ev.Raw...)
			other.Raw[len(other.Raw)-2] ^= 1
			ev = other
			p.altered++
		case rnd.IntN(100) == 0:
			g.topic.write("acme", ev)
			p.copies[id]++
			p.duplicate++
		}
		g.topic.write("acme", ev)
		p.copies[id]++
	}
	return p
}

func (g *rig) ask(id string, kind schemas.JobKind, from time.Time) {
	g.change(append(g.wanted, registry.Job{ID: id, Connector: "acme", Request: schemas.JobRequest{
		ID: id, Kind: kind, Connector: "acme", From: from, AskedBy: "ann", AskedAt: time.Now(),
	}})...)
}

func (g *rig) change(wanted ...registry.Job) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wanted = wanted
	select {
	case g.asked <- struct{}{}:
	default:
	}
}

// progress is how far a job is, as committed; zero where it has not begun.
func (g *rig) progress(id string) (p schemas.JobProgress) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if value := g.state[string(schemas.JobKey("acme", id))]; value != nil {
		var err error
		if p, err = schemas.ParseJobProgress(value); err != nil {
			g.t.Fatal(err)
		}
	}
	return p
}

// TestJobsUnderKills: two jobs that are asked for at once, with the owner killed again
// and again: what is missing is published once, whatever is there is not, and what
// they have counted is what was to be found.
func TestJobsUnderKills(t *testing.T) {
	t.Parallel()
	resumed, most := 0, 0
	for seed := range 40 {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(uint64(seed), 11))
			g := newRig(t)
			g.delay = func() time.Duration { return time.Duration(rnd.IntN(2000)) * time.Millisecond }
			g.pageSize = 20 + rnd.IntN(200)
			size := 1 << rnd.IntN(13)
			p := g.past(rnd, 3000, min(size, 5000))
			most = max(most, len(p.missing))
			g.ask("1", schemas.JobRepair, p.from)
			g.ask("2", schemas.JobBackfill, p.from)
			for range 2000 {
				before := g.progress("1")
				g.during(time.Duration(1+rnd.IntN(20))*time.Second, 24*time.Hour)
				if before.State == schemas.JobRunning && before.Report.Repaired > 0 && g.progress("1").Report.Repaired > before.Report.Repaired {
					resumed++
				}
				if g.progress("2").State.Ended() {
					break
				}
			}
			first, second := g.progress("1"), g.progress("2")
			if r := first.Report; first.State != schemas.JobDone || r.Missing != int64(len(p.missing)) || r.Repaired != r.Missing ||
				r.Altered != p.altered || r.Duplicate != p.duplicate || r.Events != int64(p.events) {
				t.Errorf("seed %d: the first job says %+v of %d events, %d missing, %d altered, %d twice", seed, first, p.events, len(p.missing), p.altered, p.duplicate)
			}
			if r := second.Report; second.State != schemas.JobDone || r.Missing != 0 || r.Repaired != 0 || r.Events != int64(p.events) {
				t.Errorf("seed %d: the second job says %+v", seed, second)
			}
			if second.StartedAt.Before(first.UpdatedAt) {
				t.Errorf("seed %d: the second job began at %v, before the first ended at %v", seed, second.StartedAt, first.UpdatedAt)
			}
			n, late := g.times()
			for id := range p.missing {
				if n[id] != 1 {
					t.Errorf("seed %d: event %d that was missing is there %d times", seed, id, n[id])
				}
			}
			for id, times := range p.copies {
				if n[id] != times {
					t.Errorf("seed %d: event %d was there %d times, and is %d times", seed, id, times, n[id])
				}
			}
			if late != len(p.missing) {
				t.Errorf("seed %d: %d late events, %d were missing", seed, late, len(p.missing))
			}
		})
	}
	if resumed < 40 || most < 500 {
		t.Errorf("%d times a job went on after a kill, at most %d events were missing", resumed, most)
	}
}

// TestJobsInShortSessions: with the owner killed every 5 s, and an API that shows some
// pages in that time, a job gets on: of a past of which the topic has most, and of one of
// which it has nothing.
func TestJobsInShortSessions(t *testing.T) {
	t.Parallel()
	for _, most := range []int{100, 3000} {
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t)
			g.api.latency, g.pageSize = 300*time.Millisecond, 20
			p := g.past(rand.New(rand.NewPCG(1, 15)), 3000, most)
			if most == p.events {
				g.topic.records = nil
			}
			g.ask("1", schemas.JobBackfill, p.from)
			sessions := 0
			for ; sessions < 200 && !g.progress("1").State.Ended(); sessions++ {
				g.during(5*time.Second, 24*time.Hour)
			}
			got := g.progress("1")
			if r := got.Report; got.State != schemas.JobDone || r.Events != int64(p.events) {
				t.Errorf("after %d sessions the job says %+v", sessions, got)
			}
			n, _ := g.times()
			for _, ev := range g.api.events {
				if want := max(p.copies[ev.ID], 1); n[ev.ID] != want && (most < p.events || n[ev.ID] != 1) {
					t.Fatalf("event %d is there %d times", ev.ID, n[ev.ID])
				}
			}
			t.Logf("%d pages in %d sessions", p.events/g.pageSize, sessions)
		})
	}
}

// TestJobIsCancelled: it ends where it is, what it has published is what it says, and
// it does not go on, by whoever it is seen.
func TestJobIsCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(1, 12))
		g := newRig(t)
		g.delay = func() time.Duration { return time.Second }
		g.pageSize = 50
		p := g.past(rnd, 3000, 3000)
		g.ask("1", schemas.JobBackfill, p.from)
		go func() {
			time.Sleep(10 * time.Second)
			job := g.wanted[0]
			job.Request.CancelledBy = "bob"
			g.change(job)
		}()
		g.during(time.Minute, 24*time.Hour)
		g.during(time.Minute, 24*time.Hour)
		_, late := g.times()
		got := g.progress("1")
		if got.State != schemas.JobCancelled || late == 0 || late >= len(p.missing) || got.Report.Repaired != int64(late) {
			t.Errorf("%d of %d missing were published, and the job says %+v", late, len(p.missing), got)
		}
		// The request goes, and so does what is left of the job.
		g.change()
		g.during(time.Minute, 24*time.Hour)
		if got := g.progress("1"); got.ID != "" {
			t.Errorf("left of it: %+v", got)
		}
	})
}

// TestJobOfALaterVersion: neither a request nor progress that cannot be read is acted
// upon or written over.
func TestJobOfALaterVersion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t)
		p := g.past(rand.New(rand.NewPCG(1, 13)), 500, 100)
		g.ask("2", schemas.JobRepair, p.from)
		g.change(append([]registry.Job{{ID: "1", Connector: "acme", Err: schemas.ErrVersion}}, g.wanted...)...)
		for _, id := range []string{"1", "2"} {
			g.state[string(schemas.JobKey("acme", id))] = []byte(`{"version":9}`)
		}
		// Without a position there is no state: the first session makes it.
		g.during(time.Hour, 24*time.Hour)
		if _, late := g.times(); late > 0 {
			t.Errorf("%d events were published", late)
		}
		for _, id := range []string{"1", "2"} {
			if got := string(g.state[string(schemas.JobKey("acme", id))]); got != `{"version":9}` {
				t.Errorf("the progress of job %s was written over: %s", id, got)
			}
		}
	})
}
