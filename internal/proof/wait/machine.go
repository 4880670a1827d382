package wait

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lookEvery is how often the machine is looked at, at most.
	lookEvery = 50 * time.Millisecond
	// slowest is the least share of the clock that the machine's time goes by: so what is stuck is found within ten times its bound,
	// also on a machine that has nothing left to give.
	slowest = 0.1
	// rounds of spin take spinTime on an idle core of the machine that the bounds were written on, a fifth allowed for.
	rounds   = 100_000
	spinTime = 200 * time.Microsecond
	// noteEvery is how fine the past is kept, for Longest.
	noteEvery = 200 * time.Millisecond
)

// meter adds up the machine's time. Nothing runs beside it: whoever waits looks at the machine, and so moves the meter on.
type meter struct {
	look func() float64 // the share of its time that the machine gives just now: more than 0, at most 1
	now  func() time.Time

	mu     sync.Mutex
	at     time.Time
	rate   float64
	passed time.Duration
	notes  []note
}

// note is how much had passed by then.
type note struct {
	at     time.Time
	passed time.Duration
}

// read returns the machine's time that has passed since the meter was first read.
func (m *meter) read() (time.Time, time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if !m.at.IsZero() && now.Sub(m.at) < lookEvery {
		return m.at, m.passed
	}
	rate := min(1, max(slowest, m.look()))
	if !m.at.IsZero() {
		m.passed += time.Duration(float64(now.Sub(m.at)) * (m.rate + rate) / 2)
	}
	m.at, m.rate = now, rate
	if n := len(m.notes); n == 0 || now.Sub(m.notes[n-1].at) >= noteEvery {
		m.notes = append(m.notes, note{now, m.passed})
	}
	return now, m.passed
}

// longest is the longest time on the clock, since then, in which no more than d of the machine's time passed.
func (m *meter) longest(since time.Time, d time.Duration) time.Duration {
	at, passed := m.read()
	m.mu.Lock()
	defer m.mu.Unlock()
	notes := append(m.notes[:len(m.notes):len(m.notes)], note{at, passed})
	most := d
	first := 0
	for _, n := range notes {
		for notes[first].at.Before(since) && notes[first].at.Before(n.at) || n.passed-notes[first].passed > d {
			first++
		}
		most = max(most, n.at.Sub(notes[first].at))
	}
	return most
}

// machine is what this process runs on.
var machine = meter{look: look, now: time.Now}

// look is how fast a core is, compared with the one that the bounds were written on, times how many of the tasks that want to
// run have one.
func look() float64 {
	return min(1, float64(spinTime)/float64(spin())) * min(1, float64(processors)/float64(max(1, running())))
}

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
