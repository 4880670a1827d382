package soak

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A process cannot be given a clock of its own by the operating system. So the
// service is built with a package time that adds to the wall clock what a file
// says, within 20 ms of its saying it, and leaves the monotonic clock alone: what
// happens when somebody sets a machine's clock.
const (
	clockVariable = "SOAK_CLOCK"
	readClock     = "sec, nsec, mono := runtimeNow()\n\tif mono == 0 {"
	stepClock     = "sec, nsec, mono := runtimeNow()\n\tsec += soak.Load()\n\tif mono == 0 {"
	clockSource   = `package time

import (
	"sync/atomic"
	"syscall"
)

// soak is what the wall clock is ahead, in seconds. Now is called where no file
// can be read, so that is done beside it.
var soak atomic.Int64

func init() {
	soak.Store(soakSeconds())
	go func() {
		for {
			Sleep(20 * Millisecond)
			soak.Store(soakSeconds())
		}
	}()
}

func soakSeconds() int64 {
	name, ok := syscall.Getenv("` + clockVariable + `")
	if !ok {
		return 0
	}
	fd, err := open(name)
	if err != nil {
		return 0
	}
	defer closefd(fd)
	var buf [32]byte
	n, err := read(fd, buf[:])
	if err != nil {
		return soak.Load()
	}
	negative, seconds := false, int64(0)
	for _, c := range buf[:max(n, 0)] {
		switch {
		case c == '-':
			negative = true
		case c >= '0' && c <= '9':
			seconds = seconds*10 + int64(c-'0')
		}
	}
	if negative {
		return -seconds
	}
	return seconds
}
`
)

var buildWithClock = sync.OnceValues(func() (string, error) {
	plain, err := binary() // for its folder
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(plain)
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("asking for GOROOT: %w", err)
	}
	library := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	text, err := os.ReadFile(filepath.Join(library, "time.go"))
	if err != nil {
		return "", fmt.Errorf("reading package time: %w", err)
	}
	if bytes.Count(text, []byte(readClock)) != 1 {
		return "", errors.New("package time no longer reads the clock as it did: clock.go must follow it")
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(library, "time.go"): filepath.Join(dir, "time.go"),
		filepath.Join(library, "soak.go"): filepath.Join(dir, "soak.go"),
	}})
	if err != nil {
		return "", fmt.Errorf("encoding the overlay: %w", err)
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "time.go"), bytes.Replace(text, []byte(readClock), []byte(stepClock), 1), 0o600),
		os.WriteFile(filepath.Join(dir, "soak.go"), []byte(clockSource), 0o600),
		os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))
	if err != nil {
		return "", fmt.Errorf("writing the overlay: %w", err)
	}
	out := filepath.Join(dir, "onelogin-kafka-clock")
	said, err := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", out, "onelogin-kafka/cmd/onelogin-kafka").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the service with a clock to set: %w\n%s", err, said)
	}
	return out, nil
})

// giveClocks lets SetClock work on the instances that are started from now on.
func (w *World) giveClocks() {
	w.tb.Helper()
	bin, err := buildWithClock()
	if err != nil {
		w.tb.Fatal(err)
	}
	w.binary, w.clocks = bin, true
}

// SetClock sets an instance's clock that far ahead of the true time, or behind
// it, and waits until the instance goes by it. The next process of the same
// name keeps it.
func (w *World) SetClock(name string, ahead time.Duration) {
	w.tb.Helper()
	w.must(w.write(w.path(name+".clock"), strconv.FormatInt(int64(ahead/time.Second), 10)))
	in := w.Instance(name)
	if in == nil || in.Ended() {
		return
	}
	w.Await(name+" to go by its new clock", 5*time.Second, func() bool {
		off, err := in.clock()
		return err == nil && (off-ahead).Abs() < 5*time.Second
	})
}

// clock is how far the instance's clock is ahead, by the date of an answer of
// its console.
func (in *Instance) clock() (time.Duration, error) {
	url, ok := in.URL()
	if !ok {
		return 0, errors.New("no console yet")
	}
	client := http.Client{Timeout: answerWithin}
	res, err := client.Get(url + "/healthz")
	if err != nil {
		return 0, err
	}
	res.Body.Close()
	date, err := http.ParseTime(res.Header.Get("Date"))
	return time.Until(date), err
}
