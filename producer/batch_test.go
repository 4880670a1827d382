package producer

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"

	"onelogin-kafka/schemas"
)

var codecs = []compress.Compression{compress.None, compress.Gzip, compress.Snappy, compress.Lz4, compress.Zstd}

func testRecords(n int) []*schemas.Record {
	records := make([]*schemas.Record, n)
	for i := range records {
		records[i] = &schemas.Record{
			Key:   []byte("acme"),
			Value: fmt.Appendf(nil, `{"id":%d,"notes":"%s"}`, 45192198208+i, strings.Repeat("x", i%97)),
			Time:  time.UnixMilli(1732258800000 + int64(i%7)*1000 - 3000).UTC(),
			Headers: []schemas.Header{
				{Key: "ce_id", Value: fmt.Append(nil, 45192198208+i)},
				{Key: "tenant", Value: []byte("acme")},
			},
		}
	}
	records[n-1].Value = nil // a tombstone
	return records
}

// readBack unpacks batches with our decoder.
func readBack(t *testing.T, batches []recordBatch) []*schemas.Record {
	t.Helper()
	var got []*schemas.Record
	for _, b := range batches {
		h, batch, rest, ok, err := nextBatch(b.bytes)
		if err != nil || !ok || len(rest) != 0 {
			t.Fatalf("nextBatch: ok=%v, %d bytes left, error %v", ok, len(rest), err)
		}
		if !h.transactional() || h.control() || h.count != b.count {
			t.Fatalf("header %+v does not fit a transactional batch of %d", h, b.count)
		}
		next := h.baseOffset
		err = h.records(batch, func(offset int64, r *schemas.Record) error {
			if offset != next {
				t.Errorf("offset %d, want %d", offset, next)
			}
			next++
			c := *r
			c.Headers = append([]schemas.Header(nil), r.Headers...)
			got = append(got, &c)
			return nil
		})
		if err != nil {
			t.Fatalf("records: %v", err)
		}
	}
	return got
}

