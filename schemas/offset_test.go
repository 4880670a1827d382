package schemas_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/schemas"
)

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t
}

func validOffset() schemas.Offset {
	return schemas.Offset{
		Version: 1, Domain: "acme.onelogin.com", AccountID: 232548, Through: at("2026-11-22T07:05:11.123Z"),
		LastID: 45192198208, Events: 120394, WindowStart: at("2026-11-22T06:50:00Z"),
		CompleteThrough: at("2026-11-22T06:50:00Z"), UpdatedAt: at("2026-11-22T07:05:12.000000001Z"),
	}
}

const offsetJSON = `{"version":1,"domain":"acme.onelogin.com","account_id":232548,"through":"2026-11-22T07:05:11.123Z","last_id":45192198208,"events":120394,"window_start":"2026-11-22T06:50:00Z","complete_through":"2026-11-22T06:50:00Z","updated_at":"2026-11-22T07:05:12.000000001Z"}`

func TestOffsetFormat(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(offsetJSON, string(validOffset().Marshal())); diff != "" {
		t.Errorf("Marshal (-want +got):\n%s", diff)
	}
	got, err := schemas.ParseOffset([]byte(offsetJSON))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(validOffset(), got); diff != "" {
		t.Errorf("ParseOffset (-want +got):\n%s", diff)
	}
}

func TestOffsetRoundTrip(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*schemas.Offset){
		"as it is":              func(*schemas.Offset) {},
		"never swept":           func(o *schemas.Offset) { o.CompleteThrough = time.Time{} },
		"nothing published":     func(o *schemas.Offset) { o.LastID, o.Events, o.AccountID = 0, 0, 0 },
		"finer than ms":         func(o *schemas.Offset) { o.Through = at("2026-11-22T07:05:11.123456789Z") },
		"id above 2^53":         func(o *schemas.Offset) { o.LastID = math.MaxInt64 },
		"domain to be escaped":  func(o *schemas.Offset) { o.Domain = "<a&b>\"\\\u2028" },
		"calls":                 func(o *schemas.Offset) { o.Calls, o.CallsUntil = 1234, at("2026-11-22T07:31:02Z") },
		"calls of a limit":      func(o *schemas.Offset) { o.Calls, o.CallsUntil, o.CallsLimit = 1234, at("2026-11-22T07:31:02Z"), 5000 },
		"no calls":              func(o *schemas.Offset) { o.CallsUntil = at("2026-11-22T07:31:02.5Z") },
		"zero times throughout": func(o *schemas.Offset) { o.Through, o.WindowStart, o.UpdatedAt = time.Time{}, time.Time{}, time.Time{} },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := validOffset()
			change(&want)
			value := want.Marshal()
			validate(t, "offset", value)
			got, err := schemas.ParseOffset(value)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("round trip (-want +got):\n%s", diff)
			}
		})
	}
}

