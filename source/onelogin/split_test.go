package onelogin

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"onelogin-kafka/source"
)

// brokenElements are not JSON, and end where they seem to.
var brokenElements = map[string]string{
	"control character":       "{\"id\":7,\"notes\":\"a\nb\x00c\"}",
	"control character alone": "{\"id\":7,\x01\"x\":1}",
	"NaN":                     `{"id":7,"risk_score":NaN}`,
	"Infinity":                `{"id":7,"risk_score":-Infinity,"x":[NaN,1]}`,
	"bare NaN":                `NaN`,
	"leading zero":            `{"id":01}`,
	"bare minus":              `{"id":-}`,
	"bad escape":              `{"a":"\x","b":"C:\dir"}`,
	"half an escape":          `{"a":"\u12"}`,
	"missing value":           `{"a":,"b":2}`,
	"trailing comma":          `{"a":[1,],"b":{},}`,
	"broken inside":           `{"a":{"b":[{"c":"` + "\t" + `"}]},"id":9}`,
	"brackets in a text":      `{"a":"}],{` + "\r" + `[\"","id":9}`,
	"too deep":                strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth),
	"no JSON text":            "\"a\nb\"",
}

// A broken element makes a dead letter of itself and of nothing else.
func TestBrokenElementStopsNoNeighbour(t *testing.T) {
	for name, raw := range brokenElements {
		t.Run(name, func(t *testing.T) {
			var elements []string
			for i := range 400 {
				elements = append(elements, event(int64(i+1)))
			}
			for _, at := range []int{0, 200, 399} {
				elements[at] = raw
			}
			p, flt, err := decodePage([]byte(body(morePage, elements...)))
			if err != nil || flt.failed || p.Next != "c2" {
				t.Fatalf("decodePage: %v, %+v, next %q", err, flt, p.Next)
			}
			if len(p.Events) != 397 || len(p.Malformed) != 3 {
				t.Fatalf("%d events, %d malformed", len(p.Events), len(p.Malformed))
			}
			for _, m := range p.Malformed {
				if string(m.Raw) != raw || m.Reason != reasonNotJSON {
					t.Fatalf("got %q (%s)", m.Raw, m.Reason)
				}
			}
			for _, e := range p.Events {
				if string(e.Raw) != elements[e.ID-1] {
					t.Fatalf("event %d is %s", e.ID, e.Raw)
				}
			}
		})
	}
}

// Where an element ends is never guessed: the page is an error that says that a
// smaller one may tell.
func TestElementsThatCannotBeParted(t *testing.T) {
	for name, raw := range map[string]string{
		"unescaped quotes":         `{"id":7,"notes":"say "yes" now"}`,
		"one unescaped quote":      `{"id":7,"notes":"a 5" disk"}`,
		"unescaped quote, comma":   `{"id":7,"notes":"a", b","x":1}`,
		"text that does not end":   `{"id":7,"notes":"abc}`,
		"backslash before its end": `{"id":7,"path":"C:\","x":1}`,
		"one bracket too many":     `{"id":7}}`,
		"one bracket too few":      `{"id":7,"x":{"y":1}`,
		"brackets crossed":         `{"id":7,"x":[1,2}]`,
		"bare text":                `{"id":7,"x":not a word}`,
		"single quotes":            `{"id":7,"x":'},{'}`,
		"key without quotes":       `{id:7}`,
		"key without value":        `{"id"}`,
		"nothing":                  ``,
		"two without a comma":      `{"id":7}{"id":8}`,
		"comment":                  `{"id":7 /* , */ }`,
	} {
		t.Run(name, func(t *testing.T) {
			api := newAPI(t)
			api.events = replyJSON(200, body(morePage, event(1), raw, event(9)))
			p, err := api.client(t).Page(t.Context(), anyQuery)
			e := apiError(t, err)
			if e.Kind != source.Unreadable || !e.Narrow || !errors.Is(err, ErrUnparted) || e.Message != "Log reading error" {
				t.Errorf("got %+v", e)
			}
			if p.Len() != 0 {
				t.Errorf("%d elements of a failed page", p.Len())
			}
		})
	}
}

// What is broken outside of the elements is not mended by a smaller page.
func TestNarrowOnlyWhereASmallerPageTells(t *testing.T) {
	for name, tt := range map[string]struct {
		h    http.HandlerFunc
		want bool
	}{
		"control character in the status": {replyJSON(200, "{\"status\":{\"message\":\"\n\"},"+body(lastPage, event(1))[1:]), false},
		"trailing garbage":                {replyJSON(200, body(lastPage, event(1))+"x"), false},
		"no data":                         {replyJSON(200, `{}`), false},
		"500":                             {replyJSON(500, `{}`), false},
		"cut in an element":               {replyJSON(200, `{"data":[{"id":7,`), false},
		"cut in a text":                   {replyJSON(200, `{"data":[{"id":7,"x":"a`), false},
		"an element that does not end":    {replyJSON(200, body(lastPage, `{"id":7,"x":[1`, event(8))), true},
		"too large":                       {replyJSON(200, body(lastPage, strings.Repeat(" ", 2048))), true},
	} {
		api := newAPI(t)
		api.events = tt.h
		_, err := api.client(t, func(_ *Config, o *Options) { o.Limits.Body = 1024 }).Page(t.Context(), anyQuery)
		if e := apiError(t, err); e.Narrow != tt.want {
			t.Errorf("%s: got %+v", name, e)
		}
	}
}

// However one element of a page is damaged, the others come through as they are,
// or the page is an error.
func TestDamageNeverReachesNeighbours(t *testing.T) {
	const n, damaged = 5, 2
	shapes := samples(t)
	r := rand.New(rand.NewPCG(1, 2))
	pieces := []string{`"`, `\`, `{`, `}`, `[`, `]`, `,`, `:`, "\n", "\x00", `NaN`, `},{`, `"},{"`, `",`, `"}`, ``, `x`, "\xff"}
	parted, broken, whole := 0, 0, 0
	for range 20_000 {
		var elements []string
		for i := range n {
			elements = append(elements, string(bytes.Replace(shapes[r.IntN(len(shapes))], []byte(`"id":`), fmt.Appendf(nil, `"id":%d`, i+1), 1)))
		}
		d := elements[damaged]
		for range 1 + r.IntN(2) {
			i := r.IntN(len(d))
			d = d[:i] + pieces[r.IntN(len(pieces))] + d[min(i+r.IntN(3), len(d)):]
		}
		elements[damaged] = d
		p, _, err := decodePage([]byte(body(lastPage, elements...)))
		if err != nil {
			broken++
			continue
		}
		if p.Len() == n {
			parted++
		} else {
			whole++ // the damage is JSON of its own that makes two elements of one
		}
		found := map[string]bool{}
		for _, e := range p.Events {
			found[string(e.Raw)] = true
		}
		for i, e := range elements {
			if i != damaged && !found[e] {
				t.Fatalf("element %d is not an event any more beside %q", i, d)
			}
		}
	}
	if parted == 0 || broken == 0 {
		t.Fatalf("%d parted, %d broken: no data", parted, broken)
	}
	t.Logf("%d parted, %d in more elements, %d errors", parted, whole, broken)
}
