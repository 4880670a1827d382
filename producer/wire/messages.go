package wire

import (
	"math"

	"github.com/segmentio/kafka-go/protocol"
)

// The messages kafka-go lacks or has wrong: Produce and EndTxn stop at the
// versions of transaction protocol v1, ApiVersions knows no features, Fetch
// hides the batches, and the answers of Heartbeat and LeaveGroup read the error
// code where the throttle time is. A test holds them against the definitions
// that ship with Kafka (common/message/*.json in the kafka-clients jar).

// Request is a message of our own. Answer is filled by Do.
type Request interface {
	key() protocol.ApiKey
	// versions are the lowest and highest version that encode and decode know.
	versions() (lo, hi int16)
	flexible(version int16) bool
	encode(e *encoder, version int16)
	decode(d *decoder, version int16)
}

// APIVersions asks what a broker can do; version 3.
type APIVersions struct {
	ErrorCode int16
	Ranges    map[protocol.ApiKey][2]int16
	// Features are the cluster's finalised feature levels.
	Features map[string]int16
}

func (*APIVersions) key() protocol.ApiKey     { return protocol.ApiVersions }
func (*APIVersions) versions() (int16, int16) { return 3, 3 }
func (*APIVersions) flexible(int16) bool      { return true }

func (*APIVersions) encode(e *encoder, _ int16) {
	e.string(clientSoftware)
	e.string("1")
	e.tags()
}

func (m *APIVersions) decode(d *decoder, _ int16) {
	// A broker that does not know version 3 answers with error 35 in the form
	// of version 0; the error code comes first in both.
	if m.ErrorCode = d.int16(); m.ErrorCode != 0 {
		d.buf = nil
		return
	}
	m.Ranges = map[protocol.ApiKey][2]int16{}
	for range d.array() {
		k, lo, hi := d.int16(), d.int16(), d.int16()
		d.tags(nil)
		m.Ranges[protocol.ApiKey(k)] = [2]int16{lo, hi}
	}
	d.throttle = d.int32()
	m.Features = map[string]int16{}
	d.tags(func(tag uint64, v *decoder) {
		if tag != 2 { // FinalizedFeatures
			return
		}
		for range v.array() {
			name, level := v.string(), v.int16()
			v.int16() // lowest level
			v.tags(nil)
			m.Features[name] = level
		}
	})
}

// Produce sends one record batch to each of some partitions of one leader;
// versions 8 (transaction protocol v1) to 12 (v2).
type Produce struct {
	TransactionalID string
	TimeoutMS       int32
	Topics          []ProduceTopic
	// Results has one entry for each partition of the answer.
	Results []ProduceResult
	// MaxVersion keeps the request below the versions that change a
	// transaction's protocol; 0 = no bound.
	MaxVersion int16
}

// ProduceTopic is the part of a Produce request for one topic.
type ProduceTopic struct {
	Name       string
	Partitions []ProducePartition
}

// ProducePartition is one partition's record batch, encoded and stamped.
type ProducePartition struct {
	Index   int32
	Records []byte
}

// ProduceResult is a broker's answer for one partition.
type ProduceResult struct {
	Topic      string
	Partition  int32
	ErrorCode  int16
	BaseOffset int64
	// AppendTime is when the broker appended the batch, in ms since the epoch; -1
	// where the topic keeps the times of its writers.
	AppendTime int64
}

func (*Produce) key() protocol.ApiKey { return protocol.Produce }

func (m *Produce) versions() (int16, int16) {
	if m.MaxVersion != 0 {
		return 8, m.MaxVersion
	}
	return 8, 12
}

func (*Produce) flexible(v int16) bool { return v >= 9 }

func (m *Produce) encode(e *encoder, _ int16) {
	e.nullString(m.TransactionalID)
	e.int16(-1) // acks = all in-sync replicas
	e.int32(m.TimeoutMS)
	e.array(len(m.Topics))
	for i := range m.Topics {
		t := &m.Topics[i]
		e.string(t.Name)
		e.array(len(t.Partitions))
		for j := range t.Partitions {
			e.int32(t.Partitions[j].Index)
			e.bytes(t.Partitions[j].Records)
			e.tags()
		}
		e.tags()
	}
	e.tags()
}

