package audit

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestParseEvent(t *testing.T) {
	const created = int64(1709077689212000)
	for _, c := range []struct {
		name, value string
		want        fields
		bad         bool
	}{
		{"plain", `{"id":9007199254740993,"created_at":"2024-02-27T23:48:09.212Z","event_type_id":5,"account_id":1,"user_id":2}`,
			fields{9007199254740993, created, "2024-02-27T23:48:09.212Z", "5", "1", "2"}, false},
		{"nested and blank", " {\n\"x\" : [{\"id\":1},\"}\\\"\"] , \"id\" :\t7 , \"created_at\":\"2024-02-27T23:48:09.212Z\",\"user_id\":null } ",
			fields{7, created, "2024-02-27T23:48:09.212Z", "", "", ""}, false},
		{"other case", `{"ID":1,"id":7,"created_at":"2024-02-27T23:48:09.212Z","Id":2}`,
			fields{7, created, "2024-02-27T23:48:09.212Z", "", "", ""}, false},
		{"escaped name", `{"\u0069d":7,"created_at":"2024-02-27T23:48:09.212Z"}`,
			fields{7, created, "2024-02-27T23:48:09.212Z", "", "", ""}, false},
		{"text id", `{"id":"7","created_at":"2024-02-27T23:48:09.212Z"}`, fields{}, true},
		{"fraction", `{"id":7.0,"created_at":"2024-02-27T23:48:09.212Z"}`, fields{}, true},
		{"no time", `{"id":7}`, fields{}, true},
		{"not a time", `{"id":7,"created_at":"yesterday"}`, fields{}, true},
		{"array", `[]`, fields{}, true},
		{"number", `5`, fields{}, true},
		{"empty", ``, fields{}, true},
		{"empty object", `{}`, fields{}, true},
	} {
		got, err := parseEvent([]byte(c.value))
		if c.bad {
			if err == nil {
				t.Errorf("%s: no error", c.name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if d := cmp.Diff(c.want, got, cmp.AllowUnexported(fields{})); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}

// The hand-written walk over an object finds what the standard library finds.
func FuzzMembers(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":{"c":[1,"}"]},"d":"\\\"","e":null}`))
	f.Add([]byte(` { } `))
	f.Add([]byte(`{"a":-1.5e3 ,"b" :true}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = parseEvent(b)
		if !json.Valid(b) {
			return
		}
		var want map[string]json.RawMessage
		wantErr := json.Unmarshal(b, &want)
		got := map[string]json.RawMessage{}
		err := members(b, func(name string, raw []byte) { got[name] = raw })
		if want == nil { // null, or no object
			if err == nil {
				t.Fatalf("%q: no error, want %v", b, wantErr)
			}
			return
		}
		if err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("%q (-want +got):\n%s", b, d)
		}
	})
}

func FuzzOffsets(f *testing.F) {
	f.Add([]byte("acme/2026-11-22T07:05Z"), encodeMinute([]int64{1, 5, 9}))
	f.Add([]byte("acme"), []byte(`{"version":1,"domain":"a","account_id":1,"through":"2026-11-22T07:05:11.123Z","last_id":1,"events":1,"updated_at":"2026-11-22T07:05:11Z"}`))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if name, m, isMinute, err := splitKey(key); err == nil && isMinute {
			if got := name + "/" + time.Unix(m*minuteSeconds, 0).UTC().Format(minuteForm); got != string(key) {
				t.Fatalf("key %q reads as %q", key, got)
			}
		}
		if p, err := parsePosition(value); err == nil && p.events < 0 {
			t.Fatalf("%q: negative events", value)
		}
		ids, err := parseMinute(value)
		if err == nil && !slices.IsSorted(ids) {
			t.Fatalf("%q: ids do not ascend: %v", value, ids)
		}
	})
}

func TestParseMinute(t *testing.T) {
	for _, want := range [][]int64{{}, {0}, {1}, {1 << 53, 1<<53 + 1, 1 << 62}, {1, 127, 128, 129}} {
		got, err := parseMinute(encodeMinute(want))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
}

// franz-go's default partitioner is Kafka's.
func TestPartitionOf(t *testing.T) {
	p := kgo.StickyKeyPartitioner(nil).ForTopic("t")
	for n := range 200 {
		key := []byte(strings.Repeat("käy", n)[:n])
		if want, got := p.Partition(&kgo.Record{Key: key}, 32), partitionOf(key, 32); n > 0 && want != int(got) {
			t.Fatalf("%q: got %d, want %d", key, got, want)
		}
	}
}

func TestTruthFromNDJSON(t *testing.T) {
	const hex = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	line := func(id string) string {
		return `{"id":` + id + `,"created_at":"2026-11-22T07:00:00.5Z","visible_at":"2026-11-22T07:00:01Z","sha256":"` + hex + `"}` + "\n"
	}
	got, err := TruthFromNDJSON(strings.NewReader(line("9007199254740993") + line("5")))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 22, 7, 0, 0, 5e8, time.UTC).UnixMicro()
	sum := Sum{0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	want := []Fact{{5, at, at + 5e5, sum}, {9007199254740993, at, at + 5e5, sum}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for name, text := range map[string]string{
		"twice": line("5") + line("5"), "no id": line("null"), "cut": line("5")[:40],
		"short sum": strings.Replace(line("5"), "0011", "", 1), "no time": strings.Replace(line("5"), "visible_at", "x", 1),
	} {
		if _, err := TruthFromNDJSON(strings.NewReader(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzTruth(f *testing.F) {
	f.Add([]byte(`{"id":5,"created_at":"2026-11-22T07:00:00.5Z","visible_at":"2026-11-22T07:00:01Z","sha256":"00"}`))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = TruthFromNDJSON(strings.NewReader(string(b))) })
}
