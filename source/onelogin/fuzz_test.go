package onelogin

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"onelogin-kafka/source"
)

func addBodies(f *testing.F) {
	for _, s := range samples(f) {
		f.Add([]byte(body(morePage, string(s), event(1))))
	}
	for _, s := range []string{
		body(lastPage), body(lastPage, `{}`, `null`, `[{"id":1}]`, event(9007199254740993)),
		`{"data":[{"\u0069d":1,"created_at":"2024-02-27T23:48:09+02:00","x":"\"\\"}]}`,
		`{"data":[{"id":1,"id":2,"created_at":""}],"pagination":{"next_link":"","after_cursor":"\ud800"}}`,
		`{"status":{"error":true,"code":400,"message":{"description":"limit","attribute":"limit"}}}`,
		`{"message":"rate_limit_exceeded","statusCode":400,"name":"x"}`, `{"error":"invalid_client"}`, haproxy429, ``, `null`,
		body(lastPage, event(1), "{\"id\":2,\"notes\":\"a\nb\"}", event(3)), body(lastPage, `{"id":NaN}`, event(3)), body(lastPage, `{"a":[1,],"b":01,}`, `Infinity`),
		body(lastPage, event(1), `{"notes":"say "yes" now"}`, event(3)), body(lastPage, `{"id":"7","created_at":"2017-12-05 19:13:06 UTC"}`),
		tokenBody("t"), `{"status":{"error":false},"data":[` + tokenBody("t") + `]}`,
	} {
		f.Add([]byte(s))
	}
}

// FuzzPage: a page is whole or an error; each event is an exact slice of the
// body, and encoding/json reads the same id and time in it.
func FuzzPage(f *testing.F) {
	addBodies(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := validJSON(b), json.Valid(b); got != want {
			t.Fatalf("valid: got %v, want %v", got, want)
		}
		keep := bytes.Clone(b)
		p, flt, err := decodePage(b)
		if !bytes.Equal(b, keep) {
			t.Fatal("the body was changed")
		}
		if err != nil || flt.failed {
			if p.Len() != 0 || p.Next != "" {
				t.Fatal("a failed page has something in it")
			}
			return
		}
		mended, broken := mend(t, b, &p)
		if json.Valid(b) != (broken == 0) {
			t.Fatalf("%d elements of %s are said to be not JSON", broken, b)
		}
		var whole map[string]json.RawMessage
		if err := json.Unmarshal(mended, &whole); err != nil {
			t.Fatalf("encoding/json refuses: %v", err)
		}
		var data []json.RawMessage
		if err := json.Unmarshal(whole["data"], &data); err != nil || len(data) != p.Len() {
			t.Fatalf("encoding/json reads %d elements, not %d: %v", len(data), p.Len(), err)
		}
		// Events and malformed elements together are data, in its order.
		found := make(map[int][]byte)
		last := -1
		for i, e := range p.Events {
			o := offset(b, e.Raw)
			if o <= last {
				t.Fatalf("event %d is at %d, after one at %d", i, o, last)
			}
			found[o], last = e.Raw, o
			agree(t, e.Raw, e.ID, e.CreatedAt, e.CreatedAtText)
		}
		last = -1
		for i, m := range p.Malformed {
			o := offset(b, m.Raw)
			if o <= last || m.Reason == "" {
				t.Fatalf("malformed %d is at %d, after one at %d, reason %q", i, o, last, m.Reason)
			}
			found[o], last = m.Raw, o
		}
		for i, o := range slices.Sorted(maps.Keys(found)) {
			want := []byte(data[i])
			if !json.Valid(found[o]) {
				want = bytes.Repeat([]byte{'0'}, 1)
			}
			if len(found) != len(data) || json.Valid(found[o]) && !bytes.Equal(found[o], want) || !bytes.Equal(data[i], want) {
				t.Fatalf("element %d is %s, want %s", i, found[o], data[i])
			}
		}
	})
}

// mend returns b with a 0 in the place of each element that is not JSON: what is
// left must be JSON, or the elements were not parted where they end.
func mend(t *testing.T, b []byte, p *source.Page) (mended []byte, broken int) {
	t.Helper()
	last := 0
	for _, m := range p.Malformed {
		if m.Reason != reasonNotJSON {
			continue
		}
		if json.Valid(m.Raw) {
			t.Fatalf("%s is JSON", m.Raw)
		}
		o := offset(b, m.Raw)
		mended = append(append(mended, b[last:o]...), '0')
		last = o + len(m.Raw)
		broken++
	}
	return append(mended, b[last:]...), broken
}

// offset is where the slice s of b's own memory starts; -1 if it is none.
func offset(b, s []byte) int {
	for i := range b {
		if &b[i] == &s[0] {
			return i
		}
	}
	return -1
}

func agree(t *testing.T, raw []byte, id int64, created time.Time, text []byte) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		t.Fatalf("encoding/json refuses %s: %v", raw, err)
	}
	n, isNumber := m["id"].(json.Number)
	s, isText := m["id"].(string)
	if !isNumber && !isText || n.String()+s != strconv.FormatInt(id, 10) || id <= 0 {
		t.Fatalf("id is %d, encoding/json reads %v", id, m["id"])
	}
	s, ok := m["created_at"].(string)
	if !ok || s != string(text) {
		t.Fatalf("created_at is %q, encoding/json reads %v", text, m["created_at"])
	}
	if want, ok := plainTime(s); !ok || !want.Equal(created) {
		t.Fatalf("created_at %q is %v, want %v", s, created, want)
	}
}

