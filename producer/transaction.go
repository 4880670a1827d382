package producer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/segmentio/kafka-go/protocol/addpartitionstotxn"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
	"golang.org/x/sync/errgroup"

	"onelogin-kafka/producer/wire"
)

// Protocol is the version of Kafka's transaction protocol in use.
type Protocol uint8

// The transaction protocols.
const (
	// V1 is spoken to Kafka 2.8 to 3.9 and to clusters without the feature.
	V1 Protocol = 1
	// V2 raises the epoch with each transaction (KIP-890), so that a late
	// EndTxn can never end a later transaction.
	V2 Protocol = 2
)

// featureTransactions is the cluster feature that, at level 2, is protocol v2.
const featureTransactions = "transaction.version"

// identity is what a broker knows a producer by.
type identity struct {
	producerID int64
	epoch      int16
}

// transactionalID is that of a group's shard.
func transactionalID(group string, shard int32) string { return fmt.Sprintf("%s-%d", group, shard) }

// partition names a partition of a real topic.
type partition struct {
	topic string
	index int32
}

// transactor writes transactions under one transactional id. It is owned by
// one goroutine. After any error the identity is spent: begin again with init.
type transactor struct {
	cluster  *wire.Cluster
	id       string // transactional id
	protocol Protocol
	timeout  time.Duration // after which the coordinator aborts a transaction

	// appended is told when a broker says it appended a batch, in ms since the
	// epoch. Of a batch that was sent again, that is the time of its newest record
	// where the topic keeps those.
	appended func(topic string, ms int64)

	// home is the partition that is ours alone, shared are the other topics that we
	// write: what is looked through for what a coordinator has left open.
	home   partition
	shared []string
	fate   fate // of the transaction before we took over, until it is owed
	// owed are the partitions where a transaction may have been left open, and its
	// fate, until that is settled. They outlive the identity.
	owed map[partition]fate
	// forgotten tells that the coordinator no longer knows the fate of what is owed.
	forgotten bool

	identity    identity
	coordinator int32     // -1 = not known
	last        *answered // the last transaction, until it is known to be completed
	sequences   map[partition]int32
	landing     *landing // nil: wherever batches land is right
}

// init takes the transactional id over: it fences every earlier producer, ends
// whatever transaction is open and brings a new identity. It returns only with
// a definite answer or an error, and may be repeated after any of them.
func (t *transactor) init(ctx context.Context) error {
	t.coordinator = -1
	if err := t.claim(ctx); err != nil {
		return err
	}
	return t.settle(ctx, settlePatience, t.home)
}

// claim fences and brings the identity. Before each try the coordinator foretells:
// while we wait, the last owner may go on.
func (t *transactor) claim(ctx context.Context) error {
	wait := newBackoff(5*time.Millisecond, 200*time.Millisecond)
	for {
		f, err := t.foretell(ctx)
		if err != nil {
			return err
		}
		if f != noFate { // else of a try of ours that did not come to its end
			t.fate = f
		}
		code, err := t.initOnce(ctx)
		switch {
		case err == nil && code == codeNone:
			t.sequences, t.landing, t.forgotten = map[partition]int32{}, nil, true
			return nil
		case err == nil && !notYet(code):
			return fmt.Errorf("taking over transactional id %s: %w", t.id, t.refusal(code, ""))
		case err == nil:
			err = kafkaError(code)
		case lasting(err):
			return fmt.Errorf("taking over transactional id %s: %w", t.id, err)
		}
		if code != codeConcurrentTransactions {
			t.coordinator = -1
		}
		if pauseErr := pause(ctx, wait.NextBackOff()); pauseErr != nil {
			return fmt.Errorf("taking over transactional id %s: %w (last: %w)", t.id, pauseErr, err)
		}
	}
}

// refusal turns a broker's error code into an error that says which right we
// lack, if that is what the code means. topic is what it was said of, if known.
func (t *transactor) refusal(code int16, topic string) error {
	resource, name := wire.ResourceTransactionalID, t.id
	if code == codeTopicNotAllowed {
		resource, name = wire.ResourceTopic, topic
	}
	if err := wire.Denied(code, "Write", resource, name); err != nil {
		return err
	}
	return kafkaError(code)
}

