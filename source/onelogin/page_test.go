package onelogin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
)

func TestDecodePageSamples(t *testing.T) {
	var elements []string
	for _, s := range samples(t) {
		elements = append(elements, string(s))
	}
	p, flt, err := decodePage([]byte(body(morePage, elements...)))
	if err != nil || flt.failed {
		t.Fatalf("decodePage: %v, %+v", err, flt)
	}
	if p.Next != "c2" || len(p.Malformed) != 0 || len(p.Events) != len(elements) {
		t.Fatalf("got next %q, %d malformed, %d events", p.Next, len(p.Malformed), len(p.Events))
	}
	for i, e := range p.Events {
		if string(e.Raw) != elements[i] {
			t.Errorf("event %d is not the exact slice", i)
		}
	}
	first := p.Events[0]
	first.Raw = nil
	want := schemas.Event{
		ID: 44994186214, AccountID: 232548, TypeID: 1002, UserID: []byte("232044969"),
		CreatedAt:     time.Date(2024, 2, 27, 23, 48, 9, 212e6, time.UTC),
		CreatedAtText: []byte("2024-02-27T23:48:09.212Z"),
	}
	if d := cmp.Diff(want, first); d != "" {
		t.Error(d)
	}
}

func TestDecodeElements(t *testing.T) {
	at := time.Date(2024, 2, 27, 23, 48, 9, 212e6, time.UTC)
	const created = `"created_at":"2024-02-27T23:48:09.212Z"`
	tests := []struct {
		name, raw, reason string
		change            func(*schemas.Event)
	}{
		{name: "smallest", raw: `{"id":7,` + created + `}`},
		{name: "white space", raw: "{ \"id\" :\n7 ,\t" + created + "\r}"},
		{name: "escaped key", raw: `{"\u0069d":7,"created\u005fat":"2024-02-27T23:48:09.212Z"}`},
		{name: "escaped time", raw: `{"id":7,"created_at":"2024\u002d02-27T23:48:09.212Z"}`},
		{name: "other case is another key", raw: `{"ID":9,"id":7,` + created + `}`},
		{name: "escape in a key that looks alike", raw: `{"id\"":9,"id":7,` + created + `}`},
		{name: "above 2^53", raw: `{"id":9007199254740993,` + created + `}`, change: func(e *schemas.Event) { e.ID = 9007199254740993 }},
		{name: "largest", raw: `{"id":9223372036854775807,` + created + `}`, change: func(e *schemas.Event) { e.ID = 9223372036854775807 }},
		{name: "overflow", raw: `{"id":9223372036854775808,` + created + `}`, reason: reasonBadID},
		{name: "twenty digits", raw: `{"id":18446744073709551617,` + created + `}`, reason: reasonBadID},
		{name: "exponent", raw: `{"id":1e3,` + created + `}`, reason: reasonBadID},
		{name: "fraction", raw: `{"id":1.0,` + created + `}`, reason: reasonBadID},
		{name: "text id", raw: `{"id":"7",` + created + `}`},
		{name: "escaped text id", raw: `{"id":"\u0037",` + created + `}`},
		{name: "largest text id", raw: `{"id":"9223372036854775807",` + created + `}`, change: func(e *schemas.Event) { e.ID = 9223372036854775807 }},
		{name: "text overflow", raw: `{"id":"9223372036854775808",` + created + `}`, reason: reasonBadID},
		{name: "text with zeros in front", raw: `{"id":"007",` + created + `}`, reason: reasonBadID},
		{name: "text with a sign", raw: `{"id":"+7",` + created + `}`, reason: reasonBadID},
		{name: "text with white space", raw: `{"id":" 7",` + created + `}`, reason: reasonBadID},
		{name: "negative text id", raw: `{"id":"-7",` + created + `}`, reason: reasonBadID},
		{name: "empty text id", raw: `{"id":"",` + created + `}`, reason: reasonBadID},
		{name: "text id that is a fraction", raw: `{"id":"7.0",` + created + `}`, reason: reasonBadID},
		{name: "hexadecimal text id", raw: `{"id":"0x7",` + created + `}`, reason: reasonBadID},
		{name: "a number and a text", raw: `{"id":7,"id":"7",` + created + `}`, reason: reasonTwiceID},
		{name: "null id", raw: `{"id":null,` + created + `}`, reason: reasonBadID},
		{name: "object id", raw: `{"id":{"id":7},` + created + `}`, reason: reasonBadID},
		{name: "zero", raw: `{"id":0,` + created + `}`, reason: reasonBadID},
		{name: "minus zero", raw: `{"id":-0,` + created + `}`, reason: reasonBadID},
		{name: "negative", raw: `{"id":-7,` + created + `}`, reason: reasonBadID},
		{name: "no id", raw: `{` + created + `}`, reason: reasonNoID},
		{name: "inner id only", raw: `{"x":{"id":7},` + created + `}`, reason: reasonNoID},
		{name: "id twice", raw: `{"id":7,"id":7,` + created + `}`, reason: reasonTwiceID},
		{name: "id twice, one escaped", raw: `{"id":7,"i\u0064":8,` + created + `}`, reason: reasonTwiceID},
		{name: "no time", raw: `{"id":7}`, reason: reasonNoCreated},
		{name: "time twice", raw: `{"id":7,` + created + `,` + created + `}`, reason: reasonTwiceCreate},
		{name: "null time", raw: `{"id":7,"created_at":null}`, reason: reasonBadCreated},
		{name: "number time", raw: `{"id":7,"created_at":1709077689}`, reason: reasonBadCreated},
		{name: "date only", raw: `{"id":7,"created_at":"2024-02-27"}`, reason: reasonBadCreated},
		{name: "no offset", raw: `{"id":7,"created_at":"2024-02-27T23:48:09.212"}`, reason: reasonBadCreated},
		{name: "webhook time", raw: `{"id":7,"created_at":"2017-12-05 19:13:06 UTC"}`, change: func(e *schemas.Event) {
			e.CreatedAt, e.CreatedAtText = time.Date(2017, 12, 5, 19, 13, 6, 0, time.UTC), []byte("2017-12-05 19:13:06 UTC")
		}},
		{name: "offset without a colon", raw: `{"id":7,"created_at":"2024-02-28T01:48:09.212+0200"}`, change: func(e *schemas.Event) {
			e.CreatedAtText = []byte("2024-02-28T01:48:09.212+0200")
		}},
		{name: "no 30 February", raw: `{"id":7,"created_at":"2024-02-30T00:00:00Z"}`, reason: reasonBadCreated},
		{name: "year 1969", raw: `{"id":7,"created_at":"1969-12-31T23:59:59.999Z"}`, reason: reasonBadCreated},
		{name: "year 1969 in UTC", raw: `{"id":7,"created_at":"1970-01-01T00:00:00+01:00"}`, reason: reasonBadCreated},
		{name: "year 10000 in UTC", raw: `{"id":7,"created_at":"9999-12-31T23:59:59-01:00"}`, reason: reasonBadCreated},
		{name: "offset", raw: `{"id":7,"created_at":"2024-02-28T01:48:09.212+02:00"}`, change: func(e *schemas.Event) {
			e.CreatedAtText = []byte("2024-02-28T01:48:09.212+02:00")
		}},
		{name: "nanoseconds", raw: `{"id":7,"created_at":"2024-02-27T23:48:09.212000001Z"}`, change: func(e *schemas.Event) {
			e.CreatedAt, e.CreatedAtText = at.Add(1), []byte("2024-02-27T23:48:09.212000001Z")
		}},
		{name: "other fields", raw: `{"id":7,` + created + `,"account_id":5,"event_type_id":6,"user_id":8}`, change: func(e *schemas.Event) {
			e.AccountID, e.TypeID, e.UserID = 5, 6, []byte("8")
		}},
		{name: "other fields twice", raw: `{"user_id":1,"id":7,` + created + `,"user_id":8}`, change: func(e *schemas.Event) { e.UserID = []byte("8") }},
		{name: "other fields as texts", raw: `{"id":7,` + created + `,"account_id":"5","event_type_id":"6","user_id":"8"}`, change: func(e *schemas.Event) {
			e.AccountID, e.TypeID, e.UserID = 5, 6, []byte("8")
		}},
		{name: "other fields of other types", raw: `{"id":7,` + created + `,"account_id":"five","event_type_id":6.5,"user_id":1e3}`},
		{name: "other fields null", raw: `{"id":7,` + created + `,"account_id":null,"event_type_id":[],"user_id":{}}`},
		{name: "null", raw: `null`, reason: reasonNotObject},
		{name: "nested array", raw: `[{"id":7}]`, reason: reasonNotObject},
		{name: "empty array", raw: `[]`, reason: reasonNotObject},
		{name: "text", raw: `"id"`, reason: reasonNotObject},
		{name: "number", raw: `7`, reason: reasonNotObject},
		{name: "empty object", raw: `{}`, reason: reasonNoID},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// Its neighbours must come through whatever it is.
			p, flt, err := decodePage([]byte(body(lastPage, event(1), tt.raw, event(2))))
			if err != nil || flt.failed {
				t.Fatalf("decodePage: %v, %+v", err, flt)
			}
			if tt.reason != "" {
				want := []source.Malformed{{Raw: []byte(tt.raw), Reason: tt.reason}}
				if d := cmp.Diff(want, p.Malformed); d != "" || len(p.Events) != 2 || p.Len() != 3 {
					t.Errorf("%d events, malformed: %s", len(p.Events), d)
				}
				return
			}
			want := schemas.Event{Raw: []byte(tt.raw), ID: 7, CreatedAt: at, CreatedAtText: []byte("2024-02-27T23:48:09.212Z")}
			if tt.change != nil {
				tt.change(&want)
			}
			if len(p.Events) != 3 {
				t.Fatalf("got %d events, malformed %q", len(p.Events), p.Malformed)
			}
			if d := cmp.Diff(want, p.Events[1]); d != "" {
				t.Error(d)
			}
			if loc := p.Events[1].CreatedAt.Location(); loc != time.UTC {
				t.Errorf("created_at is in %v, want UTC", loc)
			}
		})
	}
}

