package audit

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"
)

// Rules are the settings that a judgement depends on.
type Rules struct {
	// Key is the key strategy: "tenant" (also if empty), "user" or "event".
	Key string
	// Canaries are secrets that must be nowhere.
	Canaries []string
	// From is when collection began: events created before it need not be in
	// the topic. Zero: all must.
	From time.Time
	// MaxLateness is by how much an event may appear after its creation and
	// still has to be in the topic. Zero: any.
	MaxLateness time.Duration
	// Damaged is up to where a topic lacks what a position has long vouched for, as
	// one does that was damaged: events created before it must be there in the end.
	// Zero: none.
	Damaged time.Time
	// SweepSlack is how long before a position was written an event must have
	// been visible for complete_through to vouch for it; default 10 s.
	SweepSlack time.Duration
	// SweepWindow is how old, SweepSlack aside, everything before complete_through
	// must have been when a position was written: an event may still come late
	// before that. Zero: not judged.
	SweepWindow time.Duration
	// FollowedFrom restricts A9 to events visible since then.
	FollowedFrom time.Time
}

// Auditor judges a history as it is read. It is not safe for concurrent use.
type Auditor struct {
	rules      Rules
	canaries   [][]byte
	partitions [numKinds]int32
	logs       map[logID]*log
	connectors map[string]*connector
	typeNames  map[string]string
	owners     map[int32]string // by partition of the offsets topic: the group it belongs to
	findings   findings
	counts     Counts
}

// Counts describe how much was judged.
type Counts struct {
	Records     int64 // all records, markers excluded
	Aborted     int64 // records of aborted transactions
	Commits     int64 // commit markers
	Aborts      int64 // abort markers
	DeadLetters int64 // committed
	Undecided   int64 // records of transactions without a marker yet
}

type logID struct {
	kind      Kind
	partition int32
}

func (l logID) String() string { return fmt.Sprintf("%s/%d", l.kind, l.partition) }

// log is one partition.
type log struct {
	id      logID
	started bool
	next    int64
	missing int64 // the last Kafka offset that was not there, compacted or before the log's start; -1 = none yet
	open    map[int64]*transaction
}

// transaction is what one transaction holds on one partition.
type transaction struct {
	log       *log
	pid       int64
	epoch     int16
	first     int64 // Kafka offset of its first record
	marker    int64 // Kafka offset of its marker
	records   int64
	hidden    int64 // records hidden by the broker's list
	events    []found
	positions []positionRecord

	// With what the transaction is one on other partitions.
	home   *transaction           // events: the one with the position
	homeOf map[int32]*transaction // offsets: by events partition
}

func (t *transaction) String() string {
	return fmt.Sprintf("transaction of producer %d epoch %d on %s ending at %d", t.pid, t.epoch, t.log.id, t.marker)
}

// event is one committed event record.
type event struct {
	id        int64
	created   int64
	sum       Sum
	offset    int64
	received  int64 // microseconds since 1970; 0 in a snapshot
	partition int32
	covered   int32 // number of the position that covers it, from 1; 0 = none yet
	late      bool
}

func (e *event) at() string { return fmt.Sprintf("%d/%d", e.partition, e.offset) }

// found is an event record whose transaction is not decided.
type found struct {
	connector string
	source    string
	event     event
	problems  []problem
	unusable  bool
}

type positionRecord struct {
	offset    int64
	connector string
	isMinute  bool
	isJob     bool
	minute    int64
	tombstone bool
	ids       []int64
	position  position
	byHand    bool   // an operator has written it, and says so
	owner     string // the group that the partition belongs to, if that is what it says
	problems  []problem
	unusable  bool
}

type problem struct {
	rule, name, detail string
}

