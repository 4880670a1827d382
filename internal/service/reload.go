package service

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"hash/maphash"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"onelogin-kafka/internal/config"
)

// reloads is what became of the configurations read so far.
type reloads struct {
	mu   sync.Mutex
	ok   bool
	at   time.Time // of the last that was taken
	sum  [32]byte  // of what is in use, see config.Config.Shared
	kept int       // connectors that run on although their files are gone
}

func (r *reloads) done(sum [32]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ok, r.at, r.sum = true, time.Now(), sum
}

func (r *reloads) refused() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ok = false
}

func (r *reloads) keeps(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = n
}

func (r *reloads) keeping() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kept
}

func (r *reloads) last() (ok bool, at time.Time, sum [32]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ok, r.at, r.sum
}

// Origin is where the configuration comes from, as config.Load takes it.
type Origin struct {
	Path   string
	Lookup func(name string) (string, bool)
	// Strict refuses a configuration as a whole where a connector would be set
	// aside.
	Strict bool
}

const (
	// lookEvery is how often the files are looked at.
	lookEvery = 2 * time.Second
	// quiet is how long files must stay as they are before they are read: they
	// are not always replaced at once.
	quiet = 250 * time.Millisecond
	// sumShare is how much longer than reading everything took is waited before
	// that is done again without a sign of a change: at most 2 % of a core.
	sumShare = 50
)

// Follow takes over changes of the configuration that cfg was read from until
// ctx ends: it looks every two seconds, and reads anew whenever ask has a value.
// A configuration that is wrong in its main file is refused as a whole. Only
// connectors change; what else has changed needs a restart, and is named in the
// log. A folder that has lost more than half of its files at once removes
// nobody for five minutes, or until ask has a value.
func (s *Service) Follow(ctx context.Context, cfg *config.Config, from Origin, ask <-chan struct{}) {
	f := &follower{service: s, from: from, running: cfg, last: cfg, sum: cfg.Sum, vanished: vanished{}}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		asked := false
		select {
		case <-tick.C:
		case <-ask:
			asked = true
		case <-ctx.Done():
			return
		}
		f.look(ctx, asked)
	}
}

// follower is the state of Follow.
type follower struct {
	service *Service
	from    Origin
	running *config.Config // what the service was started with
	last    *config.Config // the last that was taken, with what runs on of those before
	sum     [32]byte       // of the last that was looked at, taken or not
	files   uint64         // sizes and times of the files when last looked at
	again   time.Time      // when to read everything though files are as before
	refused bool           // the last that was looked at was refused
	vanished
}

// look reads the configuration if it has changed, or if asked to.
func (f *follower) look(ctx context.Context, asked bool) {
	files := f.stat()
	began := time.Now()
	must := asked || !f.refused && f.due(began)
	if !must && files == f.files && began.Before(f.again) {
		return
	}
	sum := f.checksum()
	f.files, f.again = files, time.Now().Add(sumShare*time.Since(began))
	if !must && sum == f.sum {
		return
	}
	for {
		if !sleep(ctx, quiet) {
			return
		}
		now := f.checksum()
		if now == sum {
			break
		}
		sum = now
	}
	if !must && sum == f.sum {
		return // a file that was there for a moment only
	}
	f.read(sum, asked)
}

// checksum is config.Checksum; zero while the file cannot be read.
func (f *follower) checksum() [32]byte {
	sum, err := config.Checksum(f.from.Path, f.from.Lookup)
	if err != nil {
		return [32]byte{}
	}
	return sum
}

var statSeed = maphash.MakeSeed()

// stat is a cheap look at the files: the configuration file and those in the
// connectors' folder, symbolic links followed. It sees most changes at once;
// the checksum sees the rest.
func (f *follower) stat() uint64 {
	var h maphash.Hash
	h.SetSeed(statSeed)
	look := func(path string) {
		h.WriteString(path)
		info, err := os.Stat(path)
		if err != nil {
			h.WriteByte(0)
			return
		}
		maphash.WriteComparable(&h, info.ModTime().UnixNano())
		maphash.WriteComparable(&h, info.Size())
	}
	if f.from.Path != "" {
		look(f.from.Path)
	}
	if dir := f.last.ConnectorsDir; dir != "" {
		look(dir)
		entries, _ := os.ReadDir(dir) // a folder that is gone differs by its absence
		for _, e := range entries {
			look(filepath.Join(dir, e.Name()))
		}
	}
	return h.Sum64()
}