func TestDecodePageWhole(t *testing.T) {
	ok := body(morePage, event(1), event(2))
	tests := []struct {
		name, body, next string
		err              error
		syntax, failed   bool
		unsaid           bool
	}{
		{name: "more", body: ok, next: "c2"},
		{name: "last", body: body(lastPage, event(1))},
		{name: "empty with cursor and link", body: body(morePage), next: "c2"},
		{name: "empty, the last with a cursor", body: body(`{"after_cursor":"c2","next_link":null}`)},
		{name: "empty, link without cursor", body: body(`{"after_cursor":null,"next_link":"/x"}`), unsaid: true},
		{name: "empty without pagination", body: `{"data":[]}`, unsaid: true},
		{name: "no status", body: `{"data":[],"pagination":` + lastPage + `}`},
		{name: "pagination after data", body: `{"data":[` + event(1) + `],"pagination":` + morePage + `}`, next: "c2"},
		{name: "escaped data key", body: `{"d\u0061ta":[` + event(1) + `],"pagination":` + morePage + `}`, next: "c2"},
		{name: "white space around", body: " \n" + ok + "\r\n\t", next: "c2"},
		{name: "unknown keys", body: `{"x":{"data":1},` + ok[1:], next: "c2"},
		{name: "no pagination", body: `{"data":[` + event(1) + `]}`, unsaid: true},
		{name: "pagination null", body: body(`null`, event(1)), unsaid: true},
		{name: "pagination array", body: body(`[]`, event(1)), unsaid: true},
		{name: "pagination empty", body: body(`{}`, event(1)), unsaid: true},
		{name: "cursor, no next_link", body: body(`{"after_cursor":"c2"}`, event(1)), next: "c2"},
		{name: "cursor, next_link number", body: body(`{"after_cursor":"c2","next_link":1}`, event(1)), next: "c2"},
		{name: "cursor, next_link false", body: body(`{"after_cursor":"c2","next_link":false}`, event(1)), next: "c2"},
		{name: "next_link false", body: body(`{"next_link":false}`, event(1)), unsaid: true},
		{name: "empty with a cursor, no next_link", body: body(`{"after_cursor":"c2"}`), unsaid: true},
		{name: "cursor without link", body: body(`{"after_cursor":"c2","next_link":null}`, event(1))},
		{name: "empty link and cursor", body: body(`{"after_cursor":"c2","next_link":""}`, event(1)), next: "c2"},
		{name: "empty link, no cursor", body: body(`{"after_cursor":null,"next_link":""}`, event(1))},
		{name: "link without cursor", body: body(`{"after_cursor":null,"next_link":"/x"}`, event(1)), unsaid: true},
		{name: "link, cursor missing", body: body(`{"next_link":"/x?limit=50"}`, event(1)), unsaid: true},
		{name: "link, cursor empty", body: body(`{"after_cursor":"","next_link":"/x?after_cursor="}`, event(1)), unsaid: true},
		{name: "link, cursor number", body: body(`{"after_cursor":12,"next_link":"/x"}`, event(1)), unsaid: true},
		{name: "link that is none", body: body(`{"next_link":"%zz?after_cursor=c4"}`, event(1)), unsaid: true},
		{name: "cursor in the link alone", body: body(`{"after_cursor":null,"next_link":"https://evil.example/x?limit=5&after_cursor=c4%3D"}`, event(1)), next: "c4="},
		{name: "cursor in the link alone, not escaped", body: body(`{"next_link":"/x?after_cursor=a+b/c="}`, event(1)), next: "a+b/c="},
		{name: "another cursor in the link", body: body(`{"after_cursor":"c2","next_link":"/x?after_cursor=c4"}`, event(1)), next: "c2"},
		{name: "malformed only counts as data", body: body(`{"after_cursor":"c3","next_link":"/x"}`, `null`), next: "c3"},
		{name: "endless cursor", body: body(`{"next_link":"/x","after_cursor":"`+strings.Repeat("a", maxCursor+1)+`"}`, event(1)), err: errLongCursor},
		{name: "escaped cursor", body: body(`{"next_link":"\/x","after_cursor":"a\u003d="}`, event(1)), next: "a=="},
		{name: "data null", body: `{"data":null,"pagination":` + lastPage + `}`, unsaid: true},
		{name: "data null without pagination", body: `{"data":null}`, unsaid: true},
		{name: "data null, and a cursor that ends nothing", body: `{"data":null,"pagination":{"after_cursor":"c2","next_link":null}}`, unsaid: true},
		{name: "data null, though a page follows", body: `{"data":null,"pagination":` + morePage + `}`, err: errNullData},
		{name: "data null, though a page follows without a cursor", body: `{"data":null,"pagination":{"next_link":"/x"}}`, err: errNullData},
		{name: "data object", body: `{"data":{},"pagination":` + lastPage + `}`, err: errNoData},
		{name: "data missing", body: `{"pagination":` + lastPage + `}`, err: errNoData},
		{name: "data twice", body: `{"data":[` + event(1) + `],` + ok[1:], err: errTwice},
		{name: "data twice, one null", body: `{"data":null,` + ok[1:], err: errTwice},
		{name: "pagination twice", body: `{"pagination":null,` + ok[1:], err: errTwice},
		{name: "empty body", body: ``, syntax: true},
		{name: "null", body: `null`, err: errNotObject},
		{name: "array", body: `[` + event(1) + `]`, err: errNotObject},
		{name: "truncated", body: ok[:len(ok)-1], syntax: true},
		{name: "trailing garbage", body: ok + "x", syntax: true},
		{name: "two answers", body: ok + ok, syntax: true},
		{name: "HTML", body: "<html></html>", syntax: true},
		{name: "byte order mark", body: "\xef\xbb\xbf" + ok, syntax: true},
		{name: "trailing comma", body: body(lastPage, event(1), ``), err: ErrUnparted},
		{name: "error in status", body: strings.Replace(ok, `"error":false`, `"error":true`, 1), failed: true},
		{name: "error that is no bool", body: strings.Replace(ok, `"error":false`, `"error":"yes"`, 1), failed: true},
		{name: "error that is a text", body: strings.Replace(ok, `"error":false`, `"error":"False"`, 1), next: "c2"},
		{name: "error that is a number", body: strings.Replace(ok, `"error":false`, `"error":0`, 1), next: "c2"},
		{name: "error null", body: strings.Replace(ok, `"error":false`, `"error":null`, 1), next: "c2"},
		{name: "code 500", body: strings.Replace(ok, `"code":200`, `"code":500`, 1), failed: true},
		{name: "flat error", body: `{"message":"Unauthorized","statusCode":401,"name":"UnauthorizedError"}`, failed: true},
		{name: "flat error with data", body: `{"statusCode":500,` + ok[1:], failed: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, flt, err := decodePage([]byte(tt.body))
			if _, syntax := err.(syntaxError); syntax != tt.syntax || !syntax && !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v (syntax %v)", err, tt.err, tt.syntax)
			}
			if flt.failed != tt.failed {
				t.Errorf("failed is %v, want %v", flt.failed, tt.failed)
			}
			if p.Next != tt.next || p.Unsaid != tt.unsaid {
				t.Errorf("next is %q, unsaid %t, want %q, %t", p.Next, p.Unsaid, tt.next, tt.unsaid)
			}
			if (err != nil || flt.failed) && p.Len() != 0 {
				t.Error("a failed page has elements")
			}
		})
	}
}

