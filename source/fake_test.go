package source

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"onelogin-kafka/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// happening is one event of the truth: it exists from created on, and the API
// shows it from visible on.
type happening struct {
	id               int64
	created, visible time.Time
}

func (h happening) raw() []byte {
	return fmt.Appendf(nil, `{"id":%d,"created_at":%q}`, h.id, h.created.Format(time.RFC3339Nano))
}

func (h happening) event() schemas.Event {
	return schemas.Event{Raw: h.raw(), ID: h.id, CreatedAt: h.created, CreatedAtText: []byte(h.created.Format(time.RFC3339Nano))}
}

// fakeAPI is a scripted Client over a list of events.
type fakeAPI struct {
	t *testing.T

	mu        sync.Mutex
	events    []happening // by id
	index     []time.Time // the newest created of each and those before it
	malformed [][]byte    // shown at the end of the first page of every run
	exclusive bool
	round     time.Duration        // since is rounded down to it
	clamp     int                  // most elements of a page; 0 = 1000
	maxLimit  int                  // a higher limit is refused; 0 = none is
	descend   bool                 // highest ids first
	pagesBack bool                 // the page with the highest ids first, each ascending
	noUntil   bool                 // until is ignored
	lag       func() time.Duration // how far the copy that answers is behind
	latency   func() time.Duration
	fault     func(call int, q Query) error // before anything else
	after     func(q Query, p *Page)        // last
	skew      time.Duration                 // of the server's clock
	noDate    bool
	spoiler   int64 // the id of an event that spoils every page with others on it
	limit     RateLimit

	calls   int
	busy    int
	queries []Query
	frozen  map[string]Query
}

func (a *fakeAPI) add(hs ...happening) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, hs...)
	slices.SortFunc(a.events, func(x, y happening) int { return cmp.Compare(x.id, y.id) })
	a.index = nil
}

