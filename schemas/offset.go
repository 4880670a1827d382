package schemas

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// OffsetVersion is the format version of the values on the offsets topic.
const OffsetVersion = 1

// Offset is the position in one connector's event stream: the value of the key
// "<connector>" on the offsets topic.
type Offset struct {
	// Version is OffsetVersion; Marshal writes it whatever it is here.
	Version int
	// Domain is the account's host name, e.g. "acme.onelogin.com".
	Domain string
	// AccountID is the account's id; 0 until an event has told it.
	AccountID int64
	// Through is the created_at of the newest event published.
	Through time.Time
	// LastID is the highest id published.
	LastID int64
	// Events is the number of events published since the connector began.
	Events int64
	// WindowStart is the start of the window of known ids. Events created
	// before it are never published by tail or sweep, since their ids are no
	// longer (or never were) known.
	WindowStart time.Time
	// CompleteThrough is the start of the newest window that a sweep has
	// re-read whole; zero before the first.
	CompleteThrough time.Time
	// VerifiedThrough is up to where everything was compared with the events topic;
	// zero before the first time.
	VerifiedThrough time.Time
	// Calls is how many API calls were made of the account, in the window of
	// its hourly budget that ends at CallsUntil, when the value was written:
	// whoever goes on within that window counts them as its own. Not known
	// while CallsUntil is zero.
	Calls int
	// CallsUntil is when that window ends, by the writer's clock.
	CallsUntil time.Time
	// CallsLimit is how many calls the account has in such a window, by the API's
	// word; 0 = not known.
	CallsLimit int
	// SecretGeneration is the highest generation of a sealed client secret that
	// was used; 0 = none was. A record of the control log with a lower one is an
	// old one that was put back.
	SecretGeneration int64
	// RetiredAt is when somebody said that nobody polls the connector any more and
	// its position is kept; zero otherwise. Who polls it again takes it back.
	RetiredAt time.Time
	// UpdatedAt is when the value was written.
	UpdatedAt time.Time
}

// wireOffset is Offset as JSON. Pointers tell a missing field from a zero one:
// a position that is guessed would publish events twice or not at all.
type wireOffset struct {
	Version         int        `json:"version"`
	Domain          *string    `json:"domain"`
	AccountID       *int64     `json:"account_id"`
	Through         *time.Time `json:"through"`
	LastID          *int64     `json:"last_id"`
	Events          *int64     `json:"events"`
	WindowStart     *time.Time `json:"window_start"`
	CompleteThrough time.Time  `json:"complete_through,omitzero"`
	VerifiedThrough time.Time  `json:"verified_through,omitzero"`
	Calls           *int       `json:"calls,omitempty"`
	CallsUntil      time.Time  `json:"calls_until,omitzero"`
	CallsLimit      int        `json:"calls_limit,omitempty"`
	Secret          int64      `json:"secret_generation,omitempty"`
	RetiredAt       time.Time  `json:"retired_at,omitzero"`
	UpdatedAt       *time.Time `json:"updated_at"`
}

// Marshal returns o as JSON. Times are RFC 3339 in UTC with the precision they
// have; a year outside 0 to 9999 is clamped.
func (o Offset) Marshal() []byte {
	through, start, updated := wireTime(o.Through), wireTime(o.WindowStart), wireTime(o.UpdatedAt)
	w := wireOffset{
		Version: OffsetVersion, Domain: &o.Domain, AccountID: &o.AccountID, Through: &through,
		LastID: &o.LastID, Events: &o.Events, WindowStart: &start, UpdatedAt: &updated,
	}
	if !o.CompleteThrough.IsZero() {
		w.CompleteThrough = wireTime(o.CompleteThrough)
	}
	w.Secret = max(o.SecretGeneration, 0)
	if !o.VerifiedThrough.IsZero() {
		w.VerifiedThrough = wireTime(o.VerifiedThrough)
	}
	if !o.RetiredAt.IsZero() {
		w.RetiredAt = wireTime(o.RetiredAt)
	}
	if !o.CallsUntil.IsZero() {
		w.Calls, w.CallsUntil, w.CallsLimit = &o.Calls, wireTime(o.CallsUntil), max(o.CallsLimit, 0)
	}
	return marshal(w)
}