// The calls of the hour are a field more within version 1: a record of before
// has none, and none that is damaged stops a position from being read.
func TestOffsetCalls(t *testing.T) {
	t.Parallel()
	o := validOffset()
	o.Calls, o.CallsUntil, o.CallsLimit = 1234, at("2026-11-22T07:31:02Z"), 5000
	with := `"calls":1234,"calls_until":"2026-11-22T07:31:02Z","calls_limit":5000,"updated_at"`
	want := strings.Replace(offsetJSON, `"updated_at"`, with, 1)
	if diff := cmp.Diff(want, string(o.Marshal())); diff != "" {
		t.Errorf("Marshal (-want +got):\n%s", diff)
	}
	for name, value := range map[string][]byte{
		"no end":    mutate(t, want, "calls_until", nil),
		"no calls":  mutate(t, want, "calls", nil),
		"below 0":   mutate(t, want, "calls", -1),
		"of before": []byte(offsetJSON),
	} {
		got, err := schemas.ParseOffset(value)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(validOffset(), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestOffsetMarshalNormalises(t *testing.T) {
	t.Parallel()
	o := validOffset()
	o.Version = 7
	o.Through = at("2026-11-22T09:05:11.123+02:00")
	if diff := cmp.Diff(offsetJSON, string(o.Marshal())); diff != "" {
		t.Errorf("Marshal (-want +got):\n%s", diff)
	}
	o.WindowStart = time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC)
	o.UpdatedAt = time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)
	got, err := schemas.ParseOffset(o.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	if got.WindowStart.Year() != 0 || got.UpdatedAt.Year() != 9999 {
		t.Errorf("years outside 0 to 9999 became %v and %v", got.WindowStart, got.UpdatedAt)
	}
}

// mutate returns a JSON object with one field changed; nil removes the field.
func mutate(t *testing.T, object, name string, value any) []byte {
	t.Helper()
	var m map[string]any
	dec := json.NewDecoder(bytes.NewReader([]byte(object)))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil {
		t.Fatal(err)
	}
	m[name] = value
	if value == nil {
		delete(m, name)
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseOffsetRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, field string
		value       any
		want        string
		version     bool
	}{
		{"later version", "version", 2, "parsing offset: unknown format version: found 2, this program knows 1; use the version that wrote it, or a later one", true},
		{"version as text", "version", "1", `parsing offset: unknown format version: found "1", this program knows 1; use the version that wrote it, or a later one`, true},
		{"no version", "version", nil, "parsing offset: unknown format version: found none, this program knows 1", true},
		{"no domain", "domain", nil, "parsing offset: domain is missing", false},
		{"no account", "account_id", nil, "parsing offset: account_id is missing", false},
		{"no through", "through", nil, "parsing offset: through is missing", false},
		{"no last id", "last_id", nil, "parsing offset: last_id is missing", false},
		{"no events", "events", nil, "parsing offset: events is missing", false},
		{"no window start", "window_start", nil, "parsing offset: window_start is missing", false},
		{"no time", "updated_at", nil, "parsing offset: updated_at is missing", false},
		{"negative count", "events", -1, "parsing offset: events is -1, below 0", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := schemas.ParseOffset(mutate(t, offsetJSON, tt.field, tt.value))
			if err == nil || err.Error() != tt.want {
				t.Errorf("got error %v, want %s", err, tt.want)
			}
			if errors.Is(err, schemas.ErrVersion) != tt.version {
				t.Errorf("errors.Is(%v, ErrVersion) is %v", err, !tt.version)
			}
		})
	}
	for _, value := range []string{"", "null", "[]", "1", "{", offsetJSON + "x", offsetJSON[:60]} {
		if o, err := schemas.ParseOffset([]byte(value)); err == nil {
			t.Errorf("ParseOffset(%q) = %+v, want an error", value, o)
		}
	}
	later := `{"version":2,"through":17,"last_id":"x"}`
	if _, err := schemas.ParseOffset([]byte(later)); !errors.Is(err, schemas.ErrVersion) {
		t.Errorf("a later version with other types: got error %v, want ErrVersion", err)
	}
	more := `{"added":[1],` + offsetJSON[1:]
	if _, err := schemas.ParseOffset([]byte(more)); err != nil {
		t.Errorf("a field added within the version: %v", err)
	}
}

func TestMinuteRoundTrip(t *testing.T) {
	t.Parallel()
	tests := map[string][]int64{
		"none":         {},
		"one":          {45192198208},
		"run":          {45192198208, 45192198209, 45192198300},
		"from zero":    {0, 1},
		"above 2^53":   {1<<53 + 1, math.MaxInt64 - 1, math.MaxInt64},
		"below zero":   {math.MinInt64, -1, 0, 1},
		"whole range":  {math.MinInt64, math.MaxInt64},
		"lone minimum": {math.MinInt64},
	}
	for name, ids := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			value := schemas.EncodeMinute(ids)
			validate(t, "minute", value)
			got, err := schemas.ParseMinute(value)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(ids, got); diff != "" {
				t.Errorf("round trip (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEncodeMinuteFormat(t *testing.T) {
	t.Parallel()
	want := `{"version":1,"count":3,"ids":"rAIBgAE="}` // 300, +1, +128
	if got := string(schemas.EncodeMinute([]int64{300, 301, 429})); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	unsorted := []int64{429, 300, 301, 300}
	if got := string(schemas.EncodeMinute(unsorted)); got != want {
		t.Errorf("not ascending: got %s, want %s", got, want)
	}
	if diff := cmp.Diff([]int64{429, 300, 301, 300}, unsorted); diff != "" {
		t.Errorf("the argument was changed:\n%s", diff)
	}
}

func TestParseMinuteRefuses(t *testing.T) {
	t.Parallel()
	minute := func(count int, raw ...byte) string {
		return fmt.Sprintf(`{"version":1,"count":%d,"ids":%q}`, count, base64.StdEncoding.EncodeToString(raw))
	}
	tests := []struct{ name, value, want string }{
		{"later version", `{"version":2,"count":0,"ids":""}`, "parsing minute: unknown format version: found 2, this program knows 1; use the version that wrote it, or a later one"},
		{"no count", `{"version":1,"ids":""}`, "parsing minute: count is missing"},
		{"no ids", `{"version":1,"count":0}`, "parsing minute: ids is missing"},
		{"count too low", minute(1, 5, 1), "parsing minute: 1 bytes follow the last of 1 ids"},
		{"count too high", minute(3, 5, 1), "parsing minute: count is 3, but ids hold 2 bytes"},
		{"count below zero", minute(-1, 5), "parsing minute: count is -1, but ids hold 1 bytes"},
		{"id cut short", minute(2, 5, 0x80), "parsing minute: id 2 of 2 is cut short or malformed"},
		{"id longer than it need be", minute(1, 0x85, 0), "parsing minute: id 1 of 1 is cut short or malformed"},
		{"same id twice", minute(2, 5, 0), "parsing minute: id 2 of 2 does not ascend"},
		{"past the largest id", minute(2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1), "parsing minute: id 2 of 2 does not ascend"},
		{"not base64", `{"version":1,"count":1,"ids":"B!=="}`, "parsing minute: decoding ids: illegal base64 data at input byte 1"},
		{"line break in base64", `{"version":1,"count":1,"ids":"BQ\n=="}`, "parsing minute: decoding ids: base64 holds line breaks"},
		{"bits after the end", `{"version":1,"count":1,"ids":"BR=="}`, "parsing minute: decoding ids: illegal base64 data at input byte 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ids, err := schemas.ParseMinute([]byte(tt.value))
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, error %v, want error %s", ids, err, tt.want)
			}
		})
	}
}

func TestOffsetsKeys(t *testing.T) {
	t.Parallel()
	if got := string(schemas.OffsetKey("acme")); got != "acme" {
		t.Errorf("OffsetKey: got %s", got)
	}
	inside := at("2026-11-22T09:05:59.999+02:00")
	key := schemas.MinuteKey("acme", inside)
	if got, want := string(key), "acme/2026-11-22T07:05Z"; got != want {
		t.Errorf("MinuteKey: got %s, want %s", got, want)
	}
	for text, want := range map[string]schemas.OffsetsKey{
		"acme/2026-11-22T07:05Z":            {Kind: schemas.OffsetsMinute, Connector: "acme", Minute: at("2026-11-22T07:05:00Z")},
		"a.b_c-d":                           {Connector: "a.b_c-d"},
		"acme/jobs/20261122-070511-k3x9":    {Kind: schemas.OffsetsJob, Connector: "acme", Job: "20261122-070511-k3x9"},
		string(schemas.JobKey("jobs", "1")): {Kind: schemas.OffsetsJob, Connector: "jobs", Job: "1"},
	} {
		if got, err := schemas.ParseOffsetsKey([]byte(text)); err != nil || got != want {
			t.Errorf("ParseOffsetsKey(%s) = %+v, %v", text, got, err)
		}
	}
	for _, key := range []string{
		"", "/", "Acme", ".acme", "_acme", "_owner/", "_owner/2026-11-22T07:05Z", "acme/", "acme/2026-11-22T7:05Z", "acme/2026-11-22T07:05", "acme/2026-11-22T07:05:00Z",
		"acme/2026-02-30T07:05Z", "acme/2026-11-22T07:05Z/", "/2026-11-22T07:05Z", "a b/2026-11-22T07:05Z",
		"acme/jobs", "acme/jobs/", "acme/jobs/A", "acme/jobs/1/2", "/jobs/1", "_owner/jobs/1",
		"a234567890123456789012345678901234567890123456789012345678901234",
	} {
		if k, err := schemas.ParseOffsetsKey([]byte(key)); err == nil {
			t.Errorf("ParseOffsetsKey(%q) = %+v, want an error", key, k)
		}
	}
}

func FuzzOffset(f *testing.F) {
	f.Add([]byte(offsetJSON))
	f.Add([]byte(strings.Replace(offsetJSON, `"updated_at"`, `"calls":7,"calls_until":"2026-11-22T07:31:02Z","updated_at"`, 1)))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"domain":"","account_id":0,"through":"9999-12-31T23:59:59-01:00","last_id":-1,"events":0,"window_start":"0000-01-01T00:00:00+01:00","updated_at":"0001-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		o, err := schemas.ParseOffset(value)
		if err != nil {
			return
		}
		again, err := schemas.ParseOffset(o.Marshal())
		if err != nil {
			t.Fatalf("what was read cannot be written and read again: %v", err)
		}
		if diff := cmp.Diff(o, again); diff != "" {
			t.Fatalf("round trip (-first +second):\n%s", diff)
		}
	})
}

