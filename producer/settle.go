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

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/metadata"

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
// id is taken over: a coordinator forgets it then. Where nobody has been there
// since our own last commit, that is owed as committed, whatever came after it.
func (t *transactor) foretell(ctx context.Context) (fate, error) {
	wait := newBackoff(5*time.Millisecond, 200*time.Millisecond)
	for {
		req := &wire.DescribeTransactions{TransactionalID: t.id}
		_, err := t.ask(ctx, func(ctx context.Context, node int32) (protocol.Message, error) {
			return nil, t.cluster.Do(ctx, node, req)
		})
		if err == nil {
			err = cmp.Or(wire.Denied(req.ErrorCode, "Describe", wire.ResourceTransactionalID, t.id), kafkaError(req.ErrorCode))
		}
		_, denied := errors.AsType[*wire.DeniedError](err)
		switch {
		case err == nil:
			if t.identity == (identity{req.ProducerID, req.ProducerEpoch}) {
				t.oweLast()
			}
			t.last = nil
			return fates[req.State], nil
		case denied, errors.Is(err, wire.ErrVersion), errors.Is(err, kafka.UnsupportedVersion), errors.Is(err, kafka.TransactionalIDNotFound):
			// We may not ask, the broker has no such request, or nobody has used the id.
			return noFate, nil
		case lasting(err):
			return noFate, fmt.Errorf("asking for the last transaction of %s: %w", t.id, err)
		}
		t.coordinator = -1
		if pauseErr := pause(ctx, wait.NextBackOff()); pauseErr != nil {
			return noFate, fmt.Errorf("asking for the last transaction of %s: %w (last: %w)", t.id, pauseErr, err)
		}
	}
}

// ask has do ask the coordinator, for a while.
func (t *transactor) ask(ctx context.Context, do func(ctx context.Context, node int32) (protocol.Message, error)) (protocol.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, initTimeout)
	defer cancel()
	node, err := t.findCoordinator(ctx)
	if err != nil {
		return nil, err
	}
	return do(ctx, node)
}

// settle ends what a coordinator has left open. A partition that is undecided as
// somebody else is just writing gets a marker that says nothing. Where not every
// leader answers, it is enough after patience that those of the needed partitions
// do; the others are owed, and looked at again before anything is written.
func (t *transactor) settle(ctx context.Context, patience time.Duration, needed ...partition) error {
	began, wait := time.Now(), newBackoff(5*time.Millisecond, 250*time.Millisecond)
	stable, high := map[partition]int64{}, map[partition]int64{}
	for t.fate != noFate || len(t.owed) > 0 {
		unanswered, err := t.leftOpen(ctx, stable, high)
		if err == nil {
			err = t.unseen(ctx, unanswered)
		}
		if err == nil {
			if err := t.decide(ctx, unanswered); err != nil {
				return fmt.Errorf("ending what was left open: %w", err)
			}
			for _, p := range needed {
				err = cmp.Or(err, unanswered[p])
			}
			if err == nil && (len(unanswered) == 0 || time.Since(began) >= patience) {
				// A topic that is still not there was deleted.
				maps.DeleteFunc(t.owed, func(p partition, _ fate) bool { return patience > 0 && errors.Is(unanswered[p], wire.ErrUnknownTopic) })
				return nil
			}
			for _, why := range unanswered {
				err = cmp.Or(err, why)
			}
		} else if lasting(err) {
			return fmt.Errorf("looking for what was left open: %w", err)
		}
		if pauseErr := pause(ctx, wait.NextBackOff()); pauseErr != nil {
			return fmt.Errorf("looking for what was left open: %w (last: %w)", pauseErr, err)
		}
		if err := t.cluster.Refresh(ctx); lasting(err) { // any other is had again
			return fmt.Errorf("looking for what was left open: %w", err)
		}
	}
	return nil
}

// settlePatience is how long a take-over waits for every leader; a dead one is
// replaced within that.
const settlePatience = 10 * time.Second

// leftOpen looks at what is owed, and takes out what is decided. Of what stays
// there it returns why it was not told; the rest is open. What it is told it adds
// to the ends, and does not ask for again.
func (t *transactor) leftOpen(ctx context.Context, stable, high map[partition]int64) (unanswered map[partition]error, err error) {
	if t.fate != noFate {
		parts, err := t.writes(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range parts {
			t.owe(p, t.fate)
		}
		t.fate = noFate
	}
	// The high watermarks later, so that none is overlooked, and of those that have
	// told the first: one that hangs takes its time only once.
	parts := slices.Collect(maps.Keys(t.owed))
	slices.SortFunc(parts, func(a, b partition) int { return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.index, b.index)) })
	unanswered = t.look(ctx, parts, readCommitted, stable)
	parts = slices.DeleteFunc(parts, func(p partition) bool { return unanswered[p] != nil })
	maps.Copy(unanswered, t.look(ctx, parts, readUncommitted, high))
	maps.DeleteFunc(t.owed, func(p partition, _ fate) bool { return unanswered[p] == nil && stable[p] >= high[p] })
	return unanswered, nil
}