func (t *transactor) initOnce(ctx context.Context) (int16, error) {
	// Repeating is harmless here: each answer is a newer epoch than the last.
	ctx, cancel := context.WithTimeout(ctx, initTimeout)
	defer cancel()
	node, err := t.findCoordinator(ctx)
	if err != nil {
		return 0, err
	}
	res, err := t.cluster.Exchange(ctx, node, &initproducerid.Request{
		TransactionalID:      t.id,
		TransactionTimeoutMs: int32(t.timeout.Milliseconds()),
		ProducerID:           -1,
		ProducerEpoch:        -1,
	})
	if err != nil {
		return 0, err
	}
	r := res.(*initproducerid.Response)
	t.identity = identity{r.ProducerID, r.ProducerEpoch}
	return r.ErrorCode, nil
}

// initTimeout bounds one try at taking over; a paused coordinator must not hold
// a take-over for longer than it takes to elect another.
const initTimeout = 3 * time.Second

func (t *transactor) findCoordinator(ctx context.Context) (int32, error) {
	if t.coordinator < 0 {
		node, err := t.cluster.Coordinator(ctx, wire.TransactionCoordinator, t.id)
		if err != nil {
			return -1, err
		}
		t.coordinator = node
	}
	return t.coordinator, nil
}

// begin opens a transaction over the given partitions. Its records must be in
// memory, so that nothing but Kafka can hold it open. What is committed is
// committed everywhere before anything is written behind it. After an error the
// identity is spent.
func (t *transactor) begin(ctx context.Context, partitions iter.Seq[partition]) error {
	parts := slices.Collect(partitions)
	for {
		t.resume(ctx)
		if err := t.settle(ctx, 0, parts...); err != nil {
			return err
		}
		if err := t.addPartitions(ctx, slices.Values(parts)); err != nil {
			return fmt.Errorf("adding partitions to a transaction: %w", err)
		}
		// By now the transaction before is completed.
		if !t.resume(ctx) {
			t.last = nil
			return nil
		}
		if err := t.end(ctx, true); err != nil {
			return fmt.Errorf("completing the transaction before: %w", err)
		}
	}
}

// write writes batches in a transaction of their own. One that was begun comes to
// its end within writeTimeout though ctx ends: left open, it would hold up every
// reader until it times out. The errors are those of begin and finish.
func (t *transactor) write(ctx context.Context, batches map[partition][]recordBatch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	if err := t.begin(ctx, maps.Keys(batches)); err != nil {
		return err
	}
	return t.finish(ctx, batches)
}

// finish writes batches in the transaction that is open, and commits it. nil
// means that it is committed; see outcomeOf for any error, after which the
// identity is spent. The context must end before the transaction times out.
func (t *transactor) finish(ctx context.Context, batches map[partition][]recordBatch) error {
	last := &answered{partitions: slices.Collect(maps.Keys(batches))}
	last.links = t.links(ctx, last.partitions)
	if err := t.produce(ctx, batches); err != nil {
		return fmt.Errorf("producing: %w", err)
	}
	if err := t.commit(ctx); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	t.last = last
	return nil
}

// The markers of the transaction before take 5 to 40 ms, and what is waited
// beyond that is lost: for so long partitions are added again every addSoon.
// What takes longer has another cause.
const (
	addSoon   = time.Millisecond
	addWithin = 40 * time.Millisecond
	addEvery  = 10 * time.Millisecond
)

// addPartitions tells the coordinator which partitions the transaction touches.
// Under protocol v2 a produce request could do that by itself, but then the
// broker waits for the last transaction's markers 20 ms at a time inside the
// request; here the wait is ours, at 1 ms. Adding again is harmless.
func (t *transactor) addPartitions(ctx context.Context, partitions iter.Seq[partition]) error {
	req := &addpartitionstotxn.Request{TransactionalID: t.id, ProducerID: t.identity.producerID, ProducerEpoch: t.identity.epoch}
	topics := map[string]int{}
	for p := range partitions {
		i, ok := topics[p.topic]
		if !ok {
			i = len(req.Topics)
			topics[p.topic] = i
			req.Topics = append(req.Topics, addpartitionstotxn.RequestTopic{Name: p.topic})
		}
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p.index)
	}
	began, wait := time.Now(), newBackoff(2*addSoon, addEvery)
	for {
		code, topic, err := t.addOnce(ctx, req)
		switch {
		case err == nil && code == codeNone:
			return nil
		case unsent(err):
		case err != nil:
			return err
		case notYet(code), code == codeUnknownTopicOrPartition:
			err = kafkaError(code)
		default:
			return t.refusal(code, topic)
		}
		if code != codeConcurrentTransactions {
			t.coordinator = -1
		}
		again := addSoon
		if time.Since(began) > addWithin {
			again = wait.NextBackOff()
		}
		if pauseErr := pause(ctx, again); pauseErr != nil {
			return fmt.Errorf("%w (last: %w)", pauseErr, err)
		}
	}
}

