package producer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"

	"onelogin-kafka/schemas"
)

// Positions in an encoded record batch, counted from its first byte (Kafka's
// "Record Batch" format, version 2).
const (
	posLength      = 8
	posLeaderEpoch = 12
	posMagic       = 16
	posCRC         = 17
	posAttributes  = 21
	posLastDelta   = 23
	posFirstTime   = 27
	posMaxTime     = 35
	posProducerID  = 43
	posEpoch       = 51
	posSequence    = 53
	posCount       = 57
	batchHeaderLen = 61
	logOverhead    = 12 // base offset and length, not counted by the length
	magic          = 2
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

// encodeBatch encodes records into one transactional batch, not yet stamped. A
// record without a time carries the present one.
func encodeBatch(records []*schemas.Record, codec compress.Compression) (recordBatch, error) {
	plain := plainBuffers.Get().(*[]byte)
	defer plainBuffers.Put(plain)
	most := 0
	for _, r := range records {
		most += mostSize(r)
	}
	*plain = slices.Grow((*plain)[:0], most)
	var first, newest int64
	for i, r := range records {
		at := r.Time
		if at.IsZero() {
			at = time.Now()
		}
		if i == 0 {
			first, newest = at.UnixMilli(), at.UnixMilli()
		}
		newest = max(newest, at.UnixMilli())
		*plain = appendRecord(*plain, r, at.UnixMilli()-first, i)
	}
	b, err := appendPacked(make([]byte, batchHeaderLen, batchHeaderLen+len(*plain)/3), *plain, codec)
	if err != nil {
		return recordBatch{}, fmt.Errorf("compressing a record batch: %w", err)
	}
	binary.BigEndian.PutUint32(b[posLength:], uint32(len(b)-logOverhead))
	binary.BigEndian.PutUint32(b[posLeaderEpoch:], math.MaxUint32) // -1: the broker's to say
	b[posMagic] = magic
	binary.BigEndian.PutUint16(b[posAttributes:], uint16(protocol.Attributes(codec)|protocol.Transactional))
	binary.BigEndian.PutUint32(b[posLastDelta:], uint32(len(records)-1))
	binary.BigEndian.PutUint64(b[posFirstTime:], uint64(first))
	binary.BigEndian.PutUint64(b[posMaxTime:], uint64(newest))
	binary.BigEndian.PutUint32(b[posCount:], uint32(len(records)))
	return recordBatch{bytes: b, count: int32(len(records)), plain: batchHeaderLen + len(*plain)}, nil
}

// plainBuffers hold records that are about to be compressed.
var plainBuffers = sync.Pool{New: func() any { return new([]byte) }}

// appendRecord appends the record that lies i records and delta milliseconds
// behind the first of its batch.
func appendRecord(b []byte, r *schemas.Record, delta int64, i int) []byte {
	start := len(b)
	b = append(b, 0, 0) // the length, see below
	b = append(b, 0)    // attributes, of which there are none
	b = binary.AppendVarint(b, delta)
	b = binary.AppendVarint(b, int64(i))
	b = appendBytes(b, r.Key)
	b = appendBytes(b, r.Value)
	b = binary.AppendVarint(b, int64(len(r.Headers)))
	for _, h := range r.Headers {
		b = append(binary.AppendVarint(b, int64(len(h.Key))), h.Key...)
		b = appendBytes(b, h.Value)
	}
	size := binary.AppendVarint(make([]byte, 0, binary.MaxVarintLen64), int64(len(b)-start-usualLength))
	if len(size) != usualLength {
		return slices.Replace(b, start, start+usualLength, size...)
	}
	copy(b[start:], size)
	return b
}

// usualLength is how many bytes the length of a record of 64 to 8,191 bytes takes.
const usualLength = 2

// appendBytes appends v and its length; nil has one of its own.
func appendBytes(b, v []byte) []byte {
	if v == nil {
		return binary.AppendVarint(b, -1)
	}
	return append(binary.AppendVarint(b, int64(len(v))), v...)
}

// Bounds on what a record adds to its key, value and headers: lengths, time and
// offset, as varints.
const (
	mostOfRecord = 36
	mostOfHeader = 10
)

// mostSize is no less than what a record takes before compression.
func mostSize(r *schemas.Record) int { return r.Size() + mostOfRecord + mostOfHeader*len(r.Headers) }

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

// appendPacked appends records, compressed.
func appendPacked(b, records []byte, codec compress.Compression) ([]byte, error) {
	switch codec {
	case compress.None:
		return append(b, records...), nil
	case compress.Zstd:
		return zstdEncoder().EncodeAll(records, b), nil
	}
	packed := bytes.NewBuffer(b)
	w := codec.Codec().NewWriter(packed)
	_, err := w.Write(records)
	err = errors.Join(err, w.Close())
	return packed.Bytes(), err
}

// ErrCorrupt is returned (wrapped) for a batch on a topic that is not what its
// header says.
var ErrCorrupt = errors.New("corrupt record batch")
