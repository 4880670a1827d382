// Package producer writes batches into Kafka exactly once. It owns the
// transactional producer, the offsets topic and its reader, the shards and the
// consumer group that assigns them, and the topics themselves. It knows
// nothing of where batches come from.
package producer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"

	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// Config says what an Instance writes and as whom.
type Config struct {
	// Group is the consumer group and the prefix of the transactional ids: one
	// name per deployment.
	Group string
	// Instance is this process's stable name within the group.
	Instance string
	Topics   Topics
	// Compression of the record batches.
	Compression compress.Compression
	// CommitInterval is the least time between the beginnings of a shard's
	// transactions; 0 = none.
	CommitInterval time.Duration
	// Connectors counts the connectors of each shard, for the balance between
	// instances. It is asked when this instance leads the group; nil = they do
	// not count.
	Connectors func() map[int32]int
	// Partitions, if not nil, is told the number of shards before any is
	// served.
	Partitions func(shards int32)
	// Serve polls a shard's connectors and offers what they bring. It is called
	// once per session and must return when ctx ends.
	Serve func(ctx context.Context, s *Session)
}

// Instance is one member of the group with the shards it owns.
type Instance struct {
	Config  Config
	Cluster *wire.Cluster
	Log     zerolog.Logger
	Metrics *Metrics

	writer   *writer
	protocol Protocol
	deed     *deed
	end      context.CancelCauseFunc // ends Run, for what an operator must mend

	mu      sync.Mutex
	ready   bool      // the topics are there and fit
	learned time.Time // when relearn last asked
	member  error
	joined  bool
	shards  map[int32]*held
	ending  map[int32]*held // given up, not yet ended
	closing bool
}

// held is a shard this instance owns.
type held struct {
	cancel context.CancelFunc
	done   chan struct{}
	since  time.Time
	state  ShardState
	err    error
	// troubled is when err began.
	troubled time.Time
	traffic  *traffic
	ends     chan int64 // see shard
}

// ShardInfo describes an owned shard.
type ShardInfo struct {
	Shard int32
	Since time.Time
	State ShardState
	// Err is why the shard had to be taken over again; nil once a transaction
	// has been committed since.
	Err error
}

