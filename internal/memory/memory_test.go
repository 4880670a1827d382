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

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		large, err := b.Reserve(t.Context(), 70)
		if err != nil {
			t.Fatal(err)
		}
		order := make(chan int, 2)
		take := func(n int, bytes int64, hold time.Duration) {
			release, err := b.Reserve(t.Context(), bytes)
			if err != nil {
				t.Error(err)
				return
			}
			order <- n
			time.Sleep(hold)
			release()
			release() // counts once
		}
		go take(1, 1000, time.Second) // more than there is: all of it
		synctest.Wait()
		go take(2, 10, time.Second) // would fit, and must not overtake
		synctest.Wait()
		if n := len(order); n != 0 {
			t.Errorf("%d served out of turn", n)
		}
		if now, most := b.Held(); now != 70 || most != 70 {
			t.Errorf("held %d, at most %d", now, most)
		}
		large()
		synctest.Wait()
		if n := len(order); n != 1 || <-order != 1 {
			t.Errorf("%d served, want the one who asked first", n)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if now, most := b.Held(); len(order) != 1 || now != 0 || most != 100 {
			t.Errorf("%d served after that, held %d, at most %d", len(order), now, most)
		}
		all, _ := b.Reserve(t.Context(), 100)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Reserve(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting too long: %v", err)
		}
		all()
		if release, err := b.Reserve(t.Context(), 100); err != nil {
			t.Error(err)
		} else {
			release()
		}
	})
}

func TestSize(t *testing.T) {
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
		if got := Size(c.configured, c.root); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
	if GoLimit(1000) != 900 || ForPages(1000) != 200 {
		t.Errorf("shares of 1000: %d for Go, %d for pages", GoLimit(1000), ForPages(1000))
	}
}
