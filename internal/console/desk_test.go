package console

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"onelogin-kafka/internal/jobs"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/schemas"
)

// slow is a Jobs whose readings take their time, or the caller's.
type slow struct {
	pile
	takes atomic.Int64 // nanoseconds
	reads atomic.Int64
}

func (s *slow) List(ctx context.Context, _ ...string) ([]jobs.Job, error) {
	s.reads.Add(1)
	was, err := s.pile.List(ctx)
	select {
	case <-time.After(time.Duration(s.takes.Load())):
		return was, err
	case <-ctx.Done():
		return nil, fmt.Errorf("reading the jobs: %w", ctx.Err())
	}
}

// TestDesk: pages wait for no reading of the jobs, say how old it is and what is
// wrong, and show what was asked for while one was under way.
func TestDesk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		src := &slow{}
		src.takes.Store(int64(time.Second))
		o := open()
		o.Desk = NewDesk(src, zerolog.Nop())
		h := Handler(o)
		shows := func(when string, signs ...string) {
			t.Helper()
			for _, path := range []string{"/jobs", "/connectors/acme"} {
				began := time.Now()
				page := ask(h, "GET", path, "").Body.String()
				if time.Since(began) != 0 {
					t.Errorf("%s: %s waited %v", when, path, time.Since(began))
				}
				for _, sign := range signs {
					if !strings.Contains(page, sign) {
						t.Errorf("%s: %s lacks %q", when, path, sign)
					}
				}
			}
		}
		shows("before", errNoJobsRead.Error())
		done := make(chan struct{})
		go func() { defer close(done); o.Desk.Run(ctx) }()
		time.Sleep(time.Second / 2) // a reading is under way
		asked, f := o.askJob(ctx, wish{Kind: schemas.JobVerify, Connector: "acme", From: "2026-11-26T00:00:00Z"}, registry.Who{})
		if f != nil {
			t.Fatal(f.detail)
		}
		time.Sleep(time.Second)
		if n := src.reads.Load(); n != 1 {
			t.Fatalf("got %d readings, want 1", n)
		}
		shows("what was filed during a reading", asked.ID)
		time.Sleep(2 * deskLook)
		shows("read again", asked.ID, ">3s ago</time>")
		src.takes.Store(int64(time.Hour))
		time.Sleep(time.Minute)
		shows("while Kafka is away", asked.ID, "reading the jobs: context deadline exceeded", ">1m ago</time>")
		cancel()
		<-done
	})
}
