package wire

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// A lane is a kind of requests with connections of its own, so that none waits
// behind another kind's: a broker whose quota for produced bytes is spent leaves
// the connections that produce unread, and a fetch waits for records.
type lane int

const (
	control lane = iota
	transaction
	produce
	fetch
	numLanes
)

var laneNames = [numLanes]string{"control", "transaction", "produce", "fetch"}

func laneOf(key protocol.ApiKey) lane {
	switch key {
	case protocol.InitProducerId, protocol.AddPartitionsToTxn, protocol.EndTxn:
		return transaction
	case protocol.Produce:
		return produce
	case protocol.Fetch:
		return fetch
	}
	return control
}

// broker is one address of the cluster: its connections by lane, and what they
// told of it. Connections are made, used and closed outside its lock.
type broker struct {
	cluster *Cluster
	addr    string

	mu     sync.Mutex
	lanes  [numLanes]connections
	conns  map[*conn]struct{} // every one whose reader runs
	failed time.Time          // when it last left us without an answer
	lost   time.Time          // when it last ended a connection, or left us without an answer
	closed bool
}

// connections are those of one lane.
type connections struct {
	idle      []*conn        // the last used at the end
	waiting   []chan dialled // each has room for one
	dialling  int
	throttled time.Time // until when no more of this kind is wanted
}

// dialled is a connection for one of those waiting, or why there is none.
type dialled struct {
	cn  *conn
	err error
}

// unanswered is after how long a request without an answer is the broker's
// failure, and not the impatience of whoever asks.
const unanswered = 1500 * time.Millisecond

// maxTries bounds how often another connection is taken for one that ended
// between two requests.
const maxTries = 3

// do lets ask use a connection of a lane. An error that is ErrNotSent is a
// definite no.
func (b *broker) do(ctx context.Context, l lane, ask func(context.Context, *conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, b.cluster.config.Timeouts.Request)
	defer cancel()
	began := time.Now()
	for try := 1; ; try++ {
		cn, err := b.get(ctx, l)
		if err != nil {
			err = notSent{err}
		} else {
			err = ask(ctx, cn)
			b.put(cn, err)
			if errors.Is(err, ErrNotSent) && ctx.Err() == nil && try < maxTries {
				continue
			}
		}
		if failure(err, time.Since(began)) {
			b.fail()
		}
		return err
	}
}

// failure tells whether err, after so long, says that the broker left us without
// an answer. That no connection could be made is noted where it is made.
func failure(err error, took time.Duration) bool {
	switch {
	case err == nil, errors.Is(err, ErrVersion), errors.Is(err, context.Canceled):
		return false
	case errors.Is(err, context.DeadlineExceeded):
		return took >= unanswered
	}
	return !errors.Is(err, ErrNotSent)
}

// get returns a connection that nobody else has until put. Making one goes on
// when ctx ends: where that takes long it is there for whoever asks next.
func (b *broker) get(ctx context.Context, l lane) (*conn, error) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil, ErrClosed
	}
	c, now := &b.lanes[l], time.Now()
	for i, cn := range slices.Backward(c.idle) {
		if cn.usable(now) && !cn.muted.After(now) {
			c.idle = slices.Delete(c.idle, i, i+1)
			b.mu.Unlock()
			cn.wake()
			return cn, nil
		}
	}
	w := make(chan dialled, 1)
	c.waiting = append(c.waiting, w)
	if c.dialling < len(c.waiting) {
		c.dialling++
		b.cluster.beside.Go(func() { b.dial(l) })
	}
	b.mu.Unlock()
	select {
	case d := <-w:
		return d.cn, d.err
	case <-ctx.Done():
	}
	b.mu.Lock()
	c.waiting = slices.DeleteFunc(c.waiting, func(other chan dialled) bool { return other == w })
	b.mu.Unlock()
	select {
	case d := <-w: // at the same moment
		if d.cn != nil {
			b.put(d.cn, nil)
		}
	default:
	}
	return nil, ctx.Err()
}

