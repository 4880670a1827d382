package reconcile

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"onelogin-kafka/internal/registry"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
)

// rig is a poller and its daily comparison on a topic in memory, killed now and then.
type rig struct {
	t      *testing.T
	api    *api
	topic  *topic
	top    *Topic
	poller *source.Poller
	mu     sync.Mutex
	state  map[string][]byte
	delay  func() time.Duration
	asked  chan struct{}
	wanted []registry.Job
	// pageSize is that of comparisons; 0 = auto.
	pageSize int
}

func newRig(t *testing.T) *rig {
	g := &rig{t: t, api: &api{visible: map[int64]time.Time{}}, topic: &topic{}, state: map[string][]byte{}, asked: make(chan struct{}, 1)}
	g.top = NewTopic(g.topic, 0)
	g.poller = &source.Poller{
		Connector: "acme", Settings: source.Settings{Domain: "acme.onelogin.com", StartFrom: source.StartFrom{Ago: time.Hour}},
		Client: g.api, Encoder: &schemas.Encoder{Tenant: "acme", Domain: "acme.onelogin.com"}, Log: zerolog.Nop(),
	}
	return g
}

// jobs are what is asked for.
func (g *rig) jobs() ([]registry.Job, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.wanted), true
}

// sink commits one batch after the other, each some time after it was offered.
type sink struct {
	g     *rig
	queue chan *schemas.Batch
}

func (s *sink) Offer(ctx context.Context, b *schemas.Batch) error {
	select {
	case s.queue <- b:
		return nil
	case <-ctx.Done():
		return source.ErrVoid
	}
}

func (s *sink) run(ctx context.Context) {
	for {
		select {
		case b := <-s.queue:
			if s.g.delay != nil && sleep(ctx, s.g.delay()) != nil {
				return
			}
			s.g.commit(b)
		case <-ctx.Done():
			return
		}
	}
}

func (g *rig) commit(b *schemas.Batch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range b.Records {
		switch {
		case r.Topic == schemas.Events:
			g.topic.mu.Lock()
			g.topic.records = append(g.topic.records, r)
			g.topic.mu.Unlock()
		case r.Value == nil:
			delete(g.state, string(r.Key))
		default:
			g.state[string(r.Key)] = r.Value
		}
	}
	if b.Done != nil {
		b.Done()
	}
}

// during runs a session for d and kills it: what was offered and not committed is
// lost.
func (g *rig) during(d time.Duration, every time.Duration) {
	ctx, cancel := context.WithTimeout(g.t.Context(), d)
	defer cancel()
	g.mu.Lock()
	records := maps.Clone(g.state)
	st, err := source.ParseState("acme", records)
	g.mu.Unlock()
	if err != nil {
		g.t.Fatal(err)
	}
	s := &sink{g, make(chan *schemas.Batch, 2)}
	work := &Work{
		Connector: "acme", Instance: "one", Topic: g.top, Reader: &source.Reader{Connector: "acme", Client: g.api, Budget: g.poller.Budget, PageSize: g.pageSize},
		Poller: g.poller, Jobs: g.jobs, Asked: g.asked, Records: records, Log: zerolog.Nop(), Every: every, Behind: every,
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.run(ctx) })
	wg.Go(func() {
		for work.Begin(); ctx.Err() == nil; {
			select {
			case <-time.After(work.Run(ctx)):
			case <-g.asked:
			case <-ctx.Done():
			}
		}
	})
	_ = g.poller.Run(ctx, &st, s)
	cancel()
	wg.Wait()
}

// times counts the records of each event, and how many are late.
func (g *rig) times() (n map[int64]int, late int) {
	n = map[int64]int{}
	g.topic.mu.Lock()
	defer g.topic.mu.Unlock()
	for i := range g.topic.records {
		_, id, _ := eventOf(&g.topic.records[i])
		n[id]++
		if string(header(&g.topic.records[i], schemas.HeaderLate)) == "true" {
			late++
		}
	}
	return n, late
}