// New returns an Auditor that has seen nothing.
func New(rules Rules) *Auditor {
	if rules.SweepSlack == 0 {
		rules.SweepSlack = 10 * time.Second
	}
	a := &Auditor{
		rules: rules, logs: map[logID]*log{}, connectors: map[string]*connector{},
		typeNames: map[string]string{}, findings: findings{}, owners: map[int32]string{},
	}
	for _, c := range rules.Canaries {
		if c != "" {
			a.canaries = append(a.canaries, []byte(c))
		}
	}
	return a
}

// Check judges a whole history: all that was written, partition by partition
// or mixed. partitions gives the number of partitions of a topic where known.
func Check(rules Rules, partitions map[Kind]int32, history iter.Seq[Entry], truth Truth) *Report {
	a := New(rules)
	for k, n := range partitions {
		a.SetPartitions(k, n)
	}
	for e := range history {
		a.Add(e)
	}
	a.Settle(Cut{Quiet: true})
	return a.Report(truth, time.Time{})
}

// SetPartitions tells how many partitions a topic has, so that the partition of
// a record can be judged.
func (a *Auditor) SetPartitions(k Kind, n int32) { a.partitions[k] = n }

// Add takes the next entry of a partition. It keeps nothing of e's slices.
func (a *Auditor) Add(e Entry) {
	l := a.log(logID{e.Kind, e.Partition})
	a.order(l, e.Offset)
	if e.Control {
		a.end(l, e)
		return
	}
	a.counts.Records++
	a.scan(l, &e)
	t := l.open[e.ProducerID]
	if e.Transactional && t != nil && t.epoch != e.Epoch {
		a.findings.add("", problem{"A7", "epoch-change", fmt.Sprintf("%s: producer %d goes from epoch %d to %d inside a transaction at %d; %s", l.id, e.ProducerID, t.epoch, e.Epoch, e.Offset, l.since(t.first))})
	}
	if t == nil || !e.Transactional {
		t = &transaction{log: l, pid: e.ProducerID, epoch: e.Epoch, first: e.Offset}
	}
	t.records++
	if e.Aborted {
		t.hidden++
	}
	switch e.Kind {
	case Events:
		t.events = append(t.events, a.readEvent(&e))
	case Offsets:
		t.positions = append(t.positions, a.readPosition(&e))
	}
	if e.Transactional {
		l.open[e.ProducerID] = t
		return
	}
	a.findings.add("", problem{"A7", "outside-transaction", fmt.Sprintf("%s: record at %d is not part of a transaction", l.id, e.Offset)})
	t.marker = e.Offset
	a.commit(t, e.Received)
}

func (a *Auditor) log(id logID) *log {
	l := a.logs[id]
	if l == nil {
		l = &log{id: id, missing: -1, open: map[int64]*transaction{}}
		a.logs[id] = l
	}
	return l
}

func (a *Auditor) order(l *log, offset int64) {
	if l.started && offset < l.next {
		a.findings.add("", problem{"A0", "offset-order", fmt.Sprintf("%s: Kafka offset %d after %d", l.id, offset, l.next-1)})
	}
	if offset > l.next {
		if l.id.kind == Events {
			a.findings.add("", problem{"A0", "history-gap", fmt.Sprintf("%s: Kafka offsets %d to %d are not there", l.id, l.next, offset-1)})
		}
		l.missing = offset - 1
	}
	l.started, l.next = true, offset+1
}

// since tells whether a marker after first may have been there and is no more.
func (l *log) since(first int64) string {
	if l.missing > first {
		return fmt.Sprintf("it began at %d, and %d is not there", first, l.missing)
	}
	return fmt.Sprintf("it began at %d, and nothing since is missing", first)
}

// end takes a marker: the end of its producer's transaction on the partition.
func (a *Auditor) end(l *log, e Entry) {
	if e.Commit {
		a.counts.Commits++
	} else {
		a.counts.Aborts++
	}
	t := l.open[e.ProducerID]
	if t == nil {
		return
	}
	delete(l.open, e.ProducerID)
	t.marker = e.Offset
	switch {
	case e.Commit && t.hidden > 0:
		a.findings.add("", problem{"A7", "committed-hidden", fmt.Sprintf("%s: %d of %d records are hidden though committed", t, t.hidden, t.records)})
	case !e.Commit && t.hidden < t.records:
		a.findings.add("", problem{"A7", "aborted-visible", fmt.Sprintf("%s: %d of %d records are visible though aborted", t, t.records-t.hidden, t.records)})
	}
	if !e.Commit {
		a.counts.Aborted += t.records
		return
	}
	a.commit(t, e.Received)
}

