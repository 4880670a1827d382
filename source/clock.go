package source

import "time"

// clocksApart is how far the server's clock may be from ours without being said.
const clocksApart = 2 * time.Minute

// clock is the earlier of our clock and the server's, as they stood when an
// answer came that told the server's: a position must not run ahead of true
// time, and which of them is wrong cannot be told. Since then it goes by what
// has passed, so that a clock that is set meanwhile moves nothing.
type clock struct {
	read     time.Time     // when the answer came
	earlier  time.Time     // the earlier of both then
	distance time.Duration // how far they were apart; not negative
	known    bool
	apart    bool // it was said that they are far apart
}

// now is the earlier of both.
func (c *clock) now() time.Time { return c.at(time.Now()) }

// latest is the later of both: what was created after it was so by no clock.
func (c *clock) latest() time.Time { return c.now().Add(c.distance) }

// at turns a time that was read off our clock into one by the earlier.
func (c *clock) at(t time.Time) time.Time {
	if !c.known {
		return t.Round(0).UTC()
	}
	return c.earlier.Add(t.Sub(c.read))
}

// ours turns a time by the earlier clock into one by ours.
func (c *clock) ours(t time.Time) time.Time {
	now := time.Now()
	return now.Add(t.Sub(c.at(now)))
}

// learnClock takes over what an answer that came at at said of the server's
// clock; zero if it said nothing.
func (p *Poller) learnClock(server, at time.Time) {
	if server.IsZero() {
		return
	}
	c, ours := &p.clock, at.Round(0)
	ahead := server.Sub(ours)
	c.read, c.earlier, c.distance, c.known = at, earlier(ours, server).UTC(), ahead.Abs(), true
	if apart := c.distance > clocksApart; apart != c.apart {
		if c.apart = apart; apart {
			p.log.Warn().Dur("ahead", ahead).Msg("the API's clock and ours are more than 2 minutes apart: positions go by the earlier")
		}
	}
}
