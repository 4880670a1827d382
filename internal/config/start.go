package config

import "time"

// clocksApart is how far ahead of our clock a moment may lie that its author
// took for now.
const clocksApart = 2 * time.Minute

// startFrom reports a start that has not come yet: until then a connector would
// see nothing, and look well.
func startFrom(c *Connector, at place) {
	if c.StartFrom.At.After(time.Now().Add(clocksApart)) {
		at.problem("%s is in the future; write now, a duration such as 24h, or a time that is past", at.quote(c.StartFrom))
	}
}
