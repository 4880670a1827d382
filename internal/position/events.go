package position

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"

	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// Events are what the events topic holds of a connector.
type Events struct {
	Cluster *wire.Cluster
	Topic   string
	// Key is how events are spread over partitions: with KeyTenant a connector's
	// are on one.
	Key schemas.KeyStrategy
}

// Tally is how many events of a connector the topic holds, by the second of
// their created_at.
type Tally struct {
	// From is from when on they were counted.
	From    time.Time
	seconds map[int64]int64
}

// In is the number of events in r, whose ends are cut to the second.
func (t *Tally) In(r Range) (n int64) {
	if r.Empty() {
		return 0
	}
	for second, events := range t.seconds {
		if second >= r.From.Unix() && second <= r.To.Add(-1).Unix() {
			n += events
		}
	}
	return n
}

// Count counts the events created from from on that are in the topic now. It
// reads the topic from there to its end: late events lie anywhere.
func (e *Events) Count(ctx context.Context, connector string, from time.Time) (*Tally, error) {
	t := &Tally{From: from, seconds: map[int64]int64{}}
	n, err := e.Cluster.Partitions(ctx, e.Topic)
	if errors.Is(err, wire.ErrUnknownTopic) {
		return t, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for topic %s: %w", e.Topic, err)
	}
	for p := range n {
		if e.Key == schemas.KeyTenant && p != producer.PartitionFor([]byte(connector), n) {
			continue
		}
		log := &producer.CommittedLog{Cluster: e.Cluster, Topic: e.Topic, Partition: p}
		start, err := log.At(ctx, from)
		if err != nil {
			return nil, fmt.Errorf("asking where to begin in topic %s: %w", e.Topic, err)
		}
		_, err = log.ReadFrom(ctx, start, func(_ int64, r *schemas.Record) error {
			if header(r, schemas.HeaderTenant) != connector {
				return nil
			}
			at, err := time.Parse(time.RFC3339Nano, header(r, schemas.HeaderTime))
			if err != nil {
				at = r.Time // in another form; the record's time is the same moment
			}
			if !at.Before(from) {
				t.seconds[at.Unix()]++
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("counting events: %w", err)
		}
	}
	return t, nil
}

func header(r *schemas.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// Kept refuses a position that lies further back than the topic keeps events:
// they would be gone soon after they were published, and nothing could tell
// which of them had been there. What we may not see is not judged.
func (e *Events) Kept(ctx context.Context, p *Plan, now time.Time) error {
	if p.Again.Empty() {
		return nil
	}
	kept, why, err := e.Begins(ctx, p.Before.Connector, now)
	if err != nil {
		return err
	}
	if from := p.Again.From; from.Before(kept) {
		return refused("%s is further back than topic %s keeps events (%s): go back to %s at most, or raise its retention",
			from.Format(time.RFC3339), e.Topic, why, kept.Format(time.RFC3339))
	}
	return nil
}

// Begins is the time from which on the topic keeps a connector's events, and why;
// zero for no such time. What we may not see is not judged.
func (e *Events) Begins(ctx context.Context, connector string, now time.Time) (at time.Time, why string, err error) {
	retention, known, err := e.retention(ctx)
	if err != nil {
		return at, "", err
	}
	if known {
		at, why = now.Add(-retention).UTC(), fmt.Sprintf("retention.ms, %v", retention)
	}
	n, err := e.Cluster.Partitions(ctx, e.Topic)
	if errors.Is(err, wire.ErrUnknownTopic) {
		return at, why, nil
	}
	if err != nil {
		return at, "", fmt.Errorf("looking for topic %s: %w", e.Topic, err)
	}
	for i := range n {
		if e.Key == schemas.KeyTenant && i != producer.PartitionFor([]byte(connector), n) {
			continue
		}
		begins, cut, err := e.begins(ctx, i)
		if err != nil {
			return at, "", err
		}
		if cut && begins.After(at) {
			at, why = begins, fmt.Sprintf("partition %d begins with it, and earlier ones were deleted", i)
		}
	}
	return at, why, nil
}

// errFirst ends a read after its first record.
var errFirst = errors.New("that was the first")

// begins is the time of a partition's first record; cut tells that there were
// others before it.
func (e *Events) begins(ctx context.Context, partition int32) (at time.Time, cut bool, err error) {
	log := &producer.CommittedLog{Cluster: e.Cluster, Topic: e.Topic, Partition: partition}
	start, err := log.Start(ctx)
	if err != nil {
		return at, false, fmt.Errorf("asking for the start of topic %s: %w", e.Topic, err)
	}
	if start == 0 {
		return at, false, nil
	}
	_, err = log.ReadFrom(ctx, start, func(_ int64, r *schemas.Record) error { at = r.Time; return errFirst })
	if errors.Is(err, errFirst) {
		return at, true, nil
	}
	return at, false, err
}

// resourceTopic is a topic in a request for settings (Kafka's protocol).
const resourceTopic = 2

// retention is the topic's retention.ms; known is false where it has none, is
// not there, or may not be seen.
func (e *Events) retention(ctx context.Context) (d time.Duration, known bool, err error) {
	res, err := e.Cluster.ExchangeAny(ctx, &describeconfigs.Request{Resources: []describeconfigs.RequestResource{
		{ResourceType: resourceTopic, ResourceName: e.Topic, ConfigNames: []string{"retention.ms"}},
	}})
	if err != nil {
		return 0, false, fmt.Errorf("asking for the settings of topic %s: %w", e.Topic, err)
	}
	for _, r := range res.(*describeconfigs.Response).Resources {
		switch kafka.Error(r.ErrorCode) {
		case 0:
		case kafka.TopicAuthorizationFailed, kafka.UnknownTopicOrPartition:
			return 0, false, nil
		default:
			return 0, false, fmt.Errorf("asking for the settings of topic %s: %w", e.Topic, kafka.Error(r.ErrorCode))
		}
		for _, c := range r.ConfigEntries {
			ms, err := strconv.ParseInt(c.ConfigValue, 10, 64)
			if err == nil && ms >= 0 {
				return time.Duration(min(ms, int64(1<<62/time.Millisecond))) * time.Millisecond, true, nil
			}
		}
	}
	return 0, false, nil
}