// ParseOffset reads what Marshal wrote. Fields it does not know are ignored;
// every field but complete_through, verified_through, calls, calls_until, calls_limit,
// secret_generation and retired_at must be there. The error wraps ErrVersion for an unknown version.
func ParseOffset(value []byte) (Offset, error) {
	if err := checkVersion(value, OffsetVersion); err != nil {
		return Offset{}, fmt.Errorf("parsing offset: %w", err)
	}
	var w wireOffset
	if err := json.Unmarshal(value, &w); err != nil {
		return Offset{}, fmt.Errorf("parsing offset: %w", err)
	}
	err := required(
		field{"domain", w.Domain == nil}, field{"account_id", w.AccountID == nil},
		field{"through", w.Through == nil}, field{"last_id", w.LastID == nil},
		field{"events", w.Events == nil}, field{"window_start", w.WindowStart == nil},
		field{"updated_at", w.UpdatedAt == nil},
	)
	if err != nil {
		return Offset{}, fmt.Errorf("parsing offset: %w", err)
	}
	if *w.Events < 0 {
		return Offset{}, fmt.Errorf("parsing offset: events is %d, below 0", *w.Events)
	}
	o := Offset{
		Version: w.Version, Domain: *w.Domain, AccountID: *w.AccountID, Through: timeOf(w.Through),
		LastID: *w.LastID, Events: *w.Events, WindowStart: timeOf(w.WindowStart),
		CompleteThrough: timeOf(&w.CompleteThrough), VerifiedThrough: timeOf(&w.VerifiedThrough), UpdatedAt: timeOf(w.UpdatedAt), SecretGeneration: max(w.Secret, 0),
		RetiredAt: timeOf(&w.RetiredAt),
	}
	// One without the other says nothing, and is no reason to refuse a position.
	if w.Calls != nil && *w.Calls >= 0 && !w.CallsUntil.IsZero() {
		o.Calls, o.CallsUntil, o.CallsLimit = *w.Calls, timeOf(&w.CallsUntil), max(w.CallsLimit, 0)
	}
	return o, nil
}

const (
	minutePrefix = `{"version":1,"count":`
	minuteIDs    = `,"ids":"`
	minuteSuffix = `"}`
)

// EncodeMinute returns the value of the key "<connector>/<minute>": the ids
// already published of the events created in that minute. ids are strictly
// ascending; ids that are not are sorted in a copy, and each is written once.
func EncodeMinute(ids []int64) []byte {
	if !ascending(ids) {
		ids = slices.Clone(ids)
		slices.Sort(ids)
		ids = slices.Compact(ids)
	}
	raw := make([]byte, 0, binary.MaxVarintLen64+3*len(ids))
	var last int64
	for _, id := range ids {
		// Two's complement makes this right for any pair of int64.
		raw = binary.AppendUvarint(raw, uint64(id)-uint64(last))
		last = id
	}
	value := make([]byte, 0, len(minutePrefix)+len(minuteIDs)+len(minuteSuffix)+20+base64.StdEncoding.EncodedLen(len(raw)))
	value = append(value, minutePrefix...)
	value = appendInt(value, int64(len(ids)))
	value = append(value, minuteIDs...)
	value = base64.StdEncoding.AppendEncode(value, raw)
	return append(value, minuteSuffix...)
}

func ascending(ids []int64) bool {
	for i := 1; i < len(ids); i++ {
		if ids[i] <= ids[i-1] {
			return false
		}
	}
	return true
}

// ParseMinute reads what EncodeMinute wrote; the ids are strictly ascending.
// A value that is damaged anywhere is refused whole: an id lost here would be
// an event published twice. The error wraps ErrVersion for an unknown version.
func ParseMinute(value []byte) ([]int64, error) {
	ids, err := parseMinute(value)
	if err != nil {
		return nil, fmt.Errorf("parsing minute: %w", err)
	}
	return ids, nil
}

