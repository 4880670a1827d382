package audit

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testEvents     = "onelogin.events"
	testOffsets    = "onelogin.offsets"
	testDeadLetter = "onelogin.deadletter"
	testPartitions = 4
	canary         = "s3cr3t-canary"
)

var start = time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)

// record is one record to be written; a nil value is a tombstone.
type record struct {
	topic   string
	key     string
	value   []byte
	headers []kgo.RecordHeader
	at      time.Time
	// partition, if not nil, is where it goes against the rules.
	partition *int32
}

func (r *record) header(key string) *kgo.RecordHeader {
	i := slices.IndexFunc(r.headers, func(h kgo.RecordHeader) bool { return h.Key == key })
	if i < 0 {
		return nil
	}
	return &r.headers[i]
}

// txn is one transaction of the producer of a shard.
type txn struct {
	producer string
	abort    bool
	records  []*record
}

// plan is a history to be written, and the truth it is to be judged by.
type plan struct {
	txns  []*txn
	truth Truth
}

// of returns the n-th record of the topic whose key begins so, over all
// transactions that commit, and its transaction.
func (p *plan) of(t *testing.T, topic, key string, n int) (*txn, *record) {
	t.Helper()
	for _, x := range p.txns {
		for _, r := range x.records {
			if !x.abort && r.topic == topic && strings.HasPrefix(r.key, key) {
				if n == 0 {
					return x, r
				}
				n--
			}
		}
	}
	t.Fatalf("no such record of %s with key %s", topic, key)
	return nil, nil
}

func (x *txn) drop(r *record) {
	x.records = slices.DeleteFunc(x.records, func(o *record) bool { return o == r })
}

// edit changes a field of a position.
func (r *record) edit(t *testing.T, field string, change func(any) any) {
	t.Helper()
	var m map[string]any
	dec := json.NewDecoder(strings.NewReader(string(r.value)))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil {
		t.Fatal(err)
	}
	m[field] = change(m[field])
	r.value, _ = json.Marshal(m)
}

func plus(n int64) func(any) any {
	return func(v any) any {
		i, _ := v.(json.Number).Int64()
		return i + n
	}
}

func later(d time.Duration) func(any) any {
	return func(v any) any {
		at, _ := time.Parse(time.RFC3339Nano, v.(string))
		return at.Add(d).Format(time.RFC3339Nano)
	}
}

// model writes what a right service would write for one connector.
type model struct {
	name     string
	key      string
	domain   string
	nextID   int64
	events   int64
	lastID   int64
	through  time.Time
	window   time.Time
	complete time.Time
	minutes  map[string][]int64
	truth    *plan
}

func newModel(p *plan, name, key string) *model {
	return &model{
		name: name, key: key, domain: name + ".onelogin.com", nextID: 1<<53 + 1, through: start.Add(-time.Hour),
		window: start.Add(-time.Hour), minutes: map[string][]int64{}, truth: p,
	}
}

func (m *model) clone() *model {
	c := *m
	c.minutes = map[string][]int64{}
	for k, v := range m.minutes {
		c.minutes[k] = slices.Clone(v)
	}
	return &c
}

const minuteForm = "2006-01-02T15:04Z"

func encodeMinute(ids []int64) []byte {
	var raw []byte
	last := int64(0)
	for _, id := range ids {
		raw = binary.AppendUvarint(raw, uint64(id-last))
		last = id
	}
	return fmt.Appendf(nil, `{"version":1,"count":%d,"ids":%q}`, len(ids), base64.StdEncoding.EncodeToString(raw))
}

// page publishes one event per offset from start, ids ascending, and the
// position after them.
func (m *model) page(offsets ...time.Duration) []*record {
	var out []*record
	touched := map[string]bool{}
	seen := m.through
	for _, d := range offsets {
		at := start.Add(d)
		m.nextID += 3
		r := m.event(m.nextID, at, at.Before(seen.Add(-2*time.Second)))
		out = append(out, r)
		sum := sha256.Sum256(r.value)
		facts := m.truth.truth[m.name]
		if _, ok := find(facts, m.nextID); !ok {
			m.truth.truth[m.name] = append(facts, Fact{ID: m.nextID, Created: micros(at), Visible: micros(at) + 1e6, Sum: Sum(sum[:16])})
		}
		k := at.Format(minuteForm)
		m.minutes[k] = append(m.minutes[k], m.nextID)
		touched[k] = true
		m.events++
		m.lastID = m.nextID
		if at.After(m.through) {
			m.through = at
		}
	}
	if w := m.through.Add(-15 * time.Minute); w.After(m.window) {
		m.window = w
	}
	for _, k := range slices.Sorted(maps.Keys(m.minutes)) {
		at, _ := time.Parse(minuteForm, k)
		if !at.Add(time.Minute).After(m.window) {
			delete(m.minutes, k)
			out = append(out, m.offset(m.name+"/"+k, nil))
		} else if touched[k] {
			out = append(out, m.offset(m.name+"/"+k, encodeMinute(m.minutes[k])))
		}
	}
	v := map[string]any{
		"version": 1, "domain": m.domain, "account_id": 232548, "through": m.through, "last_id": m.lastID,
		"events": m.events, "window_start": m.window, "updated_at": m.through.Add(2 * time.Second),
	}
	if !m.complete.IsZero() {
		v["complete_through"] = m.complete
	}
	value, _ := json.Marshal(v)
	return append(out, m.offset(m.name, value))
}