// owe notes that a transaction of that fate may be open on p. Nothing is written
// there before it is settled, so what was noted first holds.
func (t *transactor) owe(p partition, f fate) {
	if t.owed == nil {
		t.owed = map[partition]fate{}
	}
	if _, ok := t.owed[p]; !ok {
		t.owed[p] = f
	}
}

// unseen adds to what is unanswered the open partitions that have no leader as
// far as the coordinator knows: it would leave them out again, though their
// leaders answer us.
func (t *transactor) unseen(ctx context.Context, unanswered map[partition]error) error {
	topics := map[string]bool{}
	for p := range t.owed {
		if unanswered[p] == nil {
			topics[p.topic] = true
		}
	}
	if len(topics) == 0 {
		return nil
	}
	req := &metadata.Request{TopicNames: slices.Sorted(maps.Keys(topics))}
	res, err := t.ask(ctx, func(ctx context.Context, node int32) (protocol.Message, error) {
		return t.cluster.Exchange(ctx, node, req)
	})
	if err != nil {
		t.coordinator = -1
		return err
	}
	led := map[partition]bool{}
	for _, topic := range res.(*metadata.Response).Topics {
		for _, p := range topic.Partitions {
			led[partition{topic.Name, p.PartitionIndex}] = p.LeaderID >= 0 && p.ErrorCode != codeLeaderNotAvailable
		}
	}
	for p := range t.owed {
		if unanswered[p] == nil && !led[p] {
			unanswered[p] = fmt.Errorf("%s/%d, by its coordinator: %w", p.topic, p.index, wire.ErrNoLeader)
		}
	}
	return nil
}

// decide ends what is owed and answered. Where something is not, it also has the
// coordinator remember how that is to end: whoever takes over from us asks it. A
// marker at home is waited for in any case, and says nothing where home is decided.
func (t *transactor) decide(ctx context.Context, unanswered map[partition]error) error {
	for _, f := range []fate{toCommit, toAbort} {
		var open []partition
		waiting := false
		for p, of := range t.owed {
			switch {
			case of != f:
			case unanswered[p] == nil:
				open = append(open, p)
			default:
				waiting = true
			}
		}
		if of, owed := t.owed[t.home]; waiting && t.forgotten && len(open) == 0 && t.home.topic != "" && (of == f || !owed) {
			open = append(open, t.home)
		}
		if err := t.empty(ctx, open, f); err != nil {
			return err
		}
		maps.DeleteFunc(t.owed, func(p partition, _ fate) bool { return unanswered[p] == nil && slices.Contains(open, p) })
	}
	return nil
}

// empty writes a transaction without records, markers on the partitions, but for
// what is not ours to write: that is left as it is. One that was begun comes to its
// end within writeTimeout though ctx ends: whoever is next would abort it, and with
// it what was committed.
func (t *transactor) empty(ctx context.Context, partitions []partition, f fate) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	for len(partitions) > 0 {
		err := t.addPartitions(ctx, slices.Values(partitions))
		if d, ok := errors.AsType[*wire.DeniedError](err); ok && d.Resource == wire.ResourceTopic {
			not := func(p partition) bool { return p.topic == d.Name }
			maps.DeleteFunc(t.owed, func(p partition, _ fate) bool { return not(p) })
			partitions = slices.DeleteFunc(partitions, not)
			continue
		}
		if err != nil {
			return err
		}
		return t.end(ctx, f == toCommit)
	}
	return nil
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
				if _, told := found[p]; !told {
					unanswered[p] = cmp.Or(err, wire.ErrMalformed)
				}
			}
			maps.Copy(ends, found)
		})
	}
	asked.Wait()
	return unanswered
}

// answered is a transaction that a coordinator said it commits, and may not have
// completed.
type answered struct {
	partitions []partition
	links      []wire.Link // to whoever takes part, from before it was written
}

// links are those to the coordinator and to the leaders of partitions, as they are
// now.
func (t *transactor) links(ctx context.Context, partitions []partition) []wire.Link {
	links := []wire.Link{t.cluster.Link(t.coordinator)}
	for _, p := range partitions {
		node, err := t.cluster.Leader(ctx, p.topic, p.index)
		if err != nil {
			node = -1
		}
		links = append(links, t.cluster.Link(node))
	}
	return links
}

// resume tells whether the transaction before may lack markers: a coordinator that
// has come back since, or has seen a partition without a leader, may have left
// them out. What we know to be committed is then owed as that.
func (t *transactor) resume(ctx context.Context) bool {
	if t.last == nil || slices.Equal(t.last.links, t.links(ctx, t.last.partitions)) {
		return false
	}
	t.oweLast()
	return true
}

// oweLast notes that the last transaction may be open wherever it wrote.
func (t *transactor) oweLast() {
	if t.last != nil {
		for _, p := range t.last.partitions {
			t.owe(p, toCommit)
		}
		t.last = nil
	}
}
