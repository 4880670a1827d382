package onelogin

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"testing"

	"onelogin-kafka/source"
)

// fullPage is a page of n events with every field.
func fullPage(b testing.TB, n int) []byte {
	shape := samples(b)[0]
	id := regexp.MustCompile(`"id":\d+`)
	var buf bytes.Buffer
	buf.WriteString(`{"status":{"error":false,"code":200,"type":"success","message":"Success"},"pagination":` + morePage + `,"data":[`)
	for i := range n {
		if i > 0 {
			buf.WriteByte(',')
		}
		buf.Write(id.ReplaceAll(shape, fmt.Appendf(nil, `"id":%d`, 44994186214+int64(i)*37)))
	}
	buf.WriteString(`]}`)
	return buf.Bytes()
}

func perEvent(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/event")
}

// BenchmarkPage1000 is from the bytes of a page to its events.
func BenchmarkPage1000(b *testing.B) {
	body := fullPage(b, 1000)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		p, flt, err := decodePage(body)
		if err != nil || flt.failed || len(p.Events) != 1000 {
			b.Fatal(err)
		}
	}
	perEvent(b, 1000)
}

// BenchmarkValid1000 is what encoding/json needs to validate the same page.
func BenchmarkValid1000(b *testing.B) {
	body := fullPage(b, 1000)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if !json.Valid(body) {
			b.Fatal("not valid")
		}
	}
	perEvent(b, 1000)
}

// BenchmarkFetch1000 is a whole call on a kept loopback connection, server
// included.
func BenchmarkFetch1000(b *testing.B) {
	plain := fullPage(b, 1000)
	var packed bytes.Buffer
	zw := gzip.NewWriter(&packed)
	_, _ = zw.Write(plain)
	_ = zw.Close()
	for _, tt := range []struct {
		name, encoding string
		body           []byte
	}{{"identity", "", plain}, {"gzip", "gzip", packed.Bytes()}} {
		b.Run(tt.name, func(b *testing.B) {
			api := newAPI(b)
			api.events = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if tt.encoding != "" {
					w.Header().Set("Content-Encoding", tt.encoding)
				}
				_, _ = w.Write(tt.body)
			}
			c := api.client(b)
			b.ReportAllocs()
			for b.Loop() {
				if p, err := c.Page(b.Context(), source.Query{Limit: 1000}); err != nil || len(p.Events) != 1000 {
					b.Fatal(err)
				}
			}
			perEvent(b, 1000)
		})
	}
}