func (m *Produce) decode(d *decoder, _ int16) {
	for range d.array() {
		topic := d.string()
		for range d.array() {
			r := ProduceResult{Topic: topic, Partition: d.int32(), ErrorCode: d.int16(), BaseOffset: d.int64(), AppendTime: d.int64()}
			d.int64() // log start offset
			for range d.array() {
				d.int32() // batch index
				_ = d.string()
				d.tags(nil)
			}
			_ = d.string() // error message
			d.tags(nil)
			m.Results = append(m.Results, r)
		}
		d.tags(nil)
	}
	d.throttle = d.int32()
	d.tags(nil)
}

// EndTxn ends a transaction; version 3 (protocol v1) or 5 (v2, whose answer
// brings the identity of the next transaction).
type EndTxn struct {
	TransactionalID string
	ProducerID      int64
	ProducerEpoch   int16
	Commit          bool
	// Version is 3 or 5.
	Version int16

	ErrorCode int16
	NextID    int64
	NextEpoch int16
}

func (*EndTxn) key() protocol.ApiKey       { return protocol.EndTxn }
func (m *EndTxn) versions() (int16, int16) { return m.Version, m.Version }
func (*EndTxn) flexible(v int16) bool      { return v >= 3 }

func (m *EndTxn) encode(e *encoder, _ int16) {
	e.string(m.TransactionalID)
	e.int64(m.ProducerID)
	e.int16(m.ProducerEpoch)
	e.bool(m.Commit)
	e.tags()
}

func (m *EndTxn) decode(d *decoder, version int16) {
	d.throttle = d.int32()
	m.ErrorCode = d.int16()
	m.NextID, m.NextEpoch = -1, -1
	if version >= 5 {
		m.NextID, m.NextEpoch = d.int64(), d.int16()
	}
	d.tags(nil)
}

// keyDescribeTransactions is a request that kafka-go does not know.
const keyDescribeTransactions protocol.ApiKey = 65

// DescribeTransactions asks a coordinator for the state of one transactional id;
// version 0 (Kafka 3.0 and later).
type DescribeTransactions struct {
	TransactionalID string

	ErrorCode int16
	// State is one of Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit,
	// CompleteAbort, Dead, PrepareEpochFence.
	State string
	// What the coordinator knows the producer by: after protocol v2's EndTxn that is
	// the identity of the next transaction.
	ProducerID    int64
	ProducerEpoch int16
}

func (*DescribeTransactions) key() protocol.ApiKey     { return keyDescribeTransactions }
func (*DescribeTransactions) versions() (int16, int16) { return 0, 0 }
func (*DescribeTransactions) flexible(int16) bool      { return true }

func (m *DescribeTransactions) encode(e *encoder, _ int16) {
	e.array(1)
	e.string(m.TransactionalID)
	e.tags()
}

func (m *DescribeTransactions) decode(d *decoder, _ int16) {
	d.throttle = d.int32()
	found := false
	for range d.array() {
		code, id, state := d.int16(), d.string(), d.string()
		d.int32() // timeout
		d.int64() // start
		producer, epoch := d.int64(), d.int16()
		for range d.array() {
			_ = d.string() // topic
			for range d.array() {
				d.int32()
			}
			d.tags(nil)
		}
		d.tags(nil)
		if id == m.TransactionalID {
			found, m.ErrorCode, m.State, m.ProducerID, m.ProducerEpoch = true, code, state, producer, epoch
		}
	}
	d.tags(nil)
	if !found {
		d.fail("the transactional id asked for is missing")
	}
}

// Fetch reads one partition's raw batches; version 11.
type Fetch struct {
	Topic     string
	Partition int32
	// LeaderEpoch is filled in by Cluster.Do: what we know of the leader, -1 =
	// nothing. One that knows less or more refuses (KIP-320).
	LeaderEpoch   int32
	Offset        int64
	MaxWaitMS     int32
	MinBytes      int32
	MaxBytes      int32
	ReadCommitted bool

	// ErrorCode is the partition's, or the request's where that is not 0.
	ErrorCode int16
	// The offsets are -1 where a broker says nothing, as its quota is spent.
	HighWatermark    int64
	LastStableOffset int64
	LogStartOffset   int64
	Aborted          []AbortedTxn
	// Records are whole batches, the last one maybe cut off.
	Records []byte
}

