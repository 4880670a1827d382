package simulator_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"

	"onelogin-kafka/source/onelogin/simulator"
)

// discard is the cheapest possible client.
type discard struct {
	header http.Header
	bytes  int64
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(p []byte) (int, error) { d.bytes += int64(len(p)); return len(p), nil }

// cursorAfter reads the cursor without reading the events.
func cursorAfter(b *testing.B, body []byte) string {
	b.Helper()
	var head struct {
		Pagination struct {
			AfterCursor *string `json:"after_cursor"`
		} `json:"pagination"`
	}
	// The head of an answer ends where the elements begin.
	for i := range body {
		if string(body[i:min(i+9, len(body))]) == `,"data":[` {
			if err := json.Unmarshal(append(append([]byte(nil), body[:i]...), '}'), &head); err != nil {
				b.Fatal(err)
			}
			break
		}
	}
	if head.Pagination.AfterCursor == nil {
		return ""
	}
	return *head.Pagination.AfterCursor
}

func benchmarkServer(b *testing.B) (*simulator.Server, string) {
	b.Helper()
	s, err := simulator.New(simulator.Config{Seed: 1, Tenants: []simulator.Tenant{{
		Name: "acme", Backlog: 1_000_000,
		Traffic: simulator.Traffic{Jitter: simulator.Duration(2e9), Ties: 0.1, Late: 0.02, LateBy: simulator.Duration(30e9)},
	}}})
	if err != nil {
		b.Fatal(err)
	}
	return s, token(b, s, "acme")
}

// BenchmarkServePage1000 is what one page costs the simulator itself.
func BenchmarkServePage1000(b *testing.B) { benchmarkServe(b, 1000) }

// BenchmarkServePage50 is the same with OneLogin's documented page size.
func BenchmarkServePage50(b *testing.B) { benchmarkServe(b, 50) }

func benchmarkServe(b *testing.B, limit int) {
	s, tok := benchmarkServer(b)
	r := httptest.NewRequest("GET", "/api/1/events?sort=%2Bid&limit="+strconv.Itoa(limit), nil)
	r.Header.Set("Authorization", "bearer:"+tok)
	w := &discard{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		s.ServeHTTP(w, r)
	}
	b.SetBytes(w.bytes / int64(b.N))
	b.ReportMetric(float64(limit)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkReadPage1000 is what a bare client reads over loopback, server
// included.
func BenchmarkReadPage1000(b *testing.B) {
	s, tok := benchmarkServer(b)
	h := httptest.NewServer(s)
	defer h.Close()
	cursor := ""
	for b.Loop() {
		v := url.Values{"sort": {"+id"}, "limit": {"1000"}}
		if cursor != "" {
			v.Set("after_cursor", cursor)
		}
		r, err := http.NewRequest("GET", h.URL+"/api/1/events?"+v.Encode(), nil)
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+tok)
		res, err := h.Client().Do(r)
		if err != nil {
			b.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != 200 {
			b.Fatal(res.Status, err)
		}
		_ = res.Body.Close()
		cursor = cursorAfter(b, body)
	}
	b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