var timeForm = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:)(\d\d)([.,]\d+)?(?:([Zz]| ?UTC)| ?([+-]\d\d):?(\d\d))$`)

// plainTime reads what parseTime does in another way: it spells the text as
// package time wants it.
func plainTime(s string) (time.Time, bool) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, true
	}
	f := timeForm.FindStringSubmatch(s)
	if f == nil {
		return time.Time{}, false
	}
	zone := "Z"
	if f[6] != "" {
		zone = f[6] + ":" + f[7]
	}
	second, leap := f[3], f[3] == "60"
	if leap {
		second = "59"
	}
	t, err := time.Parse(time.RFC3339Nano, f[1]+"T"+f[2]+second+f[4]+zone)
	if t = t.UTC(); err != nil || f[6] > "+23" && f[6] < "-" || f[6] > "-23" || f[7] > "59" {
		return time.Time{}, false
	}
	if leap {
		t = t.Add(time.Second)
		return t, t.Truncate(time.Second).Equal(time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC))
	}
	return t, true
}

// FuzzTime: what a time is, two readers agree on.
func FuzzTime(f *testing.F) {
	for _, tt := range timeTests {
		f.Add(tt.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := parseTime([]byte(text))
		want, wanted := plainTime(text)
		if ok != wanted || ok && !got.Equal(want) {
			t.Fatalf("%q: got %v, %t, want %v, %t", text, got, ok, want, wanted)
		}
		if ok && got.Location() != time.UTC {
			t.Fatalf("%q is in %v", text, got.Location())
		}
	})
}

// FuzzToken: a token is usable in a header, or there is an error.
func FuzzToken(f *testing.F) {
	addBodies(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		tok, flt, err := decodeToken(b)
		switch {
		case err != nil || flt.failed:
			if tok != (tokenAnswer{}) {
				t.Fatalf("a failed answer has %+v", tok)
			}
		case !usableToken(tok.value) || tok.accountID < 0 || tok.expiresIn < 0 || tok.expiresIn > maxTokenLife:
			t.Fatalf("got %+v", tok)
		case tok.use(time.Now(), 1) < minTokenUse:
			t.Fatalf("used for %v", tok.use(time.Now(), 1))
		}
	})
}

// FuzzErrorBody: whatever an error says, the refusal has a kind of its own, one
// of a few messages, and no text of the answer.
func FuzzErrorBody(f *testing.F) {
	addBodies(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &Client{}
		for _, status := range []int{200, 400, 401, 403, 404, 429, 500} {
			for _, stage := range []string{stageAuthentication, stageFetchLogs} {
				a := &answer{status: status, header: http.Header{}, body: b}
				flt := faultOf(a)
				e := c.refusal(stage, a, flt)
				if e.Kind == source.Unknown || e.Advice == "" || e.Err != nil || e.Status != status {
					t.Fatalf("got %+v", e)
				}
				code := status
				if status == 200 && flt.code != 0 {
					code = flt.code
				}
				if e.Message != msgCredentials && e.Message != failedMessage(code) {
					t.Fatalf("message is %q", e.Message)
				}
				if status == 401 && e.Kind != source.Credentials || status == 429 && e.Kind != source.Throttled {
					t.Fatalf("%d is %v", status, e.Kind)
				}
			}
		}
		if types, flt, err := decodeTypes(b); (err != nil || flt.failed) && types != nil {
			t.Fatal("failed types have something in them")
		}
	})
}

// FuzzMembers: our reading of a small object is encoding/json's.
func FuzzMembers(f *testing.F) {
	for _, s := range []string{
		`{"error":false,"code":200,"type":"success","message":"Success"}`, `{"ERROR": "no", "message":null,"Message":"sec"}`, `{"me\u0073sage":{"code":[1]},"code":"\u0034"}`,
		`{"meſsage":1,"code":{}}`, `{"error":"\ud800","message":"a\"b","code":"` + "\xff" + `"}`, `{}`, `{"code":1,}`, `[]`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || b[0] != '{' || !json.Valid(b) {
			return
		}
		got, ok := members(b, "error", "code", "message")
		if !ok {
			if bytes.Count(b, []byte("{"))+bytes.Count(b, []byte("[")) < maxDepth {
				t.Fatalf("%q cannot be read", b)
			}
			return
		}
		var want struct{ Error, Code, Message json.RawMessage }
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatal(err)
		}
		for i, w := range []json.RawMessage{want.Error, want.Code, want.Message} {
			if !bytes.Equal(got[i], w) {
				t.Errorf("%q: member %d is %q, want %q", b, i, got[i], w)
			}
			var text string
			if json.Unmarshal(w, &text) != nil {
				text = ""
			}
			if s := looseString(got[i]); s != text {
				t.Errorf("%q: member %d says %q, want %q", b, i, s, text)
			}
		}
	})
}
