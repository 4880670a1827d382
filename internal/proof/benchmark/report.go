package benchmark

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Result is one measurement with its figures.
type Result struct {
	Name    string    `json:"name"`
	Title   string    `json:"title"`
	At      time.Time `json:"at"`
	Version string    `json:"version"` // commit
	Command string    `json:"command"`
	Machine string    `json:"machine"`
	Figures []Figure  `json:"figures"`
}

// Figure is one row of a result.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	// Least and Most are over the rounds; both 0 for a single one.
	Least  float64 `json:"least,omitempty"`
	Most   float64 `json:"most,omitempty"`
	Unit   string  `json:"unit"`
	Target string  `json:"target,omitempty"`
	Met    bool    `json:"met,omitempty"`
}

// note adds a figure without a target.
func (r *Result) note(name string, value float64, unit string) {
	r.Figures = append(r.Figures, Figure{Name: name, Value: value, Unit: unit})
}

// add adds a figure with its target.
func (r *Result) add(name string, value float64, unit, target string, met bool) {
	r.Figures = append(r.Figures, Figure{Name: name, Value: value, Unit: unit, Target: target, Met: met})
}

// median adds the median of several values; a target is met by the median.
func (r *Result) median(name string, values []float64, unit, target string, met func(float64) bool) {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	f := Figure{Name: name, Value: (sorted[(n-1)/2] + sorted[n/2]) / 2, Least: sorted[0], Most: sorted[n-1], Unit: unit, Target: target}
	if met != nil {
		f.Met = met(f.Value)
	}
	r.Figures = append(r.Figures, f)
}

// worst adds the largest of several values, which may be so much at most.
func (r *Result) worst(name string, values []float64, unit string, most float64) {
	v := slices.Max(values)
	r.add(name, v, unit, fmt.Sprintf("≤ %g", most), v <= most)
}

func atLeast(least float64) func(float64) bool { return func(v float64) bool { return v >= least } }
func atMost(most float64) func(float64) bool   { return func(v float64) bool { return v <= most } }

func catchUpResult(page int, events int64, rounds catchUpRounds) Result {
	bare, loose, ours := rounds.bare, rounds.loose, rounds.ours
	r := Result{
		Name:  fmt.Sprintf("catchup-%d", page),
		Title: fmt.Sprintf("Catch-up of %s events of one connector, page %s, %d rounds", thousands(events), thousands(int64(page)), len(ours)),
	}
	rates := func(samples []sample) []float64 {
		return each1(samples, func(s sample) float64 { return rate(s, events) })
	}
	cpu := func(samples []sample, of func(sample) time.Duration) []float64 {
		return each1(samples, func(s sample) float64 { return perEvent(of(s), events) })
	}
	quotient := func(a, b []sample) []float64 {
		q := make([]float64, len(a))
		for i := range a {
			q[i] = rate(a[i], events) / rate(b[i], events)
		}
		return q
	}
	r.median("bare client", rates(bare), "events/s", "", nil)
	r.median("bare client, unchecked", rates(rounds.unchecked), "events/s", "", nil)
	r.median("at-least-once poller on franz-go", rates(loose), "events/s", "", nil)
	r.median("service", rates(ours), "events/s", "", nil)
	least := 0.7
	if page >= 1000 {
		least = 0.5
	}
	r.median("service / bare client", quotient(ours, bare), "", fmt.Sprintf("≥ %g", least), atLeast(least))
	r.median("service / at-least-once poller", quotient(ours, loose), "", "> 1", func(v float64) bool { return v > 1 })
	r.median("service / bare client, unchecked", quotient(ours, rounds.unchecked), "", "", nil)
	own := func(s sample) time.Duration { return s.cpu }
	if page >= 1000 {
		r.median("CPU of the service", cpu(ours, own), "µs/event", "≤ 12", atMost(12))
	} else {
		r.median("CPU of the service", cpu(ours, own), "µs/event", "", nil)
	}
	r.median("CPU of the at-least-once poller", cpu(loose, own), "µs/event", "", nil)
	r.median("CPU of the bare client", cpu(bare, own), "µs/event", "", nil)
	r.median("CPU of the simulator, service's run", cpu(ours, func(s sample) time.Duration { return s.simulator }), "µs/event", "", nil)
	r.median("CPU of the reader, service's run", cpu(ours, func(s sample) time.Duration { return s.reader }), "µs/event", "", nil)
	r.median("CPU of the whole machine, service's run", cpu(ours, func(s sample) time.Duration { return s.machine }), "µs/event", "", nil)
	r.median("CPU of the whole machine, poller's run", cpu(loose, func(s sample) time.Duration { return s.machine }), "µs/event", "", nil)
	r.median("transactions", each1(ours, func(s sample) float64 { return s.transactions }), "", "", nil)
	r.median("time of a transaction", each1(ours, func(s sample) float64 { return s.inTransaction.Seconds() * 1000 / max(s.transactions, 1) }), "ms", "", nil)
	r.median("time in transactions / time", each1(ours, func(s sample) float64 { return s.inTransaction.Seconds() / s.took.Seconds() }), "", "", nil)
	r.median("peak resident memory of the service", each1(ours, func(s sample) float64 { return mib(s.peak) }), "MiB", "", nil)
	return r
}