// commit hands what a transaction holds to its connectors.
func (a *Auditor) commit(t *transaction, received time.Time) {
	if t.log.id.kind == DeadLetter {
		a.counts.DeadLetters += t.records
	}
	pieces := map[*connector]*piece{}
	for i := range t.events {
		f := &t.events[i]
		for _, p := range f.problems {
			a.findings.add(f.connector, p)
		}
		if f.unusable {
			continue
		}
		c := a.connector(f.connector)
		if !received.IsZero() {
			f.event.received = micros(received)
		}
		p := pieces[c]
		if p == nil {
			p = &piece{t: t, lo: len(c.events)}
			pieces[c] = p
			c.queues[t.log.id.partition] = append(c.queues[t.log.id.partition], p)
		}
		a.publish(c, f)
		p.hi = len(c.events)
	}
	t.events = nil
	a.commitPositions(t)
}

func (a *Auditor) publish(c *connector, f *found) {
	if c.source == "" {
		c.source = f.source
	} else if c.source != f.source {
		a.findings.add(c.name, problem{"A4", "header-ce_source", fmt.Sprintf("event %d at %s has ce_source %q, others %q", f.event.id, f.event.at(), f.source, c.source)})
	}
	n := int32(len(c.events))
	c.events = append(c.events, f.event)
	if first, ok := c.byID[f.event.id]; ok {
		a.findings.add(c.name, problem{"A1", "duplicate", fmt.Sprintf("event %d is at %s and at %s", f.event.id, c.events[first].at(), f.event.at())})
		return
	}
	c.byID[f.event.id] = n
}

func (a *Auditor) commitPositions(t *transaction) {
	steps := map[*connector]*step{}
	for i := range t.positions {
		r := &t.positions[i]
		for _, p := range r.problems {
			a.findings.add(r.connector, p)
		}
		if r.owner != "" {
			a.owners[t.log.id.partition] = r.owner
		}
		if r.unusable {
			continue
		}
		c := a.connector(r.connector)
		s := steps[c]
		if s == nil {
			s = &step{t: t, minutes: map[int64][]int64{}, gaps: t.log.missing >= 0}
			steps[c] = s
			c.steps = append(c.steps, s)
		}
		if r.isJob {
			s.job = true
			continue
		}
		if r.isMinute {
			s.minutes[r.minute] = r.ids // nil for a tombstone; the last counts
			continue
		}
		a.ascends(c, r)
		p := r.position
		s.position = &p
	}
	t.positions = nil
}

// changeHeader is on what an operator has written by hand.
const changeHeader = "change"

// ascends is A2: it compares a position with the one before it in the log.
func (a *Auditor) ascends(c *connector, r *positionRecord) {
	p, last := r.position, c.newest
	c.newest = &p
	if last == nil {
		return
	}
	back := func(name, was, is string) {
		a.findings.add(c.name, problem{"A2", name, fmt.Sprintf("position at %d goes from %s to %s", r.offset, was, is)})
	}
	times := func(name string, was, is int64) {
		if is < was {
			back(name, stamp(was), stamp(is))
		}
	}
	numbers := func(name string, was, is int64) {
		if is < was {
			back(name, fmt.Sprint(was), fmt.Sprint(is))
		}
	}
	numbers("last_id-back", last.lastID, p.lastID)
	numbers("events-back", last.events, p.events)
	if !r.byHand { // where it is to be is the operator's to say, and nothing else
		times("through-back", last.through, p.through)
		if last.hasComplete {
			times("complete_through-back", last.complete, p.complete)
		}
		if last.hasWindow {
			times("window_start-back", last.windowStart, p.windowStart)
		}
	}
	if p.domain != last.domain {
		back("domain-change", last.domain, p.domain)
	}
	if p.accountID != last.accountID && last.accountID != 0 {
		back("account-change", fmt.Sprint(last.accountID), fmt.Sprint(p.accountID))
	}
}

