package source

import "time"

// clocksApart is how far the server's clock may be from ours without being said.
const clocksApart = 2 * time.Minute

// clock is the earlier of our clock and the server's: a position must not run
// ahead of true time, and which of them is wrong cannot be told.
type clock struct {
	behind time.Duration // how far the server's clock is behind ours; not negative
	ahead  time.Duration // how far it is ahead; not negative
	known  bool
	apart  bool // it was said that they are far apart
}

// now is the earlier of both.
func (c *clock) now() time.Time { return c.at(time.Now()) }

// latest is the later of both: what was created after it was so by no clock.
func (c *clock) latest() time.Time { return time.Now().Add(c.ahead).UTC() }

// at turns a time by our clock into one by the earlier. It goes by how long ago
// t was: our clock may have been set since.
func (c *clock) at(t time.Time) time.Time {
	now := time.Now()
	return now.Round(0).Add(-c.behind).Add(t.Sub(now)).UTC()
}

// ours turns a time by the earlier clock into one by ours.
func (c *clock) ours(t time.Time) time.Time { return t.Add(c.behind) }

// learnClock takes over what an answer that came at at said of the server's
// clock; zero if it said nothing.
func (p *Poller) learnClock(server, at time.Time) {
	if server.IsZero() {
		return
	}
	c, ahead := &p.clock, server.Sub(at.Round(0))
	c.behind, c.ahead, c.known = max(-ahead, 0), max(ahead, 0), true
	if apart := ahead.Abs() > clocksApart; apart != c.apart {
		if c.apart = apart; apart {
			p.log.Warn().Dur("ahead", ahead).Msg("the API's clock and ours are more than 2 minutes apart: positions go by the earlier")
		}
	}
}
