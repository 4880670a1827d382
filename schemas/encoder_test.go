package schemas_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/schemas"
)

const (
	minuteJSON  = `{"version":1,"count":3,"ids":"rAIBgAE="}`
	eventJSON   = `{"id":45192198208,"created_at":"2026-11-22T07:05:11.123Z","event_type_id":5,"user_id":null,"other":{}}`
	headersJSON = `{"ce_specversion":"1.0","ce_id":"45192198208","ce_source":"https://acme.onelogin.com/api/1/events","ce_type":"com.onelogin.event.5","ce_time":"2026-11-22T07:05:11.123Z","content-type":"application/json","tenant":"acme","onelogin_account_id":"232548","onelogin_event_type":"USER_LOGGED_INTO_ONELOGIN","late":"true"}`
)

func validEvent() *schemas.Event {
	return &schemas.Event{
		Raw: []byte(`{"id": 45192198208, "note": "a b \" c"}`), ID: 45192198208,
		CreatedAt: at("2026-11-22T07:05:11.123Z"), CreatedAtText: []byte("2026-11-22T07:05:11.123Z"),
		AccountID: 232548, TypeID: 5, UserID: []byte("232044969"),
	}
}

func newEncoder() *schemas.Encoder {
	return &schemas.Encoder{Tenant: "acme", Domain: "acme.onelogin.com", Types: schemas.NewTypes()}
}

