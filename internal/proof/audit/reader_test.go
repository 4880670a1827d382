package audit

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// A history is right at every cut, however far the other topics were read.
func TestRightHistoriesPassAtEveryCut(t *testing.T) {
	for _, v := range []*kversion.Versions{kversion.V3_9_0(), nil} {
		for _, key := range []string{"tenant", "event"} {
			brokers := cluster(t, v)
			p := rightPlan(key)
			write(t, brokers, p.txns)
			var kept keeper
			if _, err := reader(t, brokers).Snapshot(context.Background(), &kept); err != nil {
				t.Fatal(err)
			}
			a := New(Rules{Key: key})
			for _, e := range kept.entries {
				if e.Kind != Offsets {
					a.Add(e)
				}
			}
			if r := a.Report(nil, time.Time{}); !r.OK() || r.Connectors[0].InFlight == 0 {
				t.Fatalf("events alone are not in flight:\n%s", r)
			}
			cut := Cut{Offsets: map[int32]int64{}}
			for _, e := range kept.entries {
				if e.Kind != Offsets {
					continue
				}
				a.Add(e)
				if e.Control {
					cut.Offsets[e.Partition] = e.Offset + 1
				}
				a.Settle(cut)
				if r := a.Report(nil, time.Time{}); !r.OK() {
					t.Fatalf("refused at %v:\n%s", cut, r)
				}
			}
			a.Settle(Cut{Quiet: true})
			if r := a.Report(p.truth, time.Time{}); !r.OK() || r.Connectors[0].InFlight != 0 {
				t.Fatalf("refused at the end:\n%s", r)
			}
		}
	}
}

