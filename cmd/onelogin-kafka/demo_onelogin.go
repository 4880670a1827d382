package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"onelogin-kafka/source/onelogin/simulator"
)

// demoPlan is all that decides which events a demo's OneLogin has. It is kept
// in the demo's folder, so that a demo that is started again has the same past.
type demoPlan struct {
	Version int       `json:"version"`
	Seed    uint64    `json:"seed"`
	Start   time.Time `json:"start"`
	// Events is how many there will ever be, of all tenants; 0 = no end.
	Events int64 `json:"events"`
	// Rate is in events per second and tenant.
	Rate float64 `json:"rate"`
}

const demoFile = "demo.json"

const (
	demoTenants = 3
	// demoBacklog is each tenant's backlog where the events have no end.
	demoBacklog = 1000
	// liveFor is about how long events come where they have an end.
	liveFor = 5 * time.Second
	// lateBy is the most that an event is shown late.
	lateBy = 4 * time.Second
	// tieSize is the simulator's: as many events come at once where they have
	// equal times.
	tieSize = 5
)

// openDemoPlan reads the demoPlan of a folder or, in a folder without, makes
// one of the wanted shape. One that is there counts; explicit tells whether it
// has to be of that shape.
func openDemoPlan(dir string, events int64, rate float64, explicit bool) (demoPlan, error) {
	path := filepath.Join(dir, demoFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		s := demoPlan{Version: 1, Seed: rand.Uint64(), Start: time.Now().UTC().Truncate(time.Millisecond), Events: events, Rate: rate}
		return s, s.save(path)
	}
	if err != nil {
		return demoPlan{}, fmt.Errorf("reading the demo's folder: %w", err)
	}
	var s demoPlan
	if err := json.Unmarshal(text, &s); err != nil || s.Version != 1 {
		return demoPlan{}, usage(fmt.Errorf("%s is no demo of this version; take another folder", path))
	}
	if explicit && (s.Events != events || s.Rate != rate) {
		return demoPlan{}, usage(fmt.Errorf("%s holds a demo with --events %d --rate %v; leave these flags out to go on with it, or take another folder", dir, s.Events, s.Rate))
	}
	return s, nil
}

func (s demoPlan) save(path string) error {
	text, err := json.Marshal(s)
	if err == nil {
		err = os.WriteFile(path+".tmp", append(text, '\n'), 0o600)
	}
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		return fmt.Errorf("writing the demo's folder: %w", err)
	}
	return nil
}

// live is the number of events that each tenant gets after the start, in whole
// groups of equal times, so that their number passes through it.
func (s demoPlan) live() int64 {
	n := min(int64(s.Rate*liveFor.Seconds()), s.Events/demoTenants)
	return n - n%tieSize
}

// end is the moment at which all events exist; zero if there is none.
func (s demoPlan) end() time.Time {
	if s.Events == 0 {
		return time.Time{}
	}
	n := s.live()
	if n == 0 {
		return s.Start
	}
	return s.Start.Add(time.Duration(float64(n) * (1e9 / s.Rate)))
}

func (s demoPlan) config(now func() time.Time) simulator.Config {
	tenants := demoTenants
	if s.Events == 0 {
		tenants++ // one to make a connector of; what is proven is of the others
	}
	c := simulator.Default(tenants)
	c.Seed, c.Start, c.Now = s.Seed, s.Start, now
	// What the demo shows is not how a budget is spread over an hour.
	c.HourlyLimit = 1_000_000
	backlog := s.Events - demoTenants*s.live()
	for i := range c.Tenants {
		t := &c.Tenants[i]
		t.Traffic.Rate, t.Traffic.LateBy = s.Rate, simulator.Duration(lateBy)
		t.Backlog = demoBacklog
		if s.Events > 0 {
			t.Backlog = backlog / demoTenants
			if i == 0 {
				t.Backlog += backlog % demoTenants
			}
		}
	}
	return c
}

// demoOneLogin is a simulated OneLogin whose events come to an end by themselves.
type demoOneLogin struct {
	demoPlan
	sim     *simulator.Server
	stopped atomic.Bool
}

func newDemoOneLogin(s demoPlan) (*demoOneLogin, error) {
	w := &demoOneLogin{demoPlan: s}
	sim, err := simulator.New(s.config(w.now))
	if err != nil {
		return nil, fmt.Errorf("simulating OneLogin: %w", err)
	}
	w.sim = sim
	return w, nil
}

// now is the simulator's clock. It stands still at the end until the coming of
// events is stopped there, so that the last event is always the same.
func (w *demoOneLogin) now() time.Time {
	now := time.Now()
	if end := w.end(); !end.IsZero() && !w.stopped.Load() && now.After(end) {
		return end
	}
	return now
}

// stop ends the coming of events, once the end is there.
func (w *demoOneLogin) stop() error {
	w.sim.Freeze()
	w.stopped.Store(true)
	if n := w.count(); n != w.Events {
		return fmt.Errorf("the simulated OneLogin has %d events, not %d", n, w.Events)
	}
	return nil
}

// count is the number of events that exist.
func (w *demoOneLogin) count() int64 {
	n := int64(0)
	for _, t := range w.sim.Tenants() {
		n += t.Events
	}
	return n
}
