package console

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"onelogin-kafka/internal/fleet"
	"onelogin-kafka/schemas"
)

// Board is how the connectors of all instances fare, by what the status topic
// says, with what it said before and who wants to know of changes. It is safe for
// concurrent use.
type Board struct {
	topic fleet.Topic
	// configured are the names that are shown though nobody has reported them.
	configured func() []string
	log        zerolog.Logger

	mu       sync.Mutex
	view     *fleet.View
	tracks   map[string]*track
	owners   owners
	consoles map[string]spoken // by instance
	watchers map[*watcher]bool
	err      error // what keeps it from being up to date
	list     []fleet.Status
	listed   time.Time
	counts   map[schemas.State]int
	counted  time.Time
}

// NewBoard returns a board that Run keeps up to date. configured returns the
// connectors that this instance is to poll.
func NewBoard(topic fleet.Topic, configured func() []string, log zerolog.Logger) *Board {
	return &Board{
		topic: topic, configured: configured, log: log,
		view: fleet.NewView(), tracks: map[string]*track{}, consoles: map[string]spoken{}, watchers: map[*watcher]bool{}, err: errNotRead,
	}
}

// errNotRead is what a board says before it knows anything.
var errNotRead = errors.New("the status topic has not been read yet")

// Run follows the status topic until ctx ends.
func (b *Board) Run(ctx context.Context) {
	for ctx.Err() == nil {
		err := b.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := time.Second
		if err == nil {
			wait, err = 200*time.Millisecond, errNotRead // there is no such topic yet
		} else {
			b.log.Warn().Err(err).Msg("the console cannot follow the status topic: what it shows grows old")
		}
		b.trouble(err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

func (b *Board) trouble(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

// follow reads the topic and then what comes. Each time it begins with nothing:
// what was removed meanwhile has no record any more.
func (b *Board) follow(ctx context.Context) error {
	fresh := fleet.NewView()
	taker := &boardTaker{board: b, view: fresh}
	ends, err := b.topic.Read(ctx, taker)
	if err != nil || len(ends) == 0 {
		return err
	}
	b.mu.Lock()
	b.view, b.err, b.listed, b.counted = fresh, nil, time.Time{}, time.Time{}
	b.mu.Unlock()
	return b.topic.Follow(ctx, taker, ends, func() {})
}

// boardTaker implements fleet.Taker.
type boardTaker struct {
	board *Board
	view  *fleet.View
}

// Take hands a record on to the view, and then tells who waits for it.
func (t *boardTaker) Take(r *schemas.Record) {
	t.view.Take(r)
	t.board.remember(r)
}

// remember keeps what a record says that its successor will not.
func (b *Board) remember(r *schemas.Record) {
	name := string(r.Key)
	st, err := schemas.ParseStatus(r.Value)
	b.mu.Lock()
	defer b.mu.Unlock()
	for w := range b.watchers {
		w.tell(name)
	}
	if r.Value == nil {
		delete(b.tracks, name)
		return
	}
	if err != nil || st.Connector != name {
		return
	}
	b.owners.add(st.Shard, st.Instance, r.Time)
	b.hear(&st, r.Time)
	t := b.tracks[name]
	if t == nil {
		t = &track{}
		b.tracks[name] = t
	}
	t.add(&st)
}

// listFor is how long a list is used again: it is sorted anew for nobody sooner.
const listFor = 500 * time.Millisecond

// countFor is how long counts are used again.
const countFor = 2 * time.Second

// List returns all connectors, worst first, and what keeps the list from being
// up to date. The list is only to be looked at.
func (b *Board) List(now time.Time) ([]fleet.Status, error) {
	names := b.configured()
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.listed) > listFor || now.Before(b.listed) {
		b.list, b.listed = b.view.List(now, names...), now
	}
	return b.list, b.err
}

// Counts returns how many connectors are in each state, and what keeps that from
// being up to date. It is only to be looked at: all open pages are told the same.
func (b *Board) Counts(now time.Time) (map[schemas.State]int, error) {
	names := b.configured()
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.counted) > countFor || now.Before(b.counted) {
		b.counts, b.counted = b.view.Counts(now, names...), now
	}
	return b.counts, b.err
}

// Get returns one connector, and false if there is none of that name.
func (b *Board) Get(name string, now time.Time) (fleet.Status, bool) {
	b.mu.Lock()
	view := b.view
	b.mu.Unlock()
	if st, ok := view.Get(name, now); ok || !slices.Contains(b.configured(), name) {
		return st, ok
	}
	return fleet.NewView(name).Get(name, now)
}

// Rate returns the events of each of the last minutes, the oldest first.
func (b *Board) Rate(name string, now time.Time) []int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.tracks[name]; t != nil {
		return t.rate(now)
	}
	return (&track{}).rate(now)
}

// History returns the states that a connector was in, the last one first.
func (b *Board) History(name string) []Change {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.tracks[name]; t != nil {
		return slices.Clone(t.changes)
	}
	return nil
}

// Failures returns the last different errors of a connector, the last one first.
func (b *Board) Failures(name string) []Failure {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.tracks[name]; t != nil {
		return slices.Clone(t.failures)
	}
	return nil
}

// Rebalances returns when shards moved, the last time first, as far back as the
// topic told when this instance began, or since.
func (b *Board) Rebalances() []Rebalance {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.owners.rebalances)
}

// watcher wants to know of some connectors.
type watcher struct {
	names map[string]bool
	ring  chan struct{} // holds one: something is in changed

	mu      sync.Mutex
	changed map[string]bool
}

// watch returns a watcher of some connectors. The caller ends it.
func (b *Board) watch(names []string) (w *watcher, end func()) {
	w = &watcher{names: map[string]bool{}, ring: make(chan struct{}, 1), changed: map[string]bool{}}
	for _, name := range names {
		w.names[name] = true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watchers[w] = true
	return w, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.watchers, w)
	}
}

func (w *watcher) tell(name string) {
	if !w.names[name] {
		return
	}
	w.mu.Lock()
	w.changed[name] = true
	w.mu.Unlock()
	select {
	case w.ring <- struct{}{}:
	default:
	}
}

// take returns the names of those that have changed since it was last called.
func (w *watcher) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := slices.Sorted(maps.Keys(w.changed))
	clear(w.changed)
	return names
}
