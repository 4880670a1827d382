package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// kfake ends a transaction by writing a marker to one partition after the
// other, straight into their logs. A kill between two of them leaves a
// transaction that is committed here and open there, and kfake's own recovery
// would abort the open part: half a transaction. It also keeps no record of
// what it aborted in that way, so that the next commit of the same producer
// would bring it back to life. Hence, before kfake reads a folder, every open
// transaction in it is decided for good, the way a real coordinator does with
// what it finds prepared: a commit marker anywhere means that the transaction
// was to be committed, and the missing markers are written; none means abort.
//
// An epoch belongs to one transaction in protocol v2 (KIP-890), which is what
// every client of ours speaks here, so that producer id and epoch name the
// transaction.

// repaired counts what was mended.
type repaired struct {
	committed, aborted int // partitions whose open transaction was decided
	cut                int // files that ended in half an entry
}

// txn names a transaction.
type txn struct {
	producer int64
	epoch    int16
}

// repair makes a folder that a killed broker left fit to be read.
func repair(dir string) (repaired, error) {
	var done repaired
	if err := dropLeftovers(dir); err != nil {
		return done, err
	}
	for name, keep := range map[string]func([]byte) bool{
		"pids.log": func([]byte) bool { return true },
		// Static members are gone with their process, and kfake makes one that
		// it remembers without its session join twice.
		"groups.log": func(entry []byte) bool { return !bytes.Contains(entry, []byte(`"type":"static"`)) },
	} {
		cut, err := mendLog(filepath.Join(dir, name), keep)
		if err != nil {
			return done, fmt.Errorf("repairing %s: %w", name, err)
		}
		if cut {
			done.cut++
		}
	}
	partitions, err := os.ReadDir(filepath.Join(dir, "partitions"))
	if errors.Is(err, fs.ErrNotExist) {
		return done, nil
	}
	if err != nil {
		return done, err
	}
	committed := map[txn]bool{}
	var logs []*partitionLog
	for _, p := range partitions {
		l := &partitionLog{dir: filepath.Join(dir, "partitions", p.Name()), open: map[int64]int16{}, committed: committed}
		if err := l.load(); err != nil {
			return done, fmt.Errorf("repairing partition %s: %w", p.Name(), err)
		}
		if l.cut {
			done.cut++
		}
		logs = append(logs, l)
	}
	for _, l := range logs {
		if err := l.decide(&done); err != nil {
			return done, fmt.Errorf("repairing %s: %w", l.dir, err)
		}
	}
	return done, nil
}

// dropLeftovers removes the memory of open transactions and group members that
// a clean stop leaves: the former are decided here, the latter join again.
func dropLeftovers(dir string) error {
	err := os.Remove(filepath.Join(dir, "session_state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// mendLog cuts half an entry off the end of one of kfake's append logs, behind
// which nothing would ever be read, and drops what is not to be kept. An entry
// is its length, its CRC (both 4 bytes, little-endian) and that many bytes.
func mendLog(path string, keep func(entry []byte) bool) (cut bool, err error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var kept []byte
	pos := 0
	for len(raw)-pos >= 8 {
		size := int64(binary.LittleEndian.Uint32(raw[pos:]))
		if size > int64(len(raw)-pos-8) {
			break
		}
		next := pos + 8 + int(size)
		if crc32.Checksum(raw[pos+8:next], castagnoli) != binary.LittleEndian.Uint32(raw[pos+4:]) {
			break
		}
		if keep(raw[pos+8 : next]) {
			kept = append(kept, raw[pos:next]...)
		}
		pos = next
	}
	if len(kept) == len(raw) {
		return false, nil
	}
	return pos < len(raw), replace(path, kept)
}

// partitionLog is one partition's folder: segments of record batches
// (<base>.dat) with an index of one entry per batch beside each (<base>.idx).
type partitionLog struct {
	dir       string
	committed map[txn]bool // of all partitions

	bases []int64
	open  map[int64]int16 // producer -> epoch of its open transaction
	end   int64           // the next offset
	epoch int32           // the last batch's leader epoch
	cut   bool
}

func (l *partitionLog) load() error {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".dat")
		if base, err := strconv.ParseInt(name, 10, 64); ok && err == nil {
			l.bases = append(l.bases, base)
		}
	}
	slices.Sort(l.bases)
	for i, base := range l.bases {
		if err := l.segment(base, i == len(l.bases)-1); err != nil {
			return err
		}
	}
	return nil
}

func (l *partitionLog) path(base int64, suffix string) string {
	return filepath.Join(l.dir, strconv.FormatInt(base, 10)+suffix)
}

// errDamaged is returned for a log that no kill of ours can have left.
var errDamaged = errors.New("the log is damaged in its middle; delete the folder to begin anew")

// segment reads one segment, cuts half a batch off its end, and makes its index
// say what kfake reads from it: which batches belong to transactions.
func (l *partitionLog) segment(base int64, last bool) error {
	raw, err := os.ReadFile(l.path(base, ".dat"))
	if err != nil {
		return err
	}
	old, err := os.ReadFile(l.path(base, ".idx"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var index []byte
	pos := 0
	for {
		b, ok := parseBatch(raw[pos:])
		if !ok {
			break
		}
		pos += b.size
		l.batch(&b)
		index = append(index, indexEntry(b.leaderEpoch, b.transactional && !b.control)...)
	}
	if pos < len(raw) {
		if !last {
			return errDamaged
		}
		l.cut = true
		if err := os.Truncate(l.path(base, ".dat"), int64(pos)); err != nil {
			return err
		}
	}
	if sameIndex(old, index) {
		return nil
	}
	return replace(l.path(base, ".idx"), index)
}

func (l *partitionLog) batch(b *batch) {
	l.end, l.epoch = b.next, b.leaderEpoch
	switch {
	case b.control:
		delete(l.open, b.producer)
		if b.commit {
			l.committed[txn{b.producer, b.epoch}] = true
		}
	case b.transactional:
		l.open[b.producer] = b.epoch
	}
}

// decide ends the partition's open transactions.
func (l *partitionLog) decide(done *repaired) error {
	if len(l.open) == 0 {
		return nil
	}
	base := l.bases[len(l.bases)-1]
	for producer, epoch := range l.open {
		commit := l.committed[txn{producer, epoch}]
		marker := l.marker(producer, epoch, commit)
		// A kill between these two writes is mended like any other.
		if err := appendTo(l.path(base, ".dat"), marker); err != nil {
			return err
		}
		if err := appendTo(l.path(base, ".idx"), indexEntry(l.epoch, false)); err != nil {
			return err
		}
		l.end++
		if commit {
			done.committed++
		} else {
			done.aborted++
		}
	}
	return nil
}

// marker builds the control batch that ends a transaction.
func (l *partitionLog) marker(producer int64, epoch int16, commit bool) []byte {
	key := kmsg.ControlRecordKey{Type: kmsg.ControlRecordKeyTypeAbort}
	if commit {
		key.Type = kmsg.ControlRecordKeyTypeCommit
	}
	rec := kmsg.Record{Key: key.AppendTo(nil), Value: (&kmsg.EndTxnMarker{}).AppendTo(nil)}
	rec.Length = int32(len(rec.AppendTo(nil)) - 1) // less the length itself
	now := time.Now().UnixMilli()
	b := kmsg.RecordBatch{
		FirstOffset: l.end, PartitionLeaderEpoch: l.epoch, Magic: 2, Attributes: attrTransactional | attrControl,
		FirstTimestamp: now, MaxTimestamp: now, ProducerID: producer, ProducerEpoch: epoch, FirstSequence: -1,
		NumRecords: 1, Records: rec.AppendTo(nil),
	}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], castagnoli))
	return raw
}

