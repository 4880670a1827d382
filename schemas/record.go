// Package schemas holds what travels on the topics: records, headers, the
// offset and status formats, and OneLogin's event types. It knows neither
// OneLogin's API nor Kafka's protocol, and imports no other package of ours.
package schemas

import "time"

// Topic names one of the topics by its purpose; the configuration maps it
// to a real name.
type Topic uint8

// The topics a record can be bound for.
const (
	Events Topic = iota
	DeadLetter
	Offsets
	Status
	// Connectors is the control log: connectors as data, requests for jobs, keys.
	Connectors
	// Audit is who changed what, and why.
	Audit
	numTopics
)

// NumTopics is the number of Topic values, for arrays indexed by Topic.
const NumTopics = int(numTopics)

// String returns the topic's purpose, as used in the configuration file.
func (t Topic) String() string {
	switch t {
	case Events:
		return "events"
	case DeadLetter:
		return "deadletter"
	case Offsets:
		return "offsets"
	case Status:
		return "status"
	case Connectors:
		return "connectors"
	case Audit:
		return "audit"
	}
	return "unknown"
}

// Header is one record header. Values are UTF-8 text.
type Header struct {
	Key   string
	Value []byte
}

// Record is one record bound for a topic. A nil Value is a tombstone and is
// allowed on Offsets, Status and Connectors only.
type Record struct {
	Topic   Topic
	Key     []byte
	Value   []byte
	Time    time.Time
	Headers []Header
}

// Batch is a page of records of one connector together with the offset that
// becomes true when, and only when, those records are committed. It is the one
// value that a source hands to the producer.
type Batch struct {
	// Connector is the name of the connector all records belong to.
	Connector string
	// Records are the events and dead letters in the order in which they are
	// to appear, then the records of the offsets topic: the offset itself, the
	// minutes touched, a tombstone for each minute that left the window.
	Records []Record
	// Events is the number of records bound for the events topic.
	Events int
	// Done, if not nil, is called once, after the transaction that holds the
	// batch is known to be committed. It is never called for a batch whose
	// outcome is not a definite yes. It must not block.
	Done func()
	// Release, if not nil, is called once, when nobody holds the batch any more
	// who took it: after Done, or when it will never be written. It must not
	// block.
	Release func()
}

// Size is the number of bytes of all keys, values and headers in b.
func (b *Batch) Size() int {
	n := 0
	for i := range b.Records {
		n += b.Records[i].Size()
	}
	return n
}

// Size is the number of bytes of the key, the value and the headers.
func (r *Record) Size() int {
	n := len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return n
}
