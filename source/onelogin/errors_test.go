package onelogin

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/source"
)

// haproxy429 is what the edge sends, all 117 bytes of it.
const haproxy429 = "<html><body><h1>429 Too Many Requests</h1>\nYou have sent too many requests in a given amount of time.\n</body></html>\n\n"

type refusalTest struct {
	name    string
	status  int
	ctype   string // empty means JSON
	body    string
	header  []string // name, value, …
	kind    source.Kind
	message string
	wait    time.Duration
}

const (
	date      = "Tue, 27 Feb 2024 23:50:00 GMT"
	afterDate = "Tue, 27 Feb 2024 23:51:30 GMT"
	pastDate  = "Tue, 27 Feb 2024 23:49:00 GMT"
	plain429  = "Request Failed - response code 429, reason Too Many Requests"
	plain400  = "Request Failed - response code 400, reason Bad Request"
	plain503  = "Request Failed - response code 503, reason Service Unavailable"
)

func wrapped(code, message string) string {
	return `{"status":{"error":true,"code":` + code + `,"type":"bad request","message":` + message + `}}`
}

var refusalTests = []refusalTest{
	{name: "401 wrapped", status: 401, body: wrapped("401", `"Authentication Failure"`), kind: source.Credentials, message: "Credentials error"},
	{name: "401 flat", status: 401, body: `{"message":"Unauthorized","statusCode":401,"name":"UnauthorizedError"}`, kind: source.Credentials, message: "Credentials error"},
	{name: "401 without body", status: 401, kind: source.Credentials, message: "Credentials error"},
	{name: "200 with 401", status: 200, body: wrapped("401", `"Authentication Failure"`), kind: source.Credentials, message: "Credentials error"},
	{name: "200 flat 401", status: 200, body: `{"message":"Unauthorized","statusCode":401,"name":"UnauthorizedError"}`, kind: source.Credentials, message: "Credentials error"},
	{name: "200 with error, no code", status: 200, body: `{"status":{"error":true}}`, kind: source.Refused, message: "Request Failed - response code 200, reason error in the body"},
	{name: "200 with 500", status: 200, body: wrapped("500", `"oops"`), kind: source.Refused, message: "Request Failed - response code 500, reason Internal Server Error"},
	{name: "200 with 429", status: 200, body: wrapped("429", `"slow"`), kind: source.Throttled, message: plain429},
	{name: "200 with rate limit", status: 200, body: wrapped("400", `"rate_limit_exceeded"`), kind: source.Throttled, message: plain400},
	{name: "403", status: 403, body: wrapped("403", `"Forbidden"`), kind: source.Forbidden, message: "Request Failed - response code 403, reason Forbidden"},
	{name: "404", status: 404, body: wrapped("404", `"No Route Exists"`), kind: source.Refused, message: "Request Failed - response code 404, reason Not Found"},
	{name: "409", status: 409, body: wrapped("409", `"Conflict"`), kind: source.Refused, message: "Request Failed - response code 409, reason Conflict"},
	{name: "500", status: 500, body: `oops`, kind: source.Refused, message: "Request Failed - response code 500, reason Internal Server Error"},
	{name: "503 that says when", status: 503, ctype: "text/html", body: "<html>", header: []string{"Retry-After", "7"}, kind: source.Refused, message: plain503, wait: 7 * time.Second},
	{name: "599", status: 599, kind: source.Refused, message: "Request Failed - response code 599, reason unknown"},
	{name: "400 other", status: 400, body: wrapped("400", `{"description":"last is not a valid attribute for user model","attribute":"last"}`), kind: source.Refused, message: plain400},
	{name: "302", status: 302, header: []string{"Location", "https://evil.example/"}, kind: source.Refused, message: "Request Failed - response code 302, reason Found"},
	{name: "307", status: 307, header: []string{"Location", "/api/1/events"}, kind: source.Refused, message: "Request Failed - response code 307, reason Temporary Redirect"},
	{name: "206", status: 206, body: body(lastPage), kind: source.Refused, message: "Request Failed - response code 206, reason Partial Content"},
	{name: "429 of the edge", status: 429, ctype: "text/html", body: haproxy429, kind: source.Throttled, message: plain429},
	{name: "429, seconds", status: 429, header: []string{"Retry-After", " 120 "}, kind: source.Throttled, message: plain429, wait: 2 * time.Minute},
	{name: "429, date", status: 429, header: []string{"Retry-After", afterDate, "Date", date}, kind: source.Throttled, message: plain429, wait: 90 * time.Second},
	{name: "429, past date", status: 429, header: []string{"Retry-After", pastDate, "Date", date}, kind: source.Throttled, message: plain429},
	{name: "429, nonsense", status: 429, header: []string{"Retry-After", "soon"}, kind: source.Throttled, message: plain429},
	{name: "429, for ever", status: 429, header: []string{"Retry-After", "99999999999999999999"}, kind: source.Throttled, message: plain429, wait: time.Hour},
	{name: "429, a day", status: 429, header: []string{"Retry-After", "86400"}, kind: source.Throttled, message: plain429, wait: time.Hour},
	{name: "429, until tomorrow", status: 429, header: []string{"Retry-After", "Wed, 28 Feb 2024 23:50:00 GMT", "Date", date}, kind: source.Throttled, message: plain429, wait: time.Hour},
	{name: "503, a day", status: 503, header: []string{"Retry-After", "86400"}, kind: source.Refused, message: plain503, wait: time.Hour},
	{name: "429, reset in a day", status: 429, header: []string{"X-RateLimit-Limit", "5000", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "86400"}, kind: source.Throttled, message: plain429, wait: time.Hour},
	{name: "429, reset", status: 429, header: []string{"X-RateLimit-Limit", "5000", "X-RateLimit-Remaining", "3", "X-RateLimit-Reset", "206"}, kind: source.Throttled, message: plain429, wait: 206 * time.Second},
	{name: "429, calls left", status: 429, header: []string{"X-RateLimit-Limit", "5000", "X-RateLimit-Remaining", "4000", "X-RateLimit-Reset", "2060"}, kind: source.Throttled, message: plain429},
	{name: "429, calls left, short reset", status: 429, header: []string{"X-RateLimit-Limit", "5000", "X-RateLimit-Remaining", "4000", "X-RateLimit-Reset", "20"}, kind: source.Throttled, message: plain429, wait: 20 * time.Second},
	{name: "429, reset alone", status: 429, header: []string{"X-RateLimit-Reset", "206"}, kind: source.Throttled, message: plain429, wait: 206 * time.Second},
	{name: "429, both", status: 429, header: []string{"Retry-After", "5", "X-RateLimit-Limit", "5000", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "206"}, kind: source.Throttled, message: plain429, wait: 5 * time.Second},
	{name: "429, reset is an epoch", status: 429, header: []string{"X-RateLimit-Limit", "5000", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1709077689"}, kind: source.Throttled, message: plain429},
	{name: "503 with budget left", status: 503, header: []string{"X-RateLimit-Limit", "5000", "X-RateLimit-Remaining", "3", "X-RateLimit-Reset", "206"}, kind: source.Refused, message: plain503},
	{name: "503 without budget", status: 503, header: []string{"X-RateLimit-Limit", "5000", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "206"}, kind: source.Refused, message: plain503, wait: 206 * time.Second},
	{name: "400 rate limit", status: 400, body: wrapped("400", `"rate_limit_exceeded"`), kind: source.Throttled, message: plain400},
	{name: "400 rate limit in an object", status: 400, body: wrapped("400", `{"description":"Rate limit exceeded"}`), kind: source.Throttled, message: plain400},
	{name: "400 rate limit, flat", status: 400, body: `{"message":"rate_limit_exceeded","statusCode":400}`, kind: source.Throttled, message: plain400},
}

func setRefusal(w http.ResponseWriter, tt refusalTest) {
	w.Header().Set("Content-Type", "application/json")
	if tt.ctype != "" {
		w.Header().Set("Content-Type", tt.ctype)
	}
	w.Header().Set("X-Request-Id", "req-9")
	for i := 0; i < len(tt.header); i += 2 {
		w.Header().Set(tt.header[i], tt.header[i+1])
	}
	w.WriteHeader(tt.status)
	_, _ = w.Write([]byte(tt.body))
}

func TestRefusals(t *testing.T) {
	check := func(t *testing.T, stage string, tt refusalTest, err error) {
		t.Helper()
		e := apiError(t, err)
		if e.Stage != stage || e.Kind != tt.kind || e.Message != tt.message || e.RetryAfter != tt.wait ||
			e.Status != tt.status || e.RequestID != "req-9" {
			t.Errorf("got %+v", e)
		}
	}
	for _, tt := range refusalTests {
		t.Run(tt.name, func(t *testing.T) {
			t.Run("page", func(t *testing.T) {
				api := newAPI(t)
				api.events = func(w http.ResponseWriter, _ *http.Request) { setRefusal(w, tt) }
				_, err := api.client(t).Page(t.Context(), anyQuery)
				check(t, "Fetch Logs", tt, err)
			})
			t.Run("token", func(t *testing.T) {
				api := newAPI(t)
				api.token = func(w http.ResponseWriter, _ *http.Request) { setRefusal(w, tt) }
				c := api.client(t)
				_, err := c.Page(t.Context(), anyQuery)
				check(t, "Authentication", tt, err)
				if n := len(api.seen(eventsPath)); n != 0 {
					t.Errorf("%d pages were asked for", n)
				}
				if n := len(api.seen(tokenPath)); n != 1 {
					t.Errorf("%d tokens were asked for", n)
				}
			})
		})
	}
}

func TestClassifyWords(t *testing.T) {
	tests := []struct {
		message string // as JSON
		status  int
		page    source.Kind
		token   source.Kind
	}{
		{`{"description":"is too large","attribute":"limit"}`, 400, source.BadLimit, source.Refused},
		{`{"description":"limit is too large","attribute":"last"}`, 400, source.Refused, source.Refused},
		{`"limit must be less than or equal to 50"`, 400, source.BadLimit, source.Refused},
		{`"Invalid Limit"`, 422, source.BadLimit, source.Refused},
		{`"limit has incorrect data type. It should be -> integer"`, 400, source.BadLimit, source.Refused},
		{`"unlimited is not allowed"`, 400, source.Refused, source.Refused},
		{`"limit must be less than or equal to 50"`, 404, source.Refused, source.Refused},
		{`"API rate limit exceeded"`, 403, source.Throttled, source.Throttled},
		{`"grant_type is incorrect/absent"`, 400, source.Refused, source.Refused},
		{`"Authorization Information is incorrect"`, 400, source.Refused, source.Credentials},
		{`5`, 400, source.Refused, source.Refused},
		{`["limit"]`, 400, source.Refused, source.Refused},
		{`null`, 400, source.Refused, source.Refused},
	}
	for _, tt := range tests {
		f := faultOf(&answer{status: tt.status, header: http.Header{}, body: []byte(wrapped("400", tt.message))})
		page, _ := classify(stageFetchLogs, tt.status, f)
		token, _ := classify(stageAuthentication, tt.status, f)
		if page != tt.page || token != tt.token {
			t.Errorf("%d %s: got %v and %v, want %v and %v", tt.status, tt.message, page, token, tt.page, tt.token)
		}
	}
}

func TestFaultForms(t *testing.T) {
	tests := []struct {
		body string
		want fault
	}{
		{`{}`, fault{}},
		{`[]`, fault{}},
		{`null`, fault{}},
		{`<html>`, fault{}},
		{`{"status":{"error":false,"code":200,"message":"Success"}}`, fault{code: 200, message: "Success"}},
		{`{"status":{"error":false,"code":400}}`, fault{failed: true, code: 400}},
		{`{"status":{"error":true,"code":"401"}}`, fault{failed: true, code: 401}},
		{`{"status":{"error":1}}`, fault{failed: true}},
		{`{"status":null}`, fault{}},
		{`{"status":"error"}`, fault{}},
		{`{"status":500,"error":"Internal Server Error"}`, fault{failed: true, code: 500, oauth: "Internal Server Error"}},
		{`{"statusCode":429,"message":{"description":"d","attribute":"a"}}`, fault{failed: true, code: 429, message: "d", attribute: "a"}},
		{`{"statusCode":99999}`, fault{}},
		{`{"message":"m"}`, fault{message: "m"}},
		{`{"error":"invalid_client","error_description":"x"}`, fault{failed: true, oauth: "invalid_client"}},
		{`{"error":false}`, fault{}},
		{`{"error":"false","status":{"error":"false"}}`, fault{}},
		{`{"error":"","status":{"error":0}}`, fault{}},
		{`{"status":{"error":"no"}}`, fault{failed: true}},
		{`{"status":{"error":"\u0066alse"}}`, fault{}},
		{`{"status":{"error":[]}}`, fault{failed: true}},
		{`{"status":{"message":{"description":7,"attribute":null}}}`, fault{}},
	}
	for _, tt := range tests {
		got := faultOf(&answer{header: http.Header{"Content-Type": {"application/json"}}, body: []byte(tt.body)})
		if d := cmp.Diff(tt.want, got, cmp.AllowUnexported(fault{})); d != "" {
			t.Errorf("%s: %s", tt.body, d)
		}
	}
}

func TestOAuthErrorsOfTheToken(t *testing.T) {
	api := newAPI(t)
	api.token = replyJSON(400, `{"error":"invalid_client","error_description":"x"}`)
	_, err := api.client(t).Page(t.Context(), anyQuery)
	if e := apiError(t, err); e.Kind != source.Credentials {
		t.Errorf("got %+v", e)
	}
}

func TestUnreadableTokens(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"HTML":    reply(200, "text/html", "<html>"),
		"no JSON": replyJSON(200, "<html>"),
		"empty":   replyJSON(200, `{}`),
		"large":   replyJSON(200, `"`+strings.Repeat("a", maxTokenBody)+`"`),
	} {
		t.Run(name, func(t *testing.T) {
			api := newAPI(t)
			api.token = h
			_, err := api.client(t).Page(t.Context(), anyQuery)
			e := apiError(t, err)
			if e.Kind != source.Unreadable || e.Stage != "Authentication" || e.Message != "Request Failed" || e.Status != 200 {
				t.Errorf("got %+v", e)
			}
		})
	}
}

func TestUnreadablePages(t *testing.T) {
	const html = "text/html; charset=utf-8"
	for _, tt := range []struct {
		name, message, seen, advice string
		h                           http.HandlerFunc
	}{
		{"login page", "Log reading error", "(content type text/html, begins with '<')", adviceMarkup, reply(200, html, " <!DOCTYPE html>")},
		{"login page that passes for JSON", "Log reading error", "(content type application/json, begins with '<')", adviceMarkup, replyJSON(200, "<html>")},
		{"text", "Log reading error", "(content type text/plain, begins with a letter)", adviceUnreadable, reply(200, "text/plain", "canary")},
		{"content type nonsense", "Log reading error", "(an unusual content type, begins with a letter)", adviceUnreadable, reply(200, ";;canary;", "canary")},
		{"nothing", "Log reading error", "(content type application/json, empty)", adviceUnreadable, replyJSON(200, " ")},
		{"compressed twice", "Log reading error", "(content type application/json, begins with a byte outside of ASCII's text)", adviceUnreadable, replyJSON(200, "\x1f\x8b\x08canary")},
		{"a number", "Log listing error", "begins with a number)", adviceUnreadable, replyJSON(200, "-1")},
		{"a list", "Log listing error", "begins with '[')", adviceUnreadable, replyJSON(200, "[]")},
		{"null", "Log listing error", "begins with a letter)", adviceUnreadable, replyJSON(200, "null")},
		{"padding", "Log reading error", "begins with a punctuation mark)", adviceUnreadable, replyJSON(200, ")]}',\n{}")},
		{"no data", "Log listing error", "begins with '{')", adviceUnreadable, replyJSON(200, `{"status":{"error":false}}`)},
		{"data left out", "Log listing error", "begins with '{')", adviceUnreadable, replyJSON(200, `{"data":null,"pagination":`+morePage+`}`)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := newAPI(t)
			api.events = tt.h
			_, err := api.client(t).Page(t.Context(), anyQuery)
			e := apiError(t, err)
			if e.Kind != source.Unreadable || e.Stage != "Fetch Logs" || e.Message != tt.message || e.Status != 200 || e.RequestID != "req-1" || e.Advice != tt.advice {
				t.Errorf("got %+v", e)
			}
			if !strings.HasSuffix(e.Err.Error(), tt.seen) || strings.Contains(e.Err.Error(), "canary") {
				t.Errorf("got %v, want %s", e.Err, tt.seen)
			}
		})
	}
}

