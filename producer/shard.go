package producer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rs/zerolog"
	kafka "github.com/segmentio/kafka-go"
)

// A batch is full at either bound, and is then begun without waiting for the
// commit interval. A transaction takes what has gathered meanwhile, up to the
// larger bounds: the fewer transactions a backlog takes, the less Kafka has to
// do for it. So much is encoded while another transaction is in flight only when
// it will not grow much more.
const (
	fullRecords  = 3000
	fullBytes    = 3 << 20
	aheadRecords = 8000
	aheadBytes   = 10 << 20
	mostRecords  = 12000
	mostBytes    = 14 << 20
)

// transactionTimeout is short, since an open transaction of a dead owner holds
// back every reader of the partitions it touched. writeTimeout ends our own try
// before it.
const (
	transactionTimeout = 10 * time.Second
	writeTimeout       = 8 * time.Second
	fenceTimeout       = 60 * time.Second
	noteDelay          = 5 * time.Second
)

// shard writes one partition of the offsets topic and everything that becomes
// true with it. Its goroutine owns the producer identity, what has been
// gathered, and the one transaction in flight.
type shard struct {
	index   int32
	writer  *writer
	txn     *transactor
	deed    *deed
	confirm func(context.Context) error // nil once a fresh heartbeat says the shard is ours
	serve   func(context.Context, *Session)
	state   func(ShardState, error)
	relearn func(context.Context)       // asks for the topics' limits again
	judge   func(context.Context) error // judges the topics anew
	end     func(error)                 // ends the instance, for what an operator must mend
	traffic *traffic
	known   positions
	halved  int   // how often the bounds of a transaction are halved
	doubt   error // why the last session ended, until something is committed
	// lost is the outcome that is to be counted once it was read whether an operator
	// is behind it; empty where there is none.
	lost    string
	ends    <-chan int64 // the last stable offsets of our partition, now and then
	log     zerolog.Logger
	metrics *Metrics
}

// ShardState says what an owned shard is doing.
type ShardState uint8

// The states of an owned shard.
const (
	// TakingOver: fencing the last owner and reading what it left.
	TakingOver ShardState = iota
	// Serving: its connectors are polled and written.
	Serving
	// Recovering: an outcome was not known, or we were fenced.
	Recovering
	// Released: no longer ours.
	Released
)

var shardStates = [...]string{"taking_over", "serving", "recovering", "released"}

// String returns the state as it appears in logs and metrics.
func (s ShardState) String() string { return shardStates[s] }

// most returns the bounds of a transaction in records and bytes. They are halved
// when one was not committed in time, so that a slow cluster is not given the
// same again and again.
func (s *shard) most() (records, bytes int) { return mostRecords >> s.halved, mostBytes >> s.halved }

// mostHalved is where the bounds are about those of a full batch.
const mostHalved = 4

// doubted notes that a session ended with err. Being fenced says nothing of the
// size of a transaction, and neither does a refusal that came in time.
func (s *shard) doubted(err error) {
	if outcomeOf(err) == Unknown || late(err) {
		s.halved = min(s.halved+1, mostHalved)
	}
}

// proven notes that the shard works again.
func (s *shard) proven() {
	s.halved = max(s.halved-1, 0)
	if s.doubt != nil {
		s.doubt = nil
		s.state(Serving, nil)
	}
}

// soon is how long a shard must have worked to be taken over again without a
// wait.
const soon = time.Second

// run holds the shard until ctx ends: take over, serve, and after any doubt
// again from the start, which is the only way to recover.
func (s *shard) run(ctx context.Context) {
	defer s.state(Released, nil)
	defer func() {
		if s.lost != "" { // it never came to that
			s.metrics.recovery(s.index, s.lost)
		}
	}()
	wait := newBackoff(50*time.Millisecond, 5*time.Second)
	for ctx.Err() == nil {
		s.state(TakingOver, s.doubt)
		served, err := s.session(ctx)
		if ctx.Err() != nil {
			return
		}
		// An operator may move one connector after the other: none of them waits
		// for long. Failed tries of theirs, which fence us too, are no such moves.
		if served > time.Minute || served > 0 && len(s.known.byHand) > 0 {
			wait.Reset()
		}
		// What has worked for a while is tried again at once.
		again := s.doubt == nil && served > soon
		s.doubt = err
		s.state(Recovering, err)
		// Who was in between is read when we take over again.
		switch {
		case s.lost != "":
		case errors.Is(err, ErrFenced), errors.Is(err, ErrStale):
			s.lost = outcomeOf(err).String()
		case err != nil:
			s.metrics.recovery(s.index, outcomeOf(err).String())
		}
		if served > 0 {
			s.doubted(err)
		}
		switch err = s.learn(ctx, err); {
		case errors.Is(err, ErrUnfit):
			s.end(err)
			<-ctx.Done()
			return
		case errors.Is(err, kafka.MessageSizeTooLarge):
			wait.Reset() // the next is not the same again
		}
		if !again && pause(ctx, wait.NextBackOff()) != nil {
			return
		}
	}
}

