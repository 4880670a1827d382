package deadletter

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"onelogin-kafka/internal/proof/wait"
	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source/onelogin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func patient(t testing.TB) context.Context {
	t.Helper()
	return wait.Context(t, time.Minute)
}

// rig is a broker with a connector's position and one dead letter that can be
// read by now.
type rig struct {
	t      *testing.T
	broker *kfake.Cluster
	topics producer.Topics
	enc    schemas.Encoder
	event  schemas.Event // of the letter
	moment time.Time
	// replaying is the cluster as the replay under way sees it.
	replaying atomic.Pointer[wire.Cluster]
}

var account = Account{Connector: "acme", Key: schemas.KeyTenant}

func newRig(t *testing.T) *rig {
	t.Helper()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	g := &rig{
		t: t, broker: broker, topics: producer.Topics{Create: true, ReplicationFactor: 1}, moment: time.Now().UTC().Truncate(time.Second),
		enc: schemas.Encoder{Tenant: "acme", Domain: "acme.onelogin.com", Key: schemas.KeyTenant, Types: schemas.NewTypes()},
	}
	for i := range g.topics.Specs {
		g.topics.Specs[i] = producer.TopicSpec{Name: "t." + schemas.Topic(i).String(), Partitions: 1}
	}
	h := g.hand()
	if _, err := g.topics.Ensure(patient(t), h.Cluster); err != nil {
		t.Fatal(err)
	}
	g.event = g.read(7)
	if err := g.owner(h, g.read(1), g.enc.DeadLetter(g.event.Raw, "an earlier version", g.moment)); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *rig) hand() *producer.Hand {
	c := wire.Open(wire.Config{Brokers: g.broker.ListenAddrs()})
	g.t.Cleanup(c.Close)
	return &producer.Hand{Cluster: c, Topics: g.topics, Group: "g"}
}

// read is the event of an id, created within the connector's window.
func (g *rig) read(id int) schemas.Event {
	g.t.Helper()
	ev, reason := onelogin.ReadEvent(fmt.Appendf(nil, `{"id":%d,"created_at":%q,"event_type_id":5,"account_id":1}`, id, g.moment.Add(-time.Minute).Format(time.RFC3339)))
	if reason != "" {
		g.t.Fatal(reason)
	}
	return ev
}

// owner commits an event as the shard's owner does, under its name: with the
// position and the ids that it makes true.
func (g *rig) owner(h *producer.Hand, ev schemas.Event, others ...schemas.Record) error {
	return h.Change(patient(g.t), 0, func(known producer.ShardRecords) ([]schemas.Record, error) {
		minute := ev.CreatedAt.Truncate(time.Minute)
		ids := []int64{ev.ID}
		if value := known["acme"][string(schemas.MinuteKey("acme", minute))]; value != nil {
			have, err := schemas.ParseMinute(value)
			if err != nil {
				return nil, err
			}
			ids = append(have, ids...) // the rig's ids ascend
		}
		o := schemas.Offset{Domain: g.enc.Domain, AccountID: 1, Through: g.moment, LastID: ev.ID, WindowStart: g.moment.Add(-10 * time.Minute), UpdatedAt: g.moment}
		note := schemas.AuditEntry{At: g.moment, By: "owner", Via: "service", Action: "test", Connector: "acme"}.Record()
		return append(append([]schemas.Record{}, others...), g.enc.Event(&ev, false), note,
			schemas.Record{Topic: schemas.Offsets, Key: schemas.OffsetKey("acme"), Value: o.Marshal(), Time: g.moment},
			schemas.Record{Topic: schemas.Offsets, Key: schemas.MinuteKey("acme", minute), Value: schemas.EncodeMinute(ids), Time: g.moment}), nil
	})
}

// replay replays all letters, as the command does, in a process of its own.
func (g *rig) replay(ctx context.Context) (Outcome, State, error) {
	g.t.Helper()
	b := &Box{Hand: g.hand(), By: "ann"}
	g.replaying.Store(b.Hand.Cluster)
	letters, err := b.Read(patient(g.t))
	if err != nil || len(letters) != 1 {
		g.t.Fatalf("%d letters, %v", len(letters), err)
	}
	outcomes, err := b.Replay(ctx, account, []*Letter{&letters[0]})
	b.Hand.Cluster.Close()
	if err != nil {
		return Outcome{}, letters[0].State, err
	}
	return outcomes[0], letters[0].State, outcomes[0].Err
}

// published counts the copies of each event that a reader in read_committed
// finds.
func (g *rig) published() map[string]int {
	g.t.Helper()
	log := producer.CommittedLog{Cluster: g.hand().Cluster, Topic: g.topics.Specs[schemas.Events].Name}
	n := map[string]int{}
	if _, err := log.Read(patient(g.t), func(_ int64, r *schemas.Record) error { n[header(r, schemas.HeaderID)]++; return nil }); err != nil {
		g.t.Fatal(err)
	}
	return n
}