func (a *fakeAPI) Page(ctx context.Context, q Query) (Page, error) {
	a.mu.Lock()
	if a.busy++; a.busy > 2 {
		a.t.Error("more than a poll and a sweep in flight")
	}
	a.calls++
	call := a.calls
	a.queries = append(a.queries, q)
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.busy--
	}()
	if a.latency != nil {
		if err := sleep(ctx, a.latency()); err != nil {
			return Page{}, err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fault != nil {
		if err := a.fault(call, q); err != nil {
			return Page{}, err
		}
	}
	p, err := a.page(q)
	if err == nil && p.Len() > 1 && slices.ContainsFunc(p.Events, func(ev schemas.Event) bool { return ev.ID == a.spoiler }) {
		return Page{}, &APIError{Kind: Unreadable, Stage: "Fetch Logs", Message: "Log reading error", Status: 200, Narrow: true}
	}
	if err == nil && a.after != nil {
		a.after(q, &p)
	}
	return p, err
}

func (a *fakeAPI) page(q Query) (Page, error) {
	if a.maxLimit > 0 && q.Limit > a.maxLimit {
		return Page{}, &APIError{Kind: BadLimit, Stage: "Fetch Logs", Message: "Request Failed - response code 400, reason Bad Request", Status: 400}
	}
	if q.Cursor != "" {
		asked := q
		asked.Cursor = ""
		was, found := a.frozen[q.Cursor]
		asked.Limit = was.Limit // a page may be asked for again in another size
		if !found || was != asked {
			a.t.Errorf("query changed under cursor %q: %+v, was %+v", q.Cursor, asked, was)
		}
	}
	now := time.Now()
	since := q.Since
	if a.round > 0 {
		since = since.Truncate(a.round)
	}
	size := q.Limit
	if a.clamp > 0 {
		size = min(size, a.clamp)
	}
	page := Page{RateLimit: a.limit}
	if page.RateLimit.Limit > 0 {
		page.RateLimit.At = now
	}
	if !a.noDate {
		page.ServerTime = now.Add(a.skew).Truncate(time.Second)
	}
	at := -1
	if q.Cursor != "" {
		at, _ = strconv.Atoi(q.Cursor[:bytes.IndexByte([]byte(q.Cursor), '@')])
	}
	if a.lag != nil {
		now = now.Add(-a.lag())
	}
	last := at
	for _, h := range a.inOrder()[a.skip(since):] {
		pos := int(h.id)
		if a.descend || a.pagesBack {
			pos = int(1<<40 - h.id)
		}
		if pos <= at || h.visible.After(now) || h.created.Before(since) || a.exclusive && h.created.Equal(since) ||
			!a.noUntil && !q.Until.IsZero() && !h.created.Before(q.Until) {
			continue
		}
		if len(page.Events) == size {
			page.Next = fmt.Sprintf("%d@%d.%d", last, q.Since.UnixNano(), a.calls)
			a.freeze(page.Next, q)
			break
		}
		last = pos
		page.Events = append(page.Events, h.event())
	}
	if a.pagesBack {
		slices.Reverse(page.Events)
	}
	if q.Cursor == "" {
		for _, raw := range a.malformed {
			page.Malformed = append(page.Malformed, Malformed{Raw: raw, Reason: "no id"})
		}
	}
	return page, nil
}

// inOrder lists the events in the order in which they are shown.
func (a *fakeAPI) inOrder() []happening {
	if !a.descend && !a.pagesBack {
		return a.events
	}
	list := slices.Clone(a.events)
	slices.Reverse(list)
	return list
}

// skip is how many events at the start of the order were created before since.
func (a *fakeAPI) skip(since time.Time) int {
	if a.descend || a.pagesBack {
		return 0
	}
	if len(a.index) != len(a.events) {
		a.index = make([]time.Time, len(a.events))
		var newest time.Time
		for i := range a.events {
			newest = later(newest, a.events[i].created)
			a.index[i] = newest
		}
	}
	i, _ := slices.BinarySearchFunc(a.index, since, time.Time.Compare)
	return i
}

// freeze notes what the cursor belongs to.
func (a *fakeAPI) freeze(cursor string, q Query) {
	if a.frozen == nil {
		a.frozen = map[string]Query{}
	}
	q.Cursor = ""
	a.frozen[cursor] = q
}

// topic is the truth of what was committed, and checks each commit.
type topic struct {
	t         *testing.T
	connector string
	state     map[string][]byte
	published map[int64]happening
	count     map[int64]int
	late      map[int64]bool
	dead      [][]byte
	last      schemas.Offset
	truth     []happening   // what complete_through is held against, if set
	start     time.Time     // events before it are not owed
	latest    time.Duration // nor those that appear later than this
	batches   int
	events    int64
	empty     int // batches without events or dead letters
}

func newTopic(t *testing.T) *topic {
	return &topic{t: t, connector: "acme", state: map[string][]byte{}, published: map[int64]happening{}, count: map[int64]int{}, late: map[int64]bool{}}
}

func (tp *topic) load() State {
	st, err := ParseState(tp.connector, maps.Clone(tp.state))
	if err != nil {
		tp.t.Fatalf("ParseState: %v", err)
	}
	return st
}

// commit applies b and checks all that must be true of a committed batch.
func (tp *topic) commit(b *schemas.Batch) {
	t := tp.t
	tp.batches++
	events, phase := 0, schemas.Events
	if len(b.Records) == 0 || b.Connector != tp.connector {
		t.Fatalf("batch of %q with %d records", b.Connector, len(b.Records))
	}
	sizeDead := len(tp.dead)
	for i, r := range b.Records {
		order := map[schemas.Topic]int{schemas.Events: 0, schemas.DeadLetter: 1, schemas.Offsets: 2}
		if order[r.Topic] < order[phase] {
			t.Errorf("record %d for %v comes after one for %v", i, r.Topic, phase)
		}
		phase = r.Topic
		switch r.Topic {
		case schemas.Events:
			events++
			tp.event(r)
		case schemas.DeadLetter:
			tp.dead = append(tp.dead, r.Value)
		case schemas.Offsets:
			if isOffset := string(r.Key) == tp.connector; isOffset != (i == len(b.Records)-1) {
				t.Errorf("record %d of %d has key %q: the offset must come last", i, len(b.Records), r.Key)
			}
			if r.Value == nil {
				if _, found := tp.state[string(r.Key)]; !found {
					t.Errorf("tombstone for %q, which was never written", r.Key)
				}
				delete(tp.state, string(r.Key))
			} else {
				tp.state[string(r.Key)] = r.Value
			}
		}
	}
	if events != b.Events {
		t.Errorf("batch says %d events, has %d", b.Events, events)
	}
	if events == 0 && len(tp.dead) == sizeDead {
		tp.empty++
	}
	tp.events += int64(events)
	tp.checkState()
	if b.Done != nil {
		b.Done()
	}
}

func (tp *topic) event(r schemas.Record) {
	var id int64
	late := false
	for _, h := range r.Headers {
		switch h.Key {
		case "ce_id":
			id, _ = strconv.ParseInt(string(h.Value), 10, 64)
		case "late":
			late = true
		}
	}
	tp.count[id]++
	if tp.count[id] > 1 {
		tp.t.Errorf("event %d is in the topic %d times", id, tp.count[id])
	}
	h := happening{id: id, created: r.Time}
	if !bytes.Equal(r.Value, h.raw()) {
		tp.t.Errorf("event %d altered: %s", id, r.Value)
	}
	tp.published[id] = h
	tp.late[id] = late
}

// checkState compares the offset and the minutes with what was published.
func (tp *topic) checkState() {
	t := tp.t
	st := tp.load()
	o := st.Offset
	if o.Through.Before(tp.last.Through) || o.WindowStart.Before(tp.last.WindowStart) ||
		o.CompleteThrough.Before(tp.last.CompleteThrough) || o.Events < tp.last.Events || o.LastID < tp.last.LastID {
		t.Errorf("position went back from %+v to %+v", tp.last, o)
	}
	if o.CompleteThrough.After(tp.last.CompleteThrough) {
		tp.checkComplete(o.CompleteThrough)
	}
	tp.last = o
	if o.Events != tp.events {
		t.Errorf("offset says %d events, topic has %d", o.Events, tp.events)
	}
	if o.CompleteThrough.After(o.Through) {
		t.Errorf("complete through %v, but only through %v", o.CompleteThrough, o.Through)
	}
	inWindow := 0
	for _, h := range tp.published {
		m := minuteOf(h.created)
		if m < minuteOf(o.WindowStart) {
			continue
		}
		inWindow++
		if ids := st.Minutes[m]; !ids.has(h.id) {
			t.Errorf("event %d is published but not in its minute", h.id)
		}
	}
	known := 0
	for m, ids := range st.Minutes {
		known += ids.len()
		if m < minuteOf(o.WindowStart) {
			t.Errorf("minute %v lies before the window's start %v", minuteTime(m), o.WindowStart)
		}
	}
	if known != inWindow {
		t.Errorf("minutes hold %d ids, the topic %d events of the window", known, inWindow)
	}
}

// checkComplete looks whether all is there that complete promises.
func (tp *topic) checkComplete(complete time.Time) {
	for _, h := range tp.truth {
		if h.created.Before(complete) && !h.created.Before(tp.start) && h.visible.Sub(h.created) <= tp.latest && tp.count[h.id] == 0 {
			tp.t.Errorf("complete through %v, but event %d of %v, visible %v later, is missing", complete, h.id, h.created, h.visible.Sub(h.created))
		}
	}
}

// fakeSink commits what is offered after some delay, or goes void.
type fakeSink struct {
	topic   *topic
	room    int
	delay   func() time.Duration
	voids   func() bool                  // asked before each commit
	refuse  func(b *schemas.Batch) error // asked before a batch is taken
	offered int

	mu    sync.Mutex
	cond  *sync.Cond
	queue []*schemas.Batch
	void  bool
}

func newSink(tp *topic) *fakeSink {
	s := &fakeSink{topic: tp, room: 3}
	s.cond = sync.NewCond(&s.mu)
	return s
}

func (s *fakeSink) Offer(ctx context.Context, b *schemas.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		if err := s.refuse(b); err != nil {
			return err
		}
	}
	for len(s.queue) >= s.room && !s.void {
		s.cond.Wait()
	}
	if s.void {
		return fmt.Errorf("offering: %w", ErrVoid)
	}
	s.offered++
	s.queue = append(s.queue, b)
	s.cond.Broadcast()
	return nil
}

