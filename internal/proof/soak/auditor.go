package soak

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"onelogin-kafka/internal/proof/audit"
	"onelogin-kafka/internal/proof/wait"
	"onelogin-kafka/source/onelogin/simulator"
)

// Truth is what the simulator has.
func (w *World) Truth() (audit.Truth, error) {
	truth := audit.Truth{}
	for _, t := range w.Sim.Tenants() {
		events, err := w.Sim.Truth(t.Name)
		if err != nil {
			return nil, fmt.Errorf("asking for the truth of %s: %w", t.Name, err)
		}
		facts := []audit.Fact{}
		for e := range events {
			facts = append(facts, fact(e))
		}
		truth[t.Name] = facts
	}
	return truth, nil
}

func fact(e simulator.Event) audit.Fact {
	f := audit.Fact{ID: e.ID, Created: e.CreatedAt.UnixMicro(), Visible: e.VisibleAt.UnixMicro()}
	sum := sha256.Sum256(e.Raw)
	copy(f.Sum[:], sum[:])
	return f
}

// blind is how long the auditor bears, by the clock, that it gets no further. It is far beyond every wait of a test, which knows better
// what is to be borne: a test that waits says what for.
const blind = time.Hour

// counting is an auditor whose work can be seen while it is at it.
type counting struct {
	*audit.Auditor
	events atomic.Int64
	whole  atomic.Bool // it has judged since it was asked for its last report
}

// Add counts events. Positions come for ever, those of sweeps that find nothing.
func (c *counting) Add(e audit.Entry) {
	c.Auditor.Add(e)
	if e.Kind == audit.Events && !e.Control {
		c.events.Add(1)
	}
}

// Follow has the auditor read and judge the topics until the returned function is called. That function returns the last report: when
// all has arrived, or when no further event has for so much of the machine's time; of traffic that has ended there are only so many.
// The auditor ends with the test, whatever becomes of it.
func (w *World) Follow(ctx context.Context) func(bound time.Duration) *audit.Report {
	w.tb.Helper()
	reader, err := audit.NewReader(w.plan.Cluster.Brokers(), audit.Topics{
		Events: w.topic("events"), Offsets: w.topic("offsets"), DeadLetter: w.topic("deadletter"), Others: []string{w.topic("status")},
	})
	if err != nil {
		w.tb.Fatal(err)
	}
	reader.Patience = blind
	var canaries []string
	for _, t := range w.Sim.Tenants() {
		canaries = append(canaries, t.ClientSecret)
	}
	auditor := &counting{Auditor: audit.New(audit.Rules{Key: w.plan.Key, Canaries: canaries, SweepWindow: w.plan.SweepWindow, FollowedFrom: time.Now(), Damaged: w.damagedTo})}
	w.judge(auditor.Report(nil, time.Time{}))
	last, done := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(done)
		defer reader.Close()
		if err := w.follow(ctx, reader, auditor, last); err != nil && ctx.Err() == nil {
			w.mu.Lock()
			w.ended = err
			w.mu.Unlock()
		}
	}()
	w.tb.Cleanup(func() { cancel(); <-done })
	return func(bound time.Duration) *audit.Report {
		w.tb.Helper()
		close(last)
		for read := int64(-1); read != auditor.events.Load(); {
			read = auditor.events.Load()
			limit, stop := wait.Within(ctx, bound)
			select {
			case <-done:
			case <-limit.Done():
			}
			stop()
		}
		cancel()
		<-done
		switch err := w.Blind(); {
		case err != nil:
			w.tb.Errorf("auditing: %v", err)
		case !auditor.whole.Load():
			w.tb.Errorf("the auditor could not read to the end: a transaction stays open, or a partition cannot be read\n%s", w.watermarks())
		}
		truth, err := w.Truth()
		if err != nil {
			w.tb.Fatal(err)
		}
		return auditor.Report(truth, time.Time{})
	}
}

// follow judges until ctx ends; or, once last is closed, until all is there.
func (w *World) follow(ctx context.Context, reader *audit.Reader, auditor *counting, last <-chan struct{}) error {
	var failed error
	err := reader.Follow(ctx, auditor, 500*time.Millisecond, func(cut audit.Cut) bool {
		select {
		case <-last:
		default:
			w.judge(auditor.Report(nil, time.Time{}))
			return true
		}
		truth, err := w.Truth()
		if err != nil {
			failed = err
			return false
		}
		r := auditor.Report(truth, time.Time{})
		auditor.whole.Store(true)
		w.judge(r)
		return !cut.Quiet || !w.well(r)
	})
	return errors.Join(failed, err)
}

func (w *World) judge(r *audit.Report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.judged = r
}

// Judged is the auditor's last report while it runs: of what it has read so far, nothing at first.
func (w *World) Judged() *audit.Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.judged
}

// judgement is what Judged returns. It fails the test if that is against us.
func (w *World) judgement(t *testing.T) *audit.Report {
	t.Helper()
	r := w.Judged()
	if !w.well(r) {
		w.dump()
		t.Fatalf("while it ran:\n%s", r)
	}
	return r
}

// Blind is why the auditor has given up, nil while it reads on.
func (w *World) Blind() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended
}
