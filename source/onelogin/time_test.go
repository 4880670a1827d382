package onelogin

import (
	"testing"
	"time"
)

var (
	feb27 = time.Date(2024, 2, 27, 23, 48, 9, 0, time.UTC)
	leap  = time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC)
)

var timeTests = []struct {
	text string
	want time.Time // zero: no time
}{
	{"2024-02-27T23:48:09Z", feb27},
	{"2024-02-27T23:48:09.212Z", feb27.Add(212 * time.Millisecond)},
	{"2024-02-27T23:48:09.2Z", feb27.Add(200 * time.Millisecond)},
	{"2024-02-27T23:48:09.123456789987Z", feb27.Add(123456789)},
	{"2024-02-27T23:48:09,5Z", feb27.Add(500 * time.Millisecond)},
	{"2024-02-27 23:48:09,5 UTC", feb27.Add(500 * time.Millisecond)},
	{"2024-02-28T01:48:09+02:00", feb27},
	{"2024-02-27T18:18:09-05:30", feb27},
	{"2024-02-27T23:48:09-00:00", feb27},
	{"2024-02-27t23:48:09z", feb27},
	{"2024-02-27 23:48:09Z", feb27},
	{"2024-02-27 23:48:09.5+00:00", feb27.Add(500 * time.Millisecond)},
	{"2016-12-31T23:59:60Z", leap},
	{"2016-12-31T23:59:60.25Z", leap.Add(250 * time.Millisecond)},
	{"2017-01-01T01:59:60+02:00", leap},
	{"2024-02-27 23:48:09 UTC", feb27},
	{"2024-02-27 23:48:09.212 UTC", feb27.Add(212 * time.Millisecond)},
	{"2024-02-27T23:48:09UTC", feb27},
	{"2024-02-27T23:48:09+0000", feb27},
	{"2024-02-27 23:48:09 +0000", feb27},
	{"2024-02-28 01:48:09 +0200", feb27},
	{"2024-02-27 21:48:09 -02:00", feb27},
	{"2024-02-29T00:00:00z", time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)},

	{"", time.Time{}},
	{"2024-02-27", time.Time{}},
	{"2024-02-27T23:48:09", time.Time{}}, // whose time?
	{"2024-02-27 23:48:09", time.Time{}},
	{"2024-02-27 23:48Z", time.Time{}},
	{"2024-02-27T23:48:09.Z", time.Time{}},
	{"2024-02-27T23:48:09, UTC", time.Time{}},
	{"2024-02-27T23:48:09. UTC", time.Time{}},
	{"2024-02-27T23:48:09 Z", time.Time{}},
	{"2024-02-27T23:48:09  UTC", time.Time{}},
	{"2024-02-27 23:48:09 CET", time.Time{}},
	{"2024-02-27 23:48:09 UTC+1", time.Time{}},
	{"2024-02-27T23:48:09+02", time.Time{}},
	{"2024-02-27 23:48:09+2400", time.Time{}},
	{"2024-02-27 23:48:09+0060", time.Time{}},
	{"2024-02-27 23:48:09+02:0", time.Time{}},
	{"2024-02-27 23:48:09*0200", time.Time{}},
	{"2024-02-30T00:00:00z", time.Time{}},
	{"2023-02-29 00:00:00 UTC", time.Time{}},
	{"2024-00-10 00:00:00 UTC", time.Time{}},
	{"2024-13-10 00:00:00 UTC", time.Time{}},
	{"2024-02-27 24:00:00 UTC", time.Time{}},
	{"2024-02-27 23:60:00 UTC", time.Time{}},
	{"2024-02-27 23:00:61 UTC", time.Time{}},
	{"2024-02-27 23:59:60 UTC", time.Time{}}, // no month ends
	{"2016-12-31 22:59:60 UTC", time.Time{}},
	{"2016-12-31 23:58:60 UTC", time.Time{}},
	{"2024-2-27 23:48:09 UTC", time.Time{}},
	{"24-02-27 23:48:09 UTC", time.Time{}},
	{"2024/02/27 23:48:09 UTC", time.Time{}},
	{"2024-02-27_23:48:09 UTC", time.Time{}},
	{"1709077689", time.Time{}},
	{"Tue, 27 Feb 2024 23:48:09 GMT", time.Time{}},
	{"2024-02-27T23:48:09Zx", time.Time{}},
	{"x2024-02-27T23:48:09Z", time.Time{}},
}

func TestTimeForms(t *testing.T) {
	for _, tt := range timeTests {
		got, ok := parseTime([]byte(tt.text))
		if ok == tt.want.IsZero() || ok && !got.Equal(tt.want) {
			t.Errorf("%q: got %v, %t, want %v", tt.text, got, ok, tt.want)
		}
	}
}