func each1[T any](list []T, f func(T) float64) []float64 {
	values := make([]float64, len(list))
	for i, v := range list {
		values[i] = f(v)
	}
	return values
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// thousands writes n with commas.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// number writes three significant digits, more before the point.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1000:
		return thousands(int64(math.Round(v)))
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

func (r *Result) markdown() string {
	var s strings.Builder
	fmt.Fprintf(&s, "## %s\n\n%s, %s, version %s, `%s`\n\n| figure | median | min – max | target | met |\n| --- | --- | --- | --- | --- |\n",
		r.Title, r.At.Format("2006-01-02 15:04"), r.Machine, r.Version, r.Command)
	for _, f := range r.Figures {
		between, met := "", ""
		if f.Least != 0 || f.Most != 0 {
			between = number(f.Least) + " – " + number(f.Most)
		}
		if f.Target != "" {
			met = "no"
			if f.Met {
				met = "yes"
			}
		}
		fmt.Fprintf(&s, "| %s | %s | %s | %s | %s |\n", f.Name, strings.TrimSpace(number(f.Value)+" "+f.Unit), between, f.Target, met)
	}
	return s.String()
}

// stamp says where and of what a result is.
func (b *bench) stamp(r *Result) {
	r.At, r.Command = time.Now().UTC(), b.command
	r.Version = b.version
	r.Machine = fmt.Sprintf("%s, %d CPUs, %s/%s, %s, %s", processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), b.kafka)
}

func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

const preface = `# Benchmarks

Recorded by ` + "`go run ./internal/proof/benchmark/cmd -record docs …`" + `, which replaces the sections of what it measures; do not edit.

Everybody who is compared reads the same simulated OneLogin in the same run and is a process of its own; Kafka (three nodes,
three replicas), the simulator, the reader and whoever is measured share the machine. A catch-up is measured from the moment
the first page is given out to the moment a read-committed consumer has the last event; a ratio is the median of the ratios
of the rounds, after five of each page size that warm the brokers up. Before its first page or transaction each party waits until
the machine is quiet, all processes together below a fifth of a core for a second: background work of the brokers (for topics that
were made or deleted) is charged to no one. Processor time is that of the operating system's account.

- *bare client*: fetches pages, splits them with encoding/json and throws them away; no Kafka. *Unchecked*: the same without
  looking whether a page is JSON, little more than the time of the transfer.
- *at-least-once poller*: produces each event with franz-go's defaults while it fetches the next page; no headers, no dedup, no position.
- *beside*: one service polls the same connectors and those of four bad tenants: one with 500 events/s, whose pages are full, one
  that answers after 30 s, one that answers HTML, one whose secret is refused. A run in which one of these was not hit is an error.
- *beside version …*: an earlier version, built from the repository's history, and this one in turn; who comes first changes with each round. Where other
  work shares the machine, go by processor time per event: what takes a processor away makes both slow, and is charged to neither.

`

// record merges results into benchmarks.json of a folder, and writes
// benchmarks.md from it.
func record(dir string, results []Result) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("recording results: %w", err)
	}
	path := filepath.Join(dir, "benchmarks.json")
	var all []Result
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading recorded results: %w", err)
	}
	for _, r := range results {
		i := slices.IndexFunc(all, func(o Result) bool { return o.Name == r.Name })
		if i < 0 {
			all = append(all, r)
			continue
		}
		all[i] = r
	}
	if text, err = json.MarshalIndent(all, "", "  "); err != nil {
		return fmt.Errorf("recording results: %w", err)
	}
	var md strings.Builder
	md.WriteString(preface)
	for i := range all {
		md.WriteString(all[i].markdown() + "\n")
	}
	err = errors.Join(os.WriteFile(path, append(text, '\n'), 0o644), os.WriteFile(filepath.Join(dir, "benchmarks.md"), []byte(strings.TrimRight(md.String(), "\n")+"\n"), 0o644))
	if err != nil {
		return fmt.Errorf("recording results: %w", err)
	}
	return nil
}