// Every body that is cut off anywhere is a failed page.
func TestDecodePageTruncatedAnywhere(t *testing.T) {
	whole := body(morePage, string(samples(t)[0]), `{"id":1,"x":[1.5e-3,"\u00e9",{}]}`)
	for n := range len(whole) {
		if p, flt, err := decodePage([]byte(whole[:n])); err == nil || flt.failed || p.Len() != 0 {
			t.Fatalf("cut at %d: error %v, %d elements", n, err, p.Len())
		}
	}
}

func TestEventSlicesDoNotReachTheirNeighbours(t *testing.T) {
	b := []byte(body(lastPage, event(1), `[]`, event(2)))
	keep := string(b)
	p, _, err := decodePage(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range p.Events {
		_ = append(e.Raw, "XXXX"...)
		_ = append(e.CreatedAtText, "XXXX"...)
	}
	_ = append(p.Malformed[0].Raw, "XXXX"...)
	if string(b) != keep {
		t.Error("appending to a slice changed the body")
	}
}

func TestScannerAgreesWithEncodingJSON(t *testing.T) {
	tests := []string{
		`0`, `-0`, `00`, `-`, `1.`, `.1`, `1e`, `1e+`, `1E-2`, `1.5e10`, `+1`, `0x1`, `1 2`, `NaN`,
		`""`, `"`, `"\`, `"\u12"`, `"\u12zz"`, `"\uD800"`, "\"\x7f\xff\"", "\"\x1f\"", `"aaaaaaa\"bbbbbbb"`, `"12345678"`, `"1234567`,
		`[]`, `[1]`, `[1,]`, `[,1]`, `[1 2]`, `[`, `]`, `{}`, `{"a":1}`, `{"a":1,}`, `{a:1}`, `{"a" 1}`, `{"a":}`, `{"a":1 "b":2}`, `{1:2}`, `{`,
		`true`, `tru`, `truex`, `false`, `nul`, `null`, ``, ` `, "\f1",
		strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth),
		strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1),
	}
	for _, s := range tests {
		if got, want := validJSON([]byte(s)), json.Valid([]byte(s)); got != want {
			t.Errorf("%.40q: got %v, want %v", s, got, want)
		}
	}
}

