package reconcile

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
)

// long is a past of many events that is made as it is read, by the API and from the
// topic, which has every other of them; what is published is counted.
type long struct {
	from      time.Time
	events    int
	step      time.Duration
	padding   []byte
	published int
	most      uint64 // of the heap, when it was looked
}

func (l *long) event(i int) schemas.Event {
	created := l.from.Add(time.Duration(i) * l.step)
	text := created.UTC().Format(time.RFC3339Nano)
	return schemas.Event{
		Raw: fmt.Appendf(nil, `{"id": %d, "created_at":%q, "account_id":1, "notes":"%s"}`, i+1, text, l.padding),
		ID:  int64(i + 1), CreatedAt: created, CreatedAtText: []byte(text), AccountID: 1,
	}
}

func (l *long) look() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	l.most = max(l.most, m.HeapAlloc)
}

// Page implements source.Client.
func (l *long) Page(ctx context.Context, q source.Query) (source.Page, error) {
	i := max(int((q.Since.Sub(l.from)+l.step-1)/l.step), 0)
	if at, _, ok := strings.Cut(q.Cursor, "@"); ok {
		i, _ = strconv.Atoi(at)
	}
	now := time.Now()
	p := source.Page{ServerTime: now, RateLimit: source.RateLimit{Limit: 1 << 30, Remaining: 1 << 30, Reset: time.Hour, At: now}}
	for ; i < l.events && len(p.Events) < q.Limit; i++ {
		ev := l.event(i)
		if !q.Until.IsZero() && !ev.CreatedAt.Before(q.Until) {
			return p, ctx.Err()
		}
		p.Events = append(p.Events, ev)
	}
	if i < l.events {
		p.Next = fmt.Sprintf("%d@", i)
	}
	l.look()
	return p, ctx.Err()
}

// Since implements Log.
func (l *long) Since(ctx context.Context, from time.Time, do func(*schemas.Record)) (time.Time, error) {
	e := &schemas.Encoder{Tenant: "acme", Domain: "acme.onelogin.com"}
	for i := 0; i < l.events; i += 2 {
		if ev := l.event(i); !ev.CreatedAt.Before(from) {
			r := e.Event(&ev, false)
			do(&r)
		}
	}
	l.look()
	return time.Time{}, ctx.Err()
}

// Publish implements Publisher.
func (l *long) Publish(_ context.Context, _ *source.Page, events []int32, _ source.Note) (int, error) {
	l.published += len(events)
	return 0, nil
}

// TestMemoryOfABackfill: the heap of a comparison of 150,000 events of 1 kB, half of
// which are published, is below 150 MiB at all times: reader, index and what the
// garbage collector has not got to. Poller, Kafka client and HTTP are not in it.
func TestMemoryOfABackfill(t *testing.T) {
	const events, bound = 150_000, 150 << 20
	l := &long{from: time.Now().Add(-24 * time.Hour).Truncate(time.Minute), events: events, step: 200 * time.Millisecond, padding: bytes.Repeat([]byte("x"), 900)}
	runtime.GC()
	l.look()
	before := l.most
	c := &Comparison{
		Wish:  Wish{Connector: "acme", From: l.from, To: l.from.Add(events * l.step)},
		Topic: NewTopic(l, 0), Reader: &source.Reader{Connector: "acme", Client: l, PageSize: 1000}, Publisher: l, Tries: 1,
	}
	r, err := c.Run(t.Context())
	if err != nil || r.Events != events || r.Missing != events/2 || l.published != events/2 || !r.Whole() {
		t.Errorf("%d were published, %v, and the report is %+v", l.published, err, r)
	}
	t.Logf("at most %d MiB, %d MiB before", l.most>>20, before>>20)
	if l.most > before+bound {
		t.Errorf("the heap was %d MiB, and %d MiB before", l.most>>20, before>>20)
	}
}
