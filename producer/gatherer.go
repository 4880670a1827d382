package producer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"onelogin-kafka/schemas"
)

// gatherer collects what a session's connectors offer and writes it in
// transactions, one at a time: while one is on its way the next gathers (group
// commit). All of its state belongs to the goroutine that runs loop.
type gatherer struct {
	shard   *shard
	session *Session
	known   *positions

	queues map[string][]*offer // by connector, in the order offered
	turn   []string            // connectors with something queued, next first
	count  int                 // records queued
	bytes  int                 // bytes queued
	notes  map[string]schemas.Record
	noted  time.Time // when the oldest of notes came

	// next is encoded while the transaction before it is on its way.
	next     *parcel
	flying   *parcel // the transaction in flight
	inFlight []*offer
	result   chan error    // not nil while a transaction is in flight
	began    time.Time     // when the last transaction was begun
	took     time.Duration // a transaction of late, on average
	looked   int64         // up to where there are only markers behind what is known
}

// A shard spends at most a third of its time in small transactions. Where Kafka
// is slow that is less than one per commit interval: more of them would only
// make it slower for everybody. mostSlower bounds how many intervals are waited.
const (
	slower     = 3
	mostSlower = 4
)

// interval is the least time between the beginnings of two transactions.
func (g *gatherer) interval() time.Duration {
	least := g.shard.writer.commitInterval
	return min(max(least, slower*g.took), mostSlower*least)
}

func newGatherer(s *shard, session *Session) *gatherer {
	g := &gatherer{shard: s, session: session, known: &s.known, notes: map[string]schemas.Record{}, queues: map[string][]*offer{}}
	for _, b := range s.known.debts(s.deed) {
		g.enqueue(&offer{batch: b, size: int64(b.Size())})
	}
	return g
}

// loop runs until ctx ends and everything handed on is committed, or until the
// outcome of a transaction is not known. The pollers have returned when done is
// closed; they are told to by ctx.
func (g *gatherer) loop(ctx context.Context, done <-chan struct{}) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	going := context.WithoutCancel(ctx) // a shutdown lets a transaction finish
	defer g.abandon()
	for {
		if g.next == nil && (g.count >= aheadRecords || g.bytes >= aheadBytes) {
			g.prepare(going)
		}
		if g.result == nil {
			if wait, due := g.due(); due && wait <= 0 {
				g.begin(ctx, going)
			} else if due {
				timer.Reset(wait)
			}
		}
		select {
		case o := <-g.session.offers:
			g.enqueue(o)
		case n := <-g.session.notes:
			g.note(n)
		case req := <-g.session.states:
			req.reply <- maps.Clone(g.known.records[req.connector])
		case reply := <-g.session.names:
			reply <- g.known.connectors()
		case err := <-g.result:
			if err := g.finish(err); err != nil {
				return err
			}
		case end := <-g.shard.ends:
			if err := g.look(going, end); err != nil {
				return err
			}
		case <-timer.C:
		case <-done:
			return g.drain(ctx)
		}
	}
}

// look returns ErrStale if there are records behind what is known, up to a last
// stable offset: an operator has changed a position, and a quiet shard would not
// notice before it has something to write.
func (g *gatherer) look(ctx context.Context, end int64) error {
	l := g.shard.txn.landing
	if g.result != nil || l == nil || end <= max(l.next, g.looked) || l.marker && end == l.next+1 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	err := g.shard.txn.onlyMarkers(ctx, l.part, l.next, end)
	switch {
	case err == nil:
		g.looked = end
	case errors.Is(err, errRecords):
		return err
	}
	return nil // what could not be read is seen the next time
}

// abandon lets go of what will not be written.
func (g *gatherer) abandon() {
	if g.next != nil {
		<-g.next.done
		letGo(g.next.offers)
	}
	letGo(g.inFlight)
	for _, offers := range g.queues {
		letGo(offers)
	}
}

func letGo(offers []*offer) {
	for _, o := range offers {
		if o.batch.Release != nil {
			o.batch.Release()
		}
	}
}

// drain writes what is left once no poller can offer any more, as far as the
// time of one transaction allows: a shutdown must come to its end. What is not
// written is polled again.
func (g *gatherer) drain(ctx context.Context) error {
	going, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	for {
		if g.result == nil {
			if g.next == nil && g.count == 0 && len(g.notes) == 0 {
				if ctx.Err() == nil {
					return errServed
				}
				return ctx.Err()
			}
			g.begin(going, going)
		}
		if err := g.finish(<-g.result); err != nil {
			return err
		}
	}
}

func (g *gatherer) enqueue(o *offer) {
	name := o.batch.Connector
	if len(g.queues[name]) == 0 {
		g.turn = append(g.turn, name)
	}
	g.queues[name] = append(g.queues[name], o)
	g.count += len(o.batch.Records)
	g.bytes += int(o.size)
}

func (g *gatherer) note(n note) {
	switch {
	case n.soon:
		g.noted = time.Now().Add(-noteDelay)
	case len(g.notes) == 0:
		g.noted = time.Now()
	}
	g.notes[string(n.record.Key)] = n.record
}