// read loads the configuration and takes it over.
func (f *follower) read(sum [32]byte, asked bool) {
	log := f.service.opts.Log
	cfg, err := config.Reload(f.last, f.from.Path, f.from.Lookup)
	if err == nil && f.from.Strict && len(cfg.SetAside) > 0 {
		err = cfg.Problems()
	}
	f.refused = err != nil
	if err != nil {
		f.sum = sum
		f.refuse(err)
		return
	}
	f.sum = cfg.Sum
	if gone, of := f.keep(f.last, cfg, time.Now(), asked); gone > 0 {
		log.Warn().Int("gone", gone).Int("of", of).Str("folder", f.last.ConnectorsDir).Dur("for", meantAfter).
			Msg("more than half of the connector files have gone at once: their connectors run on for a while; SIGHUP removes them now")
	}
	changes := f.service.Apply(cfg)
	inUse := f.inUse(cfg).Shared()
	f.service.reload.done(inUse)
	f.service.reload.keeps(f.kept())
	f.wake(cfg)
	log.Info().Int("connectors", len(cfg.Connectors)).Int("added", changes.Added).Int("changed", changes.Changed).Int("removed", changes.Removed).
		Int("set_aside", len(cfg.SetAside)).Int("kept", f.kept()).Str("sha256", hex.EncodeToString(inUse[:6])).Msg("configuration taken over")
	if len(changed(f.last, cfg)) > 0 {
		if names := changed(f.running, cfg); len(names) > 0 {
			log.Warn().Strs("settings", names).Msg("these settings have changed and are not in use: restart to take them over")
		}
	}
	Warn(log, f.last, cfg)
	f.last = cfg
}

// inUse is cfg with what needs a restart as the service was started with it.
func (f *follower) inUse(cfg *config.Config) *config.Config {
	c := *f.running
	c.Connectors, c.SetAside, c.Proxy, c.Secrets = cfg.Connectors, cfg.SetAside, cfg.Proxy, cfg.Secrets
	return &c
}

// Warn logs what is not wrong in a configuration and yet hardly meant, as far as
// it was not in the one before, which may be nil.
func Warn(log zerolog.Logger, before, cfg *config.Config) {
	for _, p := range cfg.Warnings {
		if before == nil || !slices.Contains(before.Warnings, p) {
			log.Warn().Func(place(p)).Str("reason", p.Message).Msg("something in the configuration is hardly meant")
		}
	}
}

// wake has the connectors polled at once whose secret is another, or whose
// trouble is over: who was refused may rest for long.
func (f *follower) wake(cfg *config.Config) {
	before := make(map[string]config.Connector, len(f.last.Connectors))
	for _, c := range f.last.Connectors {
		before[c.Name] = c
	}
	was, is := asidesOf(f.last), asidesOf(cfg)
	connectors := f.service.snapshot()
	for _, c := range cfg.Connectors {
		_, wrong := was[c.Name]
		_, still := is[c.Name]
		if b, ran := before[c.Name]; ran && (!c.SameSecret(b) || wrong && !still) {
			connectors[c.Name].poller.Wake()
		}
	}
}

func (f *follower) refuse(err error) {
	f.service.reload.refused()
	log := f.service.opts.Log
	const text = "the new configuration is refused, the old one stays in use"
	var problems config.Problems
	if !errors.As(err, &problems) {
		log.Error().Err(err).Msg(text)
		return
	}
	for _, p := range problems {
		log.Error().Func(place(p)).Str("reason", p.Message).Msg(text)
	}
}

func place(p config.Problem) func(e *zerolog.Event) {
	return func(e *zerolog.Event) {
		e.Str("file", p.File)
		if p.Line > 0 {
			e.Int("line", p.Line)
		}
		if p.Path != "" {
			e.Str("field", p.Path)
		}
	}
}

// changed names the settings outside connectors in which a and b differ.
func changed(a, b *config.Config) []string {
	var names []string
	va, vb := reflect.ValueOf(*a), reflect.ValueOf(*b)
	for i := range va.NumField() {
		switch name := va.Type().Field(i).Tag.Get("yaml"); name {
		case "-", "connectors", "connectors_dir", "secrets":
		case "proxy", "ca_file": // the connectors' own; and what is in the file counts
		default:
			if !reflect.DeepEqual(va.Field(i).Interface(), vb.Field(i).Interface()) {
				names = append(names, name)
			}
		}
	}
	if !bytes.Equal(a.Authorities, b.Authorities) {
		names = append(names, "ca_file")
	}
	return names
}
