package schemas

import (
	"encoding/json"
	"fmt"
	"time"
)

// JobVersion is the format version of a JobRequest and of a JobProgress.
const JobVersion = 1

// JobKind is what a job does with what the events topic lacks of a range.
type JobKind string

// The kinds of jobs.
const (
	// JobVerify only reports it.
	JobVerify JobKind = "verify"
	// JobRepair publishes it, as far back as the topic keeps events.
	JobRepair JobKind = "repair"
	// JobBackfill publishes it, as far back as it was asked for.
	JobBackfill JobKind = "backfill"
)

// Valid tells whether k is one of the kinds.
func (k JobKind) Valid() bool { return k == JobVerify || k == JobRepair || k == JobBackfill }

// JobRequest asks the owner of a connector's shard for a job: the value of the key
// "<connector>/jobs/<id>" on the control log. It stays for a while after the job
// has ended.
type JobRequest struct {
	// Version is JobVersion; Marshal writes it whatever it is here.
	Version int
	// ID is that of the key. Jobs of one connector are done in the order of their
	// ids, one at a time.
	ID        string
	Kind      JobKind
	Connector string
	// From and To are the range [From, To) of created_at; To is zero for up to the
	// window of the live poll.
	From, To time.Time
	// Older has a backfill publish also what the topic has deleted since.
	Older   bool
	AskedBy string
	AskedAt time.Time
	Reason  string
	// CancelledBy is who wants it to end; empty while nobody does.
	CancelledBy string
	CancelledAt time.Time
}

// Cancelled tells whether somebody wants the job to end.
func (r *JobRequest) Cancelled() bool { return r.CancelledBy != "" }

type wireRequest struct {
	Version     int       `json:"version"`
	ID          string    `json:"id"`
	Kind        JobKind   `json:"kind"`
	Connector   string    `json:"connector"`
	From        time.Time `json:"from"`
	To          time.Time `json:"to,omitzero"`
	Older       bool      `json:"beyond_retention,omitempty"`
	AskedBy     string    `json:"asked_by"`
	AskedAt     time.Time `json:"asked_at"`
	Reason      string    `json:"reason,omitempty"`
	CancelledBy string    `json:"cancelled_by,omitempty"`
	CancelledAt time.Time `json:"cancelled_at,omitzero"`
}

// Marshal returns r as JSON.
func (r JobRequest) Marshal() []byte {
	w := wireRequest(r)
	w.Version, w.From, w.AskedAt = JobVersion, wireTime(r.From), wireTime(r.AskedAt)
	if !r.To.IsZero() {
		w.To = wireTime(r.To)
	}
	if !r.CancelledAt.IsZero() {
		w.CancelledAt = wireTime(r.CancelledAt)
	}
	return marshal(w)
}

// ParseJobRequest reads what Marshal wrote. Fields it does not know are ignored.
// The error wraps ErrVersion for an unknown version.
func ParseJobRequest(value []byte) (JobRequest, error) {
	if err := checkVersion(value, JobVersion); err != nil {
		return JobRequest{}, fmt.Errorf("parsing job: %w", err)
	}
	var w wireRequest
	if err := json.Unmarshal(value, &w); err != nil {
		return JobRequest{}, fmt.Errorf("parsing job: %w", err)
	}
	err := required(field{"id", !validID(w.ID)}, field{"connector", !ValidConnector(w.Connector)}, field{"from", w.From.IsZero()},
		field{"asked_by", w.AskedBy == ""}, field{"asked_at", w.AskedAt.IsZero()})
	if err == nil && !w.Kind.Valid() {
		err = fmt.Errorf("kind %.40q is none of a job", w.Kind)
	}
	if err != nil {
		return JobRequest{}, fmt.Errorf("parsing job: %w", err)
	}
	for _, t := range []*time.Time{&w.From, &w.To, &w.AskedAt, &w.CancelledAt} {
		if !t.IsZero() {
			*t = wireTime(*t)
		}
	}
	return JobRequest(w), nil
}

// JobState is how far a job is.
type JobState string

// The states of a job. All but JobRunning are ends.
const (
	JobRunning JobState = "running"
	// JobDone has compared all of its range.
	JobDone JobState = "done"
	// JobFailed has given up, see JobProgress.Message.
	JobFailed    JobState = "failed"
	JobCancelled JobState = "cancelled"
)

// Ended tells whether nothing more comes of a job in this state.
func (s JobState) Ended() bool { return s == JobDone || s == JobFailed || s == JobCancelled }

// JobProgress is how far a job is and what it has found: the value of the key
// "<connector>/jobs/<id>" on the offsets topic. It is written together with what
// the job publishes.
type JobProgress struct {
	// Version is JobVersion; Marshal writes it whatever it is here.
	Version int
	ID      string
	Kind    JobKind
	State   JobState
	// Message says why it has failed, or what keeps it; empty for nothing.
	Message string
	// Instance is whose work it is at present.
	Instance             string
	StartedAt, UpdatedAt time.Time
	// Report is what was found so far. The job goes on from its Through.
	Report Report
}

// keptFindings is how many findings a record holds: it is written again and again.
const keptFindings = 20

type wireProgress struct {
	Version   int       `json:"version"`
	ID        string    `json:"id"`
	Kind      JobKind   `json:"kind"`
	State     JobState  `json:"state"`
	Message   string    `json:"message,omitempty"`
	Instance  string    `json:"instance"`
	StartedAt time.Time `json:"started_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Report
}

// Marshal returns p as JSON, with at most 20 findings.
func (p JobProgress) Marshal() []byte {
	r := p.Report.wire()
	r.Findings = r.Findings[:min(len(r.Findings), keptFindings)]
	return marshal(wireProgress{JobVersion, p.ID, p.Kind, p.State, p.Message, p.Instance, wireTime(p.StartedAt), wireTime(p.UpdatedAt), r})
}

// ParseJobProgress reads what Marshal wrote. Fields it does not know are ignored.
// The error wraps ErrVersion for an unknown version.
func ParseJobProgress(value []byte) (JobProgress, error) {
	if err := checkVersion(value, JobVersion); err != nil {
		return JobProgress{}, fmt.Errorf("parsing job progress: %w", err)
	}
	var w wireProgress
	if err := json.Unmarshal(value, &w); err != nil {
		return JobProgress{}, fmt.Errorf("parsing job progress: %w", err)
	}
	err := required(field{"id", !validID(w.ID)}, field{"from", w.From.IsZero()}, field{"to", w.To.IsZero()}, field{"through", w.Through.IsZero()},
		field{"started_at", w.StartedAt.IsZero()}, field{"updated_at", w.UpdatedAt.IsZero()})
	switch {
	case err != nil:
	case !w.Kind.Valid():
		err = fmt.Errorf("kind %.40q is none of a job", w.Kind)
	case w.State != JobRunning && !w.State.Ended():
		err = fmt.Errorf("state %.40q is none of a job", w.State)
	}
	if err != nil {
		return JobProgress{}, fmt.Errorf("parsing job progress: %w", err)
	}
	for i := range w.Findings {
		for _, t := range []*time.Time{&w.Findings[i].From, &w.Findings[i].To} {
			if !t.IsZero() {
				*t = wireTime(*t)
			}
		}
	}
	return JobProgress{w.Version, w.ID, w.Kind, w.State, w.Message, w.Instance, wireTime(w.StartedAt), wireTime(w.UpdatedAt), w.Report.wire()}, nil
}