// addOnce returns the first code that is not success, and the topic it is said
// of; a coordinator adds all partitions or none.
func (t *transactor) addOnce(ctx context.Context, req *addpartitionstotxn.Request) (first int16, name string, err error) {
	node, err := t.findCoordinator(ctx)
	if err != nil {
		return 0, "", errNotAsked{err}
	}
	res, err := t.cluster.Exchange(ctx, node, req)
	if err != nil {
		return 0, "", err
	}
	for _, topic := range res.(*addpartitionstotxn.Response).Results {
		for _, r := range topic.Results {
			if r.ErrorCode != codeNone && (first == codeNone || first == codeOperationNotAttempted) {
				first, name = r.ErrorCode, topic.Name
			}
		}
	}
	return first, name, nil
}

// produce writes every partition's batches, the partitions side by side, each
// one's batches one after the other.
func (t *transactor) produce(ctx context.Context, batches map[partition][]recordBatch) error {
	for p, bs := range batches {
		for _, b := range bs {
			b.stamp(t.identity, t.sequences[p])
			t.sequences[p] = (t.sequences[p] + b.count) & (1<<31 - 1)
		}
	}
	for round := 0; ; round++ {
		pending := map[partition]recordBatch{}
		for p, bs := range batches {
			if round < len(bs) {
				pending[p] = bs[round]
			}
		}
		if len(pending) == 0 {
			return nil
		}
		if err := t.produceRound(ctx, pending); err != nil {
			return err
		}
	}
}

// produceRound writes one batch to each partition of pending, and again the
// same bytes where the leader has moved.
func (t *transactor) produceRound(ctx context.Context, pending map[partition]recordBatch) error {
	wait := newBackoff(5*time.Millisecond, 250*time.Millisecond)
	for {
		nodes, err := t.byLeader(ctx, pending)
		if err != nil && !leaderless(err) {
			return err
		}
		if err == nil {
			if err = t.produceOnce(ctx, nodes, pending); err != nil {
				return err
			}
			if len(pending) == 0 {
				return nil
			}
		}
		if pauseErr := pause(ctx, wait.NextBackOff()); pauseErr != nil {
			return fmt.Errorf("%d partitions did not take their batch: %w", len(pending), pauseErr)
		}
		if err := t.cluster.Refresh(ctx); lasting(err) { // any other is had again
			return err
		}
	}
}

func (t *transactor) byLeader(ctx context.Context, pending map[partition]recordBatch) (map[int32][]partition, error) {
	nodes := map[int32][]partition{}
	for p := range pending {
		node, err := t.cluster.Leader(ctx, p.topic, p.index)
		if err != nil {
			return nil, lacking("Write", err)
		}
		nodes[node] = append(nodes[node], p)
	}
	return nodes, nil
}