func parseMinute(value []byte) ([]int64, error) {
	if err := checkVersion(value, OffsetVersion); err != nil {
		return nil, err
	}
	var w struct {
		Count *int64  `json:"count"`
		IDs   *string `json:"ids"`
	}
	if err := json.Unmarshal(value, &w); err != nil {
		return nil, err
	}
	if err := required(field{"count", w.Count == nil}, field{"ids", w.IDs == nil}); err != nil {
		return nil, err
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(*w.IDs)
	if err != nil {
		return nil, fmt.Errorf("decoding ids: %w", err)
	}
	if base64.StdEncoding.EncodedLen(len(raw)) != len(*w.IDs) {
		return nil, errors.New("decoding ids: base64 holds line breaks")
	}
	// An id takes at least one byte, so this also bounds what is allocated.
	if *w.Count < 0 || *w.Count > int64(len(raw)) {
		return nil, fmt.Errorf("count is %d, but ids hold %d bytes", *w.Count, len(raw))
	}
	return decodeIDs(raw, int(*w.Count))
}

func decodeIDs(raw []byte, count int) ([]int64, error) {
	ids := make([]int64, 0, count)
	var last int64
	for i := range count {
		delta, n := binary.Uvarint(raw)
		if n <= 0 || n > 1 && raw[n-1] == 0 {
			return nil, fmt.Errorf("id %d of %d is cut short or malformed", i+1, count)
		}
		raw = raw[n:]
		id := int64(uint64(last) + delta)
		if i > 0 && id <= last {
			return nil, fmt.Errorf("id %d of %d does not ascend", i+1, count)
		}
		ids = append(ids, id)
		last = id
	}
	if len(raw) > 0 {
		return nil, fmt.Errorf("%d bytes follow the last of %d ids", len(raw), count)
	}
	return ids, nil
}

// minuteLayout is the form of a minute in a key of the offsets topic, in UTC.
const minuteLayout = "2006-01-02T15:04Z"

// maxConnectorName is the most bytes of a connector's name.
const maxConnectorName = 63

// ValidConnector tells whether name can be a connector's name:
// [a-z0-9][a-z0-9._-]{0,62}.
func ValidConnector[T ~string | ~[]byte](name T) bool {
	if len(name) == 0 || len(name) > maxConnectorName {
		return false
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return true
}

// OffsetKey is the key of a connector's Offset.
func OffsetKey(connector string) []byte { return []byte(connector) }

// MinuteKey is the key of the ids published of events created in the minute
// that holds the given time, e.g. "acme/2026-11-22T07:05Z". The year is within
// 0 to 9999.
func MinuteKey(connector string, minute time.Time) []byte {
	b := make([]byte, 0, len(connector)+1+len(minuteLayout))
	b = append(b, connector...)
	b = append(b, '/')
	return minute.UTC().AppendFormat(b, minuteLayout)
}

// JobKey is the key of a job: of its JobRequest on the control log, and of its
// JobProgress on the offsets topic.
func JobKey(connector, id string) []byte { return []byte(connector + jobInfix + id) }

// OffsetsKind is what a key of the offsets topic stands for.
type OffsetsKind uint8

// The kinds of records on the offsets topic.
const (
	// OffsetsPosition is "<connector>": an Offset.
	OffsetsPosition OffsetsKind = iota
	// OffsetsMinute is "<connector>/<minute>": see EncodeMinute.
	OffsetsMinute
	// OffsetsJob is "<connector>/jobs/<id>": a JobProgress.
	OffsetsJob
	// OffsetsOwner is OwnerKey: an Owner.
	OffsetsOwner
)

// OffsetsKey is a key of the offsets topic.
type OffsetsKey struct {
	Kind OffsetsKind
	// Connector is OwnerKey for OffsetsOwner.
	Connector string
	// Minute is the start of the minute, in UTC.
	Minute time.Time
	// Job is the job's id.
	Job string
}

// ParseOffsetsKey takes a key of the offsets topic apart. A key of no known form is
// an error.
func ParseOffsetsKey(key []byte) (OffsetsKey, error) {
	if string(key) == OwnerKey {
		return OffsetsKey{Kind: OffsetsOwner, Connector: OwnerKey}, nil
	}
	name, rest, more := strings.Cut(string(key), "/")
	k := OffsetsKey{Connector: name}
	if id, ok := strings.CutPrefix("/"+rest, jobInfix); ok {
		if k.Kind, k.Job = OffsetsJob, id; !validID(id) {
			return OffsetsKey{}, fmt.Errorf("parsing offsets key %.100q: no id of a job", key)
		}
	} else if more {
		var err error
		k.Kind = OffsetsMinute
		k.Minute, err = time.Parse(minuteLayout, rest)
		// time.Parse takes an hour of one digit as well.
		if err != nil || k.Minute.Format(minuteLayout) != rest {
			return OffsetsKey{}, fmt.Errorf("parsing offsets key %.100q: no minute after the connector's name", key)
		}
	}
	if !ValidConnector(name) {
		return OffsetsKey{}, fmt.Errorf("parsing offsets key %.100q: no connector's name", key)
	}
	return k, nil
}

// finite tells whether f can be written as a JSON number.
func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