// put gives a connection back. One that had an error ends here.
func (b *broker) put(cn *conn, err error) {
	now := time.Now()
	b.mu.Lock()
	c := &b.lanes[cn.lane]
	if cn.muted.After(c.throttled) {
		b.cluster.throttle[cn.lane].Add(int64(cn.muted.Sub(latest(c.throttled, now))))
		c.throttled = cn.muted
	}
	kept := err == nil && !b.closed && cn.usable(now)
	switch {
	case !kept:
	case cn.muted.After(now):
		c.rest(cn, now)
	default:
		c.give(cn, now)
	}
	b.mu.Unlock()
	if !kept {
		cn.end()
	}
}

// give hands a connection to the first that waits for one.
func (c *connections) give(cn *conn, now time.Time) {
	if len(c.waiting) == 0 {
		c.rest(cn, now)
		return
	}
	c.waiting[0] <- dialled{cn: cn}
	c.waiting = c.waiting[1:]
}

func (c *connections) rest(cn *conn, now time.Time) {
	cn.rest(now)
	c.idle = append(c.idle, cn)
}

// dial makes a connection for whoever waits for one by then. Where that fails
// all of them are told: the next would not do better.
func (b *broker) dial(l lane) {
	cn, err := b.connect(l)
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &b.lanes[l]
	c.dialling--
	if err == nil {
		c.give(cn, time.Now())
		return
	}
	if !errors.Is(err, ErrCredentials) {
		b.failed = time.Now()
	}
	c.refuse(err)
}

// refuse tells those that wait that there is no connection.
func (c *connections) refuse(err error) {
	for _, w := range c.waiting {
		w <- dialled{err: err}
	}
	c.waiting = nil
}

func (b *broker) connect(l lane) (*conn, error) {
	c := b.cluster
	cn, err := c.config.connect(c.ctx, b.addr)
	if err != nil {
		return nil, err
	}
	cn.lane = l
	b.mu.Lock()
	b.conns[cn] = struct{}{}
	b.mu.Unlock()
	c.beside.Go(func() { b.gone(cn, cn.read()) })
	if err := cn.open(c.ctx, &c.config); err != nil {
		cn.end()
		return nil, err
	}
	return cn, nil
}

// gone takes a connection out that has ended. If the broker ended it, the others
// that nobody uses have as a rule ended too, and are not tried first.
func (b *broker) gone(cn *conn, err error) {
	b.mu.Lock()
	delete(b.conns, cn)
	c := &b.lanes[cn.lane]
	c.idle = slices.DeleteFunc(c.idle, func(other *conn) bool { return other == cn })
	theirs := !cn.ours.Load() && !errors.Is(err, os.ErrDeadlineExceeded)
	if theirs {
		b.lost = time.Now()
	}
	b.mu.Unlock()
	if theirs {
		b.dropIdle()
	}
}

// fail notes that the broker left a request without an answer.
func (b *broker) fail() {
	b.mu.Lock()
	b.failed = time.Now()
	b.lost = b.failed
	b.mu.Unlock()
	b.dropIdle()
}

func (b *broker) dropIdle() {
	var idle []*conn
	b.mu.Lock()
	for l := range b.lanes {
		idle = append(idle, b.lanes[l].idle...)
		b.lanes[l].idle = nil
	}
	b.mu.Unlock()
	for _, cn := range idle {
		cn.end()
	}
}

func (b *broker) lastFailed() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failed
}

// throttled is until when requests of a lane are not wanted.
func (b *broker) throttled(l lane) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lanes[l].throttled
}

// close ends every connection, in use or not.
func (b *broker) close() {
	b.mu.Lock()
	b.closed = true
	for l := range b.lanes {
		b.lanes[l].refuse(ErrClosed)
	}
	conns := make([]*conn, 0, len(b.conns))
	for cn := range b.conns {
		conns = append(conns, cn)
	}
	b.mu.Unlock()
	for _, cn := range conns {
		cn.end()
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
