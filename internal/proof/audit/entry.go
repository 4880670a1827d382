package audit

import "time"

// Kind says what a topic is for.
type Kind uint8

// The kinds of topics.
const (
	Events Kind = iota
	Offsets
	DeadLetter
	// Other topics are read for secrets and visibility only.
	Other
	numKinds
)

// String returns the kind as a report names it.
func (k Kind) String() string {
	switch k {
	case Events:
		return "events"
	case Offsets:
		return "offsets"
	case DeadLetter:
		return "deadletter"
	}
	return "other"
}

// Header is one record header.
type Header struct {
	Key   string
	Value []byte
}

// Entry is one record of a log, or one transaction marker (Control), aborted
// records included. Entries of one partition come in the order of the log.
type Entry struct {
	Kind       Kind
	Partition  int32
	Offset     int64 // Kafka offset
	ProducerID int64 // -1 without a producer id
	Epoch      int16
	// Transactional tells that the record is part of a transaction.
	Transactional bool
	// Aborted tells that the broker's list of aborted transactions hides the
	// record from read-committed readers.
	Aborted bool
	// Control tells that the entry is a marker; Commit says which.
	Control bool
	Commit  bool

	Key     []byte
	Value   []byte // nil in a tombstone
	Headers []Header
	Time    time.Time
	// Appended is when it was written by the broker's clock; zero where the
	// broker dates nothing on the topic.
	Appended time.Time
	// Received is when a follower read it; zero in a snapshot.
	Received time.Time
}

// Cut is a point up to which a history can be judged.
type Cut struct {
	// Offsets is, by partition of the offsets topic, the Kafka offset below
	// which every transaction is decided, with all its other partitions read.
	Offsets map[int32]int64
	// Quiet tells that everything that was written has been read and decided.
	Quiet bool
}