// Run joins the group, serves the shards it is given and blocks until ctx ends;
// then it finishes the transactions in flight and leaves the group. ErrUnfit
// and ErrInstanceFenced are for the operator; while Kafka cannot be reached it
// tries again.
func (in *Instance) Run(ctx context.Context) error {
	in.mu.Lock()
	in.shards, in.ending = map[int32]*held{}, map[int32]*held{}
	in.mu.Unlock()
	in.Metrics.watch(in.Cluster)
	found, err := in.prepare(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	partitions := found.Partitions[schemas.Offsets]
	if in.Config.Partitions != nil {
		in.Config.Partitions(partitions)
	}
	m := newMember(in.Cluster, in.Config.Group, in.Config.Instance, in.Config.Topics.Specs[schemas.Offsets].Name)
	m.balance = func(members []claim) map[string][]int32 {
		var connectors map[int32]int
		if in.Config.Connectors != nil {
			connectors = in.Config.Connectors()
		}
		return balance(partitions, members, weights(connectors, members))
	}
	m.events = in.events
	m.trouble = in.membership
	ctx, in.end = context.WithCancelCause(ctx)
	defer in.end(nil)
	var beside sync.WaitGroup
	defer beside.Wait()
	// The shards outlive ctx until they have finished.
	sctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	m.assigned = func(generation int32, shards []int32) { in.assign(sctx, m, generation, shards) }
	beside.Go(func() { in.Cluster.KeepCurrent(sctx) })
	beside.Go(func() { in.watchPartitions(sctx) })
	beside.Go(func() { in.watchEnds(sctx) })
	err = m.run(ctx)
	if cause := context.Cause(ctx); errors.Is(cause, ErrUnfit) {
		err = cause
	}
	in.closeShards()
	lctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if leaveErr := m.leave(lctx); leaveErr != nil && err == nil {
		in.Log.Warn().Err(leaveErr).Msg("the shards move when the session times out")
	}
	return err
}

// prepare finds out what the cluster can do and makes the topics, until Kafka
// has given definite answers.
func (in *Instance) prepare(ctx context.Context) (Found, error) {
	wait := newBackoff(200*time.Millisecond, 5*time.Second)
	last := ""
	for {
		found, err := in.prepareOnce(ctx)
		if err == nil || errors.Is(err, ErrUnfit) {
			return found, err
		}
		if ctx.Err() != nil {
			return found, ctx.Err()
		}
		in.membership(err)
		if text := err.Error(); text != last {
			in.Log.Error().Err(err).Msg("Kafka is not ready; trying again")
			last = text
		}
		if pause(ctx, wait.NextBackOff()) != nil {
			return found, ctx.Err()
		}
	}
}

// prepareTimeout bounds one try at finding out what there is. How long it takes
// to read whose the offsets are depends on how many there are.
const prepareTimeout = 20 * time.Second

func (in *Instance) prepareOnce(ctx context.Context) (Found, error) {
	tctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	p, err := DetectProtocol(tctx, in.Cluster)
	if err != nil {
		return Found{}, err
	}
	found, err := in.Config.Topics.Ensure(tctx, in.Cluster)
	if err != nil {
		return found, err
	}
	partitions := found.Partitions[schemas.Offsets]
	if err := in.Config.Topics.Owned(ctx, in.Cluster, in.Config.Group, partitions); err != nil {
		return found, err
	}
	in.deed = &deed{topic: in.Config.Topics.Specs[schemas.Offsets].Name, group: in.Config.Group, partitions: partitions}
	in.protocol = p
	in.writer = &writer{
		cluster: in.Cluster, topics: in.Config.Topics.names(), codec: in.Config.Compression, commitInterval: in.Config.CommitInterval,
	}
	in.limits(found)
	for _, w := range found.Warnings {
		in.Log.Warn().Msg(w)
	}
	in.Metrics.speaks(p)
	in.Log.Info().Int("transaction_protocol", int(p)).Int32("shards", partitions).Msg("Kafka is ready")
	in.mu.Lock()
	in.ready = true
	in.mu.Unlock()
	return found, nil
}

func (in *Instance) limits(found Found) {
	for i, n := range found.MaxMessageBytes {
		in.writer.limits[i].shown(n, found.Compression[i])
		in.writer.before[i].Store(found.TimestampBefore[i])
		in.writer.after[i].Store(found.TimestampAfter[i])
	}
}

// relearnEvery bounds how often the limits are asked for again.
const relearnEvery = 10 * time.Second

// relearn asks for the limits of the topics again. What cannot be had stays as
// it was: the broker has the last word anyway.
func (in *Instance) relearn(ctx context.Context) {
	in.mu.Lock()
	now := time.Now()
	soon := now.Sub(in.learned) < relearnEvery
	if !soon {
		in.learned = now
	}
	in.mu.Unlock()
	if soon {
		return
	}
	_ = in.judge(ctx) // see above
}

// judge looks at the topics again, and takes over their limits if they fit.
func (in *Instance) judge(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	found := Found{}
	missing, err := in.Config.Topics.look(ctx, in.Cluster, &found)
	if err != nil {
		return err
	}
	problems, err := in.Config.Topics.judge(ctx, in.Cluster, &found, missing)
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return unfit(problems)
	}
	in.limits(found)
	return nil
}

// watchEvery is how often the number of partitions of the offsets topic is
// looked at; the metadata is as old at most.
const watchEvery = 10 * time.Second

