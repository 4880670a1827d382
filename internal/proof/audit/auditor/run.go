package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"onelogin-kafka/internal/proof/audit"
)

// run judges and prints the report; ok tells that no rule is broken.
func (o *options) run(ctx context.Context, out io.Writer) (ok bool, err error) {
	r, err := audit.NewReader(o.brokers, o.topics)
	if err != nil {
		return false, err
	}
	defer r.Close()
	r.Patience = o.patience
	if o.follow {
		o.rules.FollowedFrom = time.Now()
	}
	a := audit.New(o.rules)
	if o.follow {
		if err := o.watch(ctx, out, r, a); err != nil {
			return false, err
		}
		// Interrupted: one last judgement of all there is.
		ctx = context.WithoutCancel(ctx)
	}
	report, err := o.settle(ctx, r, a)
	if err != nil {
		return false, err
	}
	fmt.Fprint(out, report)
	if report.Published() == 0 {
		fmt.Fprintln(out, "NO DATA: no event was there to be judged")
		return false, nil
	}
	return report.OK(), nil
}

// settle judges once, or with wait until nothing is missing any more.
func (o *options) settle(ctx context.Context, r *audit.Reader, a *audit.Auditor) (*audit.Report, error) {
	deadline := time.Now().Add(o.wait)
	for {
		begin := time.Now()
		cut, err := r.Snapshot(ctx, a)
		if err != nil {
			return nil, err
		}
		truth, err := o.truth(ctx)
		if err != nil {
			return nil, err
		}
		report := a.Report(truth, begin.Add(-o.grace))
		done := report.OK() && cut.Quiet && report.Published() > 0
		if done || !report.OnlyMissing() || !time.Now().Add(o.interval).Before(deadline) {
			return report, nil
		}
		if err := sleep(ctx, o.interval); err != nil {
			return nil, err
		}
	}
}

// watch judges until ctx ends, and prints each kind of violation when it first
// appears. Events that are not there yet are left to the last judgement.
func (o *options) watch(ctx context.Context, out io.Writer, r *audit.Reader, a *audit.Auditor) error {
	seen := map[string]bool{}
	var trouble error
	err := r.Follow(ctx, a, o.interval, func(audit.Cut) bool {
		truth, err := o.truth(ctx)
		if err != nil && ctx.Err() == nil {
			trouble = err
			return false
		}
		for _, v := range a.Report(truth, time.Time{}).Violations {
			k := v.Rule + " " + v.Name + " " + v.Connector
			if seen[k] || v.Rule == "A1" && v.Name == "missing" {
				continue
			}
			seen[k] = true
			fmt.Fprintf(out, "%s %s\n    %s\n", time.Now().UTC().Format(time.RFC3339), k, v.Samples[0])
		}
		return ctx.Err() == nil
	})
	if ctx.Err() != nil {
		return nil //nolint:nilerr // watching ends when it is told to
	}
	if trouble != nil {
		return trouble
	}
	return err
}

// truth asks the simulator; nil without one.
func (o *options) truth(ctx context.Context) (audit.Truth, error) {
	if o.sim == "" {
		return nil, nil
	}
	truth := audit.Truth{}
	var tenants []struct{ Name string }
	if err := o.get(ctx, "tenants", func(r io.Reader) error { return json.NewDecoder(r).Decode(&tenants) }); err != nil {
		return nil, err
	}
	for _, t := range tenants {
		err := o.get(ctx, "truth/"+url.PathEscape(t.Name), func(r io.Reader) (err error) {
			truth[t.Name], err = audit.TruthFromNDJSON(r)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return truth, nil
}

func (o *options) get(ctx context.Context, path string, read func(io.Reader) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(o.sim, "/")+"/_sim/"+path, nil)
	if err != nil {
		return fmt.Errorf("asking the simulator for %s: %w", path, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("asking the simulator for %s: %w", path, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("asking the simulator for %s: status %d", path, resp.StatusCode)
	}
	if err := read(resp.Body); err != nil {
		return fmt.Errorf("reading the simulator's %s: %w", path, err)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
