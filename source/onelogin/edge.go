package onelogin

import (
	"container/list"
	"context"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	// startSpread is about the time between the starts of two connectors, so that
	// thousands are no herd: 10,000 begin within 20 s, one begins at once.
	startSpread = 2 * time.Millisecond
	// firstCalls is how many connectors may make their first calls (a token and
	// a page) at a time.
	firstCalls = 64
	// firstCallTime is how long a first call counts as one of firstCalls, so
	// that accounts that answer slowly do not keep the others waiting.
	firstCallTime = 500 * time.Millisecond
	// othersShare: of so many turns one is for a connector that has begun, while
	// others wait to begin.
	othersShare = 32
	// edgePatience is how long a call may have to wait for its turn.
	edgePatience = time.Minute
)

// Edges keeps one pace for all the calls of a process to one edge. OneLogin's
// edge counts the calls of an address, whatever accounts they are for, and
// refuses what is too much with a 429 that has no rate headers. What it takes is
// documented nowhere: as long as it refuses nothing, nobody waits; see pace.
// The zero value is not ready; its methods may be called concurrently.
type Edges struct {
	log zerolog.Logger

	mu sync.Mutex
	by map[string]*edge
}

// NewEdges returns what a process needs once. log gets a line when an edge
// begins to refuse calls, and when it takes all again.
func NewEdges(log zerolog.Logger) *Edges { return &Edges{log: log, by: map[string]*edge{}} }

// EdgeState is how an edge fares that has refused calls.
type EdgeState struct {
	Edge    string  // onelogin.com, or the host and port of a base URL
	Rate    float64 // calls a second at present; 0: as many as come
	Waiting int     // calls that wait for their turn
	Refused int64   // calls, so far
}

// States returns the edges that ever refused a call, by name.
func (es *Edges) States() []EdgeState {
	es.mu.Lock()
	defer es.mu.Unlock()
	var all []EdgeState
	for _, e := range es.by {
		if s := e.state(); s.Refused > 0 {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b EdgeState) int { return strings.Compare(a.Edge, b.Edge) })
	return all
}

// of returns the edge in front of a base URL: one for all of onelogin.com.
func (es *Edges) of(base string) *edge {
	name := base
	if u, err := url.Parse(base); err == nil {
		name = u.Host
		if h := u.Hostname(); h == "onelogin.com" || strings.HasSuffix(h, ".onelogin.com") {
			name = "onelogin.com"
		}
		if u.Scheme == "http" {
			name = "http://" + name
		}
	}
	es.mu.Lock()
	defer es.mu.Unlock()
	e := es.by[name]
	if e == nil {
		e = &edge{
			name: name, log: es.log,
			begin: make(chan struct{}, 1), firsts: make(chan struct{}, firstCalls),
		}
		es.by[name] = e
	}
	return e
}

// edge is one edge.
type edge struct {
	name   string
	log    zerolog.Logger
	begin  chan struct{} // full until the next may begin
	firsts chan struct{} // first calls under way

	mu      sync.Mutex
	pace    pace
	refused int64
	// Those that wait for their turn, *waiter; urgent are those that begin.
	urgent, others list.List
	turns          int
	next           time.Time // the earliest of the next turn
	booked         time.Time // until when turns are promised to who was sent away
	armed          bool      // a timer runs that will call tick
}

type waiter struct {
	ready chan struct{} // closed when its turn has come
	sent  time.Time     // when it came
}