// TestAnEventShown20HoursLateIsThereWithinADay: exactly once, with nobody asking, at
// whatever hour it happens.
func TestAnEventShown20HoursLateIsThereWithinADay(t *testing.T) {
	t.Parallel()
	for _, hour := range []int{30, 37, 47, 53} {
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t)
			began := time.Now()
			for i := range 24 * 5 * 6 {
				g.api.add(event(int64(10*i+10), began.Add(time.Duration(i)*10*time.Minute)))
			}
			at := began.Add(time.Duration(hour)*time.Hour + time.Minute)
			g.api.add(event(int64(60*hour+5), at))
			g.api.visible[int64(60*hour+5)] = at.Add(20 * time.Hour)
			g.during(time.Duration(hour+20)*time.Hour, 24*time.Hour)
			if n, _ := g.times(); n[int64(60*hour+5)] != 0 {
				t.Fatal("it is there before it is shown")
			}
			g.during(24*time.Hour+2*time.Minute, 24*time.Hour)
			n, _ := g.times()
			if n[int64(60*hour+5)] != 1 {
				t.Errorf("an event of hour %d is there %d times a day after it is shown", hour, n[int64(60*hour+5)])
			}
			g.during(30*time.Hour, 24*time.Hour)
			if n, _ = g.times(); n[int64(60*hour+5)] != 1 {
				t.Errorf("after the next day: %d times", n[int64(60*hour+5)])
			}
			for id, times := range n {
				if times != 1 {
					t.Errorf("event %d is there %d times", id, times)
				}
			}
			o := g.poller.Committed()
			if age := time.Since(o.VerifiedThrough); age < 24*time.Hour || age > 49*time.Hour {
				t.Errorf("verified through %v ago", age)
			}
		})
	}
}

// TestRepairBesideThePollUnderKills: whatever is shown how late, with ids above or
// amid those that are known, and however often the owner is killed between: each
// event is there once.
func TestRepairBesideThePollUnderKills(t *testing.T) {
	t.Parallel()
	repaired, kills := 0, 0
	for seed := range 60 {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(uint64(seed), 9))
			g := newRig(t)
			began := time.Now()
			g.delay = func() time.Duration { return time.Duration(rnd.IntN(3000)) * time.Millisecond }
			const hours = 12
			id := int64(1000)
			backDated := rnd.IntN(2) == 0
			for at := began; at.Before(began.Add(hours * time.Hour)); at = at.Add(time.Duration(rnd.IntN(120)) * time.Second) {
				id += 1 + rnd.Int64N(5)
				ev := event(id, at)
				if rnd.IntN(20) == 0 {
					late := time.Duration(rnd.IntN(100)) * time.Minute
					if backDated { // the id comes when it is shown
						ev = event(id, at.Add(-late))
						g.api.visible[id] = at
					} else {
						g.api.visible[id] = at.Add(late)
					}
				}
				g.api.add(ev)
			}
			for time.Since(began) < (hours+8)*time.Hour {
				g.during(time.Duration(1+rnd.IntN(120*60))*time.Second, 2*time.Hour)
				kills++
			}
			g.during(5*time.Hour, 2*time.Hour)
			n, _ := g.times()
			for _, ev := range g.api.events {
				if ev.CreatedAt.Before(began) {
					continue // from before the start
				}
				if n[ev.ID] != 1 {
					t.Errorf("seed %d: event %d of %v is there %d times", seed, ev.ID, ev.CreatedAt.Sub(began), n[ev.ID])
				}
			}
			for id, times := range n {
				if times > 1 {
					t.Errorf("seed %d: event %d is there %d times", seed, id, times)
				}
			}
			_, late := g.times()
			repaired += late
		})
	}
	if repaired == 0 || kills < 200 {
		t.Errorf("%d repaired, %d kills", repaired, kills)
	}
}

// TestAnAPIThatShowsTooLittleForAWhile: what it hides while the daily comparison is at
// work is found when it is shown, before it counts as verified. An event that is never
// shown again does not stand in the way.
func TestAnAPIThatShowsTooLittleForAWhile(t *testing.T) {
	t.Parallel()
	for name, keep := range map[string]int{"nothing": 0, "the first": 3} {
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t)
			began := time.Now()
			for i := range 24 * 5 * 6 {
				g.api.add(event(int64(10*i+10), began.Add(time.Duration(i)*10*time.Minute)))
			}
			const late, gone = 12345, 120
			at := began.Add(2 * time.Hour)
			g.api.add(event(late, at.Add(time.Second)))
			g.api.visible[late] = at.Add(20 * time.Hour)
			hidden := 0
			g.api.after = func(q source.Query, p *source.Page) {
				p.Events = slices.DeleteFunc(p.Events, func(ev schemas.Event) bool { return ev.ID == gone && time.Since(began) > 10*time.Hour })
				since := time.Since(began)
				if since > 46*time.Hour && since < 47*time.Hour+20*time.Minute && q.Since.Before(began.Add(40*time.Hour)) && len(p.Events) > keep {
					p.Events, p.Next = p.Events[:keep], ""
					hidden++
				}
			}
			g.during(5*24*time.Hour-time.Hour, 24*time.Hour)
			n, _ := g.times()
			if n[late] != 1 || hidden == 0 {
				t.Errorf("%s shown: the late event is there %d times, %d answers were cut", name, n[late], hidden)
			}
			if age := time.Since(g.verified()); age > 49*time.Hour {
				t.Errorf("%s shown: verified through %v ago", name, age)
			}
		})
	}
}