func TestBatchesReadBackAsWritten(t *testing.T) {
	for _, codec := range codecs {
		t.Run(codec.String(), func(t *testing.T) {
			want := testRecords(300)
			batches, err := encodeBatches(want, codec, within(defaultLimit))
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range batches {
				b.stamp(identity{producerID: 4711, epoch: 3}, 17)
			}
			if diff := cmp.Diff(want, readBack(t, batches)); diff != "" {
				t.Errorf("records differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStampIsReadByKafkaGo(t *testing.T) {
	batches, err := encodeBatches(testRecords(10), compress.Zstd, within(defaultLimit))
	if err != nil {
		t.Fatal(err)
	}
	batches[0].stamp(identity{producerID: 4711, epoch: 3}, 17)
	var set protocol.RecordSet
	framed := append([]byte{0, 0, byte(len(batches[0].bytes) >> 8), byte(len(batches[0].bytes))}, batches[0].bytes...)
	if _, err := set.ReadFrom(bytes.NewReader(framed)); err != nil {
		t.Fatalf("kafka-go refuses the batch: %v", err)
	}
	rb, ok := set.Records.(*protocol.RecordStream).Records[0].(*protocol.RecordBatch)
	if !ok {
		t.Fatalf("got %T", set.Records)
	}
	got := []int64{rb.ProducerID, int64(rb.ProducerEpoch), int64(rb.BaseSequence)}
	if diff := cmp.Diff([]int64{4711, 3, 17}, got); diff != "" {
		t.Errorf("identity differs (-want +got):\n%s", diff)
	}
}

func TestBatchesAreAsKafkaGoWritesThem(t *testing.T) {
	records := testRecords(300)
	records[7].Key, records[8].Headers, records[9].Value = nil, nil, []byte{}
	// Lengths of one byte and of three, and those about them.
	for i, size := range []int{0, 1, 40, 50, 55, 60, 8100, 8180, 8190, 8200, 1 << 20, 2 << 20} {
		*records[20+i] = schemas.Record{Key: []byte("k"), Value: bytes.Repeat([]byte("v"), size), Time: records[0].Time}
	}
	theirs := make([]protocol.Record, len(records))
	for i, r := range records {
		theirs[i] = protocol.Record{Time: r.Time, Key: protocol.NewBytes(r.Key), Value: protocol.NewBytes(r.Value)}
		for _, h := range r.Headers {
			theirs[i].Headers = append(theirs[i].Headers, protocol.Header(h))
		}
	}
	set := protocol.RecordSet{Version: magic, Attributes: protocol.Transactional, Records: protocol.NewRecordReader(theirs...)}
	var framed bytes.Buffer
	if _, err := set.WriteTo(&framed); err != nil {
		t.Fatal(err)
	}
	want := recordBatch{bytes: framed.Bytes()[4:]}
	got, err := encodeBatch(records, compress.None)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []recordBatch{got, want} {
		b.stamp(identity{producerID: 4711, epoch: 3}, 17)
	}
	if diff := cmp.Diff(want.bytes, got.bytes); diff != "" {
		t.Errorf("bytes differ (-want +got):\n%s", diff)
	}
}

func TestRecordWithoutTimeIsWrittenNow(t *testing.T) {
	before := time.Now().Truncate(time.Millisecond)
	b, err := encodeBatch([]*schemas.Record{{Key: []byte("acme")}}, compress.None)
	if err != nil {
		t.Fatal(err)
	}
	b.stamp(identity{}, 0)
	if got := readBack(t, []recordBatch{b})[0].Time; got.Before(before) || got.After(time.Now()) {
		t.Errorf("it is of %v, written at %v", got, before)
	}
}

func TestBatchesKeepToTheLimit(t *testing.T) {
	const limit = 4096
	want := testRecords(1000)
	for _, codec := range codecs {
		batches, err := encodeBatches(want, codec, within(limit))
		if err != nil {
			t.Fatal(err)
		}
		if len(batches) < 2 {
			t.Errorf("%s: %d batch, want several", codec, len(batches))
		}
		for _, b := range batches {
			if len(b.bytes) > limit {
				t.Errorf("%s: a batch of %d bytes, the limit is %d", codec, len(b.bytes), limit)
			}
			b.stamp(identity{}, 0)
		}
		if diff := cmp.Diff(want, readBack(t, batches)); diff != "" {
			t.Errorf("%s: records differ (-want +got):\n%s", codec, diff)
		}
	}
}

func TestOneRecordOverTheLimitIsRefused(t *testing.T) {
	big := &schemas.Record{Key: []byte("acme"), Value: incompressible(10_000)}
	records := append(testRecords(3), big)
	_, err := encodeBatches(records, compress.Zstd, within(4096))
	if !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}

func incompressible(n int) []byte {
	b, x := make([]byte, n), uint64(88172645463325252)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}

func TestDamagedBatchesAreRefused(t *testing.T) {
	batches, err := encodeBatches(testRecords(5), compress.None, within(defaultLimit))
	if err != nil {
		t.Fatal(err)
	}
	batches[0].stamp(identity{1, 1}, 0)
	valid := batches[0].bytes
	for i := posMagic; i < len(valid); i++ {
		damaged := bytes.Clone(valid)
		damaged[i] ^= 0x40
		_, _, _, ok, err := nextBatch(damaged)
		if ok || !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d flipped: ok=%v, error %v; want ErrCorrupt", i, ok, err)
		}
	}
	for n := range valid {
		if _, _, _, ok, err := nextBatch(valid[:n]); ok || err != nil {
			t.Fatalf("cut at %d: ok=%v, error %v; want an incomplete batch", n, ok, err)
		}
	}
}

// FuzzFetchedBatches feeds what a broker could send to the reader: it must
// neither panic nor take more than it was given.
func FuzzFetchedBatches(f *testing.F) {
	for _, codec := range codecs {
		batches, err := encodeBatches(testRecords(4), codec, within(defaultLimit))
		if err != nil {
			f.Fatal(err)
		}
		batches[0].stamp(identity{1, 1}, 0)
		f.Add(batches[0].bytes, true)
		f.Add(batches[0].bytes[:40], false)
	}
	f.Fuzz(func(t *testing.T, data []byte, restamp bool) {
		if restamp && len(data) > batchHeaderLen {
			// Past the checksum, so that what lies behind it is reached.
			recordBatch{bytes: data}.stamp(identity{1, 1}, 0)
		}
		for {
			h, batch, rest, ok, err := nextBatch(data)
			if err != nil || !ok {
				return
			}
			if len(batch)+len(rest) != len(data) || h.lastOffset < h.baseOffset {
				t.Fatalf("%d bytes became %d and %d; offsets %d to %d", len(data), len(batch), len(rest), h.baseOffset, h.lastOffset)
			}
			seen := int32(0)
			err = h.records(batch, func(offset int64, _ *schemas.Record) error {
				seen++
				if offset < h.baseOffset || offset > h.lastOffset {
					t.Fatalf("offset %d outside %d to %d", offset, h.baseOffset, h.lastOffset)
				}
				return nil
			})
			if err == nil && seen != h.count {
				t.Fatalf("%d records, the header says %d", seen, h.count)
			}
			if err != nil && !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error %v does not say that the batch is corrupt", err)
			}
			data = rest
		}
	})
}

func BenchmarkEncodeBatch(b *testing.B) {
	records := testRecords(1000)
	for i := range records {
		records[i].Value = bytes.Repeat([]byte(`{"account_id":232548,"actor_system":null,"id":44994186214}`), 16)
	}
	for _, codec := range codecs {
		b.Run(codec.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := encodeBatch(records, codec); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
		})
	}
}