func TestFollowJudgesWhileItIsWritten(t *testing.T) {
	brokers := cluster(t, nil)
	p := rightPlan("tenant")
	half := len(p.txns) / 2
	write(t, brokers, p.txns[:half])
	a := New(Rules{FollowedFrom: start.Add(-time.Hour)})
	rounds := 0
	err := reader(t, brokers).Follow(context.Background(), a, time.Millisecond, func(cut Cut) bool {
		rounds++
		switch rounds {
		case 1:
			r := a.Report(p.truth, time.Time{})
			if r.OK() || !r.OnlyMissing() {
				t.Errorf("half a history: want only missing events, got\n%s", r)
			}
			write(t, brokers, p.txns[half:])
			return true
		default:
			return !cut.Quiet || a.Report(p.truth, time.Time{}).Published() < 24
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	r := a.Report(p.truth, time.Time{})
	if !r.OK() {
		t.Errorf("a right history is refused:\n%s", r)
	}
	if r.Latency.N != int(r.Published()) {
		t.Errorf("latency: got %d events, want %d", r.Latency.N, r.Published())
	}
}

func TestOpenTransaction(t *testing.T) {
	brokers := cluster(t, nil)
	p := rightPlan("tenant")
	write(t, brokers, p.txns)
	ctx := context.Background()
	rule := byRule{records: map[*kgo.Record]*record{}}
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.TransactionalID("open"), kgo.RecordPartitioner(rule.partitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	k := &kgo.Record{Topic: testEvents, Key: []byte("acme")}
	rule.records[k] = &record{}
	if err := cl.ProduceSync(ctx, k).FirstErr(); err != nil {
		t.Fatal(err)
	}
	r := reader(t, brokers)
	r.Patience = 300 * time.Millisecond
	a := New(Rules{})
	if _, err := r.Snapshot(ctx, a); !errors.Is(err, ErrStuck) {
		t.Fatalf("open transaction: got %v, want ErrStuck", err)
	}
	if err := cl.EndTransaction(ctx, kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	cut, err := r.Snapshot(ctx, a)
	if err != nil || !cut.Quiet {
		t.Fatalf("after the abort: got %v, %v", cut, err)
	}
	if rep := a.Report(p.truth, time.Time{}); !rep.OK() {
		t.Errorf("refused:\n%s", rep)
	}
}

func TestTroubleWithBrokers(t *testing.T) {
	for _, code := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.KafkaStorageError, kerr.OffsetNotAvailable, kerr.OffsetOutOfRange, kerr.UnknownLeaderEpoch, kerr.FencedLeaderEpoch} {
		for _, kind := range []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets} {
			t.Run(code.Message+" "+kind.Name(), func(t *testing.T) {
				t.Parallel()
				c, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.SeedTopics(testPartitions, testEvents, testOffsets), kfake.SeedTopics(1, testDeadLetter))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				p := rightPlan("tenant")
				write(t, c.ListenAddrs(), p.txns)
				var hits atomic.Int32
				c.ControlKey(kind.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
					c.KeepControl()
					if r, ok := req.(*kmsg.ListOffsetsRequest); ok && r.Topics[0].Partitions[0].CurrentLeaderEpoch < 0 {
						t.Error("it does not say which leader it asks: one that was replaced would answer")
					}
					if hits.Add(1) > 2 {
						return nil, nil, false
					}
					return refuse(req, code.Code), nil, true
				})
				a := New(Rules{})
				if _, err := reader(t, c.ListenAddrs()).Snapshot(context.Background(), a); err != nil {
					t.Fatal(err)
				}
				if r := a.Report(p.truth, time.Time{}); !r.OK() {
					t.Errorf("refused:\n%s", r)
				}
				if hits.Load() < 3 {
					t.Errorf("the fault was hit %d times", hits.Load())
				}
			})
		}
	}
}

// refuse answers every partition with the code.
func refuse(req kmsg.Request, code int16) kmsg.Response {
	switch req := req.(type) {
	case *kmsg.FetchRequest:
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		for _, t := range req.Topics {
			rt := kmsg.FetchResponseTopic{Topic: t.Topic}
			for _, p := range t.Partitions {
				rt.Partitions = append(rt.Partitions, kmsg.FetchResponseTopicPartition{Partition: p.Partition, ErrorCode: code})
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp
	case *kmsg.ListOffsetsRequest:
		resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, t := range req.Topics {
			rt := kmsg.ListOffsetsResponseTopic{Topic: t.Topic}
			for _, p := range t.Partitions {
				rt.Partitions = append(rt.Partitions, kmsg.ListOffsetsResponseTopicPartition{Partition: p.Partition, ErrorCode: code})
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp
	}
	return nil
}

func TestTopicsMissing(t *testing.T) {
	r, err := NewReader(cluster(t, nil), Topics{Events: "nowhere", Offsets: testOffsets})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.Patience = 200 * time.Millisecond
	if _, err := r.Snapshot(context.Background(), New(Rules{})); !errors.Is(err, ErrStuck) {
		t.Errorf("got %v, want ErrStuck", err)
	}
}

// compacted is a right history whose offsets partitions lost what a cleaner
// takes away: every record that has a newer one of its key, with its value.
func compacted(t *testing.T, key string, change func(*testing.T, *plan)) (*plan, []Entry) {
	t.Helper()
	brokers := cluster(t, nil)
	p := rightPlan(key)
	if change != nil {
		change(t, p)
	}
	write(t, brokers, p.txns)
	var kept keeper
	if _, err := reader(t, brokers).Snapshot(context.Background(), &kept); err != nil {
		t.Fatal(err)
	}
	newest := map[string]int64{}
	for _, e := range kept.entries {
		if e.Kind == Offsets && !e.Control && !e.Aborted {
			newest[string(e.Key)] = e.Offset
		}
	}
	n := len(kept.entries)
	kept.entries = slices.DeleteFunc(kept.entries, func(e Entry) bool {
		return e.Kind == Offsets && !e.Control && (e.Aborted || newest[string(e.Key)] != e.Offset)
	})
	if len(kept.entries) == n {
		t.Fatal("nothing was cleaned away")
	}
	return p, kept.entries
}

func TestCompactedOffsets(t *testing.T) {
	for _, c := range []struct {
		name, key, kind string
		change          func(*testing.T, *plan)
	}{
		{"right", "tenant", "", nil},
		{"right, spread over partitions", "event", "", nil},
		{"ahead", "tenant", "position-ahead", editPosition("events", plus(1))},
		{"behind", "tenant", "position-behind", editPosition("events", plus(-2))},
		{"ahead, spread over partitions", "event", "position-ahead", editPosition("events", plus(1))},
		{"last position missing", "tenant", "position-behind", func(_ *testing.T, p *plan) { dropOffsets(p.txns[12]) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, entries := compacted(t, c.key, c.change)
			r := Check(Rules{Key: c.key}, nil, slices.Values(entries), p.truth)
			if c.kind == "" && !r.OK() || c.kind != "" && !r.Has("A3", c.kind) {
				t.Errorf("want %q, got\n%s", c.kind, r)
			}
		})
	}
}
