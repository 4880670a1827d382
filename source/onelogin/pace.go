package onelogin

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// The pace after a cut. With a limit of 20 calls a second and more to do than
// that, it goes from 18 to about 22 and back every 25 s or so.
const (
	// cutTo is the part of what the edge took that is asked of it after a cut.
	cutTo = 0.9
	// regain is how long the pace takes from there to all of that.
	regain = 20 * time.Second
	// growth is by how much the pace grows in a second after that.
	growth = 0.05
	// slowest and fastest are in calls a second. A pace that has come to fastest
	// is none any more.
	slowest, fastest = 1, 1000
	// window is what refusals and calls are compared in; where the pace is slow,
	// the time of memory calls.
	window = time.Second
	memory = 20
	// longestRest is how long no call is made at most.
	longestRest = 10 * time.Second
	// refusedPart: fewer refusals than this part of the calls are the trouble of
	// those who were refused.
	refusedPart = 0.1
)

// pace is how many calls a second an edge takes, as far as its refusals tell: as
// many as come, until it refuses some of several connectors at once. Then it is
// what the edge took in the second before, less a part; and it grows with time,
// for the limit may be a passing one, or others at the same address may have
// gone. It is a plain value that goes by the times it is told.
type pace struct {
	calls    counter
	refusals []refused // of the last window, oldest first, since the last cut
	began    time.Time // since when there is a pace; zero: there is none
	cut      time.Time // when it was cut last
	before   float64   // the pace before the cut; 0: none
	// took are the calls of the window before the cut, not those of them that
	// were refused, as is known by now.
	took, not int
	// made are the calls since the cut, lost those of them that were refused.
	made, lost int
	grave      bool          // most of what came between the last cut and the one before was refused
	rest       time.Duration // the pause after the cut, if there is one
}

type refused struct {
	at  time.Time
	who *Client
}

// rate is how many calls a second may be made at now; 0: as many as come.
func (p *pace) rate(now time.Time) float64 {
	if p.began.IsZero() {
		return 0
	}
	took := max(float64(p.took-p.not), slowest)
	if p.before > 0 {
		// It came there slowly, and cannot be far above what the edge takes, unless
		// that has become less.
		least := p.before * 0.9
		if p.grave {
			least = p.before / 2
		}
		took = max(min(took, p.before), least, slowest)
	}
	r := took
	if age := now.Sub(p.cut); age < regain {
		r *= cutTo + (1-cutTo)*age.Seconds()/regain.Seconds()
	} else {
		r *= math.Exp(growth * (age - regain).Seconds())
	}
	if r >= fastest {
		return 0
	}
	return r
}

// recover ends a pace that has grown to none, and returns how long there was
// one; else 0.
func (p *pace) recover(now time.Time) (slow time.Duration) {
	if p.began.IsZero() || p.rate(now) > 0 {
		return 0
	}
	slow = now.Sub(p.began)
	p.began, p.cut = time.Time{}, time.Time{}
	return slow
}

// pause is the time before which no call may be made: where the edge refused
// most of the last second's, its count must run out first.
func (p *pace) pause() time.Time {
	if p.began.IsZero() || !p.grave && (p.before > 0 || 2*p.not < p.took) {
		return time.Time{}
	}
	return p.cut.Add(p.rest)
}

// sent takes down a call.
func (p *pace) sent(now time.Time) {
	p.calls.add(now)
	p.made++
}

// refused takes down that a call of who's, made at sent, was refused.
func (p *pace) refused(now, sent time.Time, who *Client) {
	if !p.began.IsZero() {
		if !sent.After(p.cut) {
			p.not++ // of what is cut for already
			return
		}
		p.lost++
		if sent.Before(p.cut.Add(window)) {
			return // the count of what came before the cut is not run out
		}
	}
	rate := p.rate(now)
	since := now.Add(-window)
	if rate > 0 {
		since = now.Add(-max(window, time.Duration(memory/rate*float64(time.Second))))
	}
	p.refusals = slices.DeleteFunc(p.refusals, func(r refused) bool { return !r.at.After(since) })
	p.refusals = append(p.refusals, refused{now, who})
	others := slices.ContainsFunc(p.refusals, func(r refused) bool { return r.who != who })
	took := p.calls.sum(now)
	if !others || float64(len(p.refusals)) < refusedPart*float64(took) {
		return
	}
	rest := window
	if after := p.pause(); !after.IsZero() && now.Sub(after) < 2*window+p.rest {
		rest = min(2*p.rest, longestRest) // the edge counts over a longer time
	}
	p.rest = rest + rand.N(rest/5)
	p.before = rate
	p.grave = !p.began.IsZero() && 2*p.lost >= p.made
	if p.cut = now; p.began.IsZero() {
		p.began = now
	}
	p.took, p.not = took, len(p.refusals)
	p.made, p.lost = 0, 0
	p.refusals = p.refusals[:0]
}

// counter counts what happened in the last window.
type counter struct {
	at [slots]int64 // the slot's number since 1970
	n  [slots]int
}

const slots = 20

func slotOf(now time.Time) int64 { return now.UnixNano() / int64(window/slots) }

func (c *counter) add(now time.Time) {
	k := slotOf(now)
	i := k % slots
	if c.at[i] != k {
		c.at[i], c.n[i] = k, 0
	}
	c.n[i]++
}

func (c *counter) sum(now time.Time) int {
	k, n := slotOf(now), 0
	for i := range c.at {
		if c.at[i] > k-slots && c.at[i] <= k {
			n += c.n[i]
		}
	}
	return n
}
