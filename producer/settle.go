package producer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"onelogin-kafka/producer/wire"
)

// A coordinator of Kafka 4 takes a partition without a leader for one that is
// deleted, and ends a transaction without a marker there
// (KRaftMetadataCache.getPartitionLeaderEndpoint and TransactionMarkerChannelManager
// of 4.3.1). So it does after the loss of all brokers, when it has its log and the
// partitions have no leader yet. No reader in read_committed gets past such a
// partition, and the next marker of the same producer decides what lies before
// it, whatever it says: a commit brings back what was aborted, an abort takes away
// what was committed. So who takes a transactional id over asks first what was
// decided of its last transaction, and then ends with an empty one what was left
// open, the same way.

// fate is what a coordinator has decided of the last transaction of a
// transactional id.
type fate uint8

const (
	noFate fate = iota // there is none, or it is not known
	toAbort
	toCommit
)

// fates are the states of a transaction by the names that coordinators give them.
// One that is open is aborted by whoever takes its id over.
var fates = map[string]fate{
	"Ongoing": toAbort, "PrepareAbort": toAbort, "CompleteAbort": toAbort, "PrepareEpochFence": toAbort,
	"PrepareCommit": toCommit, "CompleteCommit": toCommit,
}

// foretell asks for the fate of the last transaction. It must be asked before the
// id is taken over: a coordinator forgets it then.
func (t *transactor) foretell(ctx context.Context) (fate, error) {
	wait := newBackoff(5*time.Millisecond, 200*time.Millisecond)
	for {
		req := &wire.DescribeTransactions{TransactionalID: t.id}
		err := t.ask(ctx, req)
		switch {
		case err == nil && req.ErrorCode == codeNone:
			return fates[req.State], nil
		case err == nil && !notYet(req.ErrorCode), lasting(err):
			// Nobody has used the id, we may not ask, or the broker has no such request.
			return noFate, nil
		case err == nil:
			err = kafkaError(req.ErrorCode)
		}
		t.coordinator = -1
		if pauseErr := pause(ctx, wait.NextBackOff()); pauseErr != nil {
			return noFate, fmt.Errorf("asking for the last transaction of %s: %w (last: %w)", t.id, pauseErr, err)
		}
	}
}

func (t *transactor) ask(ctx context.Context, req wire.Request) error {
	ctx, cancel := context.WithTimeout(ctx, initTimeout)
	defer cancel()
	node, err := t.findCoordinator(ctx)
	if err != nil {
		return err
	}
	return t.cluster.Do(ctx, node, req)
}

// settle ends what a coordinator has left open of the last transaction. A
// partition that is undecided as somebody else is just writing gets a marker that
// says nothing. Where not every leader answers, it is enough after patience that
// those of the needed partitions do; the others are looked at again before
// anything is written.
func (t *transactor) settle(ctx context.Context, patience time.Duration, needed ...partition) error {
	if t.fate == noFate {
		return nil
	}
	open, all, err := t.leftOpen(ctx, patience, needed)
	if err != nil {
		return fmt.Errorf("looking for what was left open: %w", err)
	}
	for len(open) > 0 {
		err := t.empty(ctx, open, t.fate)
		if d, ok := errors.AsType[*wire.DeniedError](err); ok && d.Resource == wire.ResourceTopic {
			// Not ours to write: left as it is.
			open = slices.DeleteFunc(open, func(p partition) bool { return p.topic == d.Name })
			continue
		}
		if err != nil {
			return fmt.Errorf("ending what was left open: %w", err)
		}
		break
	}
	if all {
		t.fate = noFate
	}
	return nil
}

// empty writes a transaction without records: markers on the partitions.
func (t *transactor) empty(ctx context.Context, partitions []partition, f fate) error {
	if err := t.addPartitions(ctx, slices.Values(partitions)); err != nil {
		return err
	}
	return t.end(ctx, f == toCommit)
}

// settlePatience is how long a take-over waits for every leader; a dead one is
// replaced within that.
const settlePatience = 10 * time.Second