func FuzzMinute(f *testing.F) {
	f.Add([]byte(`{"version":1,"count":3,"ids":"rAIBgAE="}`))
	f.Add([]byte(`{"version":1,"count":0,"ids":""}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		ids, err := schemas.ParseMinute(value)
		if err == nil {
			again, err := schemas.ParseMinute(schemas.EncodeMinute(ids))
			if err != nil || !slices.Equal(ids, again) {
				t.Fatalf("round trip of %v: got %v, %v", ids, again, err)
			}
		}
		// The same bytes as ids: whatever they are, nothing is lost.
		var numbers []int64
		for i := 0; i+8 <= len(value); i += 8 {
			var id uint64
			for _, b := range value[i : i+8] {
				id = id<<8 | uint64(b)
			}
			numbers = append(numbers, int64(id))
		}
		got, err := schemas.ParseMinute(schemas.EncodeMinute(numbers))
		slices.Sort(numbers)
		if err != nil || !slices.Equal(slices.Compact(numbers), got) {
			t.Fatalf("round trip of %v: got %v, %v", numbers, got, err)
		}
	})
}

func FuzzOffsetsKey(f *testing.F) {
	f.Add([]byte("acme"))
	f.Add([]byte("acme/2026-11-22T07:05Z"))
	f.Add([]byte("acme/2026-11-22T7:05Z"))
	f.Add([]byte("acme/jobs/20261122-070511-k3x9"))
	f.Fuzz(func(t *testing.T, key []byte) {
		k, err := schemas.ParseOffsetsKey(key)
		if err != nil {
			return
		}
		again := schemas.OffsetKey(k.Connector)
		switch k.Kind {
		case schemas.OffsetsMinute:
			again = schemas.MinuteKey(k.Connector, k.Minute)
		case schemas.OffsetsJob:
			again = schemas.JobKey(k.Connector, k.Job)
		case schemas.OffsetsPosition, schemas.OffsetsOwner:
		}
		if !bytes.Equal(key, again) {
			t.Fatalf("round trip of %q: got %q", key, again)
		}
	})
}

func BenchmarkEncodeMinute(b *testing.B) {
	ids := make([]int64, 60)
	for i := range ids {
		ids[i] = 45192198208 + int64(i)*131
	}
	b.ReportAllocs()
	for b.Loop() {
		schemas.EncodeMinute(ids)
	}
}

func BenchmarkParseMinute(b *testing.B) {
	ids := make([]int64, 60)
	for i := range ids {
		ids[i] = 45192198208 + int64(i)*131
	}
	value := schemas.EncodeMinute(ids)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := schemas.ParseMinute(value); err != nil {
			b.Fatal(err)
		}
	}
}