// What is odd about an answer and hides nothing stops nobody.
func TestHarmlessOddities(t *testing.T) {
	whole := body(morePage, event(1))
	for name, h := range map[string]http.HandlerFunc{
		"as text":             reply(200, "text/plain", whole),
		"as HTML":             reply(200, "text/html; charset=utf-8", whole),
		"as nonsense":         reply(200, ";;;", whole),
		"byte order mark":     replyJSON(200, "\xef\xbb\xbf"+whole),
		"error that is text":  replyJSON(200, strings.Replace(whole, `"error":false`, `"error":"false"`, 1)),
		"status that is text": replyJSON(200, `{"status":"success",`+body(morePage, event(1))[strings.Index(whole, `"pagination"`):]),
		"link for the cursor": replyJSON(200, body(`{"next_link":"https://x.example/api/1/events?after_cursor=c2"}`, event(1))),
	} {
		t.Run(name, func(t *testing.T) {
			api := newAPI(t)
			api.events = h
			api.token = reply(200, "text/plain", "\xef\xbb\xbf"+tokenBody("t"))
			p, err := api.client(t).Page(t.Context(), anyQuery)
			if err != nil || len(p.Events) != 1 || p.Next != "c2" || p.Unsaid {
				t.Errorf("got %+v, %v", p, err)
			}
		})
	}
}

