package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"onelogin-kafka/schemas"
)

// counted is a Memory without an end that counts.
type counted struct {
	mu               sync.Mutex
	held, most, open int64
	asked            int
}

func (m *counted) Reserve(ctx context.Context, bytes int64) (Hold, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	h := &countedHold{memory: m}
	m.note(bytes, 1)
	h.bytes = bytes
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	return h, nil
}

func (m *counted) note(bytes, open int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held, m.open = m.held+bytes, m.open+open
	m.most = max(m.most, m.held)
}

type countedHold struct {
	memory *counted
	bytes  int64
	once   sync.Once
}

func (h *countedHold) Resize(bytes int64) {
	h.memory.note(bytes-h.bytes, 0)
	h.bytes = bytes
}

func (h *countedHold) Release() { h.once.Do(func() { h.memory.note(-h.bytes, -1) }) }

func (m *counted) state() (held, open int64, asked int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held, m.open, m.asked
}

// backlogAPI has a page of new events at each call, and fails now and then.
type backlogAPI struct {
	mu   sync.Mutex
	next int64
	n    int
}

func (a *backlogAPI) Page(context.Context, Query) (Page, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n++; a.n%7 == 0 {
		return Page{}, &APIError{Kind: Unreachable, Stage: "Fetch Logs", Message: "Unable to connect"}
	}
	page := Page{Next: fmt.Sprint(a.n), ServerTime: time.Now()}
	for range 100 {
		a.next++
		at := time.Now().Add(-time.Hour + time.Duration(a.next)*time.Millisecond).UTC()
		page.Events = append(page.Events, schemas.Event{Raw: make([]byte, 1000), ID: a.next, CreatedAt: at, CreatedAtText: []byte(at.Format(time.RFC3339Nano))})
	}
	return page, nil
}

// slowSink holds what it takes for a second, refuses every fifth batch, and ends
// the session after some.
type slowSink struct {
	wg      sync.WaitGroup
	offered int
	void    int
}

func (s *slowSink) Offer(_ context.Context, b *schemas.Batch) error {
	s.offered++
	switch {
	case s.offered == s.void:
		return ErrVoid
	case s.offered%5 == 0:
		return fmt.Errorf("too large: %w", ErrTooLarge)
	}
	s.wg.Go(func() {
		time.Sleep(time.Second)
		if b.Done != nil {
			b.Done()
		}
		b.Release()
	})
	return nil
}

// A page's memory is taken before it is asked for, and given back whatever
// becomes of it: committed, refused, never offered, or lost with the session.
func TestMemoryIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &counted{}
		p := &Poller{
			Connector: "acme", Settings: Settings{StartFrom: StartFrom{Ago: 24 * time.Hour}, Domain: "acme.onelogin.com"},
			Client: &backlogAPI{}, Encoder: &schemas.Encoder{Tenant: "acme", Domain: "acme.onelogin.com"},
			Metrics: NewMetrics(prometheus.NewRegistry()), Log: zerolog.New(io.Discard), Memory: memory,
		}
		for range 3 {
			sink := &slowSink{void: 40}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			err := p.Run(ctx, &State{Fresh: true}, sink)
			cancel()
			if !errors.Is(err, ErrVoid) {
				t.Fatalf("ended with %v", err)
			}
			sink.wg.Wait()
			if held, open, asked := memory.state(); held != 0 || open != 0 || asked < 20 {
				t.Fatalf("%d bytes of %d pages are held after a session, %d were asked for", held, open, asked)
			}
		}
		if memory.most < 2*100_000 {
			t.Errorf("%d bytes held at most, want those of several pages", memory.most)
		}
	})
}

// Without memory no page is asked for, and a session that waits for it ends when
// it is told to.
func TestNoPageWithoutMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &backlogAPI{}
		p := newPoller(api)
		p.Memory = none{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := p.Run(ctx, &State{Fresh: true}, &slowSink{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended with %v", err)
		}
		if api.n != 0 {
			t.Errorf("%d pages were asked for", api.n)
		}
	})
}

// none is a Memory that is used up.
type none struct{}

func (none) Reserve(ctx context.Context, _ int64) (Hold, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// otherAccountAPI shows a page of events of another account.
type otherAccountAPI struct{ n int }

func (a *otherAccountAPI) Page(context.Context, Query) (Page, error) {
	a.n++
	page := Page{ServerTime: time.Now()}
	for i := range 100 {
		at := time.Now().Add(-time.Minute).UTC()
		page.Events = append(page.Events, schemas.Event{Raw: make([]byte, 1000), ID: int64(i + 1), AccountID: 2, CreatedAt: at, CreatedAtText: []byte(at.Format(time.RFC3339Nano))})
	}
	return page, nil
}

// refusingSink takes nothing.
type refusingSink struct{ offered int }

func (s *refusingSink) Offer(context.Context, *schemas.Batch) error {
	s.offered++
	return fmt.Errorf("too large: %w", ErrTooLarge)
}

// A connector that fails again and again, and waits between its polls, holds no
// memory meanwhile: others need it.
func TestAFailingConnectorHoldsNoMemory(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		api   func() Client
		state State
	}{
		"its events are of another account": {func() Client { return &otherAccountAPI{} }, State{Offset: schemas.Offset{AccountID: 1, Events: 1, Domain: "acme.onelogin.com", Through: now}}},
		"its records are too large":         {func() Client { return &backlogAPI{} }, State{Fresh: true}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				memory, sink := &counted{}, &refusingSink{}
				p := newPoller(c.api())
				p.Memory = memory
				c.state.Offset.Through = time.Now().Add(-time.Hour)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- p.Run(ctx, &c.state, sink) }()
				for range 60 {
					time.Sleep(time.Minute)
					synctest.Wait()
					if held, open, asked := memory.state(); held != 0 || open != 0 {
						t.Errorf("%d bytes of %d pages are held while it waits, %d were asked for (%s)", held, open, asked, p.Status().Message)
						break
					}
				}
				if _, _, asked := memory.state(); !t.Failed() && asked < 10 {
					t.Errorf("%d pages were asked for, want some", asked)
				}
				cancel()
				<-done
			})
		})
	}
}