// scan is A8, over aborted records as well: anyone may read those.
func (a *Auditor) scan(l *log, e *Entry) {
	for i, c := range a.canaries {
		hit := bytes.Contains(e.Key, c) || bytes.Contains(e.Value, c)
		for _, h := range e.Headers {
			hit = hit || bytes.Contains(h.Value, c) || bytes.Contains([]byte(h.Key), c)
		}
		if hit {
			a.findings.add("", problem{"A8", "secret", fmt.Sprintf("%s: canary %d is in the record at %d", l.id, i, e.Offset)})
		}
	}
}

func (a *Auditor) readPosition(e *Entry) positionRecord {
	r := positionRecord{offset: e.Offset, tombstone: e.Value == nil}
	for _, h := range e.Headers {
		r.byHand = r.byHand || h.Key == changeHeader
	}
	flaw := func(rule, name, detail string) {
		r.problems = append(r.problems, problem{rule, name, fmt.Sprintf("offsets/%d at %d: %s", e.Partition, e.Offset, detail)})
		r.unusable = true
	}
	if string(e.Key) == ownerKey {
		r.unusable = true // of no connector
		var err error
		if r.owner, err = a.owner(e); err != nil {
			flaw("A5", "owner", err.Error())
		}
		return r
	}
	var err error
	if r.connector, r.isJob = jobOf(e.Key); !r.isJob {
		r.connector, r.minute, r.isMinute, err = splitKey(e.Key)
	}
	if err != nil {
		flaw("A5", "offsets-key", err.Error())
		return r
	}
	if n := a.partitions[Offsets]; n > 0 && partitionOf([]byte(r.connector), n) != e.Partition {
		flaw("A4", "partition", fmt.Sprintf("connector %s belongs to partition %d", r.connector, partitionOf([]byte(r.connector), n)))
		r.unusable = false
	}
	switch {
	case r.tombstone && r.isJob: // it is over, and forgotten
	case r.isJob:
		if err = parseJob(e.Value); err != nil {
			flaw("A5", "job-malformed", err.Error())
		}
	case r.tombstone && !r.isMinute:
		flaw("A2", "position-deleted", "position has no value")
	case r.tombstone:
	case r.isMinute:
		if r.ids, err = parseMinute(e.Value); err != nil {
			flaw("A5", "minute-malformed", err.Error())
		}
		if r.ids == nil {
			r.ids = []int64{}
		}
	default:
		if r.position, err = parsePosition(e.Value); err != nil {
			flaw("A2", "position-malformed", err.Error())
		}
		if !e.Appended.IsZero() {
			r.position.written = micros(e.Appended)
		}
	}
	return r
}

// owner judges the record that says whose the offsets topic is.
func (a *Auditor) owner(e *Entry) (group string, err error) {
	group, partitions, err := parseOwner(e.Value)
	if err != nil {
		return "", err
	}
	if n := a.partitions[Offsets]; n > 0 && partitions != n {
		return "", fmt.Errorf("the owner's record says %d partitions, there are %d", partitions, n)
	}
	return group, nil
}

// oneOwner judges the owners at the end: an operator may hand the topic over,
// but all of it.
func (a *Auditor) oneOwner() {
	groups := slices.Compact(slices.Sorted(maps.Values(a.owners)))
	if len(groups) > 1 {
		a.findings.add("", problem{"A5", "owner", fmt.Sprintf("the offsets topic's partitions belong to %q", groups)})
	}
}

func sum(value []byte) Sum {
	s := sha256.Sum256(value)
	return Sum(s[:16])
}
