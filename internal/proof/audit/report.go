package audit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"
)

// maxSamples is how many cases of a violation a report shows.
const maxSamples = 5

// Violation is one way in which a rule is broken.
type Violation struct {
	Rule      string // "A0" to "A8"
	Name      string // what is wrong, from a closed list
	Connector string // empty where it is not of one connector
	Count     int64
	Samples   []string // the first few cases
}

// findings are the violations seen, by their identity.
type findings map[violationKey]*Violation

type violationKey struct{ rule, name, connector string }

func (f findings) add(connector string, p problem) {
	k := violationKey{p.rule, p.name, connector}
	v := f[k]
	if v == nil {
		v = &Violation{Rule: p.rule, Name: p.name, Connector: connector}
		f[k] = v
	}
	v.Count++
	if len(v.Samples) < maxSamples {
		v.Samples = append(v.Samples, p.detail)
	}
}

// ConnectorReport counts one connector's events.
type ConnectorReport struct {
	Name      string
	Truth     int64 // events of the truth that must be in the topic
	Excused   int64 // events of the truth that need not be (Rules.From, MaxLateness, not visible yet)
	Published int64 // event records committed
	Missing   int64
	Duplicate int64
	Altered   int64
	Unknown   int64
	Positions int64     // transactions with a position that were judged
	InFlight  int64     // event records and positions beyond the cut, not judged yet
	Through   time.Time // of the last position that was judged; zero before the first
	Compacted bool      // positions are missing from the log; see the package comment
}

// Latency describes the time from visible at the source to readable, over the
// events received while following.
type Latency struct {
	N             int
	P50, P99, Max time.Duration
}

// Report is a judgement.
type Report struct {
	Counts     Counts
	Connectors []ConnectorReport // by name
	Violations []Violation       // by rule, name, connector
	Latency    Latency
	// TruthKnown tells whether A1 and A6 were judged against a truth.
	TruthKnown bool
}

// OK tells that no rule is broken.
func (r *Report) OK() bool { return len(r.Violations) == 0 }

// Has tells whether the rule is broken in the named way; any way if name is
// empty.
func (r *Report) Has(rule, name string) bool {
	return slices.ContainsFunc(r.Violations, func(v Violation) bool {
		return v.Rule == rule && (name == "" || v.Name == name)
	})
}

// OnlyMissing tells that nothing is wrong but events that may still come.
func (r *Report) OnlyMissing() bool {
	for _, v := range r.Violations {
		if v.Rule != "A1" || v.Name != "missing" {
			return false
		}
	}
	return true
}

// Published is the number of event records committed, of all connectors.
func (r *Report) Published() int64 {
	var n int64
	for _, c := range r.Connectors {
		n += c.Published
	}
	return n
}

