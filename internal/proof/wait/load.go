package wait

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// rounds of spin take spinTime on an idle core of the machine that the bounds were written on, a fifth allowed for.
	rounds   = 100_000
	spinTime = 200 * time.Microsecond
)

// processors is how many this process may use: of its affinity, and of its control group's quota.
var processors = runtime.GOMAXPROCS(0)

// spun keeps the compiler from leaving the spinning out.
var spun atomic.Uint64

// spin is how long a fixed piece of work takes: longer on slower cores, and on cores that somebody else has meanwhile.
func spin() time.Duration {
	began := time.Now()
	x := uint64(88172645463325252)
	for range rounds {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	spun.Store(x)
	return time.Since(began)
}

// running is the number of tasks on the whole machine that run or wait for a processor, this one apart. It is 0 where the
// system does not tell.
func running() int {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 4 {
		return 0
	}
	runnable, _, _ := strings.Cut(fields[3], "/")
	n, err := strconv.Atoi(runnable)
	if err != nil {
		return 0
	}
	return n - 1
}

// queue is how long the threads of this process have run and have waited for a processor: for other tasks, for other groups of
// tasks, or for their own group's quota.
type queue struct{ threads map[string]queued }

// queued is nanoseconds.
type queued struct{ ran, waited int64 }

var own queue

// share is which part of the time that the threads wanted to run they did run, since the last call. It is 1 where the system does
// not tell. It is not safe for concurrent use.
func (q *queue) share() float64 {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 1
	}
	now := make(map[string]queued, len(tasks))
	var ran, waited int64
	for _, task := range tasks {
		text, err := os.ReadFile("/proc/self/task/" + task.Name() + "/schedstat")
		if err != nil {
			continue // the thread has ended
		}
		t, err := parseQueued(string(text))
		if err != nil {
			return 1
		}
		before := q.threads[task.Name()]
		now[task.Name()] = t
		ran, waited = ran+t.ran-before.ran, waited+t.waited-before.waited
	}
	q.threads = now
	if waited <= 0 || ran < 0 {
		return 1
	}
	return float64(ran) / float64(ran+waited)
}

// parseQueued reads the first two of the numbers that the kernel has of a thread.
func parseQueued(text string) (t queued, err error) {
	ran, rest, _ := strings.Cut(text, " ")
	waited, _, _ := strings.Cut(rest, " ")
	if t.ran, err = strconv.ParseInt(ran, 10, 64); err != nil {
		return t, err
	}
	t.waited, err = strconv.ParseInt(waited, 10, 64)
	return t, err
}
