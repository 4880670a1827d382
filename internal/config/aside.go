package config

import (
	"fmt"
	"path/filepath"
	"strings"

	"onelogin-kafka/schemas"
)

// SetAside is a connector that cannot be polled as it is configured, for a
// reason that is its own: something is wrong in its file, with its name, or
// with a secret or variable that it names. The other connectors are not
// concerned.
type SetAside struct {
	// Name is what the connector is called: as it was in the last
	// configuration, as it says, or as its file is called. Empty where none of
	// these is a name, or each is another's. No two that are set aside have one
	// name.
	Name string
	// File is the connector's own file; empty for one of the main file.
	File string
	// Problems are what is wrong, at least one, by line.
	Problems Problems
	// Runs tells that the last good version of the connector is among
	// Config.Connectors.
	Runs bool
}

// Reason is the first problem, with its place, and how many more there are.
func (s SetAside) Reason() string {
	if n := len(s.Problems) - 1; n > 0 {
		return fmt.Sprintf("%s (and %d more)", s.Problems[0], n)
	}
	return s.Problems[0].String()
}

// Problems are what is wrong with all connectors that are set aside.
func (c *Config) Problems() Problems {
	var all Problems
	for _, s := range c.SetAside {
		all = append(all, s.Problems...)
	}
	return all
}

// entry is a connector as it was read.
type entry struct {
	connector Connector
	at        place
	// name is what the connector is called, if that is a name and its own.
	name string
}

// problems are what is wrong with this connector alone.
func (e *entry) problems() Problems { return e.at.doc.of(e.at.path) }

// apart puts the connectors that can be polled into cfg, and sets those aside
// that cannot. Of what is set aside, what was in last goes on as it was there.
func apart(cfg *Config, entries []*entry, last *Config) {
	cfg.Connectors = nil
	ran := newPast(last)
	taken := map[string]bool{}
	var broken []*entry
	for _, e := range entries {
		problems := e.problems()
		if len(problems) == 0 {
			cfg.Connectors = append(cfg.Connectors, e.connector)
			taken[e.name] = true
			continue
		}
		broken = append(broken, e)
		cfg.SetAside = append(cfg.SetAside, SetAside{File: e.connector.File, Problems: problems})
	}
	// What ran from a file comes before what files say, and that before what
	// they are called: a guess must take nobody's name.
	for _, nameOf := range []func(e *entry) string{
		func(e *entry) string { return ran.files[e.connector.File] },
		func(e *entry) string { return e.name },
		func(e *entry) string { return calledAfter(e.connector.File) },
	} {
		for i, e := range broken {
			s := &cfg.SetAside[i]
			if name := nameOf(e); s.Name == "" && schemas.ValidConnector(name) && !taken[name] {
				s.Name, taken[name] = name, true
			}
		}
	}
	for i := range cfg.SetAside {
		s := &cfg.SetAside[i]
		if c, ok := ran.connectors[s.Name]; ok {
			cfg.Connectors, s.Runs = append(cfg.Connectors, c), true
		}
	}
}

// past is what ran by the last configuration.
type past struct {
	connectors map[string]Connector // by name
	files      map[string]string    // name by file, of those with one of their own
}

func newPast(last *Config) past {
	p := past{connectors: map[string]Connector{}, files: map[string]string{}}
	if last == nil {
		return p
	}
	for _, c := range last.Connectors {
		p.connectors[c.Name] = c
		if c.File != "" {
			p.files[c.File] = c.Name
		}
	}
	return p
}

// calledAfter is the name of the connector that a file is called after.
func calledAfter(file string) string {
	name := filepath.Base(file)
	return strings.TrimSuffix(name, filepath.Ext(name))
}

// names decides whose a name is that several connectors have. For the others it
// is a problem: two accounts under one name would be one tenant to every reader.
func names(entries []*entry, last *Config) {
	claims := map[string][]*entry{}
	ran := newPast(last)
	for _, e := range entries {
		name := e.connector.Name
		if !schemas.ValidConnector(name) {
			// A file that says no name has not given up the one it ran under.
			name = ran.files[e.connector.File]
		}
		if name != "" {
			e.name = name
			claims[name] = append(claims[name], e)
		}
	}
	for _, e := range entries {
		name := e.name
		group := claims[name]
		if len(group) < 2 || group[0] != e {
			continue
		}
		holder := holderOf(name, group, ran)
		for i, e := range group {
			if e == holder {
				continue
			}
			other := holder
			if other == nil {
				other = group[(i+1)%len(group)]
			}
			if holder != nil || i > 0 {
				e.name = ""
			}
			at := e.at.sub("name")
			at.problem("%s is already the name of the connector at %s; names are unique", at.quote(name), other.connector.Source)
		}
	}
}

// holderOf returns the connector that keeps a name of several: the one that
// runs under it, else that of the main file, else the one whose file is called
// after it. nil where that is none or more than one: which account is meant is
// then not known, and events published under a wrong name cannot be taken back.
func holderOf(name string, group []*entry, ran past) *entry {
	var called []*entry
	running, runs := ran.connectors[name]
	for _, e := range group {
		if runs && e.connector.File == running.File {
			return e
		}
		if calledAfter(e.connector.File) == name {
			called = append(called, e)
		}
	}
	for _, e := range group {
		if e.connector.File == "" {
			return e
		}
	}
	if len(called) == 1 {
		return called[0]
	}
	return nil
}
