package memory

import (
	"context"
	"runtime"
	"runtime/metrics"
	"testing"
	"testing/synctest"
	"time"
)

func TestPercentOf(t *testing.T) {
	for _, tt := range []struct {
		name       string
		live, made uint64
		want       int
	}{
		{"nothing is known yet", 0, 0, 100},
		{"a few connectors", 10 << 20, 1 << 20, 100},
		{"thousands that wait", 500 << 20, 50 << 20, 12},
		{"thousands that are busy", 500 << 20, 100 << 20, 20},
		{"thousands that catch up", 500 << 20, 5 << 30, 25},
		{"a few that catch up", 100 << 20, 5 << 30, 100},
		{"more than there ever are", 64 << 30, 0, 10},
	} {
		if got := percentOf(tt.live, tt.made); got != tt.want {
			t.Errorf("%s: got %d %%, want %d", tt.name, got, tt.want)
		}
	}
}

// The runtime is told less while much is in use and little is made, and what it
// was told before at the end.
func TestCollect(t *testing.T) {
	told := func() uint64 {
		s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	before := told()
	synctest.Test(t, func(t *testing.T) {
		inUse := make([]byte, 320<<20) // which nothing writes to: it takes no memory
		runtime.GC()
		ctx, stop := context.WithCancel(t.Context())
		go Collect(ctx)
		time.Sleep(look + time.Second)
		synctest.Wait()
		if got := told(); got < leastPercent || got > 25 {
			t.Errorf("320 MiB in use: the runtime is told %d %%", got)
		}
		runtime.KeepAlive(inUse)
		stop()
		synctest.Wait()
	})
	if got := told(); got != before {
		t.Errorf("at the end: the runtime is told %d %%, before it was %d", got, before)
	}
}