func validJSON(b []byte) bool {
	i, ok := skipValue(b, skipSpace(b, 0), 0)
	return ok && skipSpace(b, i) == len(b)
}

func TestPageRequest(t *testing.T) {
	api := newAPI(t)
	api.events = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", "Tue, 27 Feb 2024 23:50:00 GMT")
		w.Header().Set("X-RateLimit-Limit", "5000")
		w.Header().Set("X-RateLimit-Remaining", "4996")
		w.Header().Set("X-RateLimit-Reset", "3293")
		replyJSON(200, body(morePage, event(1)))(w, r)
	}
	now := time.Date(2024, 2, 27, 23, 50, 1, 0, time.UTC)
	var seen []string
	c := api.client(t, func(_ *Config, o *Options) {
		o.Now = func() time.Time { return now }
		o.Observe = func(endpoint, code string, _ time.Duration) { seen = append(seen, endpoint+" "+code) }
	})
	since := time.Date(2024, 2, 27, 23, 48, 9, 212999999, time.FixedZone("", 3600))
	for _, cursor := range []string{"", "a+b/c=="} {
		p, err := c.Page(t.Context(), source.Query{Since: since, Until: since.Add(time.Second), Cursor: cursor, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		want := source.RateLimit{Limit: 5000, Remaining: 4996, Reset: 3293 * time.Second, At: now}
		if d := cmp.Diff(want, p.RateLimit); d != "" {
			t.Error(d)
		}
		if want := time.Date(2024, 2, 27, 23, 50, 0, 0, time.UTC); !p.ServerTime.Equal(want) {
			t.Errorf("server time is %v", p.ServerTime)
		}
	}
	rs := api.seen(eventsPath)
	if len(rs) != 2 || len(api.seen(tokenPath)) != 1 {
		t.Fatalf("%d page requests, %d token requests", len(rs), len(api.seen(tokenPath)))
	}
	const first = "limit=1000&since=2024-02-27T22%3A48%3A09.212Z&sort=%2Bid&until=2024-02-27T22%3A48%3A10.213Z"
	if got := rs[0].URL.RawQuery; got != first {
		t.Errorf("first page: %s", got)
	}
	if got := rs[1].URL.RawQuery; got != "after_cursor=a%2Bb%2Fc%3D%3D&"+first {
		t.Errorf("second page: %s", got)
	}
	if got := rs[0].Header.Get("Authorization"); got != "Bearer "+testToken {
		t.Errorf("authorization is %q", got)
	}
	if d := cmp.Diff([]string{"token 200", "events 200", "events 200"}, seen); d != "" {
		t.Error(d)
	}
	if c.AccountID() != 189185 {
		t.Errorf("account id is %d", c.AccountID())
	}
	for _, limit := range []int{0, -1, 1001} {
		_, err := c.Page(t.Context(), source.Query{Limit: limit})
		if e := apiError(t, err); e.Kind != source.Configuration {
			t.Errorf("limit %d: kind %v", limit, e.Kind)
		}
	}
	if got := len(api.seen(eventsPath)); got != 2 {
		t.Errorf("a bad page size was sent: %d requests", got)
	}
}

func TestPageWithoutHeaders(t *testing.T) {
	api := newAPI(t)
	api.events = func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Date"] = nil
		w.Header()["Content-Type"] = nil
		_, _ = w.Write([]byte(body(lastPage)))
	}
	p, err := api.client(t).Page(t.Context(), anyQuery)
	if err != nil || !p.ServerTime.IsZero() || p.RateLimit.Limit != 0 {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestPageRenewsTokenOnce(t *testing.T) {
	refusal := replyJSON(401, `{"status":{"error":true,"code":401,"type":"Unauthorized","message":"Authentication Failure"}}`)
	inBody := replyJSON(200, `{"status":{"error":true,"code":401,"type":"Unauthorized","message":"Authentication Failure"}}`)
	good := replyJSON(200, body(lastPage, event(1)))
	for _, tt := range []struct {
		name          string
		events        http.HandlerFunc
		tokens, pages int
		ok            bool
	}{
		{"once", sequence(refusal, good), 2, 2, true},
		{"once, in the body", sequence(inBody, good), 2, 2, true},
		{"for good", refusal, 2, 2, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := newAPI(t)
			api.events = tt.events
			n := 0
			api.token = func(w http.ResponseWriter, r *http.Request) {
				n++
				replyJSON(200, tokenBody("t"+strconv.Itoa(n)))(w, r)
			}
			c := api.client(t)
			q := anyQuery
			q.Cursor = "c7"
			_, err := c.Page(t.Context(), q)
			if (err == nil) != tt.ok {
				t.Fatalf("error %v", err)
			}
			rs := api.seen(eventsPath)
			if len(api.seen(tokenPath)) != tt.tokens || len(rs) != tt.pages {
				t.Fatalf("%d tokens, %d pages", len(api.seen(tokenPath)), len(rs))
			}
			if rs[0].URL.String() != rs[1].URL.String() {
				t.Error("the second request is for another page")
			}
			if got := rs[1].Header.Get("Authorization"); got != "Bearer t2" {
				t.Errorf("second request has %q", got)
			}
			if tt.ok {
				return
			}
			e := apiError(t, err)
			if e.Kind != source.Credentials || e.Stage != "Fetch Logs" || e.Message != "Credentials error" || e.Status != 401 {
				t.Errorf("got %+v", e)
			}
			// The next page starts with a new token, not with the refused one.
			_, _ = c.Page(t.Context(), q)
			if got := api.seen(eventsPath)[2].Header.Get("Authorization"); got != "Bearer t3" {
				t.Errorf("third request has %q", got)
			}
		})
	}
}

func TestPageContext(t *testing.T) {
	api := newAPI(t)
	ctx, cancel := context.WithCancel(t.Context())
	api.events = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"data":[`))
		_ = http.NewResponseController(w).Flush()
		cancel()
		<-r.Context().Done()
	}
	var codes []string
	c := api.client(t, func(_ *Config, o *Options) {
		o.Observe = func(_, code string, _ time.Duration) { codes = append(codes, code) }
	})
	if _, err := c.Page(ctx, anyQuery); err != context.Canceled {
		t.Errorf("got %v, want the context's own error", err)
	}
	if d := cmp.Diff([]string{"200", "canceled"}, codes); d != "" {
		t.Error(d)
	}
	if _, err := c.Page(ctx, anyQuery); err != context.Canceled {
		t.Errorf("got %v, want the context's own error", err)
	}
}
