// Package registry keeps connectors as data: it follows the control log, where
// every change of a connector has its place in one order, and changes it, one
// writer at a time. Secrets lie there sealed (package seal).
package registry

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"onelogin-kafka/internal/registry/seal"
	"onelogin-kafka/producer"
	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// Options are the outside of a Registry.
type Options struct {
	Cluster *wire.Cluster
	Topics  producer.Topics
	// Group is the deployment whose control log it is.
	Group string
	// Ring has the private keys; nil = none. Without one nothing is opened, and
	// sealed with the public key that the log has.
	Ring *seal.Ring
	Log  zerolog.Logger
}

// Registry is the control log as far as it was read, and its writer. It may be
// used by several goroutines.
type Registry struct {
	opts Options

	reading  sync.Mutex // held by Read, unless Follow reads
	followed bool       // guarded by reading

	mu       sync.Mutex
	ring     *seal.Ring
	writer   *producer.ControlWriter
	*state                 // what counts
	fresh    *state        // what was read so far of a log that was made anew; nil = it was not
	next     int64         // from where reading goes on
	last     int64         // the offset of the last record that was read
	whole    bool          // it was read to its end once
	changed  chan struct{} // closed and replaced by each change, once whole
	watchers []func(Entry)

	results sync.Map // result by name
}

// state is what the records say.
type state struct {
	connectors map[string]schemas.Connector
	broken     map[string]error // connectors whose record cannot be read
	keys       map[string]schemas.SealingKey
	jobs       map[string]map[string]Job // by connector and id
	rest       map[string]Entry          // bells, by key
}

func newState() *state {
	return &state{
		connectors: map[string]schemas.Connector{}, broken: map[string]error{},
		keys: map[string]schemas.SealingKey{}, jobs: map[string]map[string]Job{}, rest: map[string]Entry{},
	}
}

// Entry is a record of the control log.
type Entry struct {
	Key schemas.ControlKey
	// Value is nil for a tombstone.
	Value  []byte
	Offset int64
	// At is when the broker wrote it.
	At time.Time
}

// New returns a registry that has read nothing yet: see Follow and Read.
func New(opts Options) *Registry {
	return &Registry{
		opts: opts, ring: opts.Ring, writer: newWriter(opts),
		state: newState(), next: -1, last: -1, changed: make(chan struct{}),
	}
}

func newWriter(opts Options) *producer.ControlWriter {
	return &producer.ControlWriter{Cluster: opts.Cluster, Topics: opts.Topics, Group: opts.Group}
}

// Topic is the name of the control log.
func (r *Registry) Topic() string { return r.opts.Topics.Specs[schemas.Connectors].Name }

// ErrNotFound is returned (wrapped) for a connector that the control log does
// not have.
var ErrNotFound = errors.New("is not on the control log")

// List returns the connectors that were read, by name.
func (r *Registry) List() []schemas.Connector {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Values(r.connectors), func(a, b schemas.Connector) int { return cmp.Compare(a.Name, b.Name) })
}

// Get returns a connector. The error wraps ErrNotFound, or says why its record
// cannot be read (schemas.ErrVersion for one of a later version).
func (r *Registry) Get(name string) (schemas.Connector, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.broken[name]; err != nil {
		return schemas.Connector{}, fmt.Errorf("connector %s: %w", name, err)
	}
	c, ok := r.connectors[name]
	if !ok {
		return schemas.Connector{}, fmt.Errorf("connector %.80s %w", name, ErrNotFound)
	}
	return c, nil
}

// Broken returns why the records of connectors cannot be read, by name.
func (r *Registry) Broken() map[string]error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.broken)
}

// Keys returns the public keys on the control log, the active one first.
func (r *Registry) Keys() []schemas.SealingKey {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Values(r.keys), func(a, b schemas.SealingKey) int {
		if a.Active != b.Active {
			if a.Active {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.ID, b.ID)
	})
}

// Entries returns the records of a kind that were read, by key: ControlBell.
func (r *Registry) Entries(kind schemas.ControlKind) []Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Entry
	for _, key := range slices.Sorted(maps.Keys(r.rest)) {
		if e := r.rest[key]; e.Key.Kind == kind {
			all = append(all, e)
		}
	}
	return all
}

// Ring returns the private keys in use.
func (r *Registry) Ring() *seal.Ring {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ring
}

// SetRing replaces the private keys.
func (r *Registry) SetRing(ring *seal.Ring) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ring = ring
	r.tell()
}

// Open opens the client secret of a record. See seal.Ring.Open for the errors.
func (r *Registry) Open(c schemas.Connector) (string, error) {
	return r.Ring().Open(c.Secret.Sealed, r.bound(c))
}

// fieldSecret is the field that is sealed.
const fieldSecret = "client_secret"

// bound is what the secret of a connector is sealed for.
func (r *Registry) bound(c schemas.Connector) seal.Bound {
	return seal.Bound{
		Topic: r.Topic(), Connector: c.Name, Field: fieldSecret, Type: c.Type, Domain: c.Domain, BaseURL: c.BaseURL,
		ClientID: c.ClientID, Generation: c.Secret.Generation,
	}
}