// batch is what a record batch's header says (Kafka's documentation, "Record
// Batch").
type batch struct {
	size                           int // bytes
	next                           int64
	leaderEpoch                    int32
	producer                       int64
	epoch                          int16
	transactional, control, commit bool
}

const (
	batchHeader       = 61
	attrTransactional = 0x10
	attrControl       = 0x20
)

// parseBatch reads the batch at the start of raw; false if there is no whole
// one.
func parseBatch(raw []byte) (batch, bool) {
	if len(raw) < batchHeader {
		return batch{}, false
	}
	length := int64(binary.BigEndian.Uint32(raw[8:]))
	if length < batchHeader-12 || length > int64(len(raw)-12) || raw[16] != 2 {
		return batch{}, false
	}
	raw = raw[:12+length]
	if crc32.Checksum(raw[21:], castagnoli) != binary.BigEndian.Uint32(raw[17:]) {
		return batch{}, false
	}
	attributes := binary.BigEndian.Uint16(raw[21:])
	b := batch{
		size:          len(raw),
		next:          int64(binary.BigEndian.Uint64(raw)) + int64(int32(binary.BigEndian.Uint32(raw[23:]))) + 1,
		leaderEpoch:   int32(binary.BigEndian.Uint32(raw[12:])),
		producer:      int64(binary.BigEndian.Uint64(raw[43:])),
		epoch:         int16(binary.BigEndian.Uint16(raw[51:])),
		transactional: attributes&attrTransactional != 0,
		control:       attributes&attrControl != 0,
	}
	if b.control {
		var rec kmsg.Record
		if err := rec.ReadFrom(raw[batchHeader:]); err != nil || len(rec.Key) < 4 {
			return batch{}, false
		}
		b.commit = binary.BigEndian.Uint16(rec.Key[2:]) == 1
	}
	return b, true
}

// indexSize is the size of kfake's index entry: version, checksum, leader epoch
// (4), the highest timestamp so far (8, not read back), whether the batch is
// part of a transaction.
const indexSize = 15

func indexEntry(leaderEpoch int32, inTxn bool) []byte {
	e := make([]byte, indexSize)
	e[0] = 1
	binary.LittleEndian.PutUint32(e[2:], uint32(leaderEpoch))
	if inTxn {
		e[14] = 1
	}
	e[1] = byte(crc32.Checksum(e[2:], castagnoli))
	return e
}

// sameIndex compares all but timestamps, and the checksums over them.
func sameIndex(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i += indexSize {
		x, y := a[i:i+indexSize], b[i:i+indexSize]
		if x[0] != y[0] || string(x[2:6]) != string(y[2:6]) || x[14] != y[14] || x[1] != byte(crc32.Checksum(x[2:], castagnoli)) {
			return false
		}
	}
	return true
}

func appendTo(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // the mode kfake gives its files; the folder is made with 0700
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// replace writes a file whole or not at all.
func replace(path string, data []byte) error {
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, data, 0o644); err != nil { //nolint:gosec // the mode kfake gives its files; the folder is made with 0700
		return err
	}
	return os.Rename(tmp, path)
}
