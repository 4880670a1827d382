package service

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"onelogin-kafka/internal/config"
)

// folderOf is a configuration with a file for each name; "!x" is set aside.
func folderOf(names ...string) *config.Config {
	cfg := &config.Config{}
	for _, name := range names {
		name, broken := strings.CutPrefix(name, "!")
		file := "d/" + name + ".yaml"
		if broken {
			cfg.SetAside = append(cfg.SetAside, config.SetAside{Name: name, File: file, Problems: config.Problems{{File: file}}})
			continue
		}
		cfg.Connectors = append(cfg.Connectors, config.Connector{Name: name, File: file})
	}
	return cfg
}

func namesOf(cfg *config.Config) string {
	var names []string
	for _, c := range cfg.Connectors {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// TestVanished has what is in the folder minute by minute, and who runs then.
func TestVanished(t *testing.T) {
	t.Parallel()
	type look struct {
		minute int
		files  string // "SIGHUP" among them: it is meant
		runs   string
		kept   int
	}
	for name, looks := range map[string][]look{
		"one of two is removed":                {{0, "a b", "a b", 0}, {1, "a", "a", 0}},
		"the only one goes":                    {{0, "a", "a", 0}, {1, "", "a", 1}, {5, "", "a", 1}, {6, "", "", 0}},
		"two of three go, and stay so":         {{0, "a b c", "a b c", 0}, {1, "a", "a b c", 2}, {6, "a", "a", 0}, {7, "a", "a", 0}},
		"all go and come back":                 {{0, "a b c", "a b c", 0}, {1, "", "a b c", 3}, {2, "a b c", "a b c", 0}, {8, "a b", "a b", 0}},
		"some come back":                       {{0, "a b c", "a b c", 0}, {1, "", "a b c", 3}, {2, "b", "a b c", 2}, {6, "b", "b", 0}},
		"it is meant":                          {{0, "a b c", "a b c", 0}, {1, "", "a b c", 3}, {2, "SIGHUP", "", 0}, {3, "", "", 0}},
		"it is meant from the start":           {{0, "a b c", "a b c", 0}, {1, "SIGHUP", "", 0}, {2, "", "", 0}},
		"meant before":                         {{0, "a b c", "a b c", 0}, {1, "a b c SIGHUP", "a b c", 0}, {2, "", "a b c", 3}},
		"others take their place":              {{0, "a b c", "a b c", 0}, {1, "x y z", "a b c x y z", 3}, {2, "v x y z", "a b c v x y z", 3}, {6, "v x y z", "v x y z", 0}},
		"again while some are kept":            {{0, "a b c d", "a b c d", 0}, {1, "d", "a b c d", 3}, {3, "", "a b c d", 4}, {6, "", "d", 1}, {8, "", "", 0}},
		"bit by bit":                           {{0, "a b c d e f", "a b c d e f", 0}, {1, "c d e f", "c d e f", 0}, {2, "d e f", "d e f", 0}, {3, "e f", "d e f", 1}, {4, "", "d e f", 3}, {8, "", "e f", 2}, {9, "", "", 0}},
		"bit by bit, and slowly":               {{0, "a b c", "a b c", 0}, {1, "b c", "b c", 0}, {7, "c", "c", 0}},
		"those that are set aside count":       {{0, "a !b !c !d", "a", 0}, {1, "!d", "a", 1}, {6, "!d", "", 0}},
		"those that are set aside go":          {{0, "a b !c !d !e", "a b", 0}, {1, "a", "a b", 1}},
		"all are broken":                       {{0, "a b c", "a b c", 0}, {1, "!a !b !c", "", 0}},
		"nothing was there":                    {{0, "", "", 0}, {1, "a", "a", 0}},
		"a kept one comes back under its name": {{0, "a b", "a b", 0}, {1, "", "a b", 2}, {2, "!a", "b", 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := vanished{}
			last := folderOf(strings.Fields(looks[0].files)...)
			start := time.Now()
			for _, l := range looks[1:] {
				now := start.Add(time.Duration(l.minute) * time.Minute)
				files := strings.Fields(l.files)
				meant := slices.Contains(files, "SIGHUP")
				next := folderOf(slices.DeleteFunc(files, func(f string) bool { return f == "SIGHUP" })...)
				v.keep(last, next, now, meant)
				if got := namesOf(next); got != l.runs || v.kept() != l.kept {
					t.Errorf("minute %d: %q run and %d are kept, want %q and %d", l.minute, got, v.kept(), l.runs, l.kept)
				}
				last = next
			}
		})
	}
}

// A connector that has moved to another file, or into the main file, is not gone.
func TestVanishedNotMoved(t *testing.T) {
	t.Parallel()
	last := folderOf("a", "b", "c")
	next := &config.Config{}
	for _, c := range last.Connectors {
		c.File = strings.Replace(c.File, "d/", "elsewhere/", 1)
		if c.Name == "c" {
			c.File = ""
		}
		next.Connectors = append(next.Connectors, c)
	}
	v := vanished{}
	if gone, _ := v.keep(last, next, time.Now(), false); gone != 0 || len(next.Connectors) != 3 || v.kept() != 0 {
		t.Errorf("%d have gone: %v", gone, next.Connectors)
	}
}

// fleet is a service without Kafka that follows n connector files.
func fleet(t *testing.T, n int) (s *Service, dir string, log *lines, ask chan struct{}, end func()) {
	t.Helper()
	dir = t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("c.yaml", "kafka: {brokers: [\"127.0.0.1:1\"]}\ninstance: one\nconnectors_dir: d\n")
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		write(fmt.Sprintf("d/t%04d.yaml", i), fmt.Sprintf("name: t%04d\ndomain: t%04d\nclient_id: id\nclient_secret: s\n", i, i))
	}
	from := Origin{Path: filepath.Join(dir, "c.yaml"), Lookup: noEnvironment}
	cfg, err := config.Load(from.Path, from.Lookup)
	if err != nil {
		t.Fatal(err)
	}
	log = &lines{}
	if s, err = New(cfg, Options{Log: zerolog.New(log), Registry: prometheus.NewRegistry()}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ask = make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { s.Follow(ctx, cfg, from, ask) })
	return s, dir, log, ask, func() { cancel(); wg.Wait(); s.cluster.Close() }
}

// A folder that is empty for five minutes is meant so, one that is empty for
// four is not, and a SIGHUP decides at once.
func TestFollowAnEmptyFolder(t *testing.T) {
	for name, tt := range map[string]struct {
		pause   time.Duration
		back    bool
		ask     bool
		removed int
	}{
		"for ever":      {pause: 5*time.Minute + 6*time.Second, removed: 100},
		"not yet":       {pause: 5*time.Minute - 3*time.Second, removed: 0},
		"and full soon": {pause: 4 * time.Minute, back: true, removed: 0},
		"and SIGHUP":    {pause: 3 * time.Second, ask: true, removed: 100},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, dir, log, ask, end := fleet(t, 100)
				defer end()
				time.Sleep(3 * time.Second)
				before := s.snapshot()
				if err := os.Rename(filepath.Join(dir, "d"), filepath.Join(dir, "away")); err != nil {
					t.Fatal(err)
				}
				if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
					t.Fatal(err)
				}
				time.Sleep(3 * time.Second)
				if n := len(log.with("more than half of the connector files have gone at once", `"gone":100,"of":100`)); n != 1 || s.reload.keeping() != 100 {
					t.Errorf("%d warnings, and the metric is %d:\n%s", n, s.reload.keeping(), log)
				}
				time.Sleep(tt.pause - 3*time.Second)
				if tt.back {
					if err := os.Remove(filepath.Join(dir, "d")); err != nil {
						t.Fatal(err)
					}
					if err := os.Rename(filepath.Join(dir, "away"), filepath.Join(dir, "d")); err != nil {
						t.Fatal(err)
					}
					time.Sleep(10 * time.Minute)
				}
				if tt.ask {
					ask <- struct{}{}
					time.Sleep(time.Second)
				}
				if n := len(s.snapshot()); n != 100-tt.removed {
					t.Errorf("%d connectors, want %d", n, 100-tt.removed)
				}
				if tt.removed == 0 {
					if d := cmp.Diff(before, s.snapshot(), cmp.Comparer(func(a, b *connector) bool { return a == b })); d != "" {
						t.Errorf("some were touched:\n%s", d)
					}
				}
				if kept := s.reload.keeping(); (kept == 0) != (tt.removed > 0 || tt.back) {
					t.Errorf("the metric is %d", kept)
				}
				if n := len(log.with("have gone at once")); n != 1 {
					t.Errorf("%d warnings, want 1", n)
				}
			})
		})
	}
}

// While the main file is refused, those whose time has come are not removed, and
// the refusal is told once.
func TestFollowAnEmptyFolderWhileRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dir, log, _, end := fleet(t, 10)
		defer end()
		main := filepath.Join(dir, "c.yaml")
		good, err := os.ReadFile(main)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 8 {
			if err := os.Remove(filepath.Join(dir, "d", fmt.Sprintf("t%04d.yaml", i))); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * time.Second)
		if err := os.WriteFile(main, append(good, "nonsense: 1\n"...), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if n, told := len(s.snapshot()), len(log.with("refused")); n != 10 || told != 1 {
			t.Errorf("%d connectors, %d refusals:\n%s", n, told, log)
		}
		if err := os.WriteFile(main, good, 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if n := len(s.snapshot()); n != 2 {
			t.Errorf("%d connectors, want 2", n)
		}
	})
}