// AbortedTxn is an aborted transaction that overlaps what was fetched.
type AbortedTxn struct {
	ProducerID  int64
	FirstOffset int64
}

func (*Fetch) key() protocol.ApiKey     { return protocol.Fetch }
func (*Fetch) versions() (int16, int16) { return 11, 11 }
func (*Fetch) flexible(int16) bool      { return false }

func (m *Fetch) encode(e *encoder, _ int16) {
	e.int32(-1) // a consumer, not a replica
	e.int32(m.MaxWaitMS)
	e.int32(m.MinBytes)
	// The bound of the partition is enough; an answer that is cut off by that of
	// the request lacks its aborted transactions in the embedded broker.
	e.int32(math.MaxInt32)
	e.bool(m.ReadCommitted)
	e.int32(0)  // no fetch session
	e.int32(-1) // session epoch
	e.array(1)
	e.string(m.Topic)
	e.array(1)
	e.int32(m.Partition)
	e.int32(m.LeaderEpoch)
	e.int64(m.Offset)
	e.int64(-1) // log start offset: for replicas
	e.int32(m.MaxBytes)
	e.array(0)   // forgotten topics
	e.string("") // rack
}

func (m *Fetch) decode(d *decoder, _ int16) {
	d.throttle = d.int32()
	top := d.int16()
	d.int32() // session
	found := false
	for range d.array() {
		topic := d.string()
		for range d.array() {
			partition := d.int32()
			if topic != m.Topic || partition != m.Partition || found {
				d.fail("a partition that was not asked for")
				return
			}
			found = true
			m.ErrorCode = d.int16()
			m.HighWatermark = d.int64()
			m.LastStableOffset = d.int64()
			m.LogStartOffset = d.int64()
			for range d.array() {
				m.Aborted = append(m.Aborted, AbortedTxn{ProducerID: d.int64(), FirstOffset: d.int64()})
			}
			d.int32() // preferred read replica
			m.Records = d.bytes()
		}
	}
	switch {
	case top != 0:
		m.ErrorCode = top
	case !found && d.throttle > 0: // no word on the partition, as the quota is spent
		m.HighWatermark, m.LastStableOffset, m.LogStartOffset = -1, -1, -1
	case !found:
		d.fail("the partition asked for is missing")
	}
}

// Heartbeat keeps a group member alive; version 3.
type Heartbeat struct {
	GroupID, MemberID, InstanceID string
	Generation                    int32

	ErrorCode int16
}

func (*Heartbeat) key() protocol.ApiKey     { return protocol.Heartbeat }
func (*Heartbeat) versions() (int16, int16) { return 3, 3 }
func (*Heartbeat) flexible(int16) bool      { return false }

func (m *Heartbeat) encode(e *encoder, _ int16) {
	e.string(m.GroupID)
	e.int32(m.Generation)
	e.string(m.MemberID)
	e.nullString(m.InstanceID)
}

func (m *Heartbeat) decode(d *decoder, _ int16) {
	d.throttle = d.int32()
	m.ErrorCode = d.int16()
}

// LeaveGroup takes a member out of its group; version 3. A static member leaves
// by its instance id.
type LeaveGroup struct {
	GroupID, MemberID, InstanceID string

	// ErrorCode is the member's, or the request's where that is not 0.
	ErrorCode int16
}

func (*LeaveGroup) key() protocol.ApiKey     { return protocol.LeaveGroup }
func (*LeaveGroup) versions() (int16, int16) { return 3, 3 }
func (*LeaveGroup) flexible(int16) bool      { return false }

func (m *LeaveGroup) encode(e *encoder, _ int16) {
	e.string(m.GroupID)
	e.array(1)
	e.string(m.MemberID)
	e.nullString(m.InstanceID)
}

func (m *LeaveGroup) decode(d *decoder, _ int16) {
	d.throttle = d.int32()
	m.ErrorCode = d.int16()
	for range d.array() {
		_, _ = d.string(), d.string()
		if code := d.int16(); m.ErrorCode == 0 {
			m.ErrorCode = code
		}
	}
}
