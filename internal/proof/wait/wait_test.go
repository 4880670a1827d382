package wait

import (
	"context"
	"errors"
	"os/exec"
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

// The machine's load changes while somebody waits, and nobody looks for a while.
func TestMachineTimeOfAChangingLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		share := 0.5
		m := told(&share)
		m.read()
		time.Sleep(10 * time.Second)
		share = 1
		if _, got := m.read(); got != 7500*time.Millisecond {
			t.Errorf("%v passed, want the mean of what both ends say", got)
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
	c := exec.Command("sh", "-c", "while :; do :; done")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	}()
	For(t, "a task that runs to be seen", time.Minute, func() bool { return running() > 0 })
}

func TestParseQueued(t *testing.T) {
	if got, err := parseQueued("1077373037 965371238 261\n"); err != nil || got != (queued{1077373037, 965371238}) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, text := range []string{"", "1", "a 2 3", "1 b 3"} {
		if got, err := parseQueued(text); err == nil {
			t.Errorf("%q: got %+v", text, got)
		}
	}
}

// The threads of this process are told of, where the kernel tells.
func TestOwnShare(t *testing.T) {
	var q queue
	for range 3 {
		if got := q.share(); got <= 0 || got > 1 {
			t.Errorf("ran %v of the time it wanted", got)
		}
		spin()
	}
	if runtime.GOOS == "linux" && len(q.threads) == 0 {
		t.Error("no thread was seen")
	}
}