// once sees that each of some events is there once, and no other.
func (g *rig) once(ids ...string) {
	g.t.Helper()
	found := g.published()
	for _, id := range ids {
		if found[id] != 1 {
			g.t.Errorf("event %s is there %d times", id, found[id])
		}
	}
	if len(found) != len(ids) {
		g.t.Errorf("there are %v, want %v", found, ids)
	}
}

// first has do look at the first request of a kind from now on.
func (g *rig) first(key kmsg.Key, do func() (err error, handled bool)) {
	var seen atomic.Bool // others come while do sleeps
	g.broker.ControlKey(key.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		if seen.Swap(true) {
			return nil, nil, false
		}
		err, handled := do()
		return nil, err, handled
	})
}

// TestReplayFencesTheOwner: the owner is in the midst of a transaction, all of it
// written, as a replay fences it. It takes over again and writes the same anew;
// all is there once.
func TestReplayFencesTheOwner(t *testing.T) {
	g := newRig(t)
	held, fenced := make(chan struct{}), make(chan struct{})
	g.first(kmsg.EndTxn, func() (error, bool) {
		close(held)
		g.broker.SleepControl(func() { <-fenced })
		return nil, false
	})
	owner, tries := make(chan error, 1), atomic.Int32{}
	go func() {
		h, ev := g.hand(), g.read(8)
		owner <- h.Change(patient(t), 0, func(known producer.ShardRecords) ([]schemas.Record, error) {
			tries.Add(1)
			note := schemas.AuditEntry{At: g.moment, By: "owner", Via: "service", Action: "test", Connector: "acme"}.Record()
			return []schemas.Record{g.enc.Event(&ev, false), note}, nil
		})
	}()
	<-held
	g.first(kmsg.InitProducerID, func() (error, bool) { close(fenced); return nil, false })
	if o, _, err := g.replay(patient(t)); err != nil || !o.Published {
		t.Errorf("the replay came to %+v, %v", o, err)
	}
	if err := <-owner; err != nil || tries.Load() < 2 {
		t.Errorf("the owner came to %v after %d tries: it was never fenced", err, tries.Load())
	}
	g.once("1", "7", "8")
}

// TestReplayIsFenced: the owner takes over again in the midst of a replay, all of
// it written, and may by now have found the same event by itself.
func TestReplayIsFenced(t *testing.T) {
	for name, found := range map[string]int{"another event": 8, "the letter's event": 7} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			hits := 0
			g.first(kmsg.EndTxn, func() (error, bool) {
				hits++
				owner := make(chan error, 1)
				h := g.hand()
				go func() { owner <- g.owner(h, g.read(found)) }()
				g.broker.SleepControl(func() {
					if err := <-owner; err != nil {
						t.Error(err)
					}
				})
				return nil, false
			})
			o, _, err := g.replay(patient(t))
			if err != nil || hits != 1 || o.Known != (found == 7) || o.Published == o.Known {
				t.Errorf("the replay came to %+v, %v, fenced %d times", o, err, hits)
			}
			if found == 7 {
				g.once("1", "7")
			} else {
				g.once("1", "7", "8")
			}
		})
	}
}

// errKilled stands for a connection that ends without an answer.
var errKilled = errors.New("killed")

// TestReplayIsKilled: the command ends at a request, which the broker gets or
// not. Run once more, by the letter's id too, the event is there once.
func TestReplayIsKilled(t *testing.T) {
	for _, key := range []kmsg.Key{kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.Produce, kmsg.EndTxn} {
		for name, arrives := range map[string]bool{"arrives": true, "is lost": false} {
			t.Run(key.Name()+" "+name, func(t *testing.T) {
				g := newRig(t)
				ctx, end := context.WithCancel(patient(t))
				var hits atomic.Int32
				g.first(key, func() (error, bool) {
					hits.Add(1)
					end()
					g.replaying.Load().Close() // a dead process has no connections
					if arrives {
						return nil, false
					}
					return errKilled, true
				})
				if o, _, err := g.replay(ctx); err == nil || hits.Load() != 1 {
					t.Fatalf("the replay came to %+v, killed %d times", o, hits.Load())
				}
				done := key == kmsg.EndTxn && arrives
				for range 2 {
					o, was, err := g.replay(patient(t))
					if err != nil || o.Published == done || o.Known != done || done != (was == Replayed) {
						t.Errorf("a letter that is %s: %+v, %v, want it published before: %v", was, o, err, done)
					}
					g.once("1", "7")
					done = true
				}
			})
		}
	}
}