// run commits until ctx ends or the sink goes void.
func (s *fakeSink) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.void = true
		s.cond.Broadcast()
	})
	defer stop()
	for {
		s.mu.Lock()
		for len(s.queue) == 0 && !s.void {
			s.cond.Wait()
		}
		if s.void {
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if s.delay != nil {
			_ = sleep(ctx, s.delay())
		}
		s.mu.Lock()
		if s.void || ctx.Err() != nil || s.voids != nil && s.voids() {
			s.void = true
			s.queue = nil
			s.cond.Broadcast()
			s.mu.Unlock()
			return
		}
		n := 1 + s.topic.batches%len(s.queue) // a group
		for _, b := range s.queue[:n] {
			s.topic.commit(b)
		}
		s.queue = s.queue[n:]
		s.cond.Broadcast()
		s.mu.Unlock()
	}
}

// newPoller returns a poller of api that starts a day back.
func newPoller(api Client) *Poller {
	return &Poller{
		Connector: "acme",
		Settings:  Settings{StartFrom: StartFrom{Ago: 24 * time.Hour}, Domain: "acme.onelogin.com"},
		Client:    api,
		Encoder:   &schemas.Encoder{Tenant: "acme", Domain: "acme.onelogin.com"},
		Metrics:   NewMetrics(prometheus.NewRegistry()),
		Log:       zerolog.New(io.Discard),
	}
}