func (m *model) offset(key string, value []byte) *record {
	return &record{topic: testOffsets, key: key, value: value, at: start}
}

func (m *model) event(id int64, at time.Time, late bool) *record {
	created := at.Format("2006-01-02T15:04:05.000Z")
	user := id % 7
	value := fmt.Appendf(nil, `{"notes":"a \"b\" <c> {[","account_id":232548, "created_at":%q,"event_type_id":5,"x":{"id":1,"user_id":2},"id":%d,"user_id":%d,"n":null}`, created, id, user)
	key := m.name
	switch m.key {
	case "user":
		key += ":" + strconv.FormatInt(user, 10)
	case "event":
		key += ":" + strconv.FormatInt(id, 10)
	}
	r := &record{topic: testEvents, key: key, value: value, at: at}
	for _, h := range [][2]string{
		{"ce_specversion", "1.0"}, {"ce_id", strconv.FormatInt(id, 10)}, {"ce_source", "https://" + m.domain + "/api/1/events"},
		{"ce_type", "com.onelogin.event.5"}, {"ce_time", created}, {"content-type", "application/json"}, {"tenant", m.name},
		{"onelogin_account_id", "232548"}, {"onelogin_event_type", "USER_LOGGED_INTO_ONELOGIN"},
	} {
		r.headers = append(r.headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
	}
	if late {
		r.headers = append(r.headers, kgo.RecordHeader{Key: "late", Value: []byte("true")})
	}
	return r
}

// names of two connectors that share partitions, and one that does not.
func connectorNames() (acme, beta, other string) {
	acme = "acme"
	home := partitionOf([]byte(acme), testPartitions)
	for i := 0; beta == "" || other == ""; i++ {
		name := "beta-" + strconv.Itoa(i)
		if partitionOf([]byte(name), testPartitions) == home {
			beta = name
		} else {
			other = name
		}
	}
	return acme, beta, other
}

// rightPlan is a history without a mistake: pages, shared transactions, an
// aborted one that is done again, a late event, minutes leaving the window, a
// sweep without events, a dead letter.
func rightPlan(key string) *plan {
	p := &plan{truth: Truth{}}
	acmeName, betaName, otherName := connectorNames()
	acme, beta, other := newModel(p, acmeName, key), newModel(p, betaName, key), newModel(p, otherName, key)
	add := func(producer string, abort bool, records ...[]*record) {
		p.txns = append(p.txns, &txn{producer: producer, abort: abort, records: slices.Concat(records...)})
	}
	const s, m = time.Second, time.Minute
	add("1", false, []*record{owner(acmeName)}, acme.page(0, s, 2*s))
	add("2", false, []*record{owner(otherName)}, other.page(0, s))
	add("1", false, acme.page(30*s, 70*s), beta.page(5*s, 6*s, 61*s))
	lost := acme.clone()
	add("1", true, lost.page(80*s, 2*m))
	add("1", false, acme.page(80*s, 2*m))
	add("1", false, acme.page(50*s), beta.page(2*m)) // late
	dead := &record{topic: testDeadLetter, key: otherName, value: []byte("{"), at: start}
	add("2", false, other.page(100*s), []*record{dead})
	add("1", false, acme.page(20*m, 20*m+s))
	acme.complete = start.Add(6 * time.Minute)
	add("1", false, acme.page())
	// One transaction of two pages: the later position counts.
	add("1", false, acme.page(21*m), acme.page(21*m+s, 22*m))
	add("1", false, beta.page(16*m, 17*m))
	add("1", false, acme.page(22*m+s))
	add("1", false, acme.page(22*m+2*s))
	add("2", true, other.page(30*m))
	p.truth[otherName] = p.truth[otherName][:len(p.truth[otherName])-1]
	return p
}

// owner is the record that says whose the offsets topic is, on the partition of
// a connector.
func owner(connector string) *record {
	partition := partitionOf([]byte(connector), testPartitions)
	value := fmt.Appendf(nil, `{"version":1,"group":"onelogin-kafka","partitions":%d,"since":%q}`, testPartitions, start.Format(time.RFC3339))
	return &record{topic: testOffsets, key: ownerKey, value: value, at: start, partition: &partition}
}

// cluster is an in-process broker with the topics.
func cluster(t *testing.T, v *kversion.Versions) []string {
	t.Helper()
	opts := []kfake.Opt{kfake.NumBrokers(2), kfake.SeedTopics(testPartitions, testEvents, testOffsets), kfake.SeedTopics(1, testDeadLetter)}
	if v != nil {
		opts = append(opts, kfake.MaxVersions(v))
	}
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()
}

// byRule puts records where the contract says, or where the record says.
type byRule struct{ records map[*kgo.Record]*record }

func (b byRule) partitioner() kgo.Partitioner {
	return kgo.BasicConsistentPartitioner(func(topic string) func(*kgo.Record, int) int {
		hash := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
		return func(r *kgo.Record, n int) int {
			if p := b.records[r].partition; p != nil {
				return int(*p)
			}
			key, _, _ := strings.Cut(string(r.Key), "/")
			return hash.Partition(&kgo.Record{Key: []byte(key)}, n)
		}
	})
}

// write writes the transactions, each producer with its own client.
func write(t *testing.T, brokers []string, txns []*txn) {
	t.Helper()
	if err := tryWrite(brokers, txns); err != nil {
		t.Fatal(err)
	}
}

func tryWrite(brokers []string, txns []*txn) error {
	ctx := context.Background()
	clients := map[string]*kgo.Client{}
	rule := byRule{records: map[*kgo.Record]*record{}}
	for _, x := range txns {
		cl := clients[x.producer]
		if cl == nil {
			// Of two requests in flight the in-process broker may take the second
			// first, and refuses it (KAFKA-15591).
			opts := []kgo.Opt{
				kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(rule.partitioner()), kgo.ProducerLinger(0),
				kgo.MaxProduceRequestsInflightPerBroker(1),
			}
			if x.producer != "" {
				opts = append(opts, kgo.TransactionalID("group-"+x.producer))
			}
			var err error
			if cl, err = kgo.NewClient(opts...); err != nil {
				return err
			}
			defer cl.Close()
			clients[x.producer] = cl
		}
		var records []*kgo.Record
		for _, r := range x.records {
			k := &kgo.Record{Topic: r.topic, Key: []byte(r.key), Value: r.value, Headers: r.headers, Timestamp: r.at}
			rule.records[k] = r
			records = append(records, k)
		}
		if x.producer == "" {
			if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
				return err
			}
			continue
		}
		if err := cl.BeginTransaction(); err != nil {
			return err
		}
		if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return err
		}
		if err := cl.EndTransaction(ctx, kgo.TransactionEndTry(!x.abort)); err != nil {
			return err
		}
	}
	return nil
}