// produceOnce sends one request to each leader and takes out of pending what
// was written. An error is anything but a definite yes or a definite "send it
// again".
func (t *transactor) produceOnce(ctx context.Context, nodes map[int32][]partition, pending map[partition]recordBatch) error {
	requests := make([]*wire.Produce, 0, len(nodes))
	var g errgroup.Group // one leader's failure leaves the others their time
	for node, parts := range nodes {
		req := t.produceRequest(parts, pending)
		requests = append(requests, req)
		g.Go(func() error {
			if err := t.cluster.Do(ctx, node, req); !unsent(err) {
				return err
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, req := range requests {
		for _, r := range req.Results {
			t.appended(r.Topic, r.AppendTime)
		}
	}
	for _, req := range requests {
		for _, r := range req.Results {
			switch {
			case r.ErrorCode == codeNone || r.ErrorCode == codeDuplicateSequence:
				p := partition{r.Topic, r.Partition}
				if err := t.landed(ctx, p, r.BaseOffset, pending[p].count); err != nil {
					return err
				}
				delete(pending, p)
			case r.ErrorCode == codeMessageTooLarge:
				p := partition{r.Topic, r.Partition}
				return fmt.Errorf("%s/%d: %w", r.Topic, r.Partition, &oversizeError{p, pending[p]})
			case !moved(r.ErrorCode):
				return fmt.Errorf("%s/%d: %w", r.Topic, r.Partition, t.refusal(r.ErrorCode, r.Topic))
			}
		}
	}
	return nil
}

func (t *transactor) produceRequest(parts []partition, pending map[partition]recordBatch) *wire.Produce {
	req := &wire.Produce{TransactionalID: t.id, TimeoutMS: produceTimeoutMS, MaxVersion: 12}
	if t.protocol == V1 {
		req.MaxVersion = 8
	}
	slices.SortFunc(parts, func(a, b partition) int {
		if a.topic != b.topic {
			return slices.Compare([]byte(a.topic), []byte(b.topic))
		}
		return int(a.index - b.index)
	})
	for _, p := range parts {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Name != p.topic {
			req.Topics = append(req.Topics, wire.ProduceTopic{Name: p.topic})
		}
		last := &req.Topics[len(req.Topics)-1]
		last.Partitions = append(last.Partitions, wire.ProducePartition{Index: p.index, Records: pending[p].bytes})
	}
	return req
}

// produceTimeoutMS is how long a leader waits for its in-sync replicas.
const produceTimeoutMS = 5000

func (t *transactor) commit(ctx context.Context) error { return t.end(ctx, true) }

// end ends the transaction. Under protocol v1 EndTxn is sent once per epoch;
// only 51, which says that nothing was done yet, sends it again. Under v2 a
// coordinator that goes or comes does so too: whoever takes its place knows the
// epoch, and answers for a commit that was done already as for one that it does.
// An error leaves the outcome to be found out by reading.
func (t *transactor) end(ctx context.Context, commit bool) error {
	wait := newBackoff(time.Millisecond, 50*time.Millisecond)
	maybe := false // a coordinator that went may have written the commit down
	undone := func(err error) error {
		if maybe {
			return asUnknown(err)
		}
		return err
	}
	for {
		req := t.endTxn(commit)
		node, err := t.findCoordinator(ctx)
		if err != nil {
			err = errNotAsked{err}
		} else if err = t.cluster.Do(ctx, node, req); err == nil {
			err = kafkaError(req.ErrorCode)
		} else if !errors.Is(err, wire.ErrNotSent) {
			return asUnknown(err)
		}
		switch {
		case err == nil:
			t.ended(req)
			return nil
		case req.ErrorCode == codeConcurrentTransactions:
		case t.protocol == V2 && notYet(req.ErrorCode):
			maybe, t.coordinator = true, -1
		case unsent(err):
			t.coordinator = -1
		case req.ErrorCode == codeNone: // not sent, and it never will be
			return undone(err)
		default:
			return undone(t.unended(req.ErrorCode))
		}
		if pauseErr := pause(ctx, wait.NextBackOff()); pauseErr != nil {
			return undone(fmt.Errorf("%w (last: %w)", pauseErr, err))
		}
	}
}

func (t *transactor) endTxn(commit bool) *wire.EndTxn {
	req := &wire.EndTxn{TransactionalID: t.id, ProducerID: t.identity.producerID, ProducerEpoch: t.identity.epoch, Commit: commit, Version: 3}
	if t.protocol == V2 {
		req.Version = 5
	}
	return req
}

// ended notes a commit.
func (t *transactor) ended(req *wire.EndTxn) {
	t.forgotten = false
	if t.protocol == V2 {
		t.identity = identity{req.NextID, req.NextEpoch}
		clear(t.sequences)
	}
	if t.landing != nil {
		t.landing.committed()
	}
}

// unended is the error of an EndTxn that was answered with code. That we are
// fenced, or may not, is said before anything is done.
func (t *transactor) unended(code int16) error {
	err := t.refusal(code, "")
	if errors.Is(err, ErrFenced) || lasting(err) {
		return err
	}
	return asUnknown(err)
}
