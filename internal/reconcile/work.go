package reconcile

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"onelogin-kafka/internal/registry"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
)

// Poller is the connector's poller, at work in the shard's session.
type Poller interface {
	Publisher
	// Note writes a note in a transaction of its own.
	Note(ctx context.Context, note source.Note) error
	// Committed is the position as it is known to be committed; zero for none.
	Committed() schemas.Offset
}

// Work is what is compared of one connector for the length of one session of its
// poller: the jobs that were asked for, one at a time in the order of their ids, and
// while there is none what nobody has to ask for (see daily.go). How far a job is,
// is a record of the shard's own partition of the offsets topic, written with what
// it publishes, so that the next session goes on from there. Its fields are set
// before Run.
type Work struct {
	Connector string
	// Instance is who does it.
	Instance string
	Topic    *Topic
	Reader   *source.Reader
	Poller   Poller
	// Jobs is what the control log asks for, by id; false while it is not known.
	Jobs func() ([]registry.Job, bool)
	// Asked has something when that may be another than it was.
	Asked <-chan struct{}
	// Records are the connector's on the offsets topic when the session began.
	Records map[string][]byte
	Metrics *Metrics
	Log     zerolog.Logger
	// Every is how often the topic is verified with nobody asking, 0 = never;
	// Behind how old an event is when it is shown at last.
	Every, Behind time.Duration

	known map[string]progress // by the id of the job
	rest  time.Time           // when the daily comparison may be tried again
}

// progress is how far a job is.
type progress struct {
	schemas.JobProgress
	err error // why its record cannot be read
}

// settle is how long a session must last before it is looked what is due with
// nobody asking: shards that move often are not compared at each move.
const settle = time.Minute

// Begin must be called before the first Run.
func (w *Work) Begin() {
	w.rest = time.Now().Add(settle)
	w.read()
}

// Run does what is asked for or due, until nothing is or ctx ends, and returns how
// long it is until something will be with nobody asking. What it is asked for must
// be no older than the session. A comparison that was cut off goes on in the next.
func (w *Work) Run(ctx context.Context) (wait time.Duration) {
	for ctx.Err() == nil {
		w.tidy(ctx)
		if r, ok := w.next(); ok {
			w.attend(ctx, func() bool { return !w.wanted(r.ID) }, func(ctx context.Context) { w.job(ctx, r) })
			continue
		}
		if wait = w.due(time.Now()); wait > 0 {
			return wait
		}
		w.attend(ctx, func() bool { _, asked := w.next(); return asked }, w.daily)
	}
	return 0
}

// attend does something until it is over, by itself or since it is not wanted any
// more.
func (w *Work) attend(ctx context.Context, unwanted func() bool, do func(context.Context)) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(ctx)
	}()
	for {
		select {
		case <-done:
			return
		case <-w.Asked:
			if unwanted() {
				stop()
			}
		}
	}
}

// read takes over how far the jobs are.
func (w *Work) read() {
	w.known = map[string]progress{}
	for key, value := range w.Records {
		k, err := schemas.ParseOffsetsKey([]byte(key))
		if err != nil || k.Kind != schemas.OffsetsJob {
			continue
		}
		p, err := schemas.ParseJobProgress(value)
		if err != nil {
			w.Log.Warn().Err(err).Str("connector", w.Connector).Str("job", k.Job).Msg("how far a job is cannot be read; it is left alone")
		}
		w.known[k.Job] = progress{p, err}
	}
	w.Records = nil
}

// next is the job to work on.
func (w *Work) next() (schemas.JobRequest, bool) {
	jobs, _ := w.Jobs()
	for _, j := range jobs {
		p := w.known[j.ID]
		if j.Err == nil && p.err == nil && !j.Request.Cancelled() && !p.State.Ended() {
			return j.Request, true
		}
	}
	return schemas.JobRequest{}, false
}

// wanted tells whether a job is still asked for.
func (w *Work) wanted(id string) bool {
	jobs, known := w.Jobs()
	return !known || slices.ContainsFunc(jobs, func(j registry.Job) bool { return j.ID == id && j.Err == nil && !j.Request.Cancelled() })
}

// tidy ends the jobs that were cancelled, and forgets those that ended and that the
// control log does not have any more.
func (w *Work) tidy(ctx context.Context) {
	jobs, known := w.Jobs()
	if !known {
		return
	}
	asked := map[string]registry.Job{}
	for _, j := range jobs {
		asked[j.ID] = j
	}
	var records []schemas.Record
	var gone []string
	ended := map[string]progress{}
	for _, id := range slices.Sorted(maps.Keys(w.known)) {
		p := w.known[id]
		j, there := asked[id]
		switch {
		case p.err != nil || there && j.Err != nil:
		case !there:
			records = append(records, w.record(id, nil))
			gone = append(gone, id)
		case j.Request.Cancelled() && !p.State.Ended():
			p.State, p.Message, p.UpdatedAt = schemas.JobCancelled, "", time.Now()
			ended[id] = p
			records = append(records, w.record(id, p.Marshal()))
			w.Log.Info().Str("connector", w.Connector).Str("job", id).Str("by", j.Request.CancelledBy).Msg("a job was cancelled")
		}
	}
	if len(records) == 0 || w.write(ctx, records...) != nil {
		return // what is not written is done again
	}
	maps.Copy(w.known, ended)
	for _, id := range gone {
		delete(w.known, id)
	}
}

func (w *Work) record(id string, value []byte) schemas.Record {
	return schemas.Record{Topic: schemas.Offsets, Key: schemas.JobKey(w.Connector, id), Value: value, Time: time.Now()}
}

func (w *Work) write(ctx context.Context, records ...schemas.Record) error {
	return w.Poller.Note(ctx, source.Note{Records: func(int) []schemas.Record { return records }})
}