// spread returns nil when the next connector may begin, or renew its token.
func (e *edge) spread(ctx context.Context) error {
	select {
	case e.begin <- struct{}{}:
		time.AfterFunc(startSpread/2+rand.N(startSpread), func() { <-e.begin })
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter lets a connector's first calls begin; leave must follow.
func (e *edge) enter(ctx context.Context) (leave func(), err error) {
	select {
	case e.firsts <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	out := sync.OnceFunc(func() { <-e.firsts })
	timer := time.AfterFunc(firstCallTime, out)
	return func() { timer.Stop(); out() }, nil
}

// busyError says that a call would have to wait too long for its turn.
type busyError struct{ wait time.Duration }

func (busyError) Error() string {
	return "more calls wait for their turn at OneLogin's edge than it takes from this address in a minute"
}

// turn returns when who may send. again puts it before all that wait: it goes on
// with what it began. The error is a busyError or that of ctx.
func (e *edge) turn(ctx context.Context, who *Client, urgent, again bool) (sent time.Time, err error) {
	e.mu.Lock()
	now := time.Now()
	e.tell(now)
	waiting := e.urgent.Len() + e.others.Len()
	rate := e.pace.rate(now)
	if rate == 0 && waiting == 0 {
		e.pace.sent(now)
		e.mu.Unlock()
		return now, nil
	}
	if rate > 0 && !again {
		if wait := e.promise(now, who, float64(waiting)/rate, 1/rate); wait > 0 {
			e.mu.Unlock()
			return now, busyError{wait}
		}
	}
	queue := &e.others
	if urgent {
		queue = &e.urgent
	}
	w := &waiter{ready: make(chan struct{})}
	place := queue.PushBack(w)
	if again {
		queue.MoveToFront(place)
	}
	e.dispatch(now)
	e.mu.Unlock()
	select {
	case <-w.ready:
		return w.sent, nil
	case <-ctx.Done():
		e.mu.Lock()
		defer e.mu.Unlock()
		queue.Remove(place) // nothing happens if its turn has just come
		return now, ctx.Err()
	}
}

// promise returns when who is to come again, if it would have to wait for too many
// seconds; gap is the time between two turns. Who comes again at that time is let
// in, so that everybody is in turn. The caller holds the lock.
func (e *edge) promise(now time.Time, who *Client, seconds, gap float64) time.Duration {
	switch {
	case seconds <= edgePatience.Seconds(), !who.promised.IsZero() && !now.Before(who.promised):
		who.promised = time.Time{}
		return 0
	case who.promised.IsZero():
		if least := now.Add(edgePatience); e.booked.Before(least) {
			e.booked = least
		}
		e.booked = e.booked.Add(time.Duration(gap * float64(time.Second)))
		who.promised = e.booked
	}
	return who.promised.Sub(now)
}

// dispatch gives the turns that have come, and sees to the next. The caller
// holds the lock.
func (e *edge) dispatch(now time.Time) {
	if until := e.pace.pause(); e.next.Before(until) {
		e.next = until
	}
	for e.urgent.Len()+e.others.Len() > 0 {
		rate := e.pace.rate(now)
		if rate > 0 && now.Before(e.next) {
			break
		}
		queue := &e.urgent
		if e.turns++; queue.Len() == 0 || e.others.Len() > 0 && e.turns%othersShare == 0 {
			queue = &e.others
		}
		w := queue.Remove(queue.Front()).(*waiter)
		w.sent = now
		e.pace.sent(now)
		close(w.ready)
		if rate == 0 {
			continue
		}
		gap := time.Duration(float64(time.Second) / rate)
		if e.next.Before(now.Add(-gap)) {
			e.next = now // a turn that nobody took is not saved up
		}
		e.next = e.next.Add(gap*9/10 + rand.N(gap/5+1))
	}
	if e.armed || e.urgent.Len()+e.others.Len() == 0 {
		return
	}
	e.armed = true
	time.AfterFunc(e.next.Sub(now), func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.armed = false
		now := time.Now()
		e.tell(now)
		e.dispatch(now)
	})
}

// refusal takes down that who was refused what it sent at sent, for the n-th
// time in a row.
func (e *edge) refusal(who *Client, sent time.Time, n int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refused++
	now := time.Now()
	first := e.pace.began.IsZero()
	if n > edgeTries || first && n > 1 {
		return // it has a trouble of its own
	}
	e.pace.refused(now, sent, who)
	if first && !e.pace.began.IsZero() {
		e.log.Warn().Str("edge", e.name).Msg("OneLogin's edge refuses calls from this address: all calls to it are slowed down")
	}
}

// tell logs that all is well again. The caller holds the lock.
func (e *edge) tell(now time.Time) {
	if slow := e.pace.recover(now); slow > 0 {
		e.booked = time.Time{}
		e.log.Info().Str("edge", e.name).Dur("for", slow).Msg("OneLogin's edge takes all calls again")
	}
}

func (e *edge) state() EdgeState {
	e.mu.Lock()
	defer e.mu.Unlock()
	return EdgeState{Edge: e.name, Rate: e.pace.rate(time.Now()), Waiting: e.urgent.Len() + e.others.Len(), Refused: e.refused}
}

// refusedByEdge tells a refusal of the edge from one of the API: the API's say
// how much of the account's hour is left.
func refusedByEdge(a *answer) bool {
	if a.status != http.StatusTooManyRequests {
		return false
	}
	for name := range a.header {
		if strings.HasPrefix(name, "X-Ratelimit-") {
			return false
		}
	}
	return true
}
