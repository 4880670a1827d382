package source

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"onelogin-kafka/schemas"
)

// steadyAPI has one event every gap since began, shows at most 50 on a page, and
// counts its calls in fixed hours as OneLogin does.
type steadyAPI struct {
	began   time.Time
	gap     time.Duration
	latency time.Duration
	linksOn bool // from every page that has events on it
	down    func(now time.Time) bool

	mu          sync.Mutex
	limit, used int
	window      time.Time
	over        int // calls beyond the limit
}

func (a *steadyAPI) Page(ctx context.Context, q Query) (Page, error) {
	if err := sleep(ctx, a.latency); err != nil {
		return Page{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.page(q)
}

func (a *steadyAPI) page(q Query) (Page, error) {
	now := time.Now()
	if a.down != nil && a.down(now) {
		return Page{}, &APIError{Kind: Unreachable, Stage: "Fetch Logs", Message: "Unable to connect"}
	}
	if w := now.Truncate(time.Hour); w.After(a.window) {
		a.window, a.used = w, 0
	}
	if a.used++; a.used > a.limit {
		a.over++
	}
	page := Page{ServerTime: now, RateLimit: RateLimit{
		Limit: a.limit, Remaining: max(a.limit-a.used, 0), Reset: a.window.Add(time.Hour).Sub(now), At: now,
	}}
	from := int64((q.Since.Sub(a.began) + a.gap - 1) / a.gap)
	if q.Cursor != "" {
		from, _ = strconv.ParseInt(strings.TrimPrefix(q.Cursor, "after "), 10, 64)
	}
	for id := max(from, 1); ; id++ {
		at := a.began.Add(time.Duration(id) * a.gap)
		if at.After(now) || !q.Until.IsZero() && !at.Before(q.Until) {
			if a.linksOn && len(page.Events) > 0 {
				page.Next = "after " + strconv.FormatInt(id, 10)
			}
			return page, nil
		}
		if len(page.Events) == safePageSize {
			page.Next = "after " + strconv.FormatInt(id, 10)
			return page, nil
		}
		page.Events = append(page.Events, happening{id: id, created: at}.event())
	}
}

// lagSink commits at once and notes how old the oldest event of a batch was.
type lagSink struct {
	from   time.Time // what is offered before does not count
	most   time.Duration
	events int
}

func (s *lagSink) Offer(_ context.Context, b *schemas.Batch) error {
	for i := range b.Records {
		if r := &b.Records[i]; r.Topic == schemas.Events {
			s.events++
			if now := time.Now(); now.After(s.from) {
				s.most = max(s.most, now.Sub(r.Time))
			}
		}
	}
	if b.Done != nil {
		b.Done()
	}
	return nil
}

// A busy account with small pages is polled evenly through the hour: its share
// of the calls is not used up early, so that its last events wait for the next.
func TestBudgetLastsTheHour(t *testing.T) {
	for _, tc := range []struct {
		rate  int // events per second
		share float64
		most  time.Duration
	}{
		{1, 0.5, 4 * time.Second},
		{5, 0.5, 15 * time.Second},
		{15, 0.5, 30 * time.Second}, // 10 s but for the last polls of an hour, which wait for the next
		{25, 0.5, 3 * time.Minute},  // takes three quarters of the share on full pages
		{1, 0.1, 45 * time.Second},
		{3, 0.1, 60 * time.Second},
	} {
		t.Run(strconv.Itoa(tc.rate)+"/s with "+strconv.FormatFloat(tc.share, 'g', -1, 64), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				api := &steadyAPI{began: began, gap: time.Second / time.Duration(tc.rate), limit: defaultLimit}
				sink := &lagSink{from: began}
				p := newPoller(api)
				p.StartFrom, p.Budget = StartFrom{}, NewBudget(tc.share)
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
				defer cancel()
				_ = p.Run(ctx, &State{Fresh: true}, sink)
				if want := int(2*time.Hour/api.gap) * 98 / 100; sink.events < want {
					t.Errorf("%d events published in two hours, want at least %d", sink.events, want)
				}
				if sink.most > tc.most {
					t.Errorf("an event waited for %v, want at most %v", sink.most, tc.most)
				}
				if api.over > 0 {
					t.Errorf("%d calls over the account's limit", api.over)
				}
				t.Logf("most %v, used %d of the last hour's calls", sink.most, api.used)
			})
		})
	}
}

// An API that has a cursor for what comes after every event does not keep a busy
// account's run going until the share is used up.
func TestRunEndsThoughEveryPageLinksOn(t *testing.T) {
	for _, rate := range []int{1, 5, 50} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			api := &steadyAPI{began: began, gap: time.Second / time.Duration(rate), latency: 300 * time.Millisecond, linksOn: true, limit: 20_000}
			sink := &lagSink{from: began}
			p := newPoller(api)
			p.StartFrom, p.Budget = StartFrom{}, NewBudget(0.5)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
			defer cancel()
			done := make(chan struct{})
			go func() { defer close(done); _ = p.Run(ctx, &State{Fresh: true}, sink) }()
			time.Sleep(100 * time.Minute)
			if st := p.Status(); st.State != schemas.StateActive || st.Lag > time.Minute {
				t.Errorf("%d/s: state %s with a lag of %v", rate, st.State, st.Lag)
			}
			<-done
			if want := int(2*time.Hour/api.gap) * 99 / 100; sink.events < want || sink.most > 30*time.Second {
				t.Errorf("%d/s: %d events published, want %d; one waited for %v", rate, sink.events, want, sink.most)
			}
		})
	}
}

// A busy account that has been away is soon up to date again: the sweeps that it
// owes wait for their turn. It is not called throttled for being polled evenly.
func TestBusyAccountAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		api := &steadyAPI{began: began, gap: time.Second / 15, latency: 100 * time.Millisecond, limit: defaultLimit}
		from := began.Add(190 * time.Minute)
		api.down = func(now time.Time) bool { return now.After(from) && now.Before(from.Add(20*time.Minute)) }
		sink := &lagSink{from: began.Add(4*time.Hour + time.Minute)} // with the new hour's calls
		p := newPoller(api)
		p.StartFrom, p.Budget, p.PollMax = StartFrom{}, NewBudget(0.5), 5*time.Second
		changes := 0
		p.OnChange = func() { changes++ }
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Hour)
		defer cancel()
		_ = p.Run(ctx, &State{Fresh: true}, sink)
		if sink.most > time.Minute {
			t.Errorf("an event waited for %v", sink.most)
		}
		if changes > 10 {
			t.Errorf("%d changes of state, want about those of one outage", changes)
		}
	})
}
