package source

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/semaphore"

	"onelogin-kafka/schemas"
)

// Poller polls one connector. Its exported fields are set before the first Run
// and may be changed between two.
type Poller struct {
	// Connector is the connector's name.
	Connector string
	Settings
	// Client asks the API.
	Client Client
	// Encoder makes the records; it is used by Run only.
	Encoder *schemas.Encoder
	// Budget is shared by all connectors of one account; nil = one of its own.
	Budget *Budget
	// Memory is shared by all pollers of the process; nil = without bounds.
	Memory Memory
	// Metrics are shared by all pollers; nil = none.
	Metrics *Metrics
	// Log gets state changes at info and warn, and details at debug.
	Log zerolog.Logger
	// AccountID, if not nil, returns the account of the credentials; 0 while
	// that is not known. An offset of another account is never touched.
	AccountID func() int64
	// OnChange, if not nil, is called by a goroutine of Run whenever state,
	// stage or message of Status change. It must not block.
	OnChange func()

	// What stays warm from session to session. Run alone uses it.
	pace    pace
	retry   *retry
	refused *retry // of credentials
	size    *pageSize
	// configured is the PageSize that size was made for.
	configured int
	pages      pages
	clock      clock
	// born is when a connector without an offset was first polled: "now" as
	// its start, however long the API is down after that.
	born   time.Time
	meters *meters
	log    zerolog.Logger

	mu      sync.Mutex
	budget  *Budget
	wake    chan struct{}
	repairs chan *repair
	room    *semaphore.Weighted // see repairRoom
	offset  schemas.Offset      // as committed
	pending []offered
	status  Status
	lagFrom time.Time // by our clock, what Status.Lag is counted from once all that is offered is committed
}

// Run polls until ctx ends or sink says that st no longer holds, and returns
// that error. Errors of the API never end it. It may be called again, with the
// state found in the topic, but never while another Run of p is under way:
// everything believed is replaced by st, while pace, budget and the learned
// page size stay.
func (p *Poller) Run(ctx context.Context, st *State, sink Sink) error {
	err := p.begin(st, sink).loop(ctx)
	if sinkErr, ok := errors.AsType[*sinkError](err); ok {
		return sinkErr.err
	}
	return err
}

// begin makes a session that goes on from st.
func (p *Poller) begin(st *State, sink Sink) *session {
	set := p.prepare()
	switch {
	case !st.Fresh:
		p.born = time.Time{}
	case p.born.IsZero(), !p.Committed().UpdatedAt.IsZero(): // never polled, or begun and forgotten since
		p.born = time.Now()
	}
	p.resume(st)
	p.pages.memory = p.Memory
	return newSession(p, set, st, sink)
}

func (p *Poller) prepare() Settings {
	set := p.Settings.withDefaults()
	p.log = p.Log.With().Str("connector", p.Connector).Logger()
	p.meters = p.Metrics.of(p.Connector)
	if p.retry == nil {
		r, refused := newRetry(set.PollMin, set.PollMax), newRetry(set.PollMin, refusedMax)
		p.retry, p.refused = &r, &refused
	}
	if p.size == nil || set.PageSize != p.configured {
		size := newPageSize(set.PageSize)
		p.size, p.configured = &size, set.PageSize
	}
	if p.pace.interval == 0 {
		p.pace.interval = set.PollMin
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.Budget != nil:
		p.budget = p.Budget
	case p.budget == nil:
		p.budget = NewBudget(defaultShare)
	}
	p.status.Interval = p.pace.interval
	p.room = semaphore.NewWeighted(repairBytes)
	return set
}

// Wake makes the next poll at once, whatever the trouble was: the secret has
// changed, or a check has succeeded. It may be called at any time.
func (p *Poller) Wake() {
	select {
	case p.woken() <- struct{}{}:
	default:
	}
}

func (p *Poller) woken() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wake == nil {
		p.wake = make(chan struct{}, 1)
	}
	return p.wake
}

// sinkError marks an error of the sink, which ends a session as it is.
type sinkError struct{ err error }

func (e *sinkError) Error() string { return e.err.Error() }
func (e *sinkError) Unwrap() error { return e.err }