// learn draws the conclusions from why a session ended, so that the next goes
// on. It returns err, or what has turned out to be behind it.
func (s *shard) learn(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, ErrCutOff):
		s.known.lost = true
		s.log.Error().Err(err).Msg("committed positions are gone from Kafka (the topic was made anew, or a leader was elected that did not have them); they are written again")
		s.metrics.cutOff(s.index)
		if judged := s.judge(ctx); errors.Is(judged, ErrUnfit) {
			return judged
		}
	case errors.Is(err, kafka.InvalidTimestamp):
		s.writer.misdated.Store(true)
		s.relearn(ctx)
	case errors.Is(err, kafka.MessageSizeTooLarge):
		// The limits are others than when we asked, or not what we take them for.
		// The next session keeps to smaller batches, down to a record by itself; in
		// the end only the connector that it belongs to waits.
		if o, ok := errors.AsType[*oversizeError](err); ok {
			s.writer.refused(o)
		}
		s.relearn(ctx)
	}
	return err
}

// session takes the shard over and serves it until ctx ends or a transaction is
// not known to be committed.
func (s *shard) session(ctx context.Context) (served time.Duration, err error) {
	if err := s.takeOver(ctx); err != nil {
		return 0, fmt.Errorf("taking over shard %d: %w", s.index, err)
	}
	s.tellLost()
	// The pollers end first, so that a shutdown can still commit what they
	// handed on.
	sctx, end := context.WithCancel(context.WithoutCancel(ctx))
	session := newSession(sctx, s.index, s.writer.codec, s.writer.limit)
	session.Shards = s.deed.partitions
	if s.relearn != nil {
		session.relearn = s.relearn
	}
	pctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); s.serve(pctx, session) }()
	s.state(Serving, s.doubt)
	began := time.Now()
	err = newGatherer(s, session).loop(ctx, done)
	stop()
	end()
	<-done
	return time.Since(began), err
}

// tellLost counts what has ended the last session, as the operator's if positions
// were changed by hand since: that is no trouble, and what they are now was just
// read.
func (s *shard) tellLost() {
	result := s.lost
	if s.lost = ""; result == "" {
		return
	}
	if len(s.known.byHand) > 0 {
		result, s.doubt = byOperator, nil
		s.log.Info().Strs("connectors", slices.Sorted(maps.Keys(s.known.byHand))).Msg("positions were changed by hand; going on from there")
	}
	s.metrics.recovery(s.index, result)
}

// takeOver fences, then reads: what the last owner wrote is by then either
// committed and seen, or aborted. A broker that no longer leads the partition
// and does not know it shows an older end; the first write finds that out.
func (s *shard) takeOver(ctx context.Context) error {
	if s.doubt != nil {
		// What we know of the brokers may be why the last session ended: one that
		// is gone, or has another address now, gives no answer that says so.
		_ = s.writer.cluster.Refresh(ctx) // what fails here fails again below
	}
	if err := s.fence(ctx); err != nil {
		return err
	}
	began := time.Now()
	end, err := s.known.read(ctx)
	if err != nil {
		return fmt.Errorf("reading offsets: %w", err)
	}
	n, err := s.writer.cluster.Partitions(ctx, s.deed.topic)
	if err != nil {
		return lacking("Read", err)
	}
	if err := s.deed.counted(n); err != nil {
		return err
	}
	if err := s.deed.judge(s.index, s.known.records); err != nil {
		return err
	}
	s.txn.expect(s.known.part, end)
	s.log.Debug().Int64("end", end).Int("connectors", len(s.known.records)).Dur("took", time.Since(began)).Msg("offsets read")
	return nil
}

// fence makes the transactional id ours.
func (s *shard) fence(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fenceTimeout)
	defer cancel()
	if err := s.confirm(ctx); err != nil {
		return fmt.Errorf("confirming ownership: %w", err)
	}
	if err := s.txn.init(ctx); err != nil {
		return err
	}
	// A process that slept between the two calls has just fenced the rightful
	// owner; it must not go on, and the owner takes over again.
	if err := s.confirm(ctx); err != nil {
		return fmt.Errorf("confirming ownership: %w", err)
	}
	return nil
}

// errServed ends a session whose pollers have all returned though the shard is
// still ours.
var errServed = errors.New("the shard's pollers have ended")