// due tells whether there is something to write, and how long to wait before it
// is begun: not at all after an idle interval or with a full batch.
func (g *gatherer) due() (time.Duration, bool) {
	switch {
	case g.next != nil || g.full():
		return 0, true
	case g.count > 0:
		return time.Until(g.began.Add(g.interval())), true
	case len(g.notes) > 0:
		return time.Until(g.noted.Add(noteDelay)), true
	}
	return 0, false
}

func (g *gatherer) full() bool { return g.count >= fullRecords || g.bytes >= fullBytes }

// parcel is what one transaction holds.
type parcel struct {
	offers  []*offer
	grouped chan struct{} // closed when groups or err is there
	groups  map[partition]*group
	done    chan struct{} // closed when batches or err is there
	batches map[partition][]recordBatch
	err     error
	began   time.Time // when the transaction was begun; there with its result
}

// prepare encodes what has gathered. That needs no identity, so it may be done
// while another transaction is in flight.
func (g *gatherer) prepare(ctx context.Context) {
	p := &parcel{grouped: make(chan struct{}), done: make(chan struct{})}
	var records []*schemas.Record
	p.offers, records = g.take()
	g.next = p
	w, shard := g.shard.writer, g.shard.index
	go func() {
		defer close(p.done)
		p.groups, p.err = w.group(ctx, shard, records)
		close(p.grouped)
		if p.err == nil {
			p.batches, p.err = w.encode(p.groups)
		}
	}()
}

// begin starts a transaction with what has gathered, as soon as the brokers
// want it, unless waiting ends before. Then it has its time.
func (g *gatherer) begin(waiting, ctx context.Context) {
	if g.next == nil {
		g.prepare(ctx)
	}
	p := g.next
	g.next, g.flying, g.inFlight = nil, p, p.offers
	g.began = time.Now()
	g.result = make(chan error, 1)
	result, txn := g.result, g.shard.txn
	go func() { result <- p.write(waiting, ctx, txn) }()
}

// write writes the parcel in one transaction. The partitions are added while
// the last of it is being encoded: the coordinator may still be busy with the
// transaction before.
func (p *parcel) write(waiting, ctx context.Context, txn *transactor) error {
	<-p.grouped
	var err error
	if p.groups != nil {
		err = txn.calm(waiting, maps.Keys(p.groups))
	}
	p.began = time.Now()
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if p.groups != nil && err == nil {
		err = txn.begin(ctx, maps.Keys(p.groups))
	}
	<-p.done
	if p.err != nil {
		return fmt.Errorf("encoding a transaction: %w", p.err)
	}
	if err != nil {
		return err
	}
	return txn.finish(ctx, p.batches)
}

// take picks batches connector by connector in turn, so that none can crowd out
// the others, and joins them into the records of one transaction.
func (g *gatherer) take() ([]*offer, []*schemas.Record) {
	var offers []*offer
	count, size := 0, 0
	most, mostSize := g.shard.most()
	for len(g.turn) > 0 && count < most && size < mostSize {
		name := g.turn[0]
		g.turn = g.turn[1:]
		o := g.queues[name][0]
		if g.queues[name] = g.queues[name][1:]; len(g.queues[name]) > 0 {
			g.turn = append(g.turn, name)
		} else {
			delete(g.queues, name)
		}
		offers = append(offers, o)
		count += len(o.batch.Records)
		size += int(o.size)
	}
	g.count -= count
	g.bytes -= size
	records := joined(offers, count+len(g.notes))
	for _, r := range g.notes {
		records = append(records, &r)
	}
	clear(g.notes)
	return offers, records
}

// joined lists the records of offers in order. Of several records of the
// offsets topic with one key only the last stays: the others would never be
// seen, since they become visible with it.
func joined(offers []*offer, size int) []*schemas.Record {
	records := make([]*schemas.Record, 0, size)
	last := map[string]int{}
	for _, o := range offers {
		for i := range o.batch.Records {
			r := &o.batch.Records[i]
			if r.Topic == schemas.Offsets {
				if at, ok := last[string(r.Key)]; ok {
					records[at] = nil
				}
				last[string(r.Key)] = len(records)
			}
			records = append(records, r)
		}
	}
	kept := records[:0]
	for _, r := range records {
		if r != nil {
			kept = append(kept, r)
		}
	}
	return kept
}

// finish acknowledges the batches of a transaction that is known to be
// committed. Any error ends the session.
func (g *gatherer) finish(err error) error {
	g.result = nil
	g.began = g.flying.began
	took := time.Since(g.began)
	g.took += (took - g.took) / 8
	g.shard.metrics.transaction(g.shard.index, took, g.inFlight, err)
	if err != nil {
		return err
	}
	g.shard.proven()
	events := 0
	for _, o := range g.inFlight {
		events += o.batch.Events
		g.known.written(o.batch.Records, g.shard.txn.landing.next)
		g.session.release(o)
		if o.batch.Done != nil {
			o.batch.Done()
		}
	}
	letGo(g.inFlight)
	g.shard.traffic.add(events, time.Now())
	g.flying, g.inFlight = nil, nil // lets the pages go
	return nil
}
