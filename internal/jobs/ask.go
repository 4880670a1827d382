package jobs

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"onelogin-kafka/internal/position"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/schemas"
)

// Wish is a job as somebody wants it.
type Wish struct {
	Kind      schemas.JobKind
	Connector string
	// From and To are the range [From, To) of created_at; To may be zero for as far
	// as there is.
	From, To time.Time
	// Older has a backfill publish also what the topic does not keep any more.
	Older bool
}

// Plan is what a wish means.
type Plan struct {
	Wish
	// To is where the range ends: what is newer is the live poll's.
	To time.Time
	// Kept is the time from which on the topic keeps events; zero = all.
	Kept time.Time
	// Why says what is deleted before it.
	Why string
}

// ErrRefused is wrapped by the error for a wish that makes no sense as it is.
var ErrRefused = errors.New("refused")

// RetentionError says that a backfill goes further back than the topic keeps events.
type RetentionError struct {
	Topic      string
	From, Kept time.Time
	Why        string
}

// Error implements error.
func (e *RetentionError) Error() string {
	return fmt.Sprintf("refused: topic %s keeps no events from before %s (%s), and the range begins at %s: those that were there before would be published once more, and deleted again; "+
		"begin later, raise its retention, or ask for it beyond retention", e.Topic, e.Kept.Format(time.RFC3339), e.Why, e.From.Format(time.RFC3339))
}

// Plan says what a wish means, by what is there now. The error wraps ErrRefused, or
// is a *RetentionError with a Plan all the same.
func (b *Board) Plan(ctx context.Context, w Wish) (Plan, error) {
	now := time.Now()
	switch {
	case !w.Kind.Valid():
		return Plan{}, fmt.Errorf("%w: %.40q is no kind of a job: verify, repair or backfill", ErrRefused, w.Kind)
	case !schemas.ValidConnector(w.Connector):
		return Plan{}, fmt.Errorf("%w: %.80q is no name of a connector", ErrRefused, w.Connector)
	case w.From.IsZero() || w.From.After(now):
		return Plan{}, fmt.Errorf("%w: the range begins in the future, or nowhere", ErrRefused)
	case !w.To.IsZero() && !w.From.Before(w.To):
		return Plan{}, fmt.Errorf("%w: the range ends at %s, before it begins at %s", ErrRefused, w.To.Format(time.RFC3339), w.From.Format(time.RFC3339))
	}
	records, err := b.read(ctx, w.Connector)
	if err != nil {
		return Plan{}, err
	}
	value := records[w.Connector]
	if value == nil {
		return Plan{}, fmt.Errorf("%w: connector %s has no position yet: it has to be polled before it is compared", ErrRefused, w.Connector)
	}
	o, err := schemas.ParseOffset(value)
	if err != nil {
		return Plan{}, fmt.Errorf("connector %s: %w", w.Connector, err)
	}
	p := Plan{Wish: w, To: o.WindowStart}
	if !w.To.IsZero() && w.To.Before(p.To) {
		p.To = w.To
	}
	if !w.From.Before(p.To) {
		return p, fmt.Errorf("%w: there is nothing to compare: the range begins at %s, and what connector %s reads again by itself at %s",
			ErrRefused, w.From.Format(time.RFC3339), w.Connector, o.WindowStart.Format(time.RFC3339))
	}
	events := position.Events{Cluster: b.Hand.Cluster, Topic: b.Hand.Topics.Specs[schemas.Events].Name}
	if p.Kept, p.Why, err = events.Begins(ctx, w.Connector, now); err != nil {
		return p, err
	}
	if w.Kind == schemas.JobBackfill && !w.Older && w.From.Before(p.Kept) {
		return p, &RetentionError{Topic: events.Topic, From: w.From, Kept: p.Kept, Why: p.Why}
	}
	return p, nil
}

// Requests of jobs that have ended stay on the control log for a while, so that they
// can be looked at: the newest of each connector, and none for longer.
const (
	keptJobs = 100
	keptFor  = 30 * 24 * time.Hour
)

