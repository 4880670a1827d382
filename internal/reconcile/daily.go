package reconcile

import (
	"context"
	"time"

	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
)

// What nobody has to ask for: every time it is due, all that was not verified yet is
// compared and repaired, up to the start of the window; verified is then what is
// older than Behind. So each event is compared at least twice, and one that OneLogin
// shows late by less than Behind is in the topic within Every of its being shown. How
// far it is, is the position's verified_through.

// due is how long it is until the daily comparison is.
func (w *Work) due(now time.Time) time.Duration {
	if w.Every == 0 {
		return time.Hour // there is nothing to wait for but jobs
	}
	wait := max(w.rest.Sub(now), 0)
	o := w.Poller.Committed()
	switch {
	case o.UpdatedAt.IsZero():
		return max(wait, settle)
	case o.VerifiedThrough.IsZero():
		return wait
	}
	// On a grid, so that connectors that are due together share a scan.
	due := o.VerifiedThrough.Add(w.Behind + w.Every).Truncate(max(w.Every/24, time.Second))
	return max(wait, due.Sub(now))
}

// daily verifies and repairs what is due.
func (w *Work) daily(ctx context.Context) {
	w.rest = time.Now().Add(settle)
	if err := w.verify(ctx, w.Poller.Committed()); err != nil && ctx.Err() == nil {
		w.Log.Warn().Err(err).Str("connector", w.Connector).Msg("verifying the topic fails; it is tried again")
		w.rest = time.Now().Add(w.Every / 24)
	}
}

// verify verifies what is due at position o.
func (w *Work) verify(ctx context.Context, o schemas.Offset) error {
	if o.VerifiedThrough.IsZero() { // from here on
		return w.Poller.Note(ctx, source.Note{Verified: o.WindowStart})
	}
	behind := earlier(time.Now().Add(-w.Behind), o.WindowStart)
	if !o.VerifiedThrough.Before(o.WindowStart) {
		return nil
	}
	w.Reader.Priority = source.Verify
	counted := schemas.Report{}
	c := &Comparison{
		Wish:  Wish{Connector: w.Connector, From: o.VerifiedThrough, To: o.WindowStart},
		Topic: w.Topic, Reader: w.Reader, Publisher: w.Poller, Tries: 10, Patience: time.Hour,
		Advance: func(ctx context.Context, r *schemas.Report) error {
			w.Metrics.count(w.Connector, &counted, r)
			counted = *r
			return w.Poller.Note(ctx, source.Note{Verified: earlier(r.Through, behind)})
		},
	}
	report, err := c.Run(ctx)
	w.Metrics.count(w.Connector, &counted, report)
	if !report.Whole() || report.Missing > 0 {
		w.Log.Warn().Str("connector", w.Connector).Dict("found", counts(report)).Msg("the topic was not as OneLogin shows it")
	}
	return err
}