// rig is a poller at work on an API and a sink.
type rig struct {
	t      *testing.T
	api    *fakeAPI
	topic  *topic
	sink   *fakeSink
	poller *Poller
	log    *bytes.Buffer
	stop   context.CancelFunc
	done   chan error
}

func newRig(t *testing.T) *rig {
	api := &fakeAPI{t: t}
	g := &rig{t: t, api: api, topic: newTopic(t), poller: newPoller(api), log: &bytes.Buffer{}}
	g.sink = newSink(g.topic)
	g.poller.Log = zerolog.New(g.log).Level(zerolog.InfoLevel)
	return g
}

// start begins a session with the state committed so far; end ends it.
func (g *rig) start() {
	ctx, cancel := context.WithCancel(context.Background())
	sink := g.sink
	st := g.topic.load()
	g.done = make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { sink.run(ctx) })
	go func() {
		err := g.poller.Run(ctx, &st, sink)
		cancel()
		wg.Wait()
		g.done <- err
	}()
	g.stop = cancel
}

// end kills the session and returns what Run returned; what was offered but not
// committed is lost.
func (g *rig) end() error {
	g.stop()
	err := <-g.done
	if !errors.Is(err, context.Canceled) && !errors.Is(err, ErrVoid) {
		g.t.Errorf("Run returned %v", err)
	}
	old := g.sink
	g.sink = newSink(g.topic)
	g.sink.delay, g.sink.voids, g.sink.refuse, g.sink.room = old.delay, old.voids, old.refuse, old.room
	return err
}

// during runs for d of fake time.
func (g *rig) during(d time.Duration) {
	g.start()
	time.Sleep(d)
	_ = g.end()
}
