package service

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/producer"
	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
)

// control joins the connectors of the control log with those of files.
type control struct {
	*registry.Registry

	mu     sync.Mutex
	files  *config.Config              // the last that was taken from files
	joined <-chan struct{}             // the state of the log that was joined; nil = none
	good   map[string]config.Connector // the last good version of each on the log
	shadow []string                    // those that a file has the name of

	taken atomic.Bool // what is on the log was taken over once
}

// takeOver makes the connectors of files, or of those before where it is nil, and of
// the control log the configured ones. Of one name the file's counts: it is what
// an operator sees on the machine.
func (s *Service) takeOver(files *config.Config) Changes {
	c := &s.control
	c.mu.Lock()
	defer c.mu.Unlock()
	state := c.Changed()
	if files == nil && (c.files == nil || c.joined == state) {
		return Changes{}
	}
	if files != nil {
		c.files = files
		s.takeKeys(files)
		state = c.Changed()
	}
	all := *c.files
	all.Connectors, all.SetAside = slices.Clone(all.Connectors), slices.Clone(all.SetAside)
	// What is on the log is known when it was read whole, and not before.
	if !c.Whole() {
		return s.apply(&all)
	}
	c.joined = state
	s.addRecorded(&all)
	changes := s.apply(&all)
	c.taken.Store(true)
	return changes
}

// addRecorded adds the connectors of the log to those of files. The caller holds
// the control's lock.
func (s *Service) addRecorded(all *config.Config) {
	c := &s.control
	good, aside := c.Configured()
	next := map[string]config.Connector{}
	for i := range aside {
		if last, ran := c.good[aside[i].Name]; ran {
			good, aside[i].Runs = append(good, last), true
		}
	}
	for _, cc := range good {
		next[cc.Name] = cc
	}
	c.good = next
	shadow := Join(all, good, aside)
	for _, name := range shadow {
		if !slices.Contains(c.shadow, name) {
			s.opts.Log.Warn().Str("connector", name).Msg("the connector is both in a file and on the control log: the file is used")
		}
	}
	c.shadow = shadow
}

// Join adds the connectors of the control log, and those of it that are set aside,
// to the ones of files in cfg. Of one name in both the file's is used: it returns
// the names of the others, which are left out.
func Join(cfg *config.Config, logged []config.Connector, aside []config.SetAside) (shadowed []string) {
	ofFile := map[string]bool{}
	for i := range cfg.Connectors {
		ofFile[cfg.Connectors[i].Name] = true
	}
	for i := range cfg.SetAside {
		ofFile[cfg.SetAside[i].Name] = true
	}
	taken := map[string]bool{}
	for _, cc := range logged {
		if ofFile[cc.Name] {
			taken[cc.Name] = true
			continue
		}
		cc.Proxy = cc.Proxy.Or(cfg.Proxy)
		cfg.Connectors = append(cfg.Connectors, cc)
	}
	for _, a := range aside {
		if ofFile[a.Name] {
			taken[a.Name] = true
			continue
		}
		cfg.SetAside = append(cfg.SetAside, a)
	}
	return slices.Sorted(maps.Keys(taken))
}

// Shadowed are the connectors of the control log that are not used, as a file
// has one of their name.
func (s *Service) Shadowed() []string {
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	return slices.Clone(s.control.shadow)
}

// takeKeys takes the private keys over, but drops none that is still in use. The
// caller holds the control's lock.
func (s *Service) takeKeys(cfg *config.Config) {
	c := &s.control
	next, err := cfg.Secrets.Ring()
	if err != nil {
		s.opts.Log.Error().Err(err).Msg("the keys of sealed secrets cannot be read; those before stay in use")
		return
	}
	before, used := c.Ring(), c.keysInUse()
	for _, id := range before.IDs() {
		if !next.Has(id) && used[id] > 0 {
			s.opts.Log.Error().Str("key_id", id).Int("connectors", used[id]).
				Msg("a key that is still in use is not in secrets.keys any more, and is kept until the restart; put it back, and run onelogin-kafka secrets rotate")
			next = next.Keeping(before, id)
		}
	}
	a, _ := before.Active()
	b, _ := next.Active()
	if a.ID() != b.ID() || !slices.Equal(before.IDs(), next.IDs()) {
		c.SetRing(next)
	}
}