func reader(t *testing.T, brokers []string) *Reader {
	t.Helper()
	r, err := NewReader(brokers, Topics{Events: testEvents, Offsets: testOffsets, DeadLetter: testDeadLetter})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// snapshot writes the plan to a new cluster and judges what is read back.
func judgePlan(t *testing.T, p *plan, v *kversion.Versions, rules Rules) *Report {
	t.Helper()
	brokers := cluster(t, v)
	err := tryWrite(brokers, p.txns)
	// On a busy machine the in-process broker sometimes refuses a transaction
	// that is right. The history must be whole to be judged: it is written anew.
	for range 5 {
		if _, refused := errors.AsType[*kerr.Error](err); !refused {
			break
		}
		brokers = cluster(t, v)
		err = tryWrite(brokers, p.txns)
	}
	if err != nil {
		t.Fatal(err)
	}
	a := New(rules)
	cut, err := reader(t, brokers).Snapshot(context.Background(), a)
	if err != nil {
		t.Fatal(err)
	}
	if !cut.Quiet {
		t.Fatal("the cut of a finished history is not quiet")
	}
	return a.Report(p.truth, time.Time{})
}

func isHeader(key string) func(kgo.RecordHeader) bool {
	return func(h kgo.RecordHeader) bool { return h.Key == key }
}
