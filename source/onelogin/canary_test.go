package onelogin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"onelogin-kafka/source"
)

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }

const bodyCanary = "body-canary-5d3c"

// TestNothingSecretIsTold drives every way to fail and looks for the secret,
// the token, the cursor and the texts of answers in all that comes out.
func TestNothingSecretIsTold(t *testing.T) {
	canaries := []string{testSecret, testToken, bodyCanary}
	say := fmt.Sprintf(`"%s %s %s"`, bodyCanary, testSecret, testToken)
	faults := map[string]http.HandlerFunc{
		"page":          replyJSON(200, body(morePage, event(1), `{"id":"`+bodyCanary+`"}`)),
		"no JSON":       replyJSON(200, bodyCanary),
		"not a page":    replyJSON(200, `{"data":{},"x":`+say+`}`),
		"text status":   replyJSON(200, `{"status":`+say+`,"message":`+say+`}`),
		"link only":     replyJSON(200, body(`{"next_link":`+say+`}`, event(1))),
		"bad content":   reply(200, bodyCanary+"/html", bodyCanary),
		"raw":           raw(t, "HTTP/1.1 "+bodyCanary+"\r\n\r\n"),
		"raw header":    raw(t, "HTTP/1.1 200 OK\r\n"+bodyCanary+testSecret+"\r\n\r\n"),
		"raw chunk":     raw(t, head("Transfer-Encoding: chunked")+bodyCanary+"\r\n"),
		"raw length":    raw(t, head("Content-Length: "+bodyCanary)+bodyCanary),
		"raw status":    raw(t, "HTTP/1.1 500 "+bodyCanary+"\r\nContent-Length: 0\r\n\r\n"),
		"raw encoding":  raw(t, head("Content-Encoding: "+bodyCanary, "Content-Length: 1")+"x"),
		"raw gzip":      raw(t, head("Content-Encoding: gzip", "Content-Length: 16")+bodyCanary),
		"elsewhere":     raw(t, "HTTP/1.1 302 Found\r\nLocation: https://"+bodyCanary+"/?"+testToken+"\r\nContent-Length: 0\r\n\r\n"),
		"odd header":    raw(t, "HTTP/1.1 429 X\r\nRetry-After: "+bodyCanary+"\r\nX-RateLimit-Limit: "+bodyCanary+"\r\nContent-Length: 0\r\n\r\n"),
		"wrong account": replyJSON(200, `{"access_token":`+say+`,"account_id":`+say+`}`),
		"gone":          raw(t, ""),
	}
	for _, status := range []int{200, 201, 301, 400, 401, 403, 404, 409, 422, 429, 500, 503} {
		s := fmt.Sprint(status)
		faults["wrapped "+s] = replyJSON(status, `{"status":{"error":true,"code":`+s+`,"type":`+say+`,"message":`+say+`}}`)
		faults["object "+s] = replyJSON(status, `{"status":{"error":true,"code":`+s+`,"message":{"description":`+say+`,"attribute":`+say+`}}}`)
		faults["flat "+s] = replyJSON(status, `{"message":`+say+`,"statusCode":`+s+`,"name":`+say+`}`)
		faults["OAuth "+s] = replyJSON(status, `{"error":`+say+`,"error_description":`+say+`}`)
		faults["HTML "+s] = reply(status, "text/html", "<html>"+bodyCanary+testToken)
	}
	for name, h := range faults {
		for _, where := range []string{"token", "events"} {
			t.Run(where+" "+name, func(t *testing.T) {
				api := newAPI(t)
				hit := false
				faulty := func(w http.ResponseWriter, r *http.Request) { hit = true; h(w, r) }
				if where == "token" {
					api.token = faulty
				} else {
					api.events = faulty
				}
				var out bytes.Buffer
				c := api.client(t, func(_ *Config, o *Options) {
					o.Log = zerolog.New(&out).Level(zerolog.TraceLevel)
					o.Observe = func(endpoint, code string, _ time.Duration) { fmt.Fprintln(&out, endpoint, code) }
				})
				q := anyQuery
				q.Cursor = bodyCanary
				_, err := c.Page(t.Context(), q)
				tell(&out, err)
				tell(&out, c.Check(t.Context(), func(s string) { fmt.Fprintln(&out, s) }))
				fmt.Fprintf(&out, "%v %+v %#v %s\n", c, c, c, c)
				if !hit {
					t.Error("the fault was not hit")
				}
				if out.Len() == 0 {
					t.Error("nothing was told at all")
				}
				for _, canary := range canaries {
					if strings.Contains(out.String(), canary) {
						t.Errorf("%q is told in %s", canary, out.String())
					}
				}
			})
		}
	}
}

// tell writes all that can be seen of err.
func tell(w io.Writer, err error) {
	for e := err; e != nil; e = errors.Unwrap(e) {
		fmt.Fprintf(w, "%v %+v %#v\n", e, e, e)
		if a, ok := errors.AsType[*source.APIError](e); ok {
			b, _ := json.Marshal(a)
			fmt.Fprintf(w, "%s %+v %q\n", b, *a, a.RequestID)
		}
	}
}