// An account without events may be told so without a list; a page that says
// nothing of the next one is still a page. Neither is taken for the end.
func TestAnswersThatDoNotSayHowToGoOn(t *testing.T) {
	for _, tt := range []struct {
		name   string
		h      http.HandlerFunc
		events int
	}{
		{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, 0},
		{"data null", replyJSON(200, `{"status":{"error":false},"data":null}`), 0},
		{"no pagination, empty", replyJSON(200, `{"data":[]}`), 0},
		{"no pagination", replyJSON(200, `{"data":[`+event(1)+`]}`), 1},
		{"link without a cursor", replyJSON(200, body(`{"next_link":"/x"}`, event(1), event(2))), 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := newAPI(t)
			api.events = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Date", date)
				w.Header().Set("X-RateLimit-Limit", "5000")
				w.Header().Set("X-RateLimit-Remaining", "4996")
				tt.h(w, r)
			}
			p, err := api.client(t).Page(t.Context(), anyQuery)
			if err != nil || len(p.Events) != tt.events || p.Next != "" || !p.Unsaid {
				t.Fatalf("got %+v, %v", p, err)
			}
			if p.ServerTime.IsZero() || p.RateLimit.Limit != 5000 {
				t.Errorf("the header is lost: %+v", p)
			}
		})
	}
	// Where a token must be, its absence is a refusal.
	api := newAPI(t)
	api.token = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }
	_, err := api.client(t).Page(t.Context(), anyQuery)
	if e := apiError(t, err); e.Kind != source.Refused || e.Status != 204 {
		t.Errorf("got %+v", e)
	}
}

