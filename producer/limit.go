package producer

import (
	"fmt"
	"sync"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"

	"onelogin-kafka/schemas"
)

// defaultLimit is Kafka's default for max.message.bytes.
const defaultLimit = 1048588

// aloneAgain is how long a record that was refused by itself is not tried again,
// unless the topic's settings are seen to change: each try costs its shard a
// session.
const aloneAgain = time.Minute

// sizeLimit is how large a batch a topic takes, as far as that is known: we may
// not be allowed to see it, and a broker that compresses anew
// (compression.type) judges the batch as it becomes. It may be used
// concurrently.
type sizeLimit struct {
	mu          sync.Mutex
	told        int    // max.message.bytes; 0 = not shown to us
	compression string // compression.type; empty = not shown to us
	learned     int    // what batches are kept to since one was refused; 0 = none was
	alone       int    // the least size, unpacked, of a record that was refused by itself; 0 = none
	since       time.Time
}

// bounds are what a batch must not exceed in bytes.
type bounds struct {
	packed   int // as it is sent
	unpacked int // before compression; 0 = no matter
	// refuses tells whether a batch of one record is known to be refused. One that
	// is not is worth a try, whatever the other bounds say.
	refuses func(b recordBatch) error
}

// shown notes what the topic's settings are. What was learned under others is
// forgotten.
func (l *sizeLimit) shown(told int, compression string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if told != l.told || compression != l.compression {
		l.learned, l.alone = 0, 0
	}
	l.told, l.compression = told, compression
}

// takes tells whether a record of at most so many bytes, as a batch by itself, is
// taken for certain.
func (l *sizeLimit) takes(bytes int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes <= l.sizeLocked() && (l.alone == 0 || bytes < l.alone)
}

// sizeLocked is the largest batch in bytes.
func (l *sizeLimit) sizeLocked() int {
	size := l.told
	if size == 0 {
		size = defaultLimit
	}
	if l.learned > 0 {
		size = min(size, l.learned)
	}
	return size
}

// keeps tells whether brokers keep a batch of that codec as it is.
func (l *sizeLimit) keeps(codec compress.Compression) bool {
	return l.compression == "" || l.compression == "producer" || l.compression == brokerName(codec)
}

// brokerName is a codec as compression.type has it.
func brokerName(codec compress.Compression) string {
	if codec == compress.None {
		return "uncompressed"
	}
	return codec.String()
}

// bounds returns what batches of a codec are kept to.
func (l *sizeLimit) bounds(codec compress.Compression) bounds {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := bounds{packed: l.sizeLocked(), refuses: func(b recordBatch) error { return l.refuses(b, codec) }}
	if l.learned > 0 || !l.keeps(codec) {
		b.unpacked = b.packed
	}
	return b
}

// refuses returns ErrTooLarge for a record by itself that the topic does not
// take: by its settings, or because it has refused one no larger.
func (l *sizeLimit) refuses(b recordBatch, codec compress.Compression) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.alone > 0 && b.plain >= l.alone && time.Since(l.since) < aloneAgain {
		return fmt.Errorf("%w: %d bytes, and one of %d was refused", ErrTooLarge, b.plain, l.alone)
	}
	size := len(b.bytes)
	switch {
	case l.told == 0:
		return nil
	case l.compression == brokerName(compress.None):
		size = b.plain
	case !l.keeps(codec):
		return nil // nobody knows what size it will have
	}
	if size > l.told {
		return fmt.Errorf("%w: %d bytes encoded, the topic's max.message.bytes is %d", ErrTooLarge, size, l.told)
	}
	return nil
}

// refused learns from a batch that a broker has found too large.
func (l *sizeLimit) refused(b recordBatch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b.count > 1 {
		l.learned = max(1, min(l.sizeLocked(), b.plain)/2)
		return
	}
	if l.alone == 0 || b.plain < l.alone || time.Since(l.since) >= aloneAgain {
		l.alone = b.plain
	}
	l.since = time.Now()
}

// oversizeError says which batch a broker has found too large. It is Kafka's
// MESSAGE_TOO_LARGE.
type oversizeError struct {
	part  partition
	batch recordBatch
}

func (e *oversizeError) Error() string {
	return fmt.Sprintf("a batch of %d records, %d bytes (%d before compression): %v", e.batch.count, len(e.batch.bytes), e.batch.plain, kafka.MessageSizeTooLarge)
}

func (e *oversizeError) Unwrap() error { return kafka.MessageSizeTooLarge }

func (w *writer) limit(t schemas.Topic) *sizeLimit { return &w.limits[t] }

// refused learns from a batch that a broker has found too large.
func (w *writer) refused(e *oversizeError) {
	if t, ok := w.topicOf(e.part.topic); ok {
		w.limits[t].refused(e.batch)
	}
}

// topicOf returns what a real topic is for.
func (w *writer) topicOf(name string) (schemas.Topic, bool) {
	for i, n := range w.topics {
		if n == name {
			return schemas.Topic(i), true
		}
	}
	return 0, false
}
