package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onelogin-kafka/internal/registry/seal"
	"onelogin-kafka/schemas"
)

// follow has a registry follow the log until the test ends, and waits for it to
// have read it.
func follow(t *testing.T, r *Registry) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	first := r.Changed()
	go func() { defer close(done); r.Follow(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	if err := until(patient(t), first); err != nil {
		t.Fatal(err)
	}
}

// remake deletes the control log and makes it anew.
func (g *rig) remake(t *testing.T) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(g.addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin, topic := kadm.NewClient(client), g.topics.Specs[schemas.Connectors].Name
	if res, err := admin.DeleteTopics(patient(t), topic); err != nil || res.Error() != nil {
		t.Fatal(err, res.Error())
	}
	if res, err := admin.CreateTopics(patient(t), 1, 1, nil, topic); err != nil || res.Error() != nil {
		t.Fatal(err, res.Error())
	}
}

// said is what was logged.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// A log that was made anew, and is shorter than what was read, counts as it is, and
// that is said; whoever writes by it, too.
func TestLogMadeAnew(t *testing.T) {
	for _, followed := range []bool{false, true} {
		t.Run(fmt.Sprintf("followed %t", followed), func(t *testing.T) {
			g, ring := newRig(t), seal.NewRing(newKey(t))
			var log said
			r := g.open(t, ring)
			r.opts.Log = zerolog.New(&log)
			var changes []Change
			for i := range 20 {
				changes = append(changes, Change{Draft: draft(fmt.Sprintf("lost-%02d", i))})
			}
			if _, err := r.PutAll(patient(t), changes, ann); err != nil {
				t.Fatal(err)
			}
			read(t, r)
			if followed {
				follow(t, r)
			}
			g.remake(t)
			if _, err := g.open(t, ring).Put(patient(t), draft("kept"), 0, ann); err != nil {
				t.Fatal(err)
			}
			read(t, r)
			if all := r.List(); len(all) != 1 || all[0].Name != "kept" {
				t.Errorf("%d connectors are known", len(all))
			}
			if keys := r.Keys(); len(keys) != 1 {
				t.Errorf("keys %+v", keys)
			}
			if got := log.String(); !strings.Contains(got, "made anew or cut off") || !strings.Contains(got, `"connectors":20`) || !strings.Contains(got, "lost-00") {
				t.Errorf("logged: %s", got)
			}
			if _, err := r.Put(patient(t), draft("lost-00"), 0, ann); err != nil {
				t.Errorf("a connector that was lost cannot be put back: %v", err)
			}
		})
	}
}

// While a log that was made anew is read what was known counts: nobody is stopped
// by what was not read yet, nor goes back to an older record.
func TestLogIsReadAnewAtOnce(t *testing.T) {
	g, ring := newRig(t), seal.NewRing(newKey(t))
	w := g.open(t, ring)
	for i := range 3 {
		if _, err := w.Put(patient(t), draft("acme"), int64(i), ann); err != nil {
			t.Fatal(err)
		}
	}
	r := read(t, g.open(t, ring))
	var seen []int64
	r.Watch(func(e Entry) {
		if e.Key.Kind != schemas.ControlConnector {
			return
		}
		c, err := r.Get("acme")
		if err != nil {
			t.Error(err)
		}
		seen = append(seen, c.Generation)
	})
	r.anew()
	if len(r.List()) != 1 {
		t.Error("it is forgotten before it was read again")
	}
	if err := r.read(patient(t)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(seen, []int64{3, 3, 3}) {
		t.Errorf("generations while it was read: %d", seen)
	}
}

// Only Follow takes records over where it reads: beside another reader an older
// record could count after a newer one.
func TestReadBesideFollow(t *testing.T) {
	g, ring := newRig(t), seal.NewRing(newKey(t))
	r := g.open(t, ring)
	held, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var mu sync.Mutex
	var offsets []int64
	r.Watch(func(e Entry) {
		mu.Lock()
		offsets = append(offsets, e.Offset)
		mu.Unlock()
		if e.Key.Connector == "acme" {
			once.Do(func() { close(held); <-release })
		}
	})
	read(t, r)
	follow(t, r)
	w := g.open(t, ring)
	for _, name := range []string{"acme", "globex"} {
		if _, err := w.Put(patient(t), draft(name), 0, ann); err != nil {
			t.Fatal(err)
		}
	}
	<-held
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := r.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read beside Follow: %v", err)
	}
	close(release)
	read(t, r)
	mu.Lock()
	defer mu.Unlock()
	if !slices.IsSorted(offsets) || len(slices.Compact(slices.Clone(offsets))) != len(offsets) {
		t.Errorf("records were taken over in the order %d", offsets)
	}
	if len(r.List()) != 2 {
		t.Errorf("%d connectors", len(r.List()))
	}
}

// Who changes a connector where the log is followed finds it changed, though whoever
// reads is behind.
func TestAChangeIsReadBack(t *testing.T) {
	g := newRig(t)
	r := g.open(t, seal.NewRing(newKey(t)))
	late := make(chan struct{}, 1)
	r.Watch(func(Entry) {
		select {
		case late <- struct{}{}:
			time.Sleep(100 * time.Millisecond) // whoever reads is behind
		default:
		}
	})
	read(t, r)
	follow(t, r)
	c, err := r.Put(patient(t), draft("acme"), 0, ann)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Get("acme"); err != nil || got.Generation != c.Generation {
		t.Errorf("after Put: generation %d, %v", got.Generation, err)
	}
	if c, err = r.Pause(patient(t), "acme", true, c.Generation, ann); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Get("acme"); err != nil || !got.Paused {
		t.Errorf("after Pause: %t, %v", got.Paused, err)
	}
	if err := r.Remove(patient(t), "acme", c.Generation, ann); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Get("acme"); !errors.Is(err, ErrNotFound) {
		t.Errorf("after Remove: %v", err)
	}
	if len(late) != 1 {
		t.Error("whoever reads was not behind")
	}
}

// A connector that is put back while it is being forgotten keeps its position.
func TestForgetBesideAdd(t *testing.T) {
	g, ring := newRig(t), seal.NewRing(newKey(t))
	r, other := g.open(t, ring), g.open(t, ring)
	added := false
	err := r.leave(patient(t), "acme", "connector.forget", ann, func(map[string][]byte, string, Who, time.Time) []schemas.Record {
		if _, err := other.Put(patient(t), draft("acme"), 0, ann); err != nil {
			t.Error(err)
		}
		added = true
		return nil
	}, func(map[string][]byte, time.Time) []schemas.Record {
		t.Error("it is decided what is taken from a connector that is in use")
		return nil
	})
	if !added || !errors.Is(err, ErrConfigured) {
		t.Errorf("added %t, got %v", added, err)
	}
}
