package producer

import (
	"context"
	"fmt"
	"sync"

	"github.com/segmentio/kafka-go/compress"
	"golang.org/x/sync/semaphore"

	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
)

// Bounds on what a shard holds in memory before it is committed, in bytes of
// keys, values and headers. They make Offer wait, so that a source can run
// ahead of Kafka, but not without end.
const (
	connectorBytes = 24 << 20
	shardBytes     = 36 << 20
)

// Session is the time from one take-over of a shard to the first doubt. What
// is offered in it is written in the order of each connector's offers, or the
// session ends.
type Session struct {
	// Shard is the partition of the offsets topic, one of Shards.
	Shard, Shards int32

	ctx   context.Context // ends with the session
	codec compress.Compression
	limit func(schemas.Topic) *sizeLimit
	// relearn asks for the limits again, now and then.
	relearn func(context.Context)
	offers  chan *offer
	notes   chan note
	states  chan stateRequest
	names   chan chan []string
	bytes   *semaphore.Weighted

	mu         sync.Mutex
	connectors map[string]*semaphore.Weighted
}

type offer struct {
	batch *schemas.Batch
	size  int64
	own   *semaphore.Weighted // nil for what the shard itself has to write
}

// note is a record of the status topic; soon = it is not to wait.
type note struct {
	record schemas.Record
	soon   bool
}

type stateRequest struct {
	connector string
	reply     chan map[string][]byte
}

func newSession(ctx context.Context, shard int32, codec compress.Compression, limit func(schemas.Topic) *sizeLimit) *Session {
	return &Session{
		Shard:      shard,
		limit:      limit,
		offers:     make(chan *offer),
		notes:      make(chan note),
		states:     make(chan stateRequest),
		names:      make(chan chan []string),
		ctx:        ctx,
		codec:      codec,
		relearn:    func(context.Context) {},
		bytes:      semaphore.NewWeighted(shardBytes),
		connectors: map[string]*semaphore.Weighted{},
	}
}

func (s *Session) connector(name string) *semaphore.Weighted {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ok := s.connectors[name]
	if !ok {
		w = semaphore.NewWeighted(connectorBytes)
		s.connectors[name] = w
	}
	return w
}

// Offer implements source.Sink.
func (s *Session) Offer(ctx context.Context, b *schemas.Batch) error {
	size := int64(0)
	for i := range b.Records {
		r := &b.Records[i]
		if err := s.fits(r); err != nil {
			// The limit may have been raised since it was asked for.
			s.relearn(ctx)
			if err = s.fits(r); err != nil {
				return err
			}
		}
		size += int64(r.Size())
	}
	o := &offer{batch: b, size: min(size, connectorBytes), own: s.connector(b.Connector)}
	ctx, cancel := s.until(ctx)
	defer cancel()
	if err := o.own.Acquire(ctx, o.size); err != nil {
		return s.ended(err)
	}
	if err := s.bytes.Acquire(ctx, o.size); err != nil {
		o.own.Release(o.size)
		return s.ended(err)
	}
	select {
	case s.offers <- o:
		return nil
	case <-ctx.Done():
		s.release(o)
		return s.ended(ctx.Err())
	}
}

func (s *Session) release(o *offer) {
	if o.own == nil {
		return
	}
	s.bytes.Release(o.size)
	o.own.Release(o.size)
}

// until returns a context that also ends with the session.
func (s *Session) until(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

func (s *Session) ended(err error) error {
	if s.ctx.Err() != nil {
		return source.ErrVoid
	}
	return err
}

// recordOverhead is more than a batch adds to a single record: its header and
// the lengths within.
const recordOverhead = 200

// fits tells whether r can be written at all. A record whose raw size is near
// the limit is encoded to find out.
func (s *Session) fits(r *schemas.Record) error {
	limit := s.limit(r.Topic)
	if limit.takes(r.Size() + recordOverhead + 8*len(r.Headers)) {
		return nil
	}
	if _, err := encodeBatches([]*schemas.Record{r}, s.codec, limit.bounds(s.codec)); err != nil {
		return fmt.Errorf("%s topic: %w", r.Topic, err)
	}
	return nil
}

// Note writes a record of the status topic with the shard's next transaction,
// or with one of its own after a while. Of several with one key the last
// counts.
func (s *Session) Note(ctx context.Context, r schemas.Record) error {
	return s.note(ctx, note{record: r})
}

// NoteSoon is Note in a transaction that does not wait: a shard with nothing to
// write does not notice otherwise that somebody else has written to it.
func (s *Session) NoteSoon(ctx context.Context, r schemas.Record) error {
	return s.note(ctx, note{record: r, soon: true})
}

func (s *Session) note(ctx context.Context, n note) error {
	select {
	case s.notes <- n:
		return nil
	case <-s.ctx.Done():
		return source.ErrVoid
	case <-ctx.Done():
		return ctx.Err()
	}
}

// State returns the committed records of one connector on the offsets topic,
// latest value by key. It waits until everything the connector has offered is
// committed; nothing may be offered for it meanwhile.
func (s *Session) State(ctx context.Context, connector string) (map[string][]byte, error) {
	ctx, cancel := s.until(ctx)
	defer cancel()
	own := s.connector(connector)
	if err := own.Acquire(ctx, connectorBytes); err != nil {
		return nil, s.ended(err)
	}
	defer own.Release(connectorBytes)
	req := stateRequest{connector: connector, reply: make(chan map[string][]byte, 1)}
	select {
	case s.states <- req:
		return <-req.reply, nil
	case <-ctx.Done():
		return nil, s.ended(ctx.Err())
	}
}

// Connectors lists the connectors that have committed records on the shard's
// partition of the offsets topic, configured or not, in no order. Of keys that
// are none of ours it returns the text.
func (s *Session) Connectors(ctx context.Context) ([]string, error) {
	ctx, cancel := s.until(ctx)
	defer cancel()
	reply := make(chan []string, 1)
	select {
	case s.names <- reply:
		return <-reply, nil
	case <-ctx.Done():
		return nil, s.ended(ctx.Err())
	}
}
