package producer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"

	"onelogin-kafka/schemas"
)

// Positions in an encoded record batch, counted from its first byte (Kafka's
// "Record Batch" format, version 2).
const (
	posLength      = 8
	posMagic       = 16
	posCRC         = 17
	posAttributes  = 21
	posLastDelta   = 23
	posProducerID  = 43
	posEpoch       = 51
	posSequence    = 53
	posCount       = 57
	batchHeaderLen = 61
	logOverhead    = 12 // base offset and length, not counted by the length
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// recordBatch is one encoded batch of a transaction and the number of its
// records. The bytes stay as they are for the life of the transaction: a broker
// recognises a repeated batch only by its sequence numbers.
type recordBatch struct {
	bytes []byte
	count int32
	plain int // bytes before compression
}

// stamp writes the producer's identity and the batch's first sequence number,
// then the checksum over them.
func (b recordBatch) stamp(id identity, sequence int32) {
	binary.BigEndian.PutUint64(b.bytes[posProducerID:], uint64(id.producerID))
	binary.BigEndian.PutUint16(b.bytes[posEpoch:], uint16(id.epoch))
	binary.BigEndian.PutUint32(b.bytes[posSequence:], uint32(sequence))
	binary.BigEndian.PutUint32(b.bytes[posCRC:], crc32.Checksum(b.bytes[posAttributes:], castagnoli))
}

// encodeBatches encodes records into as few batches as keep to the bounds.
// ErrTooLarge if a single record is known to be refused.
func encodeBatches(records []*schemas.Record, codec compress.Compression, limit bounds) ([]recordBatch, error) {
	var batches []recordBatch
	for len(records) > 0 {
		n := chunk(records, limit)
		b, err := encodeFitting(records[:n], codec, limit)
		if err != nil {
			return nil, err
		}
		batches = append(batches, b...)
		records = records[n:]
	}
	return batches, nil
}

// maxRatio is how much larger than the limit a batch may be before it is
// compressed: audit events compress three to ten times.
const maxRatio = 3

// chunk counts the records that are worth encoding together.
func chunk(records []*schemas.Record, limit bounds) int {
	most, sizeOf := maxRatio*limit.packed, (*schemas.Record).Size
	if limit.unpacked > 0 {
		most, sizeOf = limit.unpacked-batchHeaderLen, mostSize
	}
	size := 0
	for i, r := range records {
		if size += sizeOf(r); size > most && i > 0 {
			return i
		}
	}
	return len(records)
}

// encodeFitting encodes records into one batch, or halves them until they fit.
func encodeFitting(records []*schemas.Record, codec compress.Compression, limit bounds) ([]recordBatch, error) {
	b, err := encodeBatch(records, codec)
	if err != nil {
		return nil, err
	}
	if len(records) == 1 {
		return []recordBatch{b}, limit.refuses(b)
	}
	if len(b.bytes) <= limit.packed && (limit.unpacked == 0 || b.plain <= limit.unpacked) {
		return []recordBatch{b}, nil
	}
	half := len(records) / 2
	left, err := encodeFitting(records[:half], codec, limit)
	if err != nil {
		return nil, err
	}
	right, err := encodeFitting(records[half:], codec, limit)
	return append(left, right...), err
}

// encodeBatch encodes records into one transactional batch, not yet stamped.
func encodeBatch(records []*schemas.Record, codec compress.Compression) (recordBatch, error) {
	inner := codec
	if codec == compress.Zstd {
		inner = compress.None // compressed below, in one go
	}
	set := protocol.RecordSet{
		Version:    2,
		Attributes: protocol.Attributes(inner) | protocol.Transactional,
		Records:    &recordReader{records: records},
	}
	buf := new(bytes.Buffer)
	if codec == compress.Zstd {
		buf = plainBuffers.Get().(*bytes.Buffer)
		defer plainBuffers.Put(buf)
		buf.Reset()
	}
	if _, err := set.WriteTo(buf); err != nil {
		return recordBatch{}, fmt.Errorf("encoding a record batch: %w", err)
	}
	b := recordBatch{bytes: buf.Bytes()[4:], count: int32(len(records))} // without the size before it
	b.plain = len(b.bytes)
	switch codec {
	case compress.None:
	case compress.Zstd:
		b.bytes = zstdBatch(b.bytes)
	default: // what it was before is not told
		b.plain = plainSize(records)
	}
	return b, nil
}

// Bounds on what a record adds to its key, value and headers: lengths, time and
// offset, as varints.
const (
	mostOfRecord = 36
	mostOfHeader = 10
)

// mostSize is no less than what a record takes before compression.
func mostSize(r *schemas.Record) int { return r.Size() + mostOfRecord + mostOfHeader*len(r.Headers) }

// plainSize is no less than the size of a batch before compression.
func plainSize(records []*schemas.Record) int {
	size := batchHeaderLen
	for _, r := range records {
		size += mostSize(r)
	}
	return size
}

// plainBuffers hold batches that are about to be compressed.
var plainBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// zstdWindow is small because every broker and consumer that unpacks a batch
// must set aside as much: with the default of 4 MiB that costs them more time
// than the unpacking itself.
const zstdWindow = 64 << 10

// zstdEncoder is shared: EncodeAll may be called concurrently. The lowest level
// takes two thirds of the default's time and makes batches 8 % larger. The
// module is the one that kafka-go's own codec uses; compressing a batch whole
// spares that codec's streaming.
var zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(zstdWindow), zstd.WithEncoderConcurrency(2), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // fixed options
	}
	return e
})

// zstdBatch compresses the records of an encoded batch. The checksum comes with
// the stamp.
func zstdBatch(plain []byte) []byte {
	b := make([]byte, batchHeaderLen, batchHeaderLen+len(plain)/3)
	copy(b, plain)
	b = zstdEncoder().EncodeAll(plain[batchHeaderLen:], b)
	binary.BigEndian.PutUint32(b[posLength:], uint32(len(b)-logOverhead))
	binary.BigEndian.PutUint16(b[posAttributes:], uint16(protocol.Attributes(compress.Zstd)|protocol.Transactional))
	return b
}

// recordReader hands records to kafka-go's encoder one by one, in memory that
// is used again for each.
type recordReader struct {
	records    []*schemas.Record
	next       int
	record     protocol.Record
	key, value sliceBytes
}

func (r *recordReader) ReadRecord() (*protocol.Record, error) {
	if r.next == len(r.records) {
		return nil, io.EOF
	}
	rec := r.records[r.next]
	r.next++
	r.record = protocol.Record{Time: rec.Time, Headers: r.record.Headers[:0]}
	if rec.Key != nil {
		r.key.Reset(rec.Key)
		r.record.Key = &r.key
	}
	if rec.Value != nil {
		r.value.Reset(rec.Value)
		r.record.Value = &r.value
	}
	for _, h := range rec.Headers {
		r.record.Headers = append(r.record.Headers, protocol.Header(h))
	}
	return &r.record, nil
}

// sliceBytes is a protocol.Bytes over a slice.
type sliceBytes struct{ bytes.Reader }

func (*sliceBytes) Close() error { return nil }
func (b *sliceBytes) Len() int   { return b.Reader.Len() }

// ErrCorrupt is returned (wrapped) for a batch on a topic that is not what its
// header says.
var ErrCorrupt = errors.New("corrupt record batch")
