package audit

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const minuteSeconds = 60

// fields are the fields of an event that decide where and how it is written.
type fields struct {
	id          int64
	created     int64 // microseconds since 1970
	createdText string
	typeID      string // digits; empty if there is none
	accountID   string
	userID      string
}

// micros counts in microseconds: 64 bits of nanoseconds do not hold every year
// a source may send.
func micros(t time.Time) int64 { return t.UnixMicro() }

func stamp(us int64) string { return time.UnixMicro(us).UTC().Format(time.RFC3339Nano) }

// parseEvent reads the top level of an event, by the exact names of its
// members; of a repeated name the first counts.
func parseEvent(value []byte) (fields, error) {
	var f fields
	if !json.Valid(value) {
		return f, errors.New("value is not JSON")
	}
	got := map[string]string{}
	if err := members(value, func(name string, raw []byte) {
		switch name {
		case "id", "created_at", "event_type_id", "account_id", "user_id":
			if _, ok := got[name]; !ok {
				got[name] = string(raw)
			}
		}
	}); err != nil {
		return f, err
	}
	var err error
	if f.id, err = strconv.ParseInt(got["id"], 10, 64); err != nil {
		return f, errors.New("value has no integer id")
	}
	if err := json.Unmarshal([]byte(got["created_at"]), &f.createdText); err != nil {
		return f, errors.New("value has no created_at text")
	}
	created, err := time.Parse(time.RFC3339Nano, f.createdText)
	if err != nil {
		return f, fmt.Errorf("created_at %.40q is not RFC 3339", f.createdText)
	}
	f.created = micros(created)
	f.typeID, f.accountID, f.userID = integer(got["event_type_id"]), integer(got["account_id"]), integer(got["user_id"])
	return f, nil
}

// integer returns text if it is a decimal integer, else nothing.
func integer(text string) string {
	if _, err := strconv.ParseInt(text, 10, 64); err != nil {
		return ""
	}
	return text
}

// members calls f for each member of the object in valid JSON.
func members(b []byte, f func(name string, raw []byte)) error {
	i := blank(b, 0)
	if i >= len(b) || b[i] != '{' {
		return errors.New("value is not an object")
	}
	i = blank(b, i+1)
	for i < len(b) && b[i] != '}' {
		start := i
		i = skip(b, i)
		var name string
		if err := json.Unmarshal(b[start:i], &name); err != nil {
			return fmt.Errorf("reading a member's name: %w", err)
		}
		i = blank(b, blank(b, i)+1) // the colon
		start = i
		i = skip(b, i)
		f(name, b[start:i])
		i = blank(b, i)
		if i < len(b) && b[i] == ',' {
			i = blank(b, i+1)
		}
	}
	return nil
}

func blank(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// skip returns the end of the valid JSON value that starts at i.
func skip(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			i++
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		case ',', ':', ' ', '\t', '\n', '\r':
			i++
			continue
		default:
			for i < len(b) && strings.IndexByte(",:]} \t\n\r", b[i]) < 0 {
				i++
			}
		}
		if depth == 0 {
			return min(i, len(b))
		}
	}
	return len(b)
}

// position is the value of a connector's key on the offsets topic. Times are
// microseconds since 1970.
type position struct {
	domain      string
	accountID   int64
	through     int64
	lastID      int64
	events      int64
	windowStart int64
	hasWindow   bool
	complete    int64
	hasComplete bool
	// written is updated_at, or when the broker wrote it: an instance's clock may
	// be any.
	written int64
}

func parsePosition(value []byte) (position, error) {
	var w struct {
		Version         int     `json:"version"`
		Domain          *string `json:"domain"`
		AccountID       *int64  `json:"account_id"`
		Through         *string `json:"through"`
		LastID          *int64  `json:"last_id"`
		Events          *int64  `json:"events"`
		WindowStart     *string `json:"window_start"`
		CompleteThrough *string `json:"complete_through"`
		UpdatedAt       *string `json:"updated_at"`
	}
	if err := json.Unmarshal(value, &w); err != nil {
		return position{}, fmt.Errorf("position is not as agreed: %w", err)
	}
	if w.Version != 1 {
		return position{}, fmt.Errorf("position has version %d, want 1", w.Version)
	}
	if w.Domain == nil || w.AccountID == nil || w.Through == nil || w.LastID == nil || w.Events == nil || w.UpdatedAt == nil {
		return position{}, errors.New("position lacks a field")
	}
	p := position{domain: *w.Domain, accountID: *w.AccountID, lastID: *w.LastID, events: *w.Events}
	for _, t := range []struct {
		name string
		text *string
		to   *int64
		has  *bool
	}{
		{"through", w.Through, &p.through, nil},
		{"updated_at", w.UpdatedAt, &p.written, nil},
		{"window_start", w.WindowStart, &p.windowStart, &p.hasWindow},
		{"complete_through", w.CompleteThrough, &p.complete, &p.hasComplete},
	} {
		if t.text == nil {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, *t.text)
		if err != nil {
			return position{}, fmt.Errorf("position's %s %.40q is not RFC 3339", t.name, *t.text)
		}
		*t.to = micros(at)
		if t.has != nil {
			*t.has = true
		}
	}
	if p.events < 0 {
		return position{}, fmt.Errorf("position counts %d events", p.events)
	}
	return p, nil
}

