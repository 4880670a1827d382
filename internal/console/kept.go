package console

import (
	"crypto/rand"
	"sync"
	"time"
)

const (
	// keptFor is how long something is kept between two steps of a form.
	keptFor = 10 * time.Minute
	// maxKept is how many are.
	maxKept = 100
)

// kept are things between two steps of a form, in memory, each by a handle that
// only the one who has it knows. The zero value is ready for use.
type kept[T any] struct {
	mu  sync.Mutex
	all map[string]keptThing[T]
}

type keptThing[T any] struct {
	value T
	ends  time.Time
}

func (k *kept[T]) keep(value T) (handle string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	for other, thing := range k.all {
		if now.After(thing.ends) || len(k.all) >= maxKept {
			delete(k.all, other)
		}
	}
	if k.all == nil {
		k.all = map[string]keptThing[T]{}
	}
	handle = rand.Text()
	k.all[handle] = keptThing[T]{value, now.Add(keptFor)}
	return handle
}

func (k *kept[T]) get(handle string) (value T, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	thing, ok := k.all[handle]
	return thing.value, ok && time.Now().Before(thing.ends)
}

func (k *kept[T]) drop(handle string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.all, handle)
}
