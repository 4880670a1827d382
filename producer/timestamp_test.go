package producer

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go/compress"
	"github.com/twmb/franz-go/pkg/kadm"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/schemas"
)

func TestDatedKeepsToTheTopicsBounds(t *testing.T) {
	now := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	w := &writer{}
	w.misdated.Store(true)
	w.before[schemas.Events].Store((7 * 24 * time.Hour).Milliseconds())
	for _, tt := range []struct {
		name string
		at   time.Time
		kept bool
	}{
		{"now", now, true},
		{"an hour ago", now.Add(-time.Hour), true},
		{"half an hour ahead", now.Add(30 * time.Minute), true},
		{"ten years ahead", now.AddDate(10, 0, 0), false},
		{"beyond what the topic takes of the past", now.AddDate(0, 0, -8), false},
	} {
		r := &schemas.Record{Topic: schemas.Events, Time: tt.at, Value: []byte("{}")}
		got := w.dated(r, now)
		if kept := got.Time.Equal(tt.at); kept != tt.kept {
			t.Errorf("%s: got %s", tt.name, got.Time)
		}
		if !r.Time.Equal(tt.at) {
			t.Errorf("%s: the batch's own record was changed", tt.name)
		}
	}
}

// TestNoTimestampIsJudgedByAClockOfOurs: an instance whose clock is behind finds
// every event dated ahead; it must not date them anew.
func TestNoTimestampIsJudgedByAClockOfOurs(t *testing.T) {
	w := &writer{}
	now := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	r := &schemas.Record{Topic: schemas.Events, Time: now.Add(2 * time.Hour), Value: []byte("{}")}
	if got := w.dated(r, now); got != r {
		t.Errorf("dated %s instead of %s", got.Time, r.Time)
	}
}

func TestBrokerClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c brokerClock
		c.learn(-1) // of a topic that keeps the writers' times
		if got := c.now(); !got.Equal(time.Now()) {
			t.Errorf("never told: %s, want our time %s", got, time.Now())
		}
		told := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
		c.learn(told.UnixMilli())
		time.Sleep(3 * time.Second)
		c.learn(-1)
		if want := told.Add(3 * time.Second); !c.now().Equal(want) {
			t.Errorf("told %s three seconds ago: %s, want %s", told, c.now(), want)
		}
	})
}

// writeOne has an instance write r and looks at it once that is committed.
func writeOne(t *testing.T, k *kafkatest.Cluster, topics Topics, r schemas.Record, look func(*Instance)) {
	t.Helper()
	written := make(chan struct{}, 1)
	in := &Instance{Cluster: open(t, k.Brokers()...), Config: Config{
		Group: named(t, "group"), Instance: "one", Topics: topics, Compression: compress.Zstd,
		Serve: func(ctx context.Context, s *Session) {
			b := &schemas.Batch{Connector: "acme", Records: []schemas.Record{r}, Done: func() { written <- struct{}{} }}
			if err := s.Offer(ctx, b); err != nil {
				t.Errorf("offering: %v", err)
			}
			<-ctx.Done()
		},
	}}
	ctx, stop := inBackground(t, in)
	select {
	case <-written:
	case <-ctx.Done():
		t.Error("the record was not written")
	}
	look(in)
	stop()
}

// TestAnEventDatedFarAheadDoesNotStopItsShard: Kafka 4 refuses timestamps more
// than an hour ahead, and with one record its whole transaction.
func TestAnEventDatedFarAheadDoesNotStopItsShard(t *testing.T) {
	ahead := schemas.Record{Topic: schemas.Events, Key: []byte("acme"), Value: []byte(`{"id":1}`), Time: time.Now().AddDate(10, 0, 0)}
	writeOne(t, kafkatest.Shared(t, kafkas[V2]), testTopics(t, 1, 3), ahead, func(in *Instance) {
		for _, s := range in.Shards() {
			if s.Err != nil {
				t.Errorf("shard %d is in trouble: %v", s.Shard, s.Err)
			}
		}
	})
}

