package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// ErrStuck is returned (wrapped, with what holds it back) by a Reader that got
// no further for the time allowed: a transaction stays open, or a partition
// cannot be read.
var ErrStuck = errors.New("the topics cannot be read any further")

// ErrTruncated is returned (wrapped, with the partition) by a Reader when a
// partition ends before what was read of it.
var ErrTruncated = errors.New("the log lost what was read")

// Sink takes what a Reader reads; an Auditor is one.
type Sink interface {
	SetPartitions(k Kind, n int32)
	Add(e Entry)
	Settle(cut Cut)
}

// Topics names the topics to read. An empty name is not read.
type Topics struct {
	Events, Offsets, DeadLetter string
	// Others are read for secrets and visibility only.
	Others []string
}

// Reader reads every partition of the topics by raw fetches, aborted records
// and markers included. The broker filters nothing: its list of aborted
// transactions goes into Entry.Aborted. It is not safe for concurrent use.
type Reader struct {
	// Patience is how long to wait without any progress before ErrStuck;
	// default 60 s. A transaction of a dead producer is open for its timeout
	// and up to 10 s more.
	Patience time.Duration

	client *kgo.Client
	kinds  map[string]Kind
	names  []string
	logs   map[topicPartition]*cursor
	turn   int
	doubt  error // why the last fetch brought nothing
}

type topicPartition struct {
	topic     string
	partition int32
}

// cursor is how far a partition is read.
type cursor struct {
	kind   Kind
	next   int64
	leader int32
	epoch  int32           // of the leader, or -1
	open   map[int64]int64 // first Kafka offset of each undecided transaction, by producer id
}

// decided tells whether all below end is read and decided.
func (c *cursor) decided(end int64) bool {
	if c.next < end {
		return false
	}
	for _, first := range c.open {
		if first < end {
			return false
		}
	}
	return true
}

// NewReader returns a Reader of the topics. opts are for TLS, SASL and the
// like. Close it after use.
func NewReader(brokers []string, topics Topics, opts ...kgo.Opt) (*Reader, error) {
	// From version 13 on a fetch names topics by id only.
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(kmsg.Fetch.Int16(), 12)
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(brokers...), kgo.MaxVersions(versions)}, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("creating a reader: %w", err)
	}
	r := &Reader{Patience: time.Minute, client: client, kinds: map[string]Kind{}, logs: map[topicPartition]*cursor{}}
	for _, name := range topics.Others {
		r.kinds[name] = Other
	}
	r.kinds[topics.DeadLetter] = DeadLetter
	r.kinds[topics.Offsets] = Offsets
	r.kinds[topics.Events] = Events
	delete(r.kinds, "")
	r.names = slices.Sorted(maps.Keys(r.kinds))
	return r, nil
}

// Close ends the reader's connections.
func (r *Reader) Close() { r.client.Close() }

// Snapshot feeds a, e.g. an Auditor, with all there is at the start, waits until the transactions
// in it are decided, and settles a. The cut it settled at is returned. A second
// call goes on where the first ended.
func (r *Reader) Snapshot(ctx context.Context, a Sink) (Cut, error) {
	cut, err := r.snapshot(ctx, a, false)
	if err != nil {
		return Cut{}, fmt.Errorf("reading the topics: %w", err)
	}
	a.Settle(cut)
	return cut, nil
}

// Follow feeds a continuously, noting when each record became readable. Every
// interval it settles a and calls judged. It returns when ctx ends (with its
// error) or judged returns false (with nil).
func (r *Reader) Follow(ctx context.Context, a Sink, interval time.Duration, judged func(Cut) bool) error {
	for {
		cut, err := r.snapshot(ctx, a, true)
		if err != nil {
			return fmt.Errorf("following the topics: %w", err)
		}
		a.Settle(cut)
		if !judged(cut) {
			return nil
		}
		for start := time.Now(); time.Since(start) < interval; {
			if _, err := r.fetch(ctx, a, true, nil); err != nil {
				return fmt.Errorf("following the topics: %w", err)
			}
		}
	}
}

// snapshot reads to a cut. The offsets topic's end is taken first: what was
// committed below it has all its records on the other topics below their ends,
// which are taken after it is decided.
func (r *Reader) snapshot(ctx context.Context, a Sink, live bool) (Cut, error) {
	if err := r.locate(ctx, a); err != nil {
		return Cut{}, err
	}
	isOffsets := func(k Kind) bool { return k == Offsets }
	positions, err := r.ends(ctx, a, isOffsets)
	if err != nil {
		return Cut{}, err
	}
	if err := r.readTo(ctx, a, live, positions); err != nil {
		return Cut{}, err
	}
	// Who leads now: one that led before, and is cut off from the others, would tell
	// an end from before what was read.
	if err := r.locate(ctx, a); err != nil {
		return Cut{}, err
	}
	records, err := r.ends(ctx, a, func(k Kind) bool { return !isOffsets(k) })
	if err != nil {
		return Cut{}, err
	}
	if err := r.readTo(ctx, a, live, records); err != nil {
		return Cut{}, err
	}
	now, err := r.ends(ctx, a, func(Kind) bool { return true })
	if err != nil {
		return Cut{}, err
	}
	cut := Cut{Offsets: map[int32]int64{}, Quiet: true}
	for tp, end := range positions {
		cut.Offsets[tp.partition] = end
	}
	for tp, end := range now {
		cut.Quiet = cut.Quiet && r.logs[tp].decided(end)
	}
	return cut, nil
}

