// Package jobs asks for jobs, watches and cancels them: comparisons of OneLogin with
// the events topic that the owner of a connector's shard works on (package
// reconcile). A request is a record of the control log, and how far a job is, a
// record of the owner's shard; so any command, page or instance sees the same.
//
// A Board is all that a surface needs:
//
//	b := &jobs.Board{Registry: r, Hand: h}
//	list, err := b.List(ctx)               // all, the newest first; or of some connectors
//	job, err := b.Get(ctx, id)             // State, Request, Progress
//	job, err := b.Ask(ctx, jobs.Wish{Kind: schemas.JobRepair, Connector: "acme", From: from, To: to}, who)
//	job, err := b.Cancel(ctx, id, who)
//
// A Job is marshalled as it is to be shown.
package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	kafka "github.com/segmentio/kafka-go"

	"onelogin-kafka/internal/registry"
	"onelogin-kafka/producer"
	"onelogin-kafka/schemas"
)

// Board is the jobs of a deployment. Its fields are set before its first use; it may
// be used by several goroutines.
type Board struct {
	// Registry is the control log, followed or read by whoever made it: what it has
	// not read is not listed.
	Registry *registry.Registry
	Hand     *producer.Hand

	mu     sync.Mutex
	shards map[int32]*shard // as far as they were read
}

// shard is what a partition of the offsets topic says of jobs and positions.
type shard struct {
	next    int64
	records map[string][]byte
}

// State is how far a job is, by what the control log and its progress say.
type State string

// The states of a job. Running, Done, Failed and Cancelled are those of its
// progress.
const (
	// Waiting: nobody has begun it.
	Waiting State = "waiting"
	Running State = State(schemas.JobRunning)
	Done    State = State(schemas.JobDone)
	Failed  State = State(schemas.JobFailed)
	// Cancelled: also where the owner does not know yet.
	Cancelled State = State(schemas.JobCancelled)
	// Unreadable: its record is of a later version, or broken; see Job.Err.
	Unreadable State = "unreadable"
)

// Ended tells whether nothing more comes of a job in this state.
func (s State) Ended() bool { return s != Waiting && s != Running }

// Job is a job as it is now.
type Job struct {
	ID, Connector string
	State         State
	// Request is zero where it cannot be read.
	Request schemas.JobRequest
	// Progress is nil while nobody has begun it, or where it cannot be read.
	Progress *schemas.JobProgress
	// Err is why a record cannot be read.
	Err error
}

// Whole tells whether a job has compared all of its range, and nothing is wrong
// there that was not mended.
func (j *Job) Whole() bool { return j.State == Done && j.Progress.Report.Whole() }

// Share is how much of its range a running or ended job has compared, 0 to 1.
func (j *Job) Share() float64 {
	if j.Progress == nil {
		return 0
	}
	r := &j.Progress.Report
	all := r.To.Sub(r.From)
	if all <= 0 {
		return 1
	}
	return float64(r.Through.Sub(r.From)) / float64(all)
}

// MarshalJSON is the form in which a job is shown everywhere.
func (j Job) MarshalJSON() ([]byte, error) {
	shown := struct {
		ID        string          `json:"id"`
		Connector string          `json:"connector"`
		State     State           `json:"state"`
		Whole     bool            `json:"whole"`
		Request   json.RawMessage `json:"request,omitempty"`
		Progress  json.RawMessage `json:"progress,omitempty"`
		Error     string          `json:"error,omitempty"`
	}{ID: j.ID, Connector: j.Connector, State: j.State, Whole: j.Whole()}
	if j.Request.ID != "" {
		shown.Request = j.Request.Marshal()
	}
	if j.Progress != nil {
		shown.Progress = j.Progress.Marshal()
	}
	if j.Err != nil {
		shown.Error = j.Err.Error()
	}
	return json.Marshal(shown)
}

// joined is a job by its request and the value of its progress, nil for none.
func joined(r registry.Job, progress []byte) Job {
	j := Job{ID: r.ID, Connector: r.Connector, Request: r.Request, Err: r.Err}
	if progress != nil {
		p, err := schemas.ParseJobProgress(progress)
		if err == nil {
			j.Progress = &p
		}
		j.Err = errors.Join(j.Err, err)
	}
	switch {
	case j.Err != nil:
		j.State = Unreadable
	case j.Progress != nil && j.Progress.State.Ended():
		j.State = State(j.Progress.State)
	case r.Request.Cancelled():
		j.State = Cancelled
	case j.Progress != nil:
		j.State = Running
	default:
		j.State = Waiting
	}
	return j
}

