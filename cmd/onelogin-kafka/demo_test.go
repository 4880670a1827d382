package main

import (
	"bytes"
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"onelogin-kafka/schemas"
)

// demoProcess starts the demo as a process of its own.
func demoProcess(t *testing.T, args ...string) (*exec.Cmd, *output) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, append([]string{"demo"}, args...)...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// TestDemoKilled kills the demo at several points of its life; the last start
// goes on and proves that each event is there once.
func TestDemoKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// Each kill comes at a later sign of life.
	for _, sign := range []string{"topic ", "USER_", "more; ", "were in the topic already", "exist and can be seen"} {
		cmd, out := demoProcess(t, "--events", "3000", "--data", dir)
		eventually(t, "the demo printing "+sign, func() bool { return strings.Contains(out.String(), sign) })
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Errorf("the demo ended before it was killed at %q:\n%s", sign, out)
		}
	}
	// Nothing left to do is proven again.
	for range 2 {
		cmd, out := demoProcess(t, "--data", dir)
		err := cmd.Wait()
		if err != nil || !strings.Contains(out.String(), "3000 events, 0 missing, 0 duplicate, 0 altered") {
			t.Fatalf("got %v and:\n%s", err, out)
		}
	}
	if code, _, errs := runCommand(t, "demo", "--events", "4000", "--data", dir); code != exitUsage || !strings.Contains(errs, "--events 3000") {
		t.Errorf("another shape: got exit %d, %q", code, errs)
	}
}

func TestDemoLeavesNothingBehind(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	code, out, errs := runCommand(t, "demo", "--events", "7", "--rate", "50")
	if code != exitOK || !strings.Contains(out, "\n7 events, 0 missing, 0 duplicate, 0 altered (") {
		t.Errorf("got exit %d\n%s\n%s", code, out, errs)
	}
	left, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	c := startCommand(t, "demo", "--data", t.TempDir())
	eventually(t, "the first event", func() bool { return strings.Contains(c.out.String(), "USER_") })
	if code := c.end(); code != exitOK {
		t.Errorf("got exit %d\n%s", code, c.errs.String())
	}
}

// A demo that was to prove something and did not is no success.
func TestDemoInterruptedBeforeTheProof(t *testing.T) {
	t.Parallel()
	c := startCommand(t, "demo", "--data", t.TempDir(), "--events", "100000")
	eventually(t, "the first event", func() bool { return strings.Contains(c.out.String(), "USER_") })
	if code := c.end(); code != exitFail || !strings.Contains(c.errs.String(), "nothing is proven") {
		t.Errorf("got exit %d\n%s", code, c.errs.String())
	}
}

// TestScenarioComesToItsEnd: whatever was asked for, exactly that many events
// come, and the same ones however late one looks.
func TestScenarioComesToItsEnd(t *testing.T) {
	for _, s := range []demoPlan{
		{Seed: 1, Events: 1, Rate: 20}, {Seed: 2, Events: 15, Rate: 20}, {Seed: 3, Events: 10_000, Rate: 20},
		{Seed: 4, Events: 10_001, Rate: 333.3}, {Seed: 5, Events: 500, Rate: 0}, {Seed: 6, Events: 100, Rate: 7.7},
	} {
		// The end has passed: the simulator must stop at it all the same.
		s.Start = time.Now().Add(-time.Minute)
		w, err := newDemoOneLogin(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.stop(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
		if at := w.sim.SettledAt(); at.After(s.end().Add(lateBy)) {
			t.Errorf("%+v: settled at %v", s, at)
		}
	}
}

func TestJudge(t *testing.T) {
	w, err := newDemoOneLogin(demoPlan{Seed: 1, Events: 9, Start: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	whole := func(t *testing.T) published {
		l := published{}
		for _, tenant := range w.sim.Tenants() {
			truth, err := w.sim.Truth(tenant.Name)
			if err != nil {
				t.Fatal(err)
			}
			l[tenant.Name] = map[int64]entry{}
			for e := range truth {
				l[tenant.Name][e.ID] = entry{n: 1, sum: sha256.Sum256(e.Raw)}
			}
		}
		return l
	}
	some := func(l published, change func(id int64, e entry)) {
		for id, e := range l["acme"] {
			change(id, e)
			return
		}
	}
	cases := map[string]struct {
		harm func(l published)
		want verdict
	}{
		"clean":   {func(published) {}, verdict{events: 9}},
		"missing": {func(l published) { some(l, func(id int64, _ entry) { delete(l["acme"], id) }) }, verdict{events: 9, missing: 1}},
		"none":    {func(l published) { clear(l) }, verdict{events: 9, missing: 9}},
		"twice": {func(l published) { some(l, func(id int64, e entry) { e.n = 3; l["acme"][id] = e }) },
			verdict{events: 9, duplicate: 2}},
		"altered": {func(l published) { some(l, func(id int64, e entry) { e.sum[0]++; l["acme"][id] = e }) },
			verdict{events: 9, altered: 1}},
		"altered copy": {func(l published) { some(l, func(id int64, e entry) { e.n, e.mixed = 2, true; l["acme"][id] = e }) },
			verdict{events: 9, duplicate: 1, altered: 1}},
		"unexpected":     {func(l published) { l["acme"][1] = entry{n: 2} }, verdict{events: 9, unexpected: 2}},
		"unknown tenant": {func(l published) { l["nobody"] = map[int64]entry{1: {n: 1}} }, verdict{events: 9, unexpected: 1}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			l := whole(t)
			tc.harm(l)
			got, err := l.judge(w.sim)
			if err != nil || got != tc.want {
				t.Errorf("got %+v, %v, want %+v", got, err, tc.want)
			}
			if got.clean() != (name == "clean") {
				t.Errorf("clean: got %v", got.clean())
			}
		})
	}
}

func TestDemoTailShowsASample(t *testing.T) {
	var out bytes.Buffer
	tail := newDemoTail(&out)
	tail.began(0, 2)
	r := schemas.Record{Headers: []schemas.Header{{Key: schemas.HeaderTenant, Value: []byte("acme")}, {Key: schemas.HeaderID}}}
	for i := range int64(100) {
		r.Headers[1].Value = []byte{byte('1' + i/10), byte('0' + i%10)}
		if err := tail.record(0, i, &r); err != nil && i < 90 {
			t.Fatal(err)
		}
	}
	if got := strings.Count(out.String(), "\n"); got != linesPerSecond {
		t.Errorf("got %d lines, want %d", got, linesPerSecond)
	}
}
