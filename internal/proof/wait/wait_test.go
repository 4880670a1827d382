package wait

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// told is a meter of a machine that gives what it is told to.
func told(share *float64) *meter {
	return &meter{look: func() float64 { return *share }, now: time.Now}
}

// watch has d pass on the clock, with somebody waiting meanwhile, and returns the machine's time that passed.
func (m *meter) watch(d time.Duration) time.Duration {
	_, before := m.read()
	for range d / lookEvery {
		time.Sleep(lookEvery)
		m.read()
	}
	_, after := m.read()
	return after - before
}

func TestMachineTime(t *testing.T) {
	for name, tc := range map[string]struct {
		share float64
		want  time.Duration
	}{
		"idle":                        {1, 10 * time.Second},
		"half as fast":                {0.5, 5 * time.Second},
		"faster than the one thought": {3, 10 * time.Second},
		"nothing left to give":        {0, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := told(&tc.share).watch(10 * time.Second); (got - tc.want).Abs() > time.Millisecond {
					t.Errorf("of ten seconds %v passed, want %v", got, tc.want)
				}
			})
		})
	}
}

// The machine's load changes while somebody waits.
func TestLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		share := 0.1
		m := told(&share)
		m.watch(time.Minute) // before anybody measures
		since, _ := m.read()
		share = 1
		m.watch(20 * time.Second)
		if got := m.longest(since, 5*time.Second); (got - 5*time.Second).Abs() > 2*noteEvery {
			t.Errorf("on an idle machine 5 s took %v", got)
		}
		share = 0.25
		m.watch(40 * time.Second)
		share = 1
		m.watch(20 * time.Second)
		if got := m.longest(since, 5*time.Second); (got - 20*time.Second).Abs() > 2*noteEvery {
			t.Errorf("on a machine that was busy for a while 5 s took %v, want 20 s", got)
		}
	})
}

// What never comes is found, on this machine as it is.
func TestWhatIsStuckIsFound(t *testing.T) {
	const bound = 100 * time.Millisecond
	w := Begin()
	if Until(bound, func() bool { return false }) {
		t.Error("what never came has come")
	}
	ctx := Context(t, bound)
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the context ended with %v", err)
	}
	if got := w.Passed(); got < 2*bound {
		t.Errorf("%v passed, want at least twice %v: %s", got, bound, w)
	}
	looks := 0
	For(t, "the third look", time.Minute, func() bool { looks++; return looks == 3 })
}

// A context that is not needed any more leaves nothing behind, and ends with its parent.
func TestWithinEnds(t *testing.T) {
	parent, stop := context.WithCancelCause(t.Context())
	ctx, cancel := Within(parent, time.Hour)
	reason := errors.New("enough")
	stop(reason)
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, reason) {
		t.Errorf("ended with %v", err)
	}
	cancel()
	ctx, cancel = Within(t.Context(), time.Hour)
	cancel()
	if ctx.Err() == nil {
		t.Error("cancelled and not ended")
	}
}

// Tasks that want to run are seen.
func TestLook(t *testing.T) {
	if got := look(); got <= 0 || got > 1 {
		t.Errorf("the machine gives %v of its time", got)
	}
	if runtime.GOOS != "linux" {
		return // nobody tells there
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				spin()
			}
		}
	}()
	For(t, "a task that runs", time.Minute, func() bool { return running() > 0 })
	close(stop)
	<-done
}
