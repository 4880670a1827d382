package source

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/schemas"
)

func validState() (map[string][]byte, State) {
	at := time.Date(2026, 11, 22, 7, 5, 11, 123e6, time.UTC)
	o := schemas.Offset{Version: schemas.OffsetVersion, Domain: "acme.onelogin.com", AccountID: 7, Through: at, LastID: 9, Events: 3,
		WindowStart: floorMinute(at.Add(-15 * time.Minute)), CompleteThrough: at.Add(-20 * time.Minute), UpdatedAt: at}
	return map[string][]byte{
		"acme":                                o.Marshal(),
		string(schemas.MinuteKey("acme", at)): schemas.EncodeMinute([]int64{4, 9}),
		string(schemas.MinuteKey("acme", at.Add(-time.Minute))): schemas.EncodeMinute([]int64{2}),
		string(schemas.MinuteKey("acme", at.Add(-time.Hour))):   nil,
	}, State{Offset: o, Minutes: idSets(map[int64][]int64{minuteOf(at): {4, 9}, minuteOf(at) - 1: {2}})}
}

func TestParseState(t *testing.T) {
	records, want := validState()
	got, err := ParseState("acme", records)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, compareIDSets); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	for name, records := range map[string]map[string][]byte{"nothing": nil, "tombstones": {"acme": nil, "acme/2026-11-22T07:05Z": nil}} {
		if st, err := ParseState("acme", records); err != nil || !st.Fresh {
			t.Errorf("%s: state %+v, %v, want a fresh one", name, st, err)
		}
	}
}

func TestParseStateRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(map[string][]byte)
		is     error
		text   string
	}{
		"unknown version of the offset": {func(m map[string][]byte) { m["acme"] = []byte(`{"version":2}`) }, schemas.ErrVersion, "acme"},
		"unknown version of a minute":   {func(m map[string][]byte) { m["acme/2026-11-22T07:05Z"] = []byte(`{"version":9}`) }, schemas.ErrVersion, "07:05Z"},
		"another connector's key":       {func(m map[string][]byte) { m["other"] = m["acme"] }, nil, "another connector"},
		"no key":                        {func(m map[string][]byte) { m["acme/x"] = m["acme"] }, nil, "acme/x"},
		"minutes without an offset":     {func(m map[string][]byte) { delete(m, "acme") }, nil, "without an offset"},
		"garbage":                       {func(m map[string][]byte) { m["acme"] = []byte("{") }, nil, "acme"},
	} {
		t.Run(name, func(t *testing.T) {
			records, _ := validState()
			tc.change(records)
			_, err := ParseState("acme", records)
			if err == nil || tc.is != nil && !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func FuzzParseState(f *testing.F) {
	records, _ := validState()
	for k, v := range records {
		f.Add(k, v)
	}
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		records, _ := validState()
		records[key] = value
		st, err := ParseState("acme", records)
		if err != nil {
			return
		}
		p := newPoller(nil)
		s := newSession(p, p.prepare(), &st, nil)
		for _, m := range s.win.minutes {
			for id := range m.ids.all() {
				if s.win.add(m.minute, id) {
					t.Errorf("id %d of the state is not known", id)
				}
			}
		}
	})
}

func TestMinuteOf(t *testing.T) {
	for sec, want := range map[int64]int64{0: 0, 59: 0, 60: 1, -1: -1, -60: -1, -61: -2} {
		if got := minuteOf(time.Unix(sec, 0)); got != want {
			t.Errorf("minute of %d s is %d, want %d", sec, got, want)
		}
	}
}

func TestParseStartFrom(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"now": now, "0s": now, "24h": now.Add(-24 * time.Hour), "90m": now.Add(-90 * time.Minute),
		"2026-11-22T07:05:00+01:00": time.Date(2026, 11, 22, 6, 5, 0, 0, time.UTC),
	} {
		s, err := ParseStartFrom(text)
		if err != nil || !s.Time(now).Equal(want) {
			t.Errorf("%q is %v, %v, want %v", text, s.Time(now), err, want)
			continue
		}
		if again, err := ParseStartFrom(s.String()); err != nil || again != s {
			t.Errorf("%q prints as %q, which reads as %v, %v", text, s, again, err)
		}
	}
	for _, text := range []string{"", "-1h", "yesterday", "2026-11-22"} {
		if s, err := ParseStartFrom(text); err == nil {
			t.Errorf("%q is taken for %v", text, s)
		}
	}
}