// headerObject is the headers as the JSON object that headers.schema.json
// describes. A header that is there twice is an error.
func headerObject(t *testing.T, headers []schemas.Header) []byte {
	t.Helper()
	m := make(map[string]string)
	for _, h := range headers {
		if _, ok := m[h.Key]; ok {
			t.Errorf("header %s is there twice", h.Key)
		}
		m[h.Key] = string(h.Value)
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func headerText(headers []schemas.Header) string {
	var b strings.Builder
	for _, h := range headers {
		fmt.Fprintf(&b, "%s=%s\n", h.Key, h.Value)
	}
	return b.String()
}

const allHeaders = `ce_specversion=1.0
ce_id=45192198208
ce_source=https://acme.onelogin.com/api/1/events
ce_type=com.onelogin.event.5
ce_time=2026-11-22T07:05:11.123Z
content-type=application/json
tenant=acme
onelogin_account_id=232548
onelogin_event_type=USER_LOGGED_INTO_ONELOGIN
`

func TestEncoderEvent(t *testing.T) {
	t.Parallel()
	without := func(line string) string { return strings.Replace(allHeaders, line, "", 1) }
	tests := []struct {
		name    string
		encoder func(*schemas.Encoder)
		event   func(*schemas.Event)
		late    bool
		key     string
		value   string
		headers string
	}{
		{name: "plain"},
		{name: "late", late: true, headers: allHeaders + "late=true\n"},
		{name: "keyed by user", encoder: func(e *schemas.Encoder) { e.Key = schemas.KeyUser }, key: "acme:232044969"},
		{
			name: "keyed by user, no user", encoder: func(e *schemas.Encoder) { e.Key = schemas.KeyUser },
			event: func(ev *schemas.Event) { ev.UserID = nil },
		},
		{
			name: "keyed by a very long user", encoder: func(e *schemas.Encoder) { e.Key = schemas.KeyUser },
			event: func(ev *schemas.Event) { ev.UserID = bytes.Repeat([]byte("9"), 500) }, key: "acme:" + strings.Repeat("9", 500),
		},
		{name: "keyed by event", encoder: func(e *schemas.Encoder) { e.Key = schemas.KeyEvent }, key: "acme:45192198208"},
		{name: "compact", encoder: func(e *schemas.Encoder) { e.Compact = true }, value: `{"id":45192198208,"note":"a b \" c"}`},
		{
			name: "no account", event: func(ev *schemas.Event) { ev.AccountID = 0 },
			headers: without("onelogin_account_id=232548\n"),
		},
		{
			name: "unknown type", event: func(ev *schemas.Event) { ev.TypeID = 424242 },
			headers: strings.Replace(without("onelogin_event_type=USER_LOGGED_INTO_ONELOGIN\n"), "event.5\n", "event.424242\n", 1),
		},
		{
			name: "no table of types", encoder: func(e *schemas.Encoder) { e.Types = nil },
			headers: without("onelogin_event_type=USER_LOGGED_INTO_ONELOGIN\n"),
		},
	}
	for _, tt := range tests {
		for _, reserve := range []int{0, 1, 3} {
			t.Run(fmt.Sprintf("%s, %d reserved", tt.name, reserve), func(t *testing.T) {
				t.Parallel()
				e, ev := newEncoder(), validEvent()
				if tt.encoder != nil {
					tt.encoder(e)
				}
				if tt.event != nil {
					tt.event(ev)
				}
				want := schemas.Record{Topic: schemas.Events, Key: []byte("acme"), Value: ev.Raw, Time: ev.CreatedAt}
				if tt.key != "" {
					want.Key = []byte(tt.key)
				}
				if tt.value != "" {
					want.Value = []byte(tt.value)
				}
				wantHeaders := allHeaders
				if tt.headers != "" {
					wantHeaders = tt.headers
				}
				e.Reserve(reserve)
				// Records made in turn share blocks of memory: none may touch another's.
				var got [3]schemas.Record
				for i := range got {
					got[i] = e.Event(ev, tt.late)
				}
				for i := range got {
					if diff := cmp.Diff(wantHeaders, headerText(got[i].Headers)); diff != "" {
						t.Errorf("headers of record %d (-want +got):\n%s", i, diff)
					}
					validate(t, "headers", headerObject(t, got[i].Headers))
					got[i].Headers = nil
					if diff := cmp.Diff(want, got[i]); diff != "" {
						t.Errorf("record %d (-want +got):\n%s", i, diff)
					}
				}
			})
		}
	}
}

func TestEncoderRecordsDoNotOverlap(t *testing.T) {
	t.Parallel()
	e, ev := newEncoder(), validEvent()
	e.Key = schemas.KeyEvent
	e.Reserve(2)
	first := e.Event(ev, false)
	before := headerText(first.Headers) + string(first.Key)
	ev2 := validEvent()
	ev2.ID++
	second := e.Event(ev2, true)
	// What a caller appends must not land in the next record.
	_ = append(first.Headers, schemas.Header{Key: "x"})
	_ = append(first.Key, 'x')
	if got := headerText(first.Headers) + string(first.Key); got != before {
		t.Errorf("the first record became %s", got)
	}
	if got := string(second.Key); got != "acme:45192198209" {
		t.Errorf("the second record's key became %s", got)
	}
	if got := string(second.Headers[1].Value); got != "45192198209" {
		t.Errorf("the second record's id became %s", got)
	}
}

func TestEncoderVerbatim(t *testing.T) {
	t.Parallel()
	e, ev := newEncoder(), validEvent()
	ev.Raw = []byte("{ \"id\":9007199254740993, \"b\" : \"<\\u00e9>\", \"a\":1.0e5 }")
	got := e.Event(ev, false).Value
	if string(got) != string(ev.Raw) {
		t.Errorf("got %s, want %s", got, ev.Raw)
	}
	e = newEncoder()
	e.Compact = true
	want := "{\"id\":9007199254740993,\"b\":\"<\\u00e9>\",\"a\":1.0e5}"
	if got := e.Event(ev, false).Value; string(got) != want {
		t.Errorf("compact: got %s, want %s", got, want)
	}
}

func TestEncoderDeadLetter(t *testing.T) {
	t.Parallel()
	now := at("2026-11-22T07:05:11Z")
	got := newEncoder().DeadLetter([]byte(`"x"`), "not an object\xff", now)
	want := schemas.Record{
		Topic: schemas.DeadLetter, Key: []byte("acme"), Value: []byte(`"x"`), Time: now,
		Headers: []schemas.Header{
			{Key: "tenant", Value: []byte("acme")},
			{Key: "ce_source", Value: []byte("https://acme.onelogin.com/api/1/events")},
			{Key: "reason", Value: []byte("not an object\uFFFD")},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("DeadLetter (-want +got):\n%s", diff)
	}
	if got := newEncoder().DeadLetter(nil, "", now); got.Value == nil {
		t.Error("a dead letter of nothing became a tombstone")
	}
}

func TestSampleEventsFitTheSchema(t *testing.T) {
	t.Parallel()
	file, err := os.Open("testdata/onelogin-events.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	n := 0
	for lines.Scan() {
		validate(t, "event", lines.Bytes())
		n++
	}
	if err := lines.Err(); err != nil || n == 0 {
		t.Fatalf("read %d events, error %v", n, err)
	}
}

func TestTypes(t *testing.T) {
	t.Parallel()
	types := schemas.NewTypes()
	name := func(id int64) string { return string(types.Name(id)) }
	if got, want := name(5), "USER_LOGGED_INTO_ONELOGIN"; got != want {
		t.Errorf("Name(5) = %s, want %s", got, want)
	}
	if types.Name(424242) != nil || types.Name(9055) != nil {
		t.Error("a type without a name has one")
	}
	types.Set(map[int64]string{424242: "NEW_TYPE", 5: "RENAMED", 6: ""})
	if name(424242) != "NEW_TYPE" || name(5) != "RENAMED" || types.Name(6) != nil || name(1) != "APP_ADDED_TO_ROLE" {
		t.Errorf("after Set: %q %q %q %q", name(424242), name(5), name(6), name(1))
	}
}

func TestTypesConcurrent(t *testing.T) {
	t.Parallel()
	types := schemas.NewTypes()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			e := newEncoder()
			e.Types = types
			ev := validEvent()
			for i := range 100 {
				ev.TypeID = int64(1e6 + i)
				want := fmt.Sprintf("com.onelogin.event.%d", ev.TypeID)
				if got := string(e.Event(ev, false).Headers[3].Value); got != want {
					t.Errorf("ce_type is %s, want %s", got, want)
				}
				types.Set(map[int64]string{int64(2e6 + g*100 + i): "X"})
			}
		})
	}
	wg.Wait()
	for id := int64(2e6); id < 2e6+400; id++ {
		if string(types.Name(id)) != "X" {
			t.Fatalf("type %d was lost", id)
		}
	}
}

func TestKeyStrategy(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"tenant", "user", "event"} {
		k, err := schemas.ParseKeyStrategy(name)
		if err != nil || k.String() != name {
			t.Errorf("ParseKeyStrategy(%s) = %v, %v", name, k, err)
		}
	}
	if _, err := schemas.ParseKeyStrategy("Tenant"); err == nil {
		t.Error("ParseKeyStrategy(Tenant) gave no error")
	}
}