// keysInUse counts the connectors of the log by the key of their secret.
func (c *control) keysInUse() map[string]int {
	n := map[string]int{}
	for _, rec := range c.List() {
		n[rec.Secret.KeyID()]++
	}
	return n
}

// followControl takes over what the control log says, until ctx ends.
func (s *Service) followControl(ctx context.Context) {
	published := ""
	for {
		changed := s.control.Changed()
		if n := s.takeOver(nil); n != (Changes{}) {
			s.opts.Log.Info().Int("added", n.Added).Int("changed", n.Changed).Int("removed", n.Removed).Msg("the control log's connectors are taken over")
		}
		if key, ok := s.control.Ring().Active(); ok && key.ID() != published && s.control.Whole() {
			published = key.ID()
			s.publish(ctx, published)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// publish puts our public key on the control log, so that secrets can be sealed
// where no private key is. That we may not write there is no trouble of ours.
func (s *Service) publish(ctx context.Context, id string) {
	if keys := s.control.Keys(); len(keys) > 0 && keys[0].Active && keys[0].ID == id {
		return
	}
	who := registry.Who{By: "instance " + s.settings.instance, Via: "service"}
	if err := s.control.Publish(ctx, who); err != nil && ctx.Err() == nil {
		s.opts.Log.Warn().Err(err).Str("key_id", id).Msg("the public key could not be put on the control log; a command that adds a connector does it too")
	}
}

// caughtUp returns a channel that is closed when all is taken over that was on
// the control log at the time of the call, and what waits for the end of the
// asking, which ends with ctx.
func (s *Service) caughtUp(ctx context.Context) (<-chan struct{}, func()) {
	caught := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			err := s.control.CatchUp(ctx)
			if err == nil {
				s.takeOver(nil)
				close(caught)
				return
			}
			if !sleep(ctx, time.Second) {
				return
			}
		}
	})
	return caught, wg.Wait
}

// rung hands a bell of the control log on to whoever serves the connector's shard
// here, and tells whoever polls it of its jobs.
func (s *Service) rung(e registry.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e.Key.Kind {
	case schemas.ControlBell:
		if !s.control.Whole() {
			return
		}
		bells := s.bells[producer.PartitionFor(schemas.OffsetKey(e.Key.Connector), s.settings.shards)]
		select {
		case bells <- e.Key.Connector: // nil where nobody here serves it
		default:
		}
	case schemas.ControlJob:
		if c := s.connectors[e.Key.Connector]; c != nil {
			select {
			case c.asked <- struct{}{}:
			default:
			}
		}
	case schemas.ControlConnector, schemas.ControlSealing:
	}
}

// bellsOf returns the bells of a shard, until silence is called.
func (s *Service) bellsOf(shard int32) (bells <-chan string, silence func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := make(chan string, 16)
	s.bells[shard] = ch
	return ch, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.bells[shard] == ch {
			delete(s.bells, shard)
		}
	}
}

// ring has the status of a connector written at once: somebody has written to its
// shard, and a session that was fenced finds that out by it.
func (v *serving) ring(ctx context.Context, name string) {
	if r, ok := v.runs[name]; ok {
		v.report(ctx, r, v.session.NoteSoon)
		return
	}
	if st, ok := v.service.absent.of(v.session.Shard)[name]; ok {
		_ = v.session.NoteSoon(ctx, schemas.Record{Topic: schemas.Status, Key: schemas.OffsetKey(name), Value: st.Marshal(), Time: time.Now()}) // else the session is over
	}
}

// replayed returns an error for a connector of the control log whose secret is
// older than one that was used.
func replayed(c *config.Connector, used int64) error {
	if !c.Recorded || c.SecretGeneration >= used {
		return nil
	}
	return &source.APIError{
		Kind: source.Configuration, Stage: stageConfiguration,
		Message: fmt.Sprintf("Configuration Error: the client secret on the control log is of generation %d, and one of generation %d was in use: an old record was put back", c.SecretGeneration, used),
		Advice:  "Enter the client secret again.",
	}
}
