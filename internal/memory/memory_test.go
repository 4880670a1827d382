package memory

import (
	"context"
	"errors"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const mib = 1 << 20

func TestBudgetIsServedInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(16 * mib) // of which 2 are for the small
		first, err := b.Reserve(t.Context(), 10*mib)
		if err != nil {
			t.Fatal(err)
		}
		order := make(chan int, 2)
		take := func(n int, bytes int64) {
			h, err := b.Reserve(t.Context(), bytes)
			if err != nil {
				t.Error(err)
				return
			}
			order <- n
			time.Sleep(time.Second)
			h.Release()
			h.Release() // counts once
		}
		go take(1, 1000*mib) // more than there is: all of it
		synctest.Wait()
		go take(2, mib) // would fit, and must not overtake
		synctest.Wait()
		if n := len(order); n != 0 {
			t.Errorf("%d served out of turn", n)
		}
		small, err := b.Reserve(t.Context(), 4<<10) // has its own part
		if err != nil {
			t.Fatal(err)
		}
		small.Release()
		first.Release()
		synctest.Wait()
		if n := len(order); n != 1 || <-order != 1 {
			t.Errorf("%d served, want the one who asked first", n)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if now, most := b.Held(); len(order) != 1 || now != 0 || most != 14*mib {
			t.Errorf("%d served after that, held %d, at most %d", len(order), now, most)
		}
	})
}

// What comes larger than it was reckoned is held all the same, and whoever asks
// next waits for it.
func TestBudgetOfWhatIsLarger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(16 * mib)
		h, err := b.Reserve(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		h.Resize(20 * mib)
		if now, _ := b.Held(); now != 20*mib {
			t.Errorf("held %d", now)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Reserve(ctx, mib); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("beside it: %v", err)
		}
		waits := make(chan struct{})
		go func() {
			defer close(waits)
			small, err := b.Reserve(t.Context(), 1000)
			if err != nil {
				t.Errorf("a small one: %v", err)
				return
			}
			small.Release()
		}()
		synctest.Wait()
		select {
		case <-waits:
			t.Error("a small one did not wait though more is held than there is")
		default:
		}
		h.Resize(mib)
		<-waits
		next, err := b.Reserve(t.Context(), 13*mib)
		if err != nil {
			t.Fatal(err)
		}
		h.Release()
		h.Resize(5 * mib) // too late to count
		next.Release()
		if now, _ := b.Held(); now != 0 {
			t.Errorf("held %d in the end", now)
		}
	})
}

// Whoever gives up waiting leaves nothing behind, at whatever moment.
func TestBudgetOfThoseWhoGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(16 * mib)
		for range 200 {
			ctx, cancel := context.WithCancel(t.Context())
			h, err := b.Reserve(t.Context(), 14*mib)
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				if h, err := b.Reserve(ctx, 2*mib); err == nil {
					h.Release()
				}
			}()
			synctest.Wait()
			go cancel()
			go h.Release()
			synctest.Wait()
		}
		if now, _ := b.Held(); now != 0 || b.large.taken != 0 || b.large.queue.Len() != 0 {
			t.Errorf("held %d, taken %d, %d wait", now, b.large.taken, b.large.queue.Len())
		}
	})
}

func TestSizeOfAPlan(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for name, c := range map[string]struct {
		configured int64
		root       fstest.MapFS
		want       int64
	}{
		"nothing known":              {0, fstest.MapFS{}, 512 << 20},
		"configured":                 {1 << 30, fstest.MapFS{"proc/self/cgroup": file("0::/\n"), "sys/fs/cgroup/memory.max": file("134217728\n")}, 1 << 30},
		"too little":                 {1, fstest.MapFS{}, 64 << 20},
		"version 2":                  {0, fstest.MapFS{"proc/self/cgroup": file("0::/\n"), "sys/fs/cgroup/memory.max": file("268435456\n")}, 256 << 20},
		"version 2, without a limit": {0, fstest.MapFS{"proc/self/cgroup": file("0::/\n"), "sys/fs/cgroup/memory.max": file("max\n")}, 512 << 20},
		"version 2, above us": {0, fstest.MapFS{
			"proc/self/cgroup": file("0::/pod/container\n"), "sys/fs/cgroup/pod/container/memory.max": file("max\n"), "sys/fs/cgroup/pod/memory.max": file("1073741824\n"),
		}, 1 << 30},
		"version 1": {0, fstest.MapFS{
			"proc/self/cgroup": file("11:cpu,cpuacct:/x\n7:memory:/docker/abc\n"), "sys/fs/cgroup/memory/memory.limit_in_bytes": file("300000000\n"),
		}, 300_000_000},
		"version 1, without a limit": {0, fstest.MapFS{
			"proc/self/cgroup": file("7:memory:/\n"), "sys/fs/cgroup/memory/memory.limit_in_bytes": file("9223372036854771712\n"),
		}, 512 << 20},
		"not to be read": {0, fstest.MapFS{"proc/self/cgroup": file("nonsense\n0::/\n"), "sys/fs/cgroup/memory.max": file("?")}, 512 << 20},
	} {
		if got := NewPlan(c.configured, c.root).size; got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
}

func TestPlan(t *testing.T) {
	bound, free := NewPlan(512<<20, fstest.MapFS{}), NewPlan(0, fstest.MapFS{})
	if got := bound.GoLimit(10_000); got != 512<<20-512<<20/10 {
		t.Errorf("a limit with 10,000 connectors: got %d", got)
	}
	if got := free.GoLimit(10_000); got < 1<<30 || got <= free.GoLimit(10) {
		t.Errorf("none, with 10,000 connectors: got %d", got)
	}
	for p, want := range map[Plan]int64{{}: 512 << 20 / 5, bound: 512 << 20 / 5, free: 512 << 20 / 5, NewPlan(64<<30, fstest.MapFS{}): mostPages} {
		if got := p.Pages(); got != want {
			t.Errorf("pages of %+v: got %d, want %d", p, got, want)
		}
	}
}
