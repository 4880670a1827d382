package soak

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"testing"
	"time"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/internal/proof/wait"
)

// mostResident is far above what an instance needs and far below what it would
// hold if it read on without being able to write.
const mostResident = 150 << 20

var residentPattern = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)

// resident is the size in memory of an instance's process.
func (in *Instance) resident() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", in.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	m := residentPattern.FindSubmatch(text)
	if m == nil {
		return 0, errors.New("no VmRSS in the process's status")
	}
	kb, err := strconv.ParseInt(string(m[1]), 10, 64)
	return kb << 10, err
}

// sayUnready fails the test unless every instance runs and says of itself that
// it is not ready, within so much of the machine's time.
func (w *World) sayUnready(bound time.Duration) {
	w.tb.Helper()
	for _, in := range w.all() {
		w.Await(in.Name+" to say that it is not ready", bound, func() bool {
			if in.Ended() {
				w.dump()
				w.tb.Fatalf("%s ended while Kafka was away: %v", in.Name, in.err)
			}
			return errors.Is(in.get("/readyz", nil), statusError(http.StatusServiceUnavailable))
		})
	}
}

// TestClusterAway: all brokers are gone for SOAK_AWAY. The instances stay, say
// that they are not ready, hold no more than they may, and go on by themselves
// when Kafka is back.
func TestClusterAway(t *testing.T) {
	away := duration(t, "SOAK_AWAY", 15*time.Second)
	r := rand.New(rand.NewPCG(seed(t), 0))
	cluster := kafkatest.Start(t, kafkatest.Options{})
	w := New(t, Plan{
		Seed: r.Uint64(), Cluster: cluster, Sim: many(r.Uint64(), 12, 20), Settings: quick, SweepWindow: quickWindow, Shards: 16,
	})
	finish := w.Follow(t.Context())
	for _, name := range []string{"a", "b", "c"} {
		w.Start(name)
	}
	w.Await("all shards owned", 40*time.Second, func() bool { return w.owned() == 16 })
	if err := w.AwaitProgress(cold); err != nil {
		t.Fatal(err)
	}

	if err := cluster.KillAll(); err != nil {
		t.Fatal(err)
	}
	back := time.Now().Add(away)
	w.sayUnready(5 * time.Second)
	time.Sleep(time.Until(back))
	w.sayUnready(0)
	if err := cluster.StartAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	ready := wait.Begin()
	if err := w.AwaitProgress(cold); err != nil {
		w.dump()
		t.Fatal(err)
	}
	t.Logf("away for %s: every tenant got on %s after Kafka was ready again", away, ready)
	w.Await("all shards served", cold-ready.Passed(), func() bool { return w.owned() == 16 })
	w.checkResident()
	w.conclude(finish)
	for _, in := range w.all() {
		if in.Ended() {
			t.Errorf("%s ended: %v", in.Name, in.err)
		}
	}
}

// checkResident fails the test if an instance holds more than it may.
func (w *World) checkResident() {
	w.tb.Helper()
	for _, in := range w.all() {
		size, err := in.resident()
		if err != nil && runtime.GOOS == "linux" {
			w.tb.Errorf("size of %s: %v", in.Name, err)
			continue
		}
		w.tb.Logf("%s: %d MiB resident (error %v)", in.Name, size>>20, err)
		if size > mostResident {
			w.tb.Errorf("%s holds %d MiB, want at most %d", in.Name, size>>20, mostResident>>20)
		}
	}
}
