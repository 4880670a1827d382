package reconcile

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
)

// account is a budget of calls in fixed hours, as OneLogin counts it.
type account struct {
	limit int
	began time.Time
	live  []int // calls of each hour that ask for what is new
	past  []int // and those that ask for a past
}

// answer counts a call and says what is left. The caller holds the api's lock.
func (a *account) answer(q source.Query, p *source.Page) {
	now := time.Now()
	hour := int(now.Sub(a.began) / time.Hour)
	for len(a.live) <= hour {
		a.live, a.past = append(a.live, 0), append(a.past, 0)
	}
	if q.Since.Before(a.began.Add(-time.Hour)) {
		a.past[hour]++
	} else {
		a.live[hour]++
	}
	p.RateLimit = source.RateLimit{
		Limit: a.limit, Remaining: max(a.limit-a.live[hour]-a.past[hour], 0),
		Reset: a.began.Add(time.Duration(hour+1) * time.Hour).Sub(now), At: now,
	}
}

// TestAJobKeepsToItsShare: a backfill of hours beside live polls never has the
// connector use more of an hour's calls than its share, and while it is at work no
// event comes later than without it.
func TestAJobKeepsToItsShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit, hours = 1000, 8
		g := newRig(t)
		g.poller.Budget = source.NewBudget(0.5)
		g.pageSize = 10
		a := &account{limit: limit, began: time.Now()}
		g.api.after = a.answer
		p := g.past(rand.New(rand.NewPCG(1, 14)), 4000, 4000)
		for i := range hours * 120 {
			g.api.add(event(int64(1_000_000+i), a.began.Add(time.Duration(i)*30*time.Second)))
		}
		asked := time.Hour // it is asked for within an hour that has begun without it
		var worst [2]time.Duration
		busy := 0
		go func() {
			for range hours*20 - 1 {
				time.Sleep(3 * time.Minute)
				synctest.Wait()
				now := time.Now()
				if now.Sub(a.began) == asked {
					g.ask("1", schemas.JobBackfill, p.from)
				}
				n, _ := g.times()
				at := 0
				if g.progress("1").State == schemas.JobRunning {
					at = 1
					busy++
				}
				for _, ev := range g.api.events {
					if !ev.CreatedAt.Before(a.began) && !ev.CreatedAt.After(now) && n[ev.ID] == 0 {
						worst[at] = max(worst[at], now.Sub(ev.CreatedAt))
						break
					}
				}
			}
		}()
		g.during(hours*time.Hour, 24*time.Hour)
		for hour := range a.live {
			if n := a.live[hour] + a.past[hour]; n > limit/2 || a.past[hour] > limit/6 {
				t.Errorf("%d calls in hour %d, %d of them for the job, of a share of %d", n, hour, a.past[hour], limit/2)
			}
		}
		job := g.progress("1")
		if job.State != schemas.JobDone || job.Report.Repaired != int64(len(p.missing)) || len(p.missing) < 100 {
			t.Errorf("the job says %+v of %d missing", job, len(p.missing))
		}
		if busy < 40 {
			t.Errorf("the job was at work %d times when it was looked at: the share did not hold it back", busy)
		}
		if worst[1] > worst[0]+30*time.Second {
			t.Errorf("beside the job an event came %v late, and %v without it", worst[1], worst[0])
		}
	})
}