// ownerKey is the key of the record that says whose the offsets topic is.
const ownerKey = "_owner"

// parseOwner reads such a record.
func parseOwner(value []byte) (group string, partitions int32, err error) {
	var w struct {
		Version    int     `json:"version"`
		Group      *string `json:"group"`
		Partitions *int32  `json:"partitions"`
		Since      *string `json:"since"`
	}
	if err := json.Unmarshal(value, &w); err != nil {
		return "", 0, fmt.Errorf("owner's record is not as agreed: %w", err)
	}
	if w.Version != 1 {
		return "", 0, fmt.Errorf("owner's record has version %d, want 1", w.Version)
	}
	if w.Group == nil || *w.Group == "" || w.Partitions == nil || w.Since == nil {
		return "", 0, errors.New("owner's record lacks a field")
	}
	return *w.Group, *w.Partitions, nil
}

// jobOf returns the connector whose job's progress has this key of the offsets topic.
func jobOf(key []byte) (connector string, ok bool) {
	connector, id, ok := strings.Cut(string(key), "/jobs/")
	return connector, ok && connector != "" && id != ""
}

// parseJob reads as much of a job's progress as is judged: that it is one.
func parseJob(value []byte) error {
	var w struct {
		Version int    `json:"version"`
		ID      string `json:"id"`
		State   string `json:"state"`
	}
	if err := json.Unmarshal(value, &w); err != nil {
		return fmt.Errorf("progress of a job is not as agreed: %w", err)
	}
	if w.Version != 1 || w.ID == "" || w.State == "" {
		return fmt.Errorf("progress of a job has version %d, id %q and state %q", w.Version, w.ID, w.State)
	}
	return nil
}

// splitKey takes a key of the offsets topic apart. minute is in minutes since
// 1970.
func splitKey(key []byte) (connector string, minute int64, isMinute bool, err error) {
	name, text, isMinute := strings.Cut(string(key), "/")
	if name == "" {
		return "", 0, false, fmt.Errorf("key %.80q names no connector", key)
	}
	if !isMinute {
		return name, 0, false, nil
	}
	const layout = "2006-01-02T15:04Z"
	t, err := time.Parse(layout, text)
	if err != nil || t.Format(layout) != text {
		return "", 0, false, fmt.Errorf("key %.80q names no minute", key)
	}
	return name, t.Unix() / minuteSeconds, true, nil
}

// parseMinute reads the ids of a minute record: base64 of the first id and then
// the differences, each an unsigned varint.
func parseMinute(value []byte) ([]int64, error) {
	var w struct {
		Version int     `json:"version"`
		Count   *int    `json:"count"`
		IDs     *string `json:"ids"`
	}
	if err := json.Unmarshal(value, &w); err != nil {
		return nil, fmt.Errorf("minute record is not as agreed: %w", err)
	}
	if w.Version != 1 {
		return nil, fmt.Errorf("minute record has version %d, want 1", w.Version)
	}
	if w.Count == nil || w.IDs == nil {
		return nil, errors.New("minute record lacks a field")
	}
	raw, err := base64.StdEncoding.DecodeString(*w.IDs)
	if err != nil {
		return nil, fmt.Errorf("minute record's ids are not base64: %w", err)
	}
	var ids []int64
	for r := bytes.NewReader(raw); r.Len() > 0; {
		delta, err := binary.ReadUvarint(r)
		if err != nil {
			return nil, errors.New("minute record's ids end inside a number")
		}
		id := int64(delta)
		if len(ids) > 0 {
			last := ids[len(ids)-1]
			if id = int64(uint64(last) + delta); id <= last {
				return nil, fmt.Errorf("minute record's ids do not ascend after %d", last)
			}
		}
		ids = append(ids, id)
	}
	if len(ids) != *w.Count {
		return nil, fmt.Errorf("minute record counts %d ids and holds %d", *w.Count, len(ids))
	}
	return ids, nil
}

// partitionOf is Kafka's default partitioning of a key: murmur2, sign bit off,
// modulo the number of partitions (org.apache.kafka.common.utils.Utils).
func partitionOf(key []byte, partitions int32) int32 {
	const m = 0x5bd1e995
	h := uint32(0x9747b28c) ^ uint32(len(key))
	for ; len(key) >= 4; key = key[4:] {
		k := binary.LittleEndian.Uint32(key) * m
		k ^= k >> 24
		h = h*m ^ k*m
	}
	switch len(key) {
	case 3:
		h ^= uint32(key[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(key[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(key[0])) * m
	}
	h = (h ^ h>>13) * m
	h ^= h >> 15
	return int32(h&0x7fffffff) % partitions
}

func floorMinute(us int64) int64 {
	const m = minuteSeconds * 1e6
	if us < 0 {
		return (us - m + 1) / m
	}
	return us / m
}