// leftOpen lists the partitions, of those that we write, on which a transaction
// is open, and tells whether every leader has answered.
func (t *transactor) leftOpen(ctx context.Context, patience time.Duration, needed []partition) (open []partition, all bool, err error) {
	began, wait := time.Now(), newBackoff(5*time.Millisecond, 250*time.Millisecond)
	stable, high := map[partition]int64{}, map[partition]int64{}
	for {
		parts, err := t.writes(ctx)
		if err == nil {
			// The high watermarks later, so that none is overlooked.
			unanswered := t.look(ctx, parts, readCommitted, stable)
			maps.Copy(unanswered, t.look(ctx, parts, readUncommitted, high))
			for _, p := range needed {
				err = cmp.Or(err, unanswered[p])
			}
			if all = len(unanswered) == 0; err == nil && (all || time.Since(began) >= patience) {
				return slices.DeleteFunc(parts, func(p partition) bool { return unanswered[p] != nil || stable[p] >= high[p] }), all, nil
			}
		}
		if lasting(err) {
			return nil, false, err
		}
		if pauseErr := pause(ctx, wait.NextBackOff()); pauseErr != nil {
			return nil, false, fmt.Errorf("%w (last: %w)", pauseErr, err)
		}
		if err := t.cluster.Refresh(ctx); lasting(err) { // any other is had again
			return nil, false, err
		}
	}
}

// writes lists the partitions that we write. What we may not see, or is not there,
// we do not.
func (t *transactor) writes(ctx context.Context) ([]partition, error) {
	var parts []partition
	if t.home.topic != "" {
		parts = append(parts, t.home)
	}
	for _, topic := range t.shared {
		of, err := allPartitions(ctx, t.cluster, topic)
		if _, denied := errors.AsType[*wire.DeniedError](err); denied || errors.Is(err, wire.ErrUnknownTopic) {
			continue
		}
		if err != nil {
			return nil, err
		}
		parts = append(parts, of...)
	}
	return parts, nil
}

// look asks the leaders side by side for the ends of those partitions of which
// they are not known yet, and returns why it was not told one.
func (t *transactor) look(ctx context.Context, parts []partition, isolation int8, ends map[partition]int64) map[partition]error {
	ctx, cancel := context.WithTimeout(ctx, initTimeout)
	defer cancel()
	byLeader, unanswered := map[int32][]partition{}, map[partition]error{}
	for _, p := range parts {
		if _, known := ends[p]; known {
			continue
		}
		node, err := t.cluster.Leader(ctx, p.topic, p.index)
		if err != nil {
			unanswered[p] = lacking("Read", err)
			continue
		}
		byLeader[node] = append(byLeader[node], p)
	}
	var mu sync.Mutex
	var asked sync.WaitGroup
	for _, parts := range byLeader {
		asked.Go(func() {
			found, err := endsOf(ctx, t.cluster, parts, isolation)
			mu.Lock()
			defer mu.Unlock()
			for _, p := range parts {
				if err != nil {
					unanswered[p] = err
				}
			}
			maps.Copy(ends, found)
		})
	}
	asked.Wait()
	return unanswered
}

// resume makes sure, in a transaction that was just begun over the partitions,
// that the one before has its markers: a coordinator that has come back since may
// have left them out. What we know to be committed is committed everywhere before
// anything is written behind it.
func (t *transactor) resume(ctx context.Context, partitions []partition) error {
	if t.last == nil || t.last.link == t.cluster.Link(t.coordinator) {
		return nil
	}
	if err := t.addPartitions(ctx, slices.Values(t.last.partitions)); err != nil {
		return err
	}
	if err := t.end(ctx, true); err != nil {
		return err
	}
	return t.addPartitions(ctx, slices.Values(partitions))
}

// answered is a transaction that a coordinator said it commits.
type answered struct {
	partitions []partition
	link       wire.Link // to the coordinator, when it was asked to
}
