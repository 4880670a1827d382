package reconcile

import (
	"context"
	"fmt"
	"sync"
	"time"

	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source/onelogin"
)

// Wish is a connector's events of [From, To) of created_at.
type Wish struct {
	Connector string
	From, To  time.Time
}

// Log is the events topic. Record is valid until do returns.
type Log interface {
	// Since hands every committed record to do that may be of an event created at
	// or after from, up to the end as of now: late ones lie anywhere after. kept is
	// the time from which on the topic keeps everything; zero = nothing was deleted.
	// The records of one partition come in their order, do is called for one at a
	// time.
	Since(ctx context.Context, from time.Time, do func(*schemas.Record)) (kept time.Time, err error)
}

// Topic makes indexes of an events topic. Those who wait for one while another is
// made share one scan. It is safe for concurrent use.
type Topic struct {
	log Log
	// limit bounds what the indexes of one scan take, in bytes.
	limit int

	turn chan struct{} // holds one while nobody scans
	mu   sync.Mutex
	open []*request
}

type request struct {
	wish  Wish
	done  chan struct{}
	index *Index
	err   error
}

// NewTopic makes indexes of at most limit bytes at a time, 0 = 32 MiB: some three
// million events.
func NewTopic(log Log, limit int) *Topic {
	if limit <= 0 {
		limit = 32 << 20
	}
	t := &Topic{log: log, limit: limit, turn: make(chan struct{}, 1)}
	t.turn <- struct{}{}
	return t
}

// Index returns what the topic has of w now: all that was committed before it was
// called. Its To is earlier than that of w where all of it does not fit.
func (t *Topic) Index(ctx context.Context, w Wish) (*Index, error) {
	r := &request{wish: w, done: make(chan struct{})}
	t.mu.Lock()
	t.open = append(t.open, r)
	t.mu.Unlock()
	select {
	case <-r.done:
		return r.index, r.err
	case <-ctx.Done():
		t.withdraw(r)
		return nil, ctx.Err()
	case <-t.turn:
	}
	defer func() { t.turn <- struct{}{} }()
	select {
	case <-r.done: // with the scan before
		return r.index, r.err
	default:
	}
	group := t.take()
	err := t.scan(ctx, group)
	for _, g := range group {
		if err != nil && ctx.Err() != nil && g != r {
			t.again(g) // it is we who gave up, not they
			continue
		}
		if g.err = err; err != nil {
			g.index = nil
		}
		close(g.done)
	}
	return r.index, r.err
}

func (t *Topic) take() []*request {
	t.mu.Lock()
	defer t.mu.Unlock()
	group := t.open
	t.open = nil
	return group
}

func (t *Topic) again(r *request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open = append(t.open, r)
}

func (t *Topic) withdraw(r *request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, o := range t.open {
		if o == r {
			t.open = append(t.open[:i], t.open[i+1:]...)
			return
		}
	}
}

// scan reads the topic once for all of a group.
func (t *Topic) scan(ctx context.Context, group []*request) error {
	wishes := map[string][]*request{}
	var from time.Time
	for _, r := range group {
		r.index = newIndex(r.wish.From, r.wish.To)
		wishes[r.wish.Connector] = append(wishes[r.wish.Connector], r)
		if from.IsZero() || r.wish.From.Before(from) {
			from = r.wish.From
		}
	}
	size := 0
	kept, err := t.log.Since(ctx, from, func(r *schemas.Record) {
		list := wishes[string(header(r, schemas.HeaderTenant))]
		if len(list) == 0 {
			return
		}
		created, id, ok := eventOf(r)
		if !ok {
			return
		}
		sum := digest(r.Value)
		for _, w := range list {
			before := w.index.size
			w.index.add(created, id, sum)
			size += w.index.size - before
		}
		for size > t.limit {
			before := size
			if size -= cutLargest(group); size == before {
				return
			}
		}
	})
	if err != nil {
		return fmt.Errorf("reading the events topic: %w", err)
	}
	for _, r := range group {
		r.index.Kept = kept
	}
	return nil
}

// cutLargest halves the largest index and returns how much smaller it is.
func cutLargest(group []*request) int {
	var largest *Index
	for _, r := range group {
		if largest == nil || r.index.size > largest.size {
			largest = r.index
		}
	}
	before := largest.size
	largest.cut()
	return before - largest.size
}

// eventOf returns what an event's record says in its headers; false if it is none
// of ours.
func eventOf(r *schemas.Record) (created time.Time, id int64, ok bool) {
	created, timed := onelogin.ParseTime(header(r, schemas.HeaderTime))
	id, numbered := parseID(header(r, schemas.HeaderID))
	return created, id, timed && numbered
}

// parseID reads a decimal number of at most 63 bits.
func parseID(text []byte) (id int64, ok bool) {
	if len(text) == 0 || len(text) > 19 {
		return 0, false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		id = id*10 + int64(c-'0')
	}
	return id, id >= 0
}

func header(r *schemas.Record, key string) []byte {
	for i := range r.Headers {
		if r.Headers[i].Key == key {
			return r.Headers[i].Value
		}
	}
	return nil
}

// KafkaLog is the Log of a topic in Kafka.
type KafkaLog struct {
	Cluster *wire.Cluster
	Topic   string
	// Progress, if not nil, is told of the records that were read.
	Progress func(records int)
}

// slack is how much earlier than asked a scan begins: Kafka may bound how far a
// timestamp lies ahead of its clock, and clocks differ.
const slack = time.Hour

// Since implements Log. Every partition is read: which one an event is in depends
// on the key strategy and the number of partitions that there were at its time.
func (l *KafkaLog) Since(ctx context.Context, from time.Time, do func(*schemas.Record)) (kept time.Time, err error) {
	rctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	_, err = l.Cluster.Metadata(rctx, l.Topic)
	var n int32
	if err == nil {
		n, err = l.Cluster.Partitions(rctx, l.Topic)
	}
	cancel()
	if err != nil {
		return time.Time{}, err
	}
	for p := range n {
		k, err := l.partition(ctx, p, from, do)
		if err != nil {
			return time.Time{}, err
		}
		kept = later(kept, k)
	}
	return kept, nil
}

func (l *KafkaLog) partition(ctx context.Context, p int32, from time.Time, do func(*schemas.Record)) (kept time.Time, err error) {
	log := &producer.CommittedLog{Cluster: l.Cluster, Topic: l.Topic, Partition: p}
	start, err := log.Start(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("asking for the start of %s/%d: %w", l.Topic, p, err)
	}
	at, err := log.At(ctx, from.Add(-slack))
	if err != nil {
		return time.Time{}, fmt.Errorf("asking where to begin in %s/%d: %w", l.Topic, p, err)
	}
	if start > 0 { // what was before it may be of the range
		if kept, err = log.Edge(ctx, start); err != nil {
			return time.Time{}, fmt.Errorf("looking at the start of %s/%d: %w", l.Topic, p, err)
		}
	}
	if at < start {
		at = start
	}
	records := 0
	_, err = log.ReadFrom(ctx, at, func(_ int64, r *schemas.Record) error {
		if records++; l.Progress != nil && records%1024 == 0 {
			l.Progress(1024)
		}
		do(r)
		return nil
	})
	return kept, err
}