const (
	// jobTries is how often in a row OneLogin may fail before a job does: some
	// hours.
	jobTries = 30
	// troubleWait is the pause after trouble with Kafka, and kafkaTries how often in
	// a row it may come without the job getting on.
	troubleWait = time.Minute
	kafkaTries  = 30
	// again is what is said behind the trouble of a job that has not ended.
	again = "; it is tried again"
)

// job works on a job until it is at its end, or ctx.
func (w *Work) job(ctx context.Context, r schemas.JobRequest) {
	o := w.Poller.Committed()
	for o.UpdatedAt.IsZero() { // it has no position yet, before which to publish
		if sleep(ctx, time.Second) != nil {
			return
		}
		o = w.Poller.Committed()
	}
	p := w.known[r.ID].JobProgress
	if p.ID == "" {
		p = begun(r, o)
	}
	p.Instance, p.Message = w.Instance, ""
	for err := w.keep(ctx, &p); err != nil; err = w.keep(ctx, &p) {
		// The session is over, or the credentials are not the position's.
		w.Log.Warn().Err(err).Str("connector", w.Connector).Str("job", r.ID).Msg("a job cannot be worked on; it is tried again")
		if sleep(ctx, troubleWait) != nil {
			return
		}
	}
	for tries := 1; ; tries++ {
		through := p.Report.Through
		err := w.compare(ctx, r, &p)
		if ctx.Err() != nil {
			return
		}
		if p.Report.Through.After(through) {
			tries = 1
		}
		_, api := errors.AsType[*source.APIError](err)
		p.Message = ""
		switch {
		case err == nil:
			p.State = schemas.JobDone
		case api || tries >= kafkaTries:
			p.State, p.Message = schemas.JobFailed, err.Error()
		default:
			p.Message = err.Error() + again
		}
		w.Log.WithLevel(level(p.State, &p.Report)).Err(err).Str("connector", w.Connector).Str("job", r.ID).Str("kind", string(r.Kind)).Str("state", string(p.State)).
			Dict("found", counts(&p.Report)).Msg("a job has come this far")
		if w.keep(ctx, &p) != nil || p.State.Ended() || sleep(ctx, troubleWait) != nil {
			return
		}
	}
}

// begun is a job at its beginning.
func begun(r schemas.JobRequest, o schemas.Offset) schemas.JobProgress {
	to := o.WindowStart
	if !r.To.IsZero() {
		to = earlier(r.To, to)
	}
	from := earlier(r.From, to)
	return schemas.JobProgress{
		ID: r.ID, Kind: r.Kind, State: schemas.JobRunning, StartedAt: time.Now(),
		Report: schemas.Report{From: from, To: to, Through: from},
	}
}

// keep writes how far a job is.
func (w *Work) keep(ctx context.Context, p *schemas.JobProgress) error {
	p.UpdatedAt = time.Now()
	if err := w.write(ctx, w.record(p.ID, p.Marshal())); err != nil {
		return err
	}
	w.known[p.ID] = progress{JobProgress: *p}
	return nil
}

// compare does what is left of a job. p says what came of it.
func (w *Work) compare(ctx context.Context, r schemas.JobRequest, p *schemas.JobProgress) error {
	w.Reader.Priority = source.Backfill
	// The position may have been set back since the job began: what lies behind it is
	// the live poll's again, and published by it.
	p.Report.To = later(p.Report.Through, earlier(p.Report.To, w.Poller.Committed().WindowStart))
	c := &Comparison{
		Wish:  Wish{Connector: w.Connector, From: p.Report.From, To: p.Report.To},
		Topic: w.Topic, Reader: w.Reader, Tries: jobTries, Before: p.Report, Older: r.Kind == schemas.JobBackfill && r.Older,
	}
	if r.Kind != schemas.JobVerify {
		c.Publisher = w.Poller
	}
	counted := p.Report
	tell := func(report *schemas.Report) {
		w.Metrics.count(w.Connector, &counted, report)
		counted, p.Report = *report, *report
	}
	c.Records = func(report *schemas.Report) []schemas.Record {
		next := *p
		next.Report, next.Message, next.UpdatedAt = *report, "", time.Now()
		return []schemas.Record{w.record(p.ID, next.Marshal())}
	}
	c.Advance = func(ctx context.Context, report *schemas.Report) error {
		tell(report)
		p.Message = ""
		return w.keep(ctx, p)
	}
	c.Troubled = func(err error) {
		w.Log.Warn().Err(err).Str("connector", w.Connector).Str("job", p.ID).Msg("a job does not get on; it goes on by itself")
		if c.told != nil { // what is on the topic already
			tell(c.told)
		}
		// Who looks at the job sees what it waits for. What cannot be written now is not worth more than the log.
		if message := err.Error() + again; p.Message != message {
			p.Message = message
			_ = w.keep(ctx, p)
		}
	}
	report, err := c.Run(ctx)
	tell(report)
	w.known[p.ID] = progress{JobProgress: *p}
	return err
}

// counts are what a report has counted, for a log.
func counts(r *schemas.Report) *zerolog.Event {
	return zerolog.Dict().Time("from", r.From).Time("to", r.Through).
		Int64("events", r.Events).Int64("missing", r.Missing).Int64("repaired", r.Repaired).
		Int64("altered", r.Altered).Int64("duplicate", r.Duplicate).Int64("unshown", r.Unshown)
}

// level is how loud a log says it.
func level(state schemas.JobState, r *schemas.Report) zerolog.Level {
	if state == schemas.JobDone && r.Whole() {
		return zerolog.InfoLevel
	}
	return zerolog.WarnLevel
}
