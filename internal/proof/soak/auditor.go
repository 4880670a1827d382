package soak

import (
	"context"
	"crypto/sha256"
	"time"

	"onelogin-kafka/internal/proof/audit"
	"onelogin-kafka/source/onelogin/simulator"
)

// Truth is what the simulator has.
func (w *World) Truth() audit.Truth {
	truth := audit.Truth{}
	for _, t := range w.Sim.Tenants() {
		events, err := w.Sim.Truth(t.Name)
		if err != nil {
			w.tb.Fatal(err)
		}
		facts := []audit.Fact{}
		for e := range events {
			facts = append(facts, fact(e))
		}
		truth[t.Name] = facts
	}
	return truth
}

func fact(e simulator.Event) audit.Fact {
	f := audit.Fact{ID: e.ID, Created: e.CreatedAt.UnixMicro(), Visible: e.VisibleAt.UnixMicro()}
	sum := sha256.Sum256(e.Raw)
	copy(f.Sum[:], sum[:])
	return f
}

// Follow has the auditor read and judge the topics until the returned function
// is called with the time allowed for all to arrive. It returns the last report.
func (w *World) Follow(ctx context.Context) func(patience time.Duration) *audit.Report {
	w.tb.Helper()
	reader, err := audit.NewReader(w.plan.Cluster.Brokers(), audit.Topics{
		Events: w.topic("events"), Offsets: w.topic("offsets"), DeadLetter: w.topic("deadletter"), Others: []string{w.topic("status")},
	})
	if err != nil {
		w.tb.Fatal(err)
	}
	if w.plan.Patience > 0 {
		reader.Patience = w.plan.Patience
	}
	var canaries []string
	for _, t := range w.Sim.Tenants() {
		canaries = append(canaries, t.ClientSecret)
	}
	auditor := audit.New(audit.Rules{Key: w.plan.Key, Canaries: canaries, FollowedFrom: time.Now()})
	until := make(chan time.Time, 1)
	reports := make(chan *audit.Report, 1)
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer reader.Close()
		var deadline time.Time
		err := reader.Follow(ctx, auditor, 500*time.Millisecond, func(cut audit.Cut) bool {
			select {
			case deadline = <-until:
			default:
			}
			if deadline.IsZero() {
				r := auditor.Report(nil, time.Time{})
				w.judge(r)
				return true
			}
			r := auditor.Report(w.Truth(), time.Time{})
			w.judge(r)
			return !(cut.Quiet && r.OK()) && time.Now().Before(deadline)
		})
		if err != nil {
			w.tb.Errorf("auditing: %v", err)
			w.mu.Lock()
			w.ended = err
			w.mu.Unlock()
		}
		reports <- auditor.Report(w.Truth(), time.Time{})
	}()
	return func(patience time.Duration) *audit.Report {
		until <- time.Now().Add(patience)
		r := <-reports
		cancel()
		return r
	}
}

func (w *World) judge(r *audit.Report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.judged = r
}

// Judged is the auditor's last report while it runs, nil before the first.
func (w *World) Judged() *audit.Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.judged
}

// Blind is why the auditor has given up, nil while it reads on.
func (w *World) Blind() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended
}