// ErrNotFound is wrapped by the error for a job that is not on the control log.
var ErrNotFound = errors.New("is not on the control log; onelogin-kafka jobs list shows those that are")

// List returns the jobs of some connectors, of all where none are named, the newest
// first.
func (b *Board) List(ctx context.Context, connectors ...string) ([]Job, error) {
	var list []registry.Job
	for _, name := range connectors {
		some, _ := b.Registry.Jobs(name)
		list = append(list, some...)
	}
	if len(connectors) == 0 {
		list = b.Registry.AllJobs()
	}
	names := map[string]bool{}
	for _, j := range list {
		names[j.Connector] = true
	}
	records, err := b.read(ctx, slices.Collect(maps.Keys(names))...)
	if err != nil {
		return nil, err
	}
	all := make([]Job, 0, len(list))
	for _, j := range slices.Backward(list) {
		all = append(all, joined(j, records[string(schemas.JobKey(j.Connector, j.ID))]))
	}
	slices.SortStableFunc(all, func(x, y Job) int { return cmp.Compare(y.ID, x.ID) })
	return all, nil
}

// Get returns a job. The error wraps ErrNotFound for one that is not there.
func (b *Board) Get(ctx context.Context, id string) (Job, error) {
	for _, j := range b.Registry.AllJobs() {
		if j.ID != id {
			continue
		}
		records, err := b.read(ctx, j.Connector)
		if err != nil {
			return Job{}, err
		}
		return joined(j, records[string(schemas.JobKey(j.Connector, id))]), nil
	}
	return Job{}, fmt.Errorf("job %.80s %w", id, ErrNotFound)
}

// patience bounds how long a partition is read for what is new: an open transaction
// of a dead owner is decided by then.
const patience = time.Minute

// read returns what the offsets topic says of connectors: positions and jobs, by
// key. What was read before is not read again.
func (b *Board) read(ctx context.Context, connectors ...string) (map[string][]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	topic := b.Hand.Topics.Specs[schemas.Offsets].Name
	n, err := b.Hand.Cluster.Partitions(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("looking for topic %s: %w", topic, err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found, fresh := map[string][]byte{}, map[int32]bool{}
	for _, name := range connectors {
		index := producer.PartitionFor(schemas.OffsetKey(name), n)
		if !fresh[index] {
			if err := b.refresh(ctx, topic, index); err != nil {
				return nil, fmt.Errorf("reading partition %d of topic %s: %w", index, topic, err)
			}
			fresh[index] = true
		}
		for key, value := range b.shards[index].records {
			if k, err := schemas.ParseOffsetsKey([]byte(key)); err == nil && k.Connector == name {
				found[key] = value
			}
		}
	}
	return found, nil
}

// refresh reads what is new on a partition.
func (b *Board) refresh(ctx context.Context, topic string, index int32) error {
	log := producer.CommittedLog{Cluster: b.Hand.Cluster, Topic: topic, Partition: index}
	s := b.shards[index]
	if s == nil {
		start, err := log.Start(ctx)
		if err != nil {
			return err
		}
		s = &shard{next: start, records: map[string][]byte{}}
	}
	end, err := log.ReadFrom(ctx, s.next, func(_ int64, r *schemas.Record) error {
		k, bad := schemas.ParseOffsetsKey(r.Key)
		switch {
		case bad != nil || k.Kind != schemas.OffsetsPosition && k.Kind != schemas.OffsetsJob:
		case r.Value == nil:
			delete(s.records, string(r.Key))
		default:
			s.records[string(r.Key)] = slices.Clone(r.Value)
		}
		return nil //nolint:nilerr // a key that is of no known kind is passed over
	})
	if errors.Is(err, kafka.OffsetOutOfRange) || err == nil && end < s.next {
		delete(b.shards, index) // the topic was made anew, or begins later
		return fmt.Errorf("it ends at %d and was read up to %d; ask again: %w", end, s.next, kafka.OffsetOutOfRange)
	}
	if err != nil {
		return err
	}
	s.next = end
	if b.shards == nil {
		b.shards = map[int32]*shard{}
	}
	b.shards[index] = s
	return nil
}