func TestRequestID(t *testing.T) {
	for id, want := range map[string]string{"abc-1": "abc-1", "": "", "a b": "", strings.Repeat("a", 129): "", "a\x7f": ""} {
		if got := requestID(http.Header{"X-Request-Id": {id}}); got != want {
			t.Errorf("%q: got %q", id, got)
		}
	}
}

func TestRateLimitHeaders(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	good := map[string]string{"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "4868", "X-RateLimit-Reset": "206"}
	whole := source.RateLimit{Limit: 5000, Remaining: 4868, Reset: 206 * time.Second, At: at}
	tests := []struct {
		name, value string
		want        source.RateLimit
	}{
		{"X-Other", "1", whole},
		{"X-RateLimit-Limit", "", source.RateLimit{}},
		{"X-RateLimit-Limit", "0", source.RateLimit{}},
		{"X-RateLimit-Limit", "many", source.RateLimit{}},
		{"X-RateLimit-Limit", "99999999999999999999", source.RateLimit{}},
		{"X-RateLimit-Remaining", "", source.RateLimit{}},
		{"X-RateLimit-Remaining", "-1", source.RateLimit{}},
		{"X-RateLimit-Remaining", "0", source.RateLimit{Limit: 5000, Reset: 206 * time.Second, At: at}},
		{"X-RateLimit-Reset", "", source.RateLimit{Limit: 5000, Remaining: 4868, At: at}},
		{"X-RateLimit-Reset", "3601", source.RateLimit{Limit: 5000, Remaining: 4868, Reset: time.Hour, At: at}},
		{"X-RateLimit-Reset", "1709077689", source.RateLimit{Limit: 5000, Remaining: 4868, At: at}},
	}
	for _, tt := range tests {
		h := http.Header{}
		for k, v := range good {
			h.Set(k, v)
		}
		h.Set(tt.name, tt.value)
		if d := cmp.Diff(tt.want, readRateLimit(h, at)); d != "" {
			t.Errorf("%s: %q: %s", tt.name, tt.value, d)
		}
	}
}