func FuzzCompact(f *testing.F) {
	f.Add([]byte(eventJSON))
	f.Add([]byte("[ 1 , \"a \\\\\" , \"\\\" b\" ,\r\n\t{ \"\" : \"\u2028<\" } ]"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var want bytes.Buffer
		if json.Compact(&want, raw) != nil {
			return
		}
		e, ev := newEncoder(), validEvent()
		e.Compact = true
		ev.Raw = bytes.Clone(raw)
		if got := e.Event(ev, false).Value; !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("got %s, want %s", got, want.Bytes())
		}
		if !bytes.Equal(ev.Raw, raw) {
			t.Fatal("the event's bytes were changed")
		}
	})
}

func TestEncoderReserve(t *testing.T) {
	e, ev := newEncoder(), validEvent()
	e.Event(ev, false) // the first builds the constant parts
	const events = 10
	got := testing.AllocsPerRun(10, func() {
		e.Reserve(events)
		for range events {
			e.Event(ev, true)
		}
	})
	if got > 2 {
		t.Errorf("%d events after Reserve: got %v allocations, want the 2 of Reserve", events, got)
	}
}

func BenchmarkEncoderEvent(b *testing.B) {
	for _, key := range []schemas.KeyStrategy{schemas.KeyTenant, schemas.KeyUser, schemas.KeyEvent} {
		for _, page := range []int{0, 1000} {
			b.Run(fmt.Sprintf("key=%v/reserve=%d", key, page), func(b *testing.B) {
				e, ev := newEncoder(), validEvent()
				e.Key = key
				var record schemas.Record
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if page > 0 && i%page == 0 {
						e.Reserve(page)
					}
					record = e.Event(ev, false)
				}
				_ = record
			})
		}
	}
}

func BenchmarkEncoderCompact(b *testing.B) {
	raw, err := os.ReadFile("testdata/onelogin-events.jsonl")
	if err != nil {
		b.Fatal(err)
	}
	var indented bytes.Buffer
	line, _, _ := bytes.Cut(raw, []byte{'\n'})
	if err := json.Indent(&indented, line, "", "  "); err != nil {
		b.Fatal(err)
	}
	e, ev := newEncoder(), validEvent()
	e.Compact = true
	ev.Raw = indented.Bytes()
	b.SetBytes(int64(len(ev.Raw)))
	b.ReportAllocs()
	for b.Loop() {
		e.Event(ev, false)
	}
}