// Ask asks for a job. The errors are those of Plan, and Kafka's.
func (b *Board) Ask(ctx context.Context, w Wish, who registry.Who) (Job, error) {
	if _, err := b.Plan(ctx, w); err != nil {
		return Job{}, err
	}
	before, err := b.List(ctx, w.Connector)
	if err != nil {
		return Job{}, err
	}
	var r schemas.JobRequest
	err = b.Registry.Write(ctx, func(known map[string][]byte) ([]schemas.Record, error) {
		now := time.Now().UTC().Round(0)
		r = schemas.JobRequest{
			ID: newID(now, known), Kind: w.Kind, Connector: w.Connector, From: w.From.UTC(), To: w.To, Older: w.Older,
			AskedBy: who.By, AskedAt: now, Reason: who.Reason,
		}
		records := append(outdated(before, known, now), written(r, now),
			audit(who, "job.ask", r.Connector, nil, r.Marshal(), now))
		return records, nil
	})
	if err != nil {
		return Job{}, fmt.Errorf("asking for a job: %w", err)
	}
	return joined(registry.Job{ID: r.ID, Connector: r.Connector, Request: r}, nil), nil
}

// idTime is what an id begins with.
const idTime = "20060102-150405"

// newID is an id that sorts behind those of before, and is no other's.
func newID(now time.Time, known map[string][]byte) string {
	last := ""
	for key := range known {
		if k, err := schemas.ParseControlKey([]byte(key)); err == nil && k.Kind == schemas.ControlJob {
			last = max(last, k.ID)
		}
	}
	if at, err := time.Parse(idTime, last[:min(len(last), len(idTime))]); err == nil && !at.Before(now.Truncate(time.Second)) && at.Sub(now) < time.Hour {
		now = at.Add(time.Second) // somebody's clock is ahead, or it is the same second
	}
	return now.UTC().Format(idTime) + "-" + strings.ToLower(rand.Text()[:5])
}

// outdated are the tombstones of jobs that have ended and need not be shown any
// more. before are the connector's jobs, the newest first.
func outdated(before []Job, known map[string][]byte, now time.Time) []schemas.Record {
	var records []schemas.Record
	for i, j := range before {
		old := i >= keptJobs-1 || now.Sub(j.Request.AskedAt) > keptFor
		over := j.State == Done || j.State == Failed || j.State == Cancelled && (j.Progress == nil || j.Progress.State.Ended())
		key := schemas.JobKey(j.Connector, j.ID)
		if old && over && known[string(key)] != nil {
			records = append(records, schemas.Record{Topic: schemas.Connectors, Key: key, Time: now})
		}
	}
	return records
}

func written(r schemas.JobRequest, now time.Time) schemas.Record {
	return schemas.Record{Topic: schemas.Connectors, Key: schemas.JobKey(r.Connector, r.ID), Value: r.Marshal(), Time: now}
}

func audit(who registry.Who, action, connector string, before, after []byte, now time.Time) schemas.Record {
	entry := who.Entry(action, now)
	entry.Connector, entry.Before, entry.After = connector, before, after
	return entry.Record()
}

// ErrEnded is wrapped by the error for a job that cannot be cancelled, as it has
// ended.
var ErrEnded = errors.New("has ended already")

// Cancel has a job end. What it has published stays. Nothing is done to one that was
// cancelled before. The error wraps ErrNotFound, ErrEnded, or schemas.ErrVersion for
// one that a later version has asked for.
func (b *Board) Cancel(ctx context.Context, id string, who registry.Who) (Job, error) {
	j, err := b.Get(ctx, id)
	if err != nil {
		return Job{}, err
	}
	if j.State == Done || j.State == Failed {
		return j, fmt.Errorf("job %s %w: %s", id, ErrEnded, j.State)
	}
	r := registry.Job{ID: j.ID, Connector: j.Connector}
	key := schemas.JobKey(j.Connector, id)
	err = b.Registry.Write(ctx, func(known map[string][]byte) ([]schemas.Record, error) {
		value := known[string(key)]
		if value == nil {
			return nil, fmt.Errorf("job %s %w", id, ErrNotFound)
		}
		var err error
		if r.Request, err = schemas.ParseJobRequest(value); err != nil {
			return nil, fmt.Errorf("job %s: %w", id, err)
		}
		if r.Request.Cancelled() {
			return nil, nil
		}
		now := time.Now().UTC().Round(0)
		r.Request.CancelledBy, r.Request.CancelledAt = cmp.Or(who.By, "unknown"), now
		return []schemas.Record{written(r.Request, now), audit(who, "job.cancel", j.Connector, value, r.Request.Marshal(), now)}, nil
	})
	if err != nil {
		return j, err
	}
	var progress []byte
	if j.Progress != nil {
		progress = j.Progress.Marshal()
	}
	return joined(r, progress), nil
}
