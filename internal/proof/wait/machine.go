package wait

import (
	"sync"
	"time"
)

const (
	// lookEvery is how often the machine is looked at, at most.
	lookEvery = 100 * time.Millisecond
	// slowest is the least share of the clock that the machine's time goes by: so what is stuck is found within ten times its bound,
	// also on a machine that has nothing left to give.
	slowest = 0.1
)

// meter adds up the machine's time. Nothing runs beside it: whoever waits looks at the machine, and so moves the meter on.
type meter struct {
	look func() float64 // the share of its time that the machine gives just now: more than 0, at most 1
	now  func() time.Time

	mu     sync.Mutex
	at     time.Time
	rate   float64
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
	return now, m.passed
}

// machine is what this process runs on.
var machine = meter{look: look, now: time.Now}

// look is how fast a core is, compared with the one that the bounds were written on, times how many of those who want to run can:
// of all tasks of the machine, or of the time that those of this process wanted, whichever is less.
func look() float64 {
	speed := min(1, float64(spinTime)/float64(spin()))
	all := min(1, float64(processors)/float64(max(1, running())))
	return speed * min(all, own.share())
}
