package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"onelogin-kafka/internal/position"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// event makes an event as the API shows it.
func event(id int64, created time.Time) schemas.Event {
	text := created.UTC().Format(time.RFC3339Nano)
	return schemas.Event{
		Raw: fmt.Appendf(nil, `{"id": %d, "created_at":%q, "account_id":1}`, id, text),
		ID:  id, CreatedAt: created, CreatedAtText: []byte(text), AccountID: 1,
	}
}

// api is a Client over a list of events, by id.
type api struct {
	mu     sync.Mutex
	events []schemas.Event
	// visible, if not nil, is when an event is first shown.
	visible map[int64]time.Time
	fault   func(q source.Query) error
	after   func(q source.Query, p *source.Page)
	noUntil bool
	latency time.Duration
	calls   int
}

func (a *api) Page(ctx context.Context, q source.Query) (source.Page, error) {
	if err := ctx.Err(); err != nil {
		return source.Page{}, err
	}
	if err := sleep(ctx, a.latency); err != nil {
		return source.Page{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls++
	if a.fault != nil {
		if err := a.fault(q); err != nil {
			return source.Page{}, err
		}
	}
	now := time.Now()
	p := source.Page{ServerTime: now, RateLimit: source.RateLimit{Limit: 10_000_000, Remaining: 9_000_000, Reset: time.Hour, At: now}}
	last, _ := strconv.ParseInt(strings.SplitN(q.Cursor, "@", 2)[0], 10, 64)
	for _, ev := range a.events {
		shown, late := a.visible[ev.ID]
		if ev.ID <= last || ev.CreatedAt.Before(q.Since) || late && shown.After(now) || ev.CreatedAt.After(now) ||
			!a.noUntil && !q.Until.IsZero() && !ev.CreatedAt.Before(q.Until) {
			continue
		}
		if len(p.Events) == q.Limit {
			p.Next = fmt.Sprintf("%d@%d", p.Events[len(p.Events)-1].ID, q.Since.UnixNano())
			break
		}
		p.Events = append(p.Events, ev)
	}
	if a.after != nil {
		a.after(q, &p)
	}
	return p, nil
}

func (a *api) add(evs ...schemas.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, evs...)
	slices.SortFunc(a.events, func(x, y schemas.Event) int { return cmp.Compare(x.ID, y.ID) })
}

// topic is a Log in memory.
type topic struct {
	mu      sync.Mutex
	records []schemas.Record
	kept    time.Time
	scans   int
	during  func() // called in each scan
}

func (t *topic) Since(ctx context.Context, _ time.Time, do func(*schemas.Record)) (time.Time, error) {
	t.mu.Lock()
	t.scans++
	records, kept := slices.Clone(t.records), t.kept
	t.mu.Unlock()
	if t.during != nil {
		t.during()
	}
	for i := range records {
		if err := ctx.Err(); err != nil {
			return time.Time{}, err
		}
		do(&records[i]) // of what is older than kept there may be something left
	}
	return kept, nil
}

func (t *topic) write(tenant string, evs ...schemas.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := &schemas.Encoder{Tenant: tenant, Domain: tenant + ".onelogin.com"}
	for i := range evs {
		t.records = append(t.records, e.Event(&evs[i], false))
	}
}

// cut has the topic lose what was created in r.
func (t *topic) cut(r position.Range) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.records = slices.DeleteFunc(t.records, func(rec schemas.Record) bool { return r.Holds(rec.Time) })
}