// TestAnOldEventDoesNotStopItsShard: until Kafka 3.9 a topic may have one bound
// for both sides, which the newer ones do not show.
func TestAnOldEventDoesNotStopItsShard(t *testing.T) {
	k, topics := kafkatest.Shared(t, kafkas[V1]), testTopics(t, 1, 1)
	createTopic(t, k.Brokers(), topics.Specs[schemas.Events].Name, 2, map[string]string{timestampEither: "604800000"})
	old := schemas.Record{Topic: schemas.Events, Key: []byte("acme"), Value: []byte(`{"id":1}`), Time: time.Now().AddDate(0, 0, -30)}
	writeOne(t, k, topics, old, func(*Instance) {})
}

// TestOffsetsAreDatedByTheBroker: an instance whose clock is hours ahead can
// write its offsets, and learns the time from Kafka.
func TestOffsetsAreDatedByTheBroker(t *testing.T) {
	topics := testTopics(t, 1, 3)
	ahead := schemas.Record{Topic: schemas.Offsets, Key: schemas.OffsetKey("acme"), Value: []byte(`{}`), Time: time.Now().Add(3 * time.Hour)}
	writeOne(t, kafkatest.Shared(t, kafkas[V2]), topics, ahead, func(in *Instance) {
		if told := in.writer.clock.now(); in.writer.clock.told.IsZero() || time.Since(told).Abs() > time.Hour {
			t.Errorf("the brokers' clock was taken for %s", told)
		}
	})
	read := 0
	log := CommittedLog{Cluster: open(t, kafkatest.Shared(t, kafkatest.Options{}).Brokers()...), Topic: topics.Specs[schemas.Offsets].Name}
	_, err := log.Read(patient(t), func(_ int64, r *schemas.Record) error {
		read++
		if time.Since(r.Time).Abs() > time.Hour {
			t.Errorf("read back with the time %s", r.Time)
		}
		return nil
	})
	if err != nil || read != 2 {
		t.Errorf("read %d records, want the offset and the owner's (error %v)", read, err)
	}
}

// TestALimitThatIsRaisedIsLearned: a record that was too large goes through once
// the topic takes it, without a restart.
func TestALimitThatIsRaisedIsLearned(t *testing.T) {
	k := kafkatest.Shared(t, kafkatest.Options{})
	topics := testTopics(t, 1, 3)
	topics.Create = true
	name := topics.Specs[schemas.Events].Name
	createTopic(t, k.Brokers(), name, 2, map[string]string{"max.message.bytes": "20000"})
	big := schemas.Record{Topic: schemas.Events, Key: []byte("acme"), Value: incompressible(100_000), Time: time.Now()}
	refused, written := make(chan error, 1), make(chan struct{}, 1)
	in := &Instance{Cluster: open(t, k.Brokers()...), Config: Config{
		Group: named(t, "group"), Instance: "one", Topics: topics, Compression: compress.Zstd,
		Serve: func(ctx context.Context, s *Session) {
			for {
				b := &schemas.Batch{Connector: "acme", Records: []schemas.Record{big}, Done: func() { written <- struct{}{} }}
				err := s.Offer(ctx, b)
				if err == nil {
					<-ctx.Done()
					return
				}
				select {
				case refused <- err:
				default:
				}
				if pause(ctx, 100*time.Millisecond) != nil {
					return
				}
			}
		},
	}}
	ctx, stop := inBackground(t, in)
	select {
	case err := <-refused:
		t.Logf("refused: %v", err)
	case <-ctx.Done():
		t.Fatal("the record was not refused")
	}
	limit := "200000"
	res, err := admin(t, k.Brokers()).AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "max.message.bytes", Value: &limit}}, name)
	if err != nil || res[0].Err != nil {
		t.Fatalf("raising the limit: %v %v", err, res)
	}
	select {
	case <-written:
	case <-ctx.Done():
		t.Error("the record was not written after the limit was raised")
	}
	stop()
}
