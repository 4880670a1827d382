package registry

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"onelogin-kafka/schemas"
)

// Job is a job's record on the control log.
type Job struct {
	ID, Connector string
	// Request is zero where Err is not nil: why the record cannot be read
	// (schemas.ErrVersion for one of a later version). It is left alone.
	Request schemas.JobRequest
	Err     error
}

// Jobs returns the jobs that were asked for of a connector, by id. known is false
// until the log was read whole, and while one that was made anew is read.
func (r *Registry) Jobs(connector string) (jobs []Job, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return sorted(r.jobs[connector]), r.whole && r.fresh == nil
}

// AllJobs returns the jobs of all connectors, by id.
func (r *Registry) AllJobs() []Job {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Job
	for _, jobs := range r.jobs {
		all = slices.AppendSeq(all, maps.Values(jobs))
	}
	slices.SortFunc(all, func(a, b Job) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Connector, b.Connector))
	})
	return all
}

func sorted(jobs map[string]Job) []Job {
	list := make([]Job, 0, len(jobs))
	for _, id := range slices.Sorted(maps.Keys(jobs)) {
		list = append(list, jobs[id])
	}
	return list
}

// job takes a job's record over. The caller holds the lock.
func (s *state) job(e Entry) {
	name, id := e.Key.Connector, e.Key.ID
	if e.Value == nil {
		if delete(s.jobs[name], id); len(s.jobs[name]) == 0 {
			delete(s.jobs, name)
		}
		return
	}
	if s.jobs[name] == nil {
		s.jobs[name] = map[string]Job{}
	}
	s.jobs[name][id] = readJob(e.Key, e.Value)
}

func readJob(key schemas.ControlKey, value []byte) Job {
	j := Job{ID: key.ID, Connector: key.Connector}
	j.Request, j.Err = schemas.ParseJobRequest(value)
	if j.Err == nil && (j.Request.ID != j.ID || j.Request.Connector != j.Connector) {
		j.Request, j.Err = schemas.JobRequest{}, fmt.Errorf("the record is that of job %s of connector %s", j.Request.ID, j.Request.Connector)
	}
	return j
}

// cancelled are the records that end all jobs of a connector that is removed.
func cancelled(known map[string][]byte, name string, who Who, now time.Time) []schemas.Record {
	var records []schemas.Record
	for _, key := range jobsOf(known, name) {
		j := readJob(key, known[key.String()])
		if j.Err != nil || j.Request.Cancelled() {
			continue // what a later version asked for is left alone
		}
		j.Request.CancelledBy, j.Request.CancelledAt = who.By, now
		records = append(records, schemas.Record{Topic: schemas.Connectors, Key: []byte(key.String()), Value: j.Request.Marshal(), Time: now})
	}
	return records
}

// forgotten are the tombstones of all jobs of a connector.
func forgotten(known map[string][]byte, name string, _ Who, now time.Time) []schemas.Record {
	var records []schemas.Record
	for _, key := range jobsOf(known, name) {
		records = append(records, schemas.Record{Topic: schemas.Connectors, Key: []byte(key.String()), Time: now})
	}
	return records
}

// jobsOf are the keys of a connector's jobs.
func jobsOf(known map[string][]byte, name string) []schemas.ControlKey {
	var keys []schemas.ControlKey
	for _, text := range slices.Sorted(maps.Keys(known)) {
		if key, err := schemas.ParseControlKey([]byte(text)); err == nil && key.Kind == schemas.ControlJob && key.Connector == name {
			keys = append(keys, key)
		}
	}
	return keys
}
