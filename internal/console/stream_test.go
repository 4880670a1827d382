package console

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// patientRecorder takes the deadline that a stream sets.
type patientRecorder struct{ *httptest.ResponseRecorder }

func (patientRecorder) SetWriteDeadline(time.Time) error { return nil }

// TestStreamEnds: a page that is open is told no more once its browser has signed
// out, its token is another one, or its session is over.
func TestStreamEnds(t *testing.T) {
	t.Parallel()
	for name, over := range map[string]func(h http.Handler, cookie string, token *atomic.Value){
		"signed out":       func(h http.Handler, cookie string, _ *atomic.Value) { ask(h, "POST", "/logout", "", cookie) },
		"another token":    func(_ http.Handler, _ string, token *atomic.Value) { token.Store("an0ther-token-of-admins") },
		"after some hours": func(http.Handler, string, *atomic.Value) { time.Sleep(sessionLife) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var token atomic.Value
				token.Store(adminToken)
				o := withTokens()
				o.Token = func() (string, error) { return token.Load().(string), nil }
				h := Handler(o)
				c, err := http.ParseSetCookie(signInAs(h, adminToken, "/").Header().Get("Set-Cookie"))
				if err != nil {
					t.Fatal(err)
				}
				r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/api/v1/stream?connector=acme", nil)
				r.AddCookie(c)
				ended := make(chan struct{})
				go func() { defer close(ended); h.ServeHTTP(patientRecorder{httptest.NewRecorder()}, r) }()
				time.Sleep(time.Minute)
				select {
				case <-ended:
					t.Fatal("the stream ended before")
				default:
				}
				over(h, "Cookie: "+c.Name+"="+c.Value, &token)
				time.Sleep(streamLook)
				synctest.Wait()
				select {
				case <-ended:
				default:
					t.Error("the stream goes on")
				}
			})
		})
	}
}