// watchPartitions ends the instance when the offsets topic has another number of
// partitions than connectors were given to.
func (in *Instance) watchPartitions(ctx context.Context) {
	for pause(ctx, watchEvery) == nil {
		// Where the answer is not to be had, or the topic is not there, whoever
		// writes to it says so.
		n, err := in.Cluster.Partitions(ctx, in.deed.topic)
		if err != nil || in.deed.counted(n) == nil {
			continue
		}
		if in.Cluster.Refresh(ctx) != nil { // it may have been said by one that does not know
			continue
		}
		if n, err = in.Cluster.Partitions(ctx, in.deed.topic); err != nil {
			continue
		}
		if err := in.deed.counted(n); err != nil {
			in.end(err)
			return
		}
	}
}

// lookEvery is how often shards are told how far their partitions reach: a
// request to each broker.
const lookEvery = time.Second

// watchEnds tells our shards of what others write to their partitions.
func (in *Instance) watchEnds(ctx context.Context) {
	for pause(ctx, lookEvery) == nil {
		actx, cancel := context.WithTimeout(ctx, readTimeout)
		var found map[partition]int64
		parts, err := allPartitions(actx, in.Cluster, in.deed.topic)
		if err == nil {
			found, err = endsOf(actx, in.Cluster, parts, readCommitted)
		}
		cancel()
		if err != nil {
			continue // who writes finds out the same
		}
		in.mu.Lock()
		for part, end := range found {
			if h, ok := in.shards[part.index]; ok {
				select {
				case <-h.ends:
				default:
				}
				h.ends <- end // nobody else sends, so there is room
			}
		}
		in.mu.Unlock()
	}
}

// DetectProtocol returns the transaction protocol to speak with a cluster.
// ErrUnfit for a cluster without transactions.
func DetectProtocol(ctx context.Context, cluster *wire.Cluster) (Protocol, error) {
	features, ranges, err := cluster.Features(ctx)
	if err != nil {
		return 0, err
	}
	for _, key := range []protocol.ApiKey{protocol.InitProducerId, protocol.AddPartitionsToTxn, protocol.EndTxn} {
		if _, ok := ranges[key]; !ok {
			return 0, fmt.Errorf("%w: the cluster has no transactions (%s is not offered); Kafka 2.8 or later is needed", ErrUnfit, key)
		}
	}
	if features[featureTransactions] >= 2 && ranges[protocol.Produce][1] >= 12 && ranges[protocol.EndTxn][1] >= 5 {
		return V2, nil
	}
	return V1, nil
}

// membership notes whether the group's word is to be had.
func (in *Instance) membership(err error) {
	in.mu.Lock()
	changed := (err == nil) != (in.member == nil) || lasting(err) != lasting(in.member)
	in.member = err
	if err == nil {
		in.joined = true
	}
	in.mu.Unlock()
	if err != nil && changed && in.writer != nil {
		in.Log.Warn().Err(err).Msg("no word from the consumer group")
	}
}

// assign starts the shards that are new to us and stops those that are no
// longer ours. The others go on as they are.
func (in *Instance) assign(ctx context.Context, m *member, generation int32, shards []int32) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closing {
		return
	}
	keep := make(map[int32]bool, len(shards))
	for _, s := range shards {
		keep[s] = true
	}
	lost, gained := 0, 0
	for s, h := range in.shards {
		if !keep[s] {
			h.cancel()
			delete(in.shards, s)
			in.ending[s] = h
			lost++
		}
	}
	for _, s := range shards {
		if _, ok := in.shards[s]; !ok {
			in.hold(ctx, m, s)
			gained++
		}
	}
	in.Metrics.assigned(len(in.shards))
	if lost > 0 || gained > 0 {
		in.Log.Info().Int32("generation", generation).Int("shards", len(shards)).Int("gained", gained).Int("lost", lost).Msg("shards assigned")
	}
}

