package reconcile

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"onelogin-kafka/internal/registry"
	"onelogin-kafka/schemas"
)

// TestCancelledWhileNobodyIsAtWork: of two jobs that are cancelled while the connector
// is paused, the one that was at work ends where it was, and the one that never began
// leaves nothing; the next is done all the same.
func TestCancelledWhileNobodyIsAtWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t)
		g.delay = func() time.Duration { return time.Second }
		g.pageSize = 50
		p := g.past(rand.New(rand.NewPCG(1, 15)), 3000, 3000)
		g.ask("1", schemas.JobBackfill, p.from)
		g.ask("2", schemas.JobRepair, p.from)
		g.during(15*time.Second, 24*time.Hour)
		_, half := g.times()
		before := g.progress("1")
		if before.State != schemas.JobRunning || half == 0 || half >= len(p.missing) || g.progress("2").ID != "" {
			t.Fatalf("%d of %d are published: %+v, %+v", half, len(p.missing), before, g.progress("2"))
		}
		jobs, _ := g.jobs()
		var wanted []registry.Job
		for _, j := range jobs {
			j.Request.CancelledBy, j.Request.CancelledAt = "bob", time.Now()
			wanted = append(wanted, j)
		}
		g.change(wanted...)
		time.Sleep(time.Hour)

		g.during(time.Minute, 24*time.Hour)
		first := g.progress("1")
		if _, late := g.times(); late != half || first.State != schemas.JobCancelled || first.Report.Repaired != int64(half) || !first.Report.Through.Equal(before.Report.Through) {
			t.Errorf("%d were published before it was cancelled, %d after, and the job says %+v", half, late, first)
		}
		if second := g.progress("2"); second.ID != "" {
			t.Errorf("a job that never began says %+v", second)
		}
		g.ask("3", schemas.JobBackfill, p.from)
		g.during(time.Hour, 24*time.Hour)
		if third := g.progress("3"); third.State != schemas.JobDone || third.Report.Repaired != int64(len(p.missing)-half) {
			t.Errorf("the next job says %+v, %d are left", third, len(p.missing)-half)
		}
		// Long after, the log has only the last: of those that ended nothing is left.
		jobs, _ = g.jobs()
		g.change(jobs[2:]...)
		g.during(time.Minute, 24*time.Hour)
		if g.progress("1").ID != "" || g.progress("3").State != schemas.JobDone {
			t.Errorf("left are %+v and %+v", g.progress("1"), g.progress("3"))
		}
	})
}
