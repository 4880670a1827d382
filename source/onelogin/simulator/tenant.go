package simulator

import (
	"sync"
	"time"
)

// tenant is one credential pair with its events.
type tenant struct {
	name   string
	maker  maker
	budget *budget

	mu        sync.Mutex
	config    Tenant
	last      int64 // the clock as last seen; it never goes back
	schedule  schedule
	rotations int
	token     token
	issued    int
	notBefore time.Time // told by Retry-After
	early     int
	served    int64
	injected  []Injected
	calls     map[call]int64
}

// call is what calls are counted by.
type call struct {
	endpoint string
	status   int
}

// view is a tenant's events at one moment.
type view struct {
	schedule schedule
	now      int64
	count    int64 // events whose turn has come
}

func (t *tenant) setRules(r rules) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.config.Page, t.config.Since, t.config.Until = r.page, r.since, r.until
}

func newTenant(c Tenant, seed uint64, start time.Time, b *budget) *tenant {
	s := nameSeed(seed, c.Name)
	t := &tenant{
		name: c.Name,
		maker: maker{
			seed: s, account: c.AccountID, firstID: c.FirstID, gap: c.IDGap, users: 200, share: c.Second.Share,
		},
		budget: b, config: c,
		schedule: newSchedule(s, &c, start),
		calls:    map[call]int64{},
	}
	if c.Second.Before > 0 {
		// The backlog is never changed, so this holds for ever.
		t.maker.moved = t.schedule.search(c.Backlog, start.Add(-time.Duration(c.Second.Before)).UnixNano())
	}
	return t
}

// rules are how answers are made at present.
func (t *tenant) rules() rules {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.config.rules()
}

// clock must be called with the lock held, so that no answer is ahead of a
// change that cut the schedule.
func (t *tenant) clock(now time.Time) int64 {
	t.last = max(t.last, now.UnixNano())
	return t.last
}

func (t *tenant) view(now time.Time) view {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.clock(now)
	return view{schedule: t.schedule, now: at, count: t.schedule.count(at)}
}

// before is v as it was at a time before.
func (v *view) before(d time.Duration) view {
	at := v.now - int64(d)
	return view{schedule: v.schedule, now: at, count: v.schedule.count(at)}
}

// change cuts the schedule: n events at once, then traffic as given.
func (t *tenant) change(now time.Time, burst int64, edit func(tr *Traffic, stopped *bool) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.schedule.segments[len(t.schedule.segments)-1]
	traffic, stopped := last.traffic, last.stopped
	if edit != nil {
		if err := edit(&traffic, &stopped); err != nil {
			return err
		}
	}
	if err := traffic.validate(); err != nil {
		return err
	}
	at := t.clock(now)
	var between []segment
	if burst > 0 {
		between = append(between, segment{count: burst, start: at, traffic: traffic})
	}
	t.schedule = t.schedule.cut(at, between, traffic, stopped)
	return nil
}

// traffic is what new events are made by.
func (t *tenant) traffic() (Traffic, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.schedule.segments[len(t.schedule.segments)-1]
	return last.traffic, last.stopped
}

// settled is when the last of the events of v becomes visible.
func (v *view) settled() int64 {
	from := v.schedule.search(v.count, v.now-v.schedule.maxLate)
	latest := int64(0)
	v.each(from, v.count, func(i int64, g *segment, a at) bool {
		latest = max(latest, a.visible)
		return true
	})
	return latest
}

// each calls f for the events from a up to b, visible or not, until it returns
// false.
func (v *view) each(a, b int64, f func(i int64, g *segment, a at) bool) {
	var g *segment
	for i := a; i < b; i++ {
		if g == nil || i >= g.first+g.count {
			g = v.schedule.segmentOf(i)
		}
		if !f(i, g, v.schedule.at(g, i)) {
			return
		}
	}
}

// eachDown is each from b-1 down to a.
func (v *view) eachDown(a, b int64, f func(i int64, g *segment, a at) bool) {
	var g *segment
	for i := b - 1; i >= a; i-- {
		if g == nil || i < g.first {
			g = v.schedule.segmentOf(i)
		}
		if !f(i, g, v.schedule.at(g, i)) {
			return
		}
	}
}

// mind notes a call that came before the time Retry-After had told.
func (t *tenant) mind(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Before(t.notBefore) {
		t.early++
	}
}

func (t *tenant) hold(until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.notBefore = until
}

func (t *tenant) counted(c call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls[c]++
}
