package service

import (
	"maps"
	"slices"
	"time"

	"onelogin-kafka/internal/config"
)

// meantAfter is how long connector files must be gone before that counts as
// meant, when many went at once.
const meantAfter = 5 * time.Minute

// vanished are the connector files that have gone in the last five minutes, by
// path. A folder whose mount is lost, or that is being replaced, looks like one
// whose connectors were removed. So when more than half of the files have gone,
// the connectors of those that have just gone run on. Those that went before
// are not brought back.
type vanished map[string]lost

// lost is a file that has gone.
type lost struct {
	at time.Time
	// connector is what runs on although its file is gone; nil for none.
	connector *config.Connector
}

// keep notes which of last's files are gone in next, and adds to next what runs
// on. meant tells that somebody wants next as it is. It returns how many files
// have just gone whose connectors run on, and of how many; 0 if none.
func (v vanished) keep(last, next *config.Config, now time.Time, meant bool) (gone, of int) {
	there := contentsOf(next)
	over := v.expire(there, now, meant)
	all := len(v)
	fresh := map[string]*config.Connector{}
	for file, c := range contentsOf(last).files {
		if _, known := v[file]; known || over[file] {
			continue
		}
		all++
		if !meant && !there.has(file, c) {
			fresh[file] = c
		}
	}
	many := 2*(len(v)+len(fresh)) > all
	for file, c := range fresh {
		if !many {
			c = nil
		}
		v[file] = lost{at: now, connector: c}
	}
	for _, file := range slices.Sorted(maps.Keys(v)) {
		if c := v[file].connector; c != nil {
			next.Connectors = append(next.Connectors, *c)
		}
	}
	if !many {
		return 0, all
	}
	return len(fresh), all
}

// expire forgets the files that are back, or gone for good, and returns them.
func (v vanished) expire(there contents, now time.Time, meant bool) map[string]bool {
	over := map[string]bool{}
	for file, l := range v {
		if meant || now.Sub(l.at) >= meantAfter || there.has(file, l.connector) {
			over[file] = true
			delete(v, file)
		}
	}
	return over
}

// kept counts the connectors that run on.
func (v vanished) kept() int {
	n := 0
	for _, l := range v {
		if l.connector != nil {
			n++
		}
	}
	return n
}

// due tells whether one of them has run on for long enough.
func (v vanished) due(now time.Time) bool {
	for _, l := range v {
		if l.connector != nil && now.Sub(l.at) >= meantAfter {
			return true
		}
	}
	return false
}

// contents are the connector files of a configuration, with what is polled of
// each or nil, and the names of all its connectors.
type contents struct {
	files map[string]*config.Connector
	names map[string]bool
}

func contentsOf(cfg *config.Config) contents {
	c := contents{files: map[string]*config.Connector{}, names: map[string]bool{}}
	for _, s := range cfg.SetAside {
		c.names[s.Name] = true
		if s.File != "" {
			c.files[s.File] = nil
		}
	}
	for _, cc := range cfg.Connectors {
		c.names[cc.Name] = true
		if cc.File != "" {
			c.files[cc.File] = &cc
		}
	}
	return c
}

// has tells whether a file is there, or its connector, wherever.
func (c contents) has(file string, connector *config.Connector) bool {
	_, there := c.files[file]
	return there || connector != nil && c.names[connector.Name]
}
