package console

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"onelogin-kafka/internal/jobs"
	"onelogin-kafka/producer/wire"
)

// deskLook is how often a desk looks for news of jobs.
const deskLook = 3 * time.Second

// Desk is the fleet's jobs as they were when it last looked: a page waits for no
// Kafka. It is safe for concurrent use.
type Desk struct {
	jobs Jobs
	log  zerolog.Logger

	mu    sync.Mutex
	list  []jobs.Job    // the newest first
	at    time.Time     // when it was read
	err   error         // what keeps it from being up to date
	filed int           // how many jobs were filed here
	news  chan struct{} // closed and replaced when list is another one
}

// NewDesk returns a desk that Run keeps up to date.
func NewDesk(j Jobs, log zerolog.Logger) *Desk {
	return &Desk{jobs: j, log: log, err: errNoJobsRead, news: make(chan struct{})}
}

// errNoJobsRead is what a desk says before it knows anything.
var errNoJobsRead = errors.New("the jobs have not been read yet")

// Run looks for news until ctx ends.
func (d *Desk) Run(ctx context.Context) {
	said := ""
	for ctx.Err() == nil {
		err := d.look(ctx)
		if ctx.Err() != nil {
			return
		}
		if text := trouble(err); text != said {
			// A topic that no instance was at yet need not be there.
			if said = text; err != nil && !errors.Is(err, wire.ErrUnknownTopic) {
				d.log.Warn().Err(err).Msg("the console cannot read the jobs: what it shows grows old")
			}
		}
		select {
		case <-time.After(deskLook):
		case <-ctx.Done():
		}
	}
}

func (d *Desk) look(ctx context.Context) error {
	d.mu.Lock()
	filed := d.filed
	d.mu.Unlock()
	// Whoever asks for a job waits behind this reading.
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	began := time.Now()
	list, err := d.jobs.List(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err != nil:
		d.err = err
	case d.filed == filed: // or what was read may lack what was filed meanwhile
		d.list, d.at, d.err = list, began, nil
		d.tell()
	}
	return err
}

// file takes over a job that was changed here: the next page is to show it.
func (d *Desk) file(j jobs.Job) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.filed++
	list := slices.DeleteFunc(slices.Clone(d.list), func(x jobs.Job) bool { return x.ID == j.ID && x.Connector == j.Connector })
	at, _ := slices.BinarySearchFunc(list, j, func(x, y jobs.Job) int { return cmp.Compare(y.ID, x.ID) })
	d.list = slices.Insert(list, at, j)
	d.tell()
}

// tell wakes who waits for news. The caller holds the lock.
func (d *Desk) tell() {
	close(d.news)
	d.news = make(chan struct{})
}

// next is closed when there is news.
func (d *Desk) next() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.news
}

// Jobs returns the jobs of a connector, of all where it is empty, the newest
// first; when they were read, and what keeps them from being up to date.
func (d *Desk) Jobs(connector string) ([]jobs.Job, time.Time, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if connector == "" {
		return d.list, d.at, d.err
	}
	var some []jobs.Job
	for _, j := range d.list {
		if j.Connector == connector {
			some = append(some, j)
		}
	}
	return some, d.at, d.err
}
