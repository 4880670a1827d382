package reconcile

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"onelogin-kafka/internal/position"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
)

// refusing is a poller that notes nothing, as one does whose credentials are those of
// another account than its position.
type refusing struct {
	notes int
	full  func()
}

func (r *refusing) Publish(context.Context, *source.Page, []int32, source.Note) (int, error) {
	return 0, errors.New("nothing may be published")
}

func (r *refusing) Note(context.Context, source.Note) error {
	if r.notes++; r.notes == 1000 {
		r.full()
	}
	return &source.APIError{Kind: source.Configuration, Stage: "Configuration", Message: "Configuration Error"}
}

func (r *refusing) Committed() schemas.Offset {
	now := time.Now()
	return schemas.Offset{Through: now, WindowStart: now.Add(-time.Hour), VerifiedThrough: now.Add(-time.Hour), UpdatedAt: now}
}

// TestAJobThatIsRefusedRests: a job whose progress is refused while its session goes on
// is tried again, and does not keep the processor and the poller busy until it can be
// written.
func TestAJobThatIsRefusedRests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		r := &refusing{full: cancel}
		cancelled := schemas.JobRequest{ID: "1", Kind: schemas.JobRepair, Connector: "acme", From: time.Now().Add(-10 * time.Hour), AskedBy: "ann", CancelledBy: "bob"}
		wanted := cancelled
		wanted.ID, wanted.CancelledBy = "2", ""
		begun := schemas.JobProgress{ID: "1", Kind: schemas.JobRepair, State: schemas.JobRunning, StartedAt: time.Now(), UpdatedAt: time.Now(),
			Report: schemas.Report{From: cancelled.From, To: time.Now(), Through: cancelled.From}}
		w := &Work{
			Connector: "acme", Poller: r, Log: zerolog.Nop(), Asked: make(chan struct{}),
			Jobs: func() ([]registry.Job, bool) {
				return []registry.Job{{ID: "1", Connector: "acme", Request: cancelled}, {ID: "2", Connector: "acme", Request: wanted}}, true
			},
			Records: map[string][]byte{string(schemas.JobKey("acme", "1")): begun.Marshal()},
		}
		w.Run(ctx)
		if r.notes < 10 || r.notes >= 1000 {
			t.Errorf("it was tried %d times in an hour", r.notes)
		}
		if w.known["1"].State.Ended() {
			t.Error("the end of a job counts as written that was refused")
		}
	})
}

// TestAJobSaysWhatItWaitsFor: where the credentials are refused to a job that has
// begun, its progress says so, with what it has found and published till then, and
// says nothing once it gets on.
func TestAJobSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t)
		p := g.past(rand.New(rand.NewPCG(1, 23)), 3000, 100)
		g.topic.records = nil
		g.during(2*time.Minute, 24*time.Hour)
		g.pageSize = 20
		calls := 0
		g.api.fault = func(q source.Query) error {
			if calls++; calls > 40 && calls < 1_000_000 {
				return &source.APIError{Kind: source.Credentials, Stage: "Authentication", Message: "Credentials error"}
			}
			return nil
		}
		g.ask("1", schemas.JobBackfill, p.from)
		g.during(10*time.Minute, 24*time.Hour)
		got := g.progress("1")
		if got.State != schemas.JobRunning || !strings.Contains(got.Message, "Credentials error; it is tried again") {
			t.Fatalf("the job says %+v", got)
		}
		n, _ := g.times()
		published := int64(0)
		for _, times := range n {
			published += int64(times)
		}
		if published == 0 || published == int64(p.events) || got.Report.Repaired != published {
			t.Errorf("it has published %d events and says %+v", published, got.Report)
		}
		calls = 1_000_000
		g.during(time.Hour, 24*time.Hour)
		if got := g.progress("1"); got.State != schemas.JobDone || got.Message != "" || got.Report.Repaired != int64(p.events) {
			t.Errorf("of %d missing events the job says in the end %+v", p.events, got)
		}
	})
}

// TestAJobLeavesToThePollWhatIsSetBack: where a position is set back into the range of
// a job that has begun, what the poll publishes of it is not published by the job, too.
func TestAJobLeavesToThePollWhatIsSetBack(t *testing.T) {
	t.Parallel()
	both := 0
	for seed := range 4 {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(uint64(seed), 21))
			g := newRig(t)
			g.pageSize = 5
			began := time.Now()
			for i := range 30 * 60 {
				g.api.add(event(int64(10*i+10), began.Add(time.Duration(i)*time.Minute)))
			}
			g.during(24*time.Hour, 0)
			hole := position.Range{From: began.Add(20 * time.Hour), To: began.Add(22 * time.Hour)}
			g.topic.cut(hole)
			g.delay = func() time.Duration { return time.Duration(rnd.IntN(1000)) * time.Millisecond }
			g.ask("1", schemas.JobRepair, began)
			g.during(time.Duration(5+rnd.IntN(10))*time.Second, 0)
			if p := g.progress("1"); p.State != schemas.JobRunning || p.Report.Through.After(hole.From) {
				t.Fatalf("seed %d: the job is here: %+v", seed, p)
			}
			before, _ := g.times() // what the job has published is repeated by the poll
			g.move(position.Target{Back: 4*time.Hour + time.Duration(rnd.IntN(120))*time.Minute})
			g.during(3*time.Hour, 0)
			n, late := g.times()
			for _, ev := range g.api.events {
				if hole.Holds(ev.CreatedAt) && n[ev.ID] != 1+before[ev.ID] {
					t.Errorf("seed %d: the event of %v is there %d times", seed, ev.CreatedAt.Sub(began), n[ev.ID])
				}
			}
			p := g.progress("1")
			if p.State != schemas.JobDone || p.Report.Through.After(p.Report.To) {
				t.Errorf("seed %d: the job says %+v", seed, p)
			}
			if late > 0 && late < 120 {
				both++
			}
		})
	}
	if both == 0 {
		t.Error("poll and job never had both a part of the hole")
	}
}

// TestAPositionThatIsForgotten: once a position is reset, nothing is measured by where
// it was, though the API does not answer, and the connector begins as if it were new:
// not where it began the first time.
func TestAPositionThatIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t)
		p := g.past(rand.New(rand.NewPCG(1, 22)), 200, 100)
		g.during(2*time.Hour, 24*time.Hour)
		if g.poller.Committed().UpdatedAt.IsZero() {
			t.Fatal("there is no position")
		}
		g.move(position.Target{Reset: true, StartFrom: time.Now().Add(-24 * time.Hour)})
		reset := time.Now()
		g.ask("1", schemas.JobRepair, p.from)
		down := true
		g.api.fault = func(source.Query) error {
			if down {
				return &source.APIError{Kind: source.Unreachable, Stage: "Fetch Logs", Message: "Unable to connect"}
			}
			return nil
		}
		g.during(time.Hour, 24*time.Hour)
		if o := g.poller.Committed(); !o.UpdatedAt.IsZero() || g.progress("1").ID != "" {
			t.Errorf("after a reset the position is %+v, and the job %+v", o, g.progress("1"))
		}
		down = false
		g.during(time.Hour, 24*time.Hour)
		start := reset.Add(-g.poller.StartFrom.Ago)
		if o := g.poller.Committed(); o.Through.Before(start) || o.Through.After(start.Add(time.Minute)) {
			t.Errorf("it was reset at %v and begins at %v", reset, o.Through)
		}
		if got := g.progress("1"); got.State != schemas.JobDone || got.Report.To.After(start.Add(time.Minute)) {
			t.Errorf("the job says %+v", got)
		}
	})
}