// readTo reads until all below the ends is decided.
func (r *Reader) readTo(ctx context.Context, a Sink, live bool, ends map[topicPartition]int64) error {
	progress := time.Now()
	for {
		var behind string
		for tp, end := range ends {
			if c := r.logs[tp]; !c.decided(end) {
				behind = fmt.Sprintf("%s/%d at %d of %d with %d open transactions", tp.topic, tp.partition, c.next, end, len(c.open))
			}
		}
		if behind == "" {
			return nil
		}
		wanted := func(tp topicPartition) bool {
			end, ok := ends[tp]
			return live || ok && !r.logs[tp].decided(end)
		}
		moved, err := r.fetch(ctx, a, live, wanted)
		if err != nil {
			return err
		}
		if moved {
			progress = time.Now()
		} else if time.Since(progress) > r.Patience {
			return fmt.Errorf("%w: %s; last trouble: %w", ErrStuck, behind, r.trouble())
		}
	}
}

func (r *Reader) trouble() error {
	if r.doubt != nil {
		return r.doubt
	}
	return errors.New("none")
}

// locate finds the partitions and their leaders; it waits for topics that are
// not there yet.
func (r *Reader) locate(ctx context.Context, a Sink) error {
	for start := time.Now(); ; {
		err := r.tryLocate(ctx, a)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if time.Since(start) > r.Patience {
			return fmt.Errorf("%w: %w", ErrStuck, err)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func (r *Reader) tryLocate(ctx context.Context, a Sink) error {
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range r.names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = new(name)
		req.Topics = append(req.Topics, t)
	}
	answers, err := r.metadata(ctx, req)
	if err != nil {
		return fmt.Errorf("finding the partitions: %w", err)
	}
	found, partitions := map[topicPartition]bool{}, map[Kind]int{}
	for i, resp := range answers {
		for _, t := range resp.Topics {
			switch err := kerr.ErrorForCode(t.ErrorCode); {
			case err == nil && t.Topic != nil:
			case i > 0:
				continue // it has yet to hear of the topic
			default:
				return fmt.Errorf("finding the partitions: %w", err)
			}
			kind := r.kinds[*t.Topic]
			// One that is cut off has not heard of partitions that came since.
			partitions[kind] = max(partitions[kind], len(t.Partitions))
			for _, p := range t.Partitions {
				tp := topicPartition{*t.Topic, p.Partition}
				c := r.logs[tp]
				if c == nil {
					c = &cursor{kind: kind, open: map[int64]int64{}}
					r.logs[tp] = c
				}
				if !found[tp] || p.LeaderEpoch > c.epoch {
					c.leader, c.epoch = p.Leader, p.LeaderEpoch
				}
				found[tp] = true
			}
		}
	}
	for _, kind := range []Kind{Events, Offsets} {
		if n, ok := partitions[kind]; ok {
			a.SetPartitions(kind, int32(n))
		}
	}
	return nil
}

// metadata asks one broker, which tells who there is, and then each of them: one
// that is cut off from the others answers as well, with what was so before.
func (r *Reader) metadata(ctx context.Context, req *kmsg.MetadataRequest) ([]*kmsg.MetadataResponse, error) {
	first, err := req.RequestWith(ctx, r.client)
	if err != nil {
		return nil, err
	}
	answers := []*kmsg.MetadataResponse{first}
	brokers := r.client.DiscoveredBrokers()
	others := make(chan *kmsg.MetadataResponse, len(brokers))
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for _, b := range brokers {
		own := *req // whoever sends it notes its version in it
		go func() {
			resp, _ := b.Request(ctx, &own) // who does not answer leads nothing that we could read
			m, _ := resp.(*kmsg.MetadataResponse)
			others <- m
		}()
	}
	for range brokers {
		if m := <-others; m != nil {
			answers = append(answers, m)
		}
	}
	return answers, nil
}

const (
	latest   = -1
	earliest = -2
)

// ends lists the high watermarks, read uncommitted.
func (r *Reader) ends(ctx context.Context, a Sink, of func(Kind) bool) (map[topicPartition]int64, error) {
	for start := time.Now(); ; {
		ends, err := r.list(ctx, latest, func(tp topicPartition) bool { return of(r.logs[tp].kind) })
		if err == nil || ctx.Err() != nil {
			return ends, err
		}
		if time.Since(start) > r.Patience {
			return nil, fmt.Errorf("%w: %w", ErrStuck, err)
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
		if err := r.tryLocate(ctx, a); err != nil {
			r.doubt = err
		}
	}
}

func (r *Reader) list(ctx context.Context, which int64, of func(topicPartition) bool) (map[topicPartition]int64, error) {
	byLeader := map[int32]map[string][]kmsg.ListOffsetsRequestTopicPartition{}
	want := 0
	for tp, c := range r.logs {
		if !of(tp) {
			continue
		}
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp, p.CurrentLeaderEpoch = tp.partition, which, c.epoch
		if byLeader[c.leader] == nil {
			byLeader[c.leader] = map[string][]kmsg.ListOffsetsRequestTopicPartition{}
		}
		byLeader[c.leader][tp.topic] = append(byLeader[c.leader][tp.topic], p)
		want++
	}
	out := map[topicPartition]int64{}
	for leader, topics := range byLeader {
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		for topic, partitions := range topics {
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic, t.Partitions = topic, partitions
			req.Topics = append(req.Topics, t)
		}
		resp, err := r.client.Broker(int(leader)).Request(ctx, req)
		if err != nil {
			return nil, fmt.Errorf("listing offsets: %w", err)
		}
		for _, t := range resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return nil, fmt.Errorf("listing offsets of %s/%d: %w", t.Topic, p.Partition, err)
				}
				out[topicPartition{t.Topic, p.Partition}] = p.Offset
			}
		}
	}
	if len(out) != want {
		return nil, fmt.Errorf("listing offsets: %d of %d partitions answered", len(out), want)
	}
	return out, nil
}

func pause(ctx context.Context) error {
	t := time.NewTimer(100 * time.Millisecond)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