// hold starts a shard. The caller holds the lock.
func (in *Instance) hold(ctx context.Context, m *member, index int32) {
	ctx, cancel := context.WithCancel(ctx)
	now := time.Now()
	h := &held{cancel: cancel, done: make(chan struct{}), since: now, traffic: newTraffic(now), ends: make(chan int64, 1)}
	in.shards[index] = h
	before := in.ending[index]
	delete(in.ending, index)
	log := in.Log.With().Int32("shard", index).Logger()
	s := &shard{
		index:   index,
		writer:  in.writer,
		deed:    in.deed,
		known:   positions{cluster: in.Cluster, part: partition{in.deed.topic, index}},
		confirm: m.confirm,
		serve:   in.Config.Serve,
		relearn: in.relearn,
		judge:   in.judge,
		end:     func(err error) { in.end(err) },
		traffic: h.traffic,
		ends:    h.ends,
		log:     log,
		metrics: in.Metrics,
		txn: &transactor{
			cluster: in.Cluster, id: transactionalID(in.Config.Group, index),
			protocol: in.protocol, timeout: transactionTimeout, coordinator: -1,
			appended: in.writer.appended,
			home:     partition{in.deed.topic, index}, shared: in.Config.Topics.shared(),
		},
	}
	var told string
	var at time.Time
	s.state = func(st ShardState, err error) {
		in.mu.Lock()
		if h.err == nil {
			h.troubled = time.Now()
		}
		h.state, h.err = st, err
		in.mu.Unlock()
		if st != Recovering {
			return
		}
		level := zerolog.DebugLevel
		if text := err.Error(); text != told || time.Since(at) > tellAgain {
			told, at, level = text, time.Now(), zerolog.WarnLevel
		}
		log.WithLevel(level).Err(err).Msg("taking the shard over again")
	}
	go func() {
		defer close(h.done)
		if before != nil { // a shard that comes back begins when its last life has ended
			<-before.done
		}
		s.run(ctx)
	}()
}

// tellAgain is how long the same trouble of a shard is not logged again.
const tellAgain = time.Minute

// closeShards stops every shard and waits for their last transactions.
func (in *Instance) closeShards() {
	in.mu.Lock()
	in.closing = true
	all := slices.AppendSeq(slices.Collect(maps.Values(in.shards)), maps.Values(in.ending))
	in.mu.Unlock()
	for _, h := range all {
		h.cancel()
	}
	for _, h := range all {
		<-h.done
	}
}

// events is how many events a second a shard of ours has of late.
func (in *Instance) events(shard int32) int32 {
	in.mu.Lock()
	defer in.mu.Unlock()
	if h, ok := in.shards[shard]; ok {
		return h.traffic.perSecond(time.Now())
	}
	return 0
}

// Shards lists the shards this instance owns.
func (in *Instance) Shards() []ShardInfo {
	in.mu.Lock()
	defer in.mu.Unlock()
	infos := make([]ShardInfo, 0, len(in.shards))
	for s, h := range in.shards {
		infos = append(infos, ShardInfo{Shard: s, Since: h.since, State: h.state, Err: h.err})
	}
	return infos
}

// passing is how long trouble may last before it is worth telling: being fenced
// or a leader's move is over sooner.
const passing = 5 * time.Second

// Trouble returns why an owned shard cannot be written, and since when; nil
// while it can, and for the first few seconds.
func (in *Instance) Trouble(shard int32) (since time.Time, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if h, ok := in.shards[shard]; ok && h.err != nil && time.Since(h.troubled) > passing {
		return h.troubled, h.err
	}
	return time.Time{}, nil
}

// Ready returns nil when the group has assigned our shards and all of them are
// served, else why not.
func (in *Instance) Ready() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.member != nil:
		return in.member
	case !in.ready || !in.joined:
		return errors.New("not yet in the consumer group")
	}
	for s, h := range in.shards {
		switch {
		case h.state != Serving && h.err != nil:
			return fmt.Errorf("shard %d is %s: %w", s, h.state, h.err)
		case h.state != Serving:
			return fmt.Errorf("shard %d is %s", s, h.state)
		}
	}
	return nil
}