// String is a compact account for people.
func (r *Report) String() string {
	var b strings.Builder
	var missing, duplicate, altered, unknown int64
	for _, c := range r.Connectors {
		missing += c.Missing
		duplicate += c.Duplicate
		altered += c.Altered
		unknown += c.Unknown
	}
	fmt.Fprintf(&b, "%d events, %d missing, %d duplicate, %d altered, %d unknown\n", r.Published(), missing, duplicate, altered, unknown)
	if !r.TruthKnown {
		b.WriteString("  without a truth: only what the topics say of themselves\n")
	}
	for _, c := range r.Connectors {
		fmt.Fprintf(&b, "  %s: %d of %d events, %d excused, %d positions", c.Name, c.Published, c.Truth, c.Excused, c.Positions)
		if c.InFlight > 0 {
			fmt.Fprintf(&b, ", %d in flight", c.InFlight)
		}
		if c.Compacted {
			b.WriteString(", offsets compacted")
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "  %d records, %d aborted, %d undecided, %d commit and %d abort markers, %d dead letters\n",
		r.Counts.Records, r.Counts.Aborted, r.Counts.Undecided, r.Counts.Commits, r.Counts.Aborts, r.Counts.DeadLetters)
	if r.Latency.N > 0 {
		fmt.Fprintf(&b, "  latency of %d events: p50 %s, p99 %s, max %s\n", r.Latency.N, r.Latency.P50, r.Latency.P99, r.Latency.Max)
	}
	if r.OK() {
		b.WriteString("OK: no rule broken\n")
		return b.String()
	}
	fmt.Fprintf(&b, "VIOLATED: %d kinds\n", len(r.Violations))
	for _, v := range r.Violations {
		fmt.Fprintf(&b, "  %s %s %s: %d\n", v.Rule, v.Name, v.Connector, v.Count)
		for _, s := range v.Samples {
			fmt.Fprintf(&b, "      %s\n", s)
		}
	}
	return b.String()
}

// Report judges what is known so far against the truth. A nil truth leaves A1
// (but for duplicates) and A6 unjudged. until, if not zero, excuses events that
// became visible after it. It may be called again after more was added.
func (a *Auditor) Report(truth Truth, until time.Time) *Report {
	r := &Report{Counts: a.counts, TruthKnown: truth != nil}
	all := findings{}
	for k, v := range a.findings {
		w := *v
		all[k] = &w
	}
	for _, l := range a.logs {
		for _, t := range l.open {
			r.Counts.Undecided += t.records
		}
	}
	names := map[string]bool{}
	for name := range a.connectors {
		names[name] = true
	}
	for name := range truth {
		names[name] = true
	}
	var waits []time.Duration
	for _, name := range slices.Sorted(maps.Keys(names)) {
		c := a.connectors[name]
		if c == nil {
			c = &connector{name: name}
		}
		j := judgement{rules: &a.rules, c: c, facts: truth[name], until: until, found: all}
		r.Connectors = append(r.Connectors, j.run(truth != nil))
		waits = append(waits, j.waits...)
	}
	a.sharedSources(all)
	for _, v := range all {
		r.Violations = append(r.Violations, *v)
	}
	slices.SortFunc(r.Violations, func(x, y Violation) int {
		return cmp.Or(cmp.Compare(x.Rule, y.Rule), cmp.Compare(x.Name, y.Name), cmp.Compare(x.Connector, y.Connector))
	})
	r.Latency = summarise(waits)
	return r
}

// sharedSources is the rest of A4: ce_source and ce_id identify an event, so
// connectors with the same source may have no id in common.
func (a *Auditor) sharedSources(all findings) {
	bySource := map[string]*connector{}
	for _, name := range slices.Sorted(maps.Keys(a.connectors)) {
		c := a.connectors[name]
		first := bySource[c.source]
		if first == nil {
			bySource[c.source] = c
			continue
		}
		for id := range c.byID {
			if _, ok := first.byID[id]; ok && c.source != "" {
				all.add(name, problem{"A4", "identity", fmt.Sprintf("event %d of %q is also published for connector %s", id, c.source, first.name)})
			}
		}
	}
}

func summarise(waits []time.Duration) Latency {
	if len(waits) == 0 {
		return Latency{}
	}
	slices.Sort(waits)
	at := func(q float64) time.Duration { return waits[int(q*float64(len(waits)-1))] }
	return Latency{N: len(waits), P50: at(0.5), P99: at(0.99), Max: at(1)}
}

// judgement compares one connector with its truth.
type judgement struct {
	rules *Rules
	c     *connector
	facts []Fact
	until time.Time
	found findings
	waits []time.Duration
	out   ConnectorReport
}

func (j *judgement) run(known bool) ConnectorReport {
	c := j.c
	j.out = ConnectorReport{
		Name: c.name, Published: int64(len(c.events)), Duplicate: int64(len(c.events) - len(c.byID)),
		Positions: int64(c.judged), InFlight: int64(len(c.steps)), Compacted: c.compacted,
	}
	if c.last != nil {
		j.out.Through = time.UnixMicro(c.last.through).UTC()
	}
	for _, q := range c.queues {
		for _, p := range q {
			j.out.InFlight += p.n()
		}
	}
	if !known {
		return j.out
	}
	for i := range c.events {
		j.published(&c.events[i])
	}
	claims, visible := j.claims()
	for i := range j.facts {
		j.fact(&j.facts[i], claims, visible)
	}
	return j.out
}

// published judges one record by the truth.
func (j *judgement) published(e *event) {
	i, ok := find(j.facts, e.id)
	if !ok {
		j.out.Unknown++
		j.found.add(j.c.name, problem{"A1", "unknown", fmt.Sprintf("event %d at %s is not in the truth", e.id, e.at())})
		return
	}
	f := &j.facts[i]
	if e.sum != f.Sum {
		j.out.Altered++
		j.found.add(j.c.name, problem{"A1", "altered", fmt.Sprintf("event %d at %s is not what the source has", e.id, e.at())})
	}
	if e.received != 0 && f.Visible >= micros(j.rules.FollowedFrom) {
		j.waits = append(j.waits, time.Duration(e.received-f.Visible)*time.Microsecond)
	}
}

// claims returns what complete_through vouched for, and up to which time of
// visibility. Times of a clock that went back vouch for less, never for more.
func (j *judgement) claims() ([]claim, []int64) {
	claims := j.c.claims
	if j.c.compacted && len(j.c.queues) > 1 {
		return nil, nil // which position covers an event is not known
	}
	visible := make([]int64, len(claims))
	for i := len(claims) - 1; i >= 0; i-- {
		visible[i] = claims[i].written - j.rules.SweepSlack.Microseconds()
		if i+1 < len(claims) {
			visible[i] = min(visible[i], visible[i+1])
		}
	}
	return claims, visible
}

// fact judges what became of one event of the truth.
func (j *judgement) fact(f *Fact, claims []claim, visible []int64) {
	n, ok := j.c.byID[f.ID]
	late := time.Duration(f.Visible-f.Created) * time.Microsecond
	excused := !j.rules.From.IsZero() && f.Created < micros(j.rules.From) ||
		j.rules.MaxLateness > 0 && late > j.rules.MaxLateness
	pending := !j.until.IsZero() && f.Visible > micros(j.until)
	switch {
	case excused || pending && !ok:
		j.out.Excused++
	default:
		j.out.Truth++
		if !ok {
			j.out.Missing++
			j.found.add(j.c.name, problem{"A1", "missing", fmt.Sprintf("event %d created %s, visible %s", f.ID, stamp(f.Created), stamp(f.Visible))})
		}
	}
	if excused || f.Created < micros(j.rules.Damaged) && !j.rules.Damaged.IsZero() {
		return
	}
	k := max(
		sort.Search(len(claims), func(i int) bool { return claims[i].complete > f.Created }),
		sort.Search(len(claims), func(i int) bool { return visible[i] >= f.Visible }),
	)
	if k == len(claims) {
		return
	}
	if covered := ok && j.c.events[n].covered > 0 && j.c.events[n].covered <= claims[k].number; !covered {
		j.found.add(j.c.name, problem{"A6", "complete_through-early", fmt.Sprintf("event %d created %s, visible %s, was not there when complete_through became %s", f.ID, stamp(f.Created), stamp(f.Visible), stamp(claims[k].complete))})
	}
}
