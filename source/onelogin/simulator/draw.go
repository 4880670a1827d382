package simulator

import (
	"maps"
	"math/rand/v2"
	"sync"
	"time"
)

// fault is a fault that happens to one call.
type fault struct {
	name  string
	delay time.Duration
	key   faultKey
	hit   hitKey
	p     float64 // the probability it was drawn with
	last  bool    // whether it ended the fault
	inRow bool    // whether it is a further one of a row
}

func (f *fault) is(name string) bool { return f != nil && f.name == name }

func (f *fault) wait(def time.Duration) time.Duration { return orDefault(f.delay, def) }

type faultKey struct{ name, tenant, endpoint string }

type hitKey struct{ name, tenant string }

type rowKey struct {
	faultKey
	hit string // the tenant that is hit
}

// faults decides which calls fail, and counts.
type faults struct {
	mu    sync.Mutex
	rand  *rand.Rand
	set   []*FaultSetting // in the order in which they were first set
	hits  map[hitKey]int64
	rows  map[rowKey]int // how many more hits a row has
	nonce uint64
}

func newFaults(seed uint64) *faults {
	return &faults{rand: rand.New(rand.NewPCG(seed, 0xfa17)), hits: map[hitKey]int64{}, rows: map[rowKey]int{}}
}

func (k *FaultSetting) key() faultKey { return faultKey{k.Name, k.Tenant, k.Endpoint} }

func (fs *faults) change(f FaultSetting) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	maps.DeleteFunc(fs.rows, func(k rowKey, _ int) bool { return k.faultKey == f.key() })
	for _, old := range fs.set {
		if old.key() == f.key() {
			*old = f
			return
		}
	}
	fs.set = append(fs.set, &f)
}

// facts are what decides whether a fault can happen to a call.
type facts struct {
	tenant, endpoint string
	cursor, gzip     bool
}

func (k fits) possible(c facts) bool {
	switch k {
	case onAny:
		return true
	case onTenant:
		return c.tenant != ""
	case onPage:
		return c.endpoint == endpointEvents
	case onNextPage:
		return c.endpoint == endpointEvents && c.cursor
	case onGzip:
		return c.gzip
	default:
		return false
	}
}

// draw returns the fault that happens to a call, counted, or nil.
func (fs *faults) draw(c facts) *fault {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	var drawn []*FaultSetting
	for _, f := range fs.set {
		kind, _ := fitsOf(f.Name)
		if f.Endpoint != c.endpoint || f.Tenant != "" && f.Tenant != c.tenant || !kind.possible(c) {
			continue
		}
		if k := (rowKey{f.key(), c.tenant}); fs.rows[k] > 0 {
			fs.rows[k]--
			hit := f.hit(c)
			hit.inRow = true
			fs.hits[hit.hit]++
			return hit
		}
		if f.Probability > 0 && fs.rand.Float64() < f.Probability {
			drawn = append(drawn, f)
		}
	}
	if len(drawn) == 0 {
		return nil
	}
	f := drawn[fs.rand.IntN(len(drawn))]
	hit := f.hit(c)
	if f.Row > 1 {
		fs.rows[rowKey{f.key(), c.tenant}] = f.Row - 1
	}
	if f.Times > 0 {
		hit.last = f.Times == 1
		if f.Times--; hit.last {
			f.Probability = 0
		}
	}
	fs.hits[hit.hit]++
	return hit
}

func (k *FaultSetting) hit(c facts) *fault {
	return &fault{name: k.Name, delay: time.Duration(k.Delay), key: k.key(), hit: hitKey{k.Name, c.tenant}, p: k.Probability}
}

// undo takes a fault back that could not happen after all, so that it happens
// to a later call.
func (fs *faults) undo(f *fault) {
	if f == nil {
		return
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.hits[f.hit]--
	row := rowKey{f.key, f.hit.tenant}
	if f.inRow {
		fs.rows[row]++
		return
	}
	delete(fs.rows, row)
	for _, set := range fs.set {
		if set.key() != f.key {
			continue
		}
		if f.last {
			set.Times, set.Probability = 1, f.p
		} else if set.Times > 0 {
			set.Times++
		}
	}
}

func (fs *faults) count(name, tenant string, n int64) {
	if n == 0 {
		return
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.hits[hitKey{name, tenant}] += n
}

// unique makes a cursor that was never sent before.
func (fs *faults) unique() uint64 {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.nonce++
	return fs.nonce
}
