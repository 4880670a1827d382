package audit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetch asks each leader once for the wanted partitions (all if nil) and feeds
// a with the answers. Trouble with a broker is noted and met by finding the
// leaders again; the error is ctx's or says that the log is broken.
func (r *Reader) fetch(ctx context.Context, a Sink, live bool, wanted func(topicPartition) bool) (moved bool, err error) {
	byLeader := map[int32][]topicPartition{}
	for tp, c := range r.logs {
		if wanted == nil || wanted(tp) {
			byLeader[c.leader] = append(byLeader[c.leader], tp)
		}
	}
	type answer struct {
		resp *kmsg.FetchResponse
		err  error
	}
	answers := make(chan answer, len(byLeader))
	r.turn++
	for leader, tps := range byLeader {
		req := r.request(tps)
		go func() {
			resp, err := r.client.Broker(int(leader)).Request(ctx, req)
			if err != nil {
				answers <- answer{err: fmt.Errorf("fetching from broker %d: %w", leader, err)}
				return
			}
			answers <- answer{resp: resp.(*kmsg.FetchResponse)}
		}()
	}
	var doubt error
	for range len(byLeader) {
		ans := <-answers
		if ans.err != nil {
			doubt = ans.err
			continue
		}
		m, d, e := r.take(ctx, a, live, ans.resp)
		moved = moved || m
		doubt = cmpError(doubt, d)
		err = cmpError(err, e)
	}
	if err = cmpError(ctx.Err(), err); err != nil {
		return moved, err
	}
	if doubt != nil {
		r.doubt = doubt
		if err := pause(ctx); err != nil {
			return moved, err
		}
		if err := r.tryLocate(ctx, a); err != nil {
			r.doubt = err
		}
	}
	return moved, nil
}

func cmpError(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

func (r *Reader) request(tps []topicPartition) *kmsg.FetchRequest {
	// The broker fills its answer in the order of the request: let each
	// partition be first in turn.
	slices.SortFunc(tps, func(a, b topicPartition) int {
		if a.topic != b.topic {
			return slices.Index(r.names, a.topic) - slices.Index(r.names, b.topic)
		}
		return int(a.partition - b.partition)
	})
	k := r.turn % len(tps)
	tps = slices.Concat(tps[k:], tps[:k])
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID = -1
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 200, 1, 8<<20
	req.IsolationLevel = 1
	req.SessionEpoch = -1
	at := map[string]int{}
	for _, tp := range tps {
		i, ok := at[tp.topic]
		if !ok {
			i = len(req.Topics)
			at[tp.topic] = i
			t := kmsg.NewFetchRequestTopic()
			t.Topic = tp.topic
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = tp.partition, r.logs[tp].next, 1<<20
		p.CurrentLeaderEpoch = -1
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
	}
	return req
}

// take feeds a with one answer.
func (r *Reader) take(ctx context.Context, a Sink, live bool, resp *kmsg.FetchResponse) (moved bool, doubt, err error) {
	doubt = kerr.ErrorForCode(resp.ErrorCode)
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			tp := topicPartition{t.Topic, p.Partition}
			c := r.logs[tp]
			if c == nil {
				continue
			}
			was := c.next
			e := kerr.ErrorForCode(p.ErrorCode)
			switch {
			case errors.Is(e, kerr.OffsetOutOfRange):
				e = r.restart(ctx, tp, c)
				if errors.Is(e, ErrTruncated) {
					err = cmpError(err, e)
				}
			case e == nil:
				e = c.take(a, live, tp, p)
				if e == nil {
					r.doubt = nil
				}
			}
			if e != nil {
				doubt = fmt.Errorf("fetching %s/%d at %d: %w", tp.topic, tp.partition, c.next, e)
			}
			moved = moved || c.next > was
		}
	}
	return moved, doubt, err
}

// restart goes on at the log's start where that moved past the cursor. A log
// that ends before the cursor has lost what was read.
func (r *Reader) restart(ctx context.Context, tp topicPartition, c *cursor) error {
	starts, err := r.list(ctx, earliest, func(other topicPartition) bool { return other == tp })
	if err != nil {
		return err
	}
	if starts[tp] > c.next {
		c.next = starts[tp]
		return nil
	}
	ends, err := r.list(ctx, latest, func(other topicPartition) bool { return other == tp })
	if err != nil {
		return err
	}
	if ends[tp] < c.next {
		return fmt.Errorf("%w: %s/%d ends at %d, but was read to %d", ErrTruncated, tp.topic, tp.partition, ends[tp], c.next)
	}
	return nil
}

// logAppendTime is the timestamp type of records that the broker dates.
const logAppendTime = 1

var decompressor = kgo.DefaultDecompressor()

// take feeds a with what a partition's answer holds. Batches without records
// move the cursor too.
func (c *cursor) take(a Sink, live bool, tp topicPartition, p *kmsg.FetchResponseTopicPartition) error {
	fp, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		KeepControlRecords: true, Offset: c.next, Topic: tp.topic, Partition: tp.partition,
	}, p, decompressor, nil)
	hidden := newAborted(p.AbortedTransactions)
	var received time.Time
	if live {
		received = time.Now()
	}
	for _, rec := range fp.Records {
		if rec.Offset < c.next {
			continue
		}
		e := Entry{
			Kind: c.kind, Partition: tp.partition, Offset: rec.Offset, ProducerID: rec.ProducerID, Epoch: rec.ProducerEpoch,
			Transactional: rec.Attrs.IsTransactional(), Key: rec.Key, Value: rec.Value, Time: rec.Timestamp, Received: received,
		}
		for _, h := range rec.Headers {
			e.Headers = append(e.Headers, Header{h.Key, h.Value})
		}
		if rec.Attrs.TimestampType() == logAppendTime {
			e.Appended = rec.Timestamp
		}
		c.next = rec.Offset + 1
		if rec.Attrs.IsControl() {
			// Version, then type: 0 abort, 1 commit; other types are not ours.
			if len(rec.Key) < 4 || binary.BigEndian.Uint16(rec.Key[2:]) > 1 {
				continue
			}
			e.Control, e.Commit = true, binary.BigEndian.Uint16(rec.Key[2:]) == 1
			delete(c.open, rec.ProducerID)
			if !e.Commit {
				hidden.end(rec.ProducerID, rec.Offset)
			}
		} else if e.Transactional {
			if _, ok := c.open[rec.ProducerID]; !ok {
				c.open[rec.ProducerID] = rec.Offset
			}
			e.Aborted = hidden.hides(rec.ProducerID, rec.Offset)
		}
		a.Add(e)
	}
	c.next = max(c.next, next)
	return fp.Err
}

// aborted applies the broker's list of aborted transactions in the order of the
// log, as a read-committed consumer does.
type aborted map[int64][]int64 // first offsets, ascending, by producer id

func newAborted(list []kmsg.FetchResponseTopicPartitionAbortedTransaction) aborted {
	out := aborted{}
	for _, t := range list {
		out[t.ProducerID] = append(out[t.ProducerID], t.FirstOffset)
	}
	for _, firsts := range out {
		slices.Sort(firsts)
	}
	return out
}

func (a aborted) hides(pid, offset int64) bool {
	firsts := a[pid]
	return len(firsts) > 0 && firsts[0] <= offset
}

// end takes an abort marker: it ends all of pid's aborted transactions that
// began before it.
func (a aborted) end(pid, offset int64) {
	firsts := a[pid]
	for len(firsts) > 0 && firsts[0] <= offset {
		firsts = firsts[1:]
	}
	a[pid] = firsts
}
