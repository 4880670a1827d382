package producer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/segmentio/kafka-go/compress"

	"onelogin-kafka/schemas"
)

// batchHeader is what a batch says of itself.
type batchHeader struct {
	baseOffset int64
	lastOffset int64 // of the batch as it was written; compaction keeps it
	attributes int16
	firstTime  int64 // ms since the epoch
	maxTime    int64 // ms since the epoch
	producerID int64
	epoch      int16
	count      int32
}

func (h *batchHeader) control() bool { return h.attributes&(1<<5) != 0 }

// appendTime tells whether all records carry the time the broker appended them
// (message.timestamp.type=LogAppendTime), which is maxTime.
func (h *batchHeader) appendTime() bool    { return h.attributes&(1<<3) != 0 }
func (h *batchHeader) transactional() bool { return h.attributes&(1<<4) != 0 }
func (h *batchHeader) codec() compress.Compression {
	return compress.Compression(h.attributes & 7)
}

// maxRecords bounds what one batch can expand to.
const maxRecords = 256 << 20

// nextBatch cuts the first batch off data. ok is false when data ends before
// the batch does, as the last batch of a fetch may.
func nextBatch(data []byte) (h batchHeader, batch, rest []byte, ok bool, err error) {
	if len(data) < logOverhead {
		return h, nil, nil, false, nil
	}
	length := int(int32(binary.BigEndian.Uint32(data[posLength:])))
	if length < batchHeaderLen-logOverhead {
		return h, nil, nil, false, fmt.Errorf("%w: a length of %d", ErrCorrupt, length)
	}
	if len(data)-logOverhead < length {
		return h, nil, nil, false, nil
	}
	batch, rest = data[:logOverhead+length], data[logOverhead+length:]
	if batch[posMagic] != magic {
		return h, nil, nil, false, fmt.Errorf("%w: format version %d, only 2 can be transactional", ErrCorrupt, batch[posMagic])
	}
	if got, want := crc32.Checksum(batch[posAttributes:], castagnoli), binary.BigEndian.Uint32(batch[posCRC:]); got != want {
		return h, nil, nil, false, fmt.Errorf("%w: checksum %08x, the header says %08x", ErrCorrupt, got, want)
	}
	h = batchHeader{
		baseOffset: int64(binary.BigEndian.Uint64(batch)),
		attributes: int16(binary.BigEndian.Uint16(batch[posAttributes:])),
		firstTime:  int64(binary.BigEndian.Uint64(batch[posFirstTime:])),
		maxTime:    int64(binary.BigEndian.Uint64(batch[posMaxTime:])),
		producerID: int64(binary.BigEndian.Uint64(batch[posProducerID:])),
		epoch:      int16(binary.BigEndian.Uint16(batch[posEpoch:])),
		count:      int32(binary.BigEndian.Uint32(batch[posCount:])),
	}
	delta := int32(binary.BigEndian.Uint32(batch[posLastDelta:]))
	if delta < 0 || h.count < 0 || h.baseOffset < 0 {
		return h, nil, nil, false, fmt.Errorf("%w: negative offset or count", ErrCorrupt)
	}
	h.lastOffset = h.baseOffset + int64(delta)
	return h, batch, rest, true, nil
}

// records unpacks a batch's records and hands each to do. The slices are valid
// until do returns.
func (h *batchHeader) records(batch []byte, do func(offset int64, r *schemas.Record) error) error {
	body := batch[batchHeaderLen:]
	if h.count == 0 {
		return nil
	}
	if c := h.codec(); c != compress.None {
		codec := c.Codec()
		if codec == nil {
			return fmt.Errorf("%w: compression %d", ErrCorrupt, c)
		}
		r := codec.NewReader(bytes.NewReader(body))
		var out bytes.Buffer
		n, err := io.Copy(&out, io.LimitReader(r, maxRecords+1))
		r.Close()
		if err != nil {
			return fmt.Errorf("%w: decompressing: %w", ErrCorrupt, err)
		}
		if n > maxRecords {
			return fmt.Errorf("%w: expands to more than %d bytes", ErrCorrupt, maxRecords)
		}
		body = out.Bytes()
	}
	d := recordDecoder{buf: body}
	var rec schemas.Record
	for range h.count {
		offset := d.record(h, &rec)
		if d.failed {
			return fmt.Errorf("%w: a record does not fit its length", ErrCorrupt)
		}
		if err := do(offset, &rec); err != nil {
			return err
		}
	}
	return nil
}

// recordDecoder reads records of format version 2.
type recordDecoder struct {
	buf    []byte
	failed bool
}

func (d *recordDecoder) varint() int64 {
	v, n := binary.Varint(d.buf)
	if n <= 0 {
		d.failed = true
		d.buf = nil
		return 0
	}
	d.buf = d.buf[n:]
	return v
}

// bytes reads a length and as many bytes; nil for length -1.
func (d *recordDecoder) bytes() []byte {
	n := d.varint()
	if n == -1 && !d.failed {
		return nil
	}
	if n < 0 || n > int64(len(d.buf)) {
		d.failed = true
		d.buf = nil
		return nil
	}
	b := d.buf[:n:n]
	d.buf = d.buf[n:]
	return b
}

func (d *recordDecoder) record(h *batchHeader, rec *schemas.Record) (offset int64) {
	body := recordDecoder{buf: d.bytes()}
	if d.failed || len(body.buf) == 0 {
		d.failed = true
		return 0
	}
	body.buf = body.buf[1:] // attributes, unused
	at := h.firstTime + body.varint()
	if h.appendTime() {
		at = h.maxTime
	}
	rec.Time = time.UnixMilli(at).UTC()
	offset = h.baseOffset + body.varint()
	rec.Key = body.bytes()
	rec.Value = body.bytes()
	rec.Headers = rec.Headers[:0]
	n := body.varint()
	if n < 0 || n > int64(len(body.buf)) {
		d.failed = true
		return 0
	}
	for range n {
		rec.Headers = append(rec.Headers, schemas.Header{Key: string(body.bytes()), Value: body.bytes()})
	}
	d.failed = d.failed || body.failed || len(body.buf) != 0 || offset < h.baseOffset || offset > h.lastOffset
	return offset
}

// marker tells whether a control batch commits (true) or aborts.
func (h *batchHeader) marker(batch []byte) (commit bool, at time.Time, err error) {
	err = h.records(batch, func(_ int64, r *schemas.Record) error {
		if len(r.Key) < 4 {
			return fmt.Errorf("%w: a control record without a type", ErrCorrupt)
		}
		commit, at = binary.BigEndian.Uint16(r.Key[2:]) == 1, r.Time
		return nil
	})
	return commit, at, err
}
