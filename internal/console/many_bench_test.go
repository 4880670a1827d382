package console

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"onelogin-kafka/schemas"
)

const (
	manyConnectors = 10_000
	manyPages      = 100
	// reportEvery is how often an instance writes a connector's status.
	reportEvery = 30 * time.Second
)

// many is a console of a fleet with that many connectors.
func many() Options {
	o := open()
	for i := range manyConnectors {
		say(o.Board, manyStatus(i, time.Now()))
	}
	return o
}

func manyStatus(i int, at time.Time) schemas.ConnectorStatus {
	st := schemas.ConnectorStatus{
		Connector: fmt.Sprintf("tenant-%05d", i), State: schemas.StateActive, Domain: fmt.Sprintf("tenant-%05d.onelogin.com", i), AccountID: int64(100_000 + i), Events: at.Unix(),
		LastEventAt: at, LastPollAt: at, LagSeconds: 1.25, CompleteThrough: at, VerifiedThrough: at, RateLimit: schemas.RateLimit{Limit: 5000, Remaining: 4321, ResetSeconds: 1800},
		Instance: fmt.Sprint("host-", i%4), Console: fmt.Sprintf("https://host-%d.example.com:8443", i%4), Shard: i % 32, Since: at, UpdatedAt: at,
	}
	if i%20 == 0 {
		st.State, st.Stage, st.Message, st.Advice = schemas.StateFailing, "Authentication", "Credentials error", "Check client id and secret, and that the API credential is enabled in OneLogin (Developers > API Credentials)."
	}
	return st
}

// BenchmarkFirstPage is Collection Status of 10,000 connectors as a browser asks
// for it: to its first byte, of a list that is sorted anew each time.
func BenchmarkFirstPage(b *testing.B) {
	o := many()
	server := httptest.NewServer(Handler(o))
	defer server.Close()
	var first time.Duration
	var size int64
	before := used(b)
	for b.Loop() {
		o.Board.mu.Lock()
		o.Board.listed = time.Time{}
		o.Board.mu.Unlock()
		began := time.Now()
		req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, server.URL+"/", nil)
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", "gzip") // as a browser does, and left packed
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		body := bufio.NewReader(res.Body)
		if _, err := body.ReadByte(); err != nil {
			b.Fatal(err)
		}
		first += time.Since(began)
		rest, err := body.WriteTo(discard{})
		if err != nil {
			b.Fatal(err)
		}
		res.Body.Close()
		size = rest + 1
	}
	b.ReportMetric(float64((used(b)-before).Microseconds())/1000/float64(b.N), "ms-of-a-core")
	b.ReportMetric(float64(first.Microseconds())/1000/float64(b.N), "ms-to-first-byte")
	b.ReportMetric(float64(size), "bytes/page")
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkOpenPages is 100 open pages of 100 connectors each, beside the statuses
// of 10,000: an iteration is a second of it. It tells what the pages cost beside
// the statuses alone, in hundredths of a core, and how long after a status was written a
// page is told of it at most.
func BenchmarkOpenPages(b *testing.B) {
	alone := load(b, 0)
	with := load(b, manyPages)
	b.ReportMetric(100*(with.cores-alone.cores), "%-of-a-core")
	b.ReportMetric(float64(with.slowest.Milliseconds()), "ms-until-told-at-most")
	b.ReportMetric(0, "ns/op")
}

type loaded struct {
	cores   float64
	slowest time.Duration
}

// load writes statuses at their pace for b.N seconds while pages are open.
func load(b *testing.B, pages int) loaded {
	b.Helper()
	o := many()
	server := httptest.NewServer(Handler(o))
	defer server.Close()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var slowest, told atomic.Int64
	for p := range pages {
		q := url.Values{}
		for i := range perPage {
			q.Add("connector", fmt.Sprintf("tenant-%05d", p*perPage+i))
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/v1/stream?"+q.Encode(), nil)
		if err != nil {
			b.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		defer res.Body.Close()
		go func() {
			lines := bufio.NewScanner(res.Body)
			for lines.Scan() {
				// The state that the benchmark changes says when it was written.
				if _, text, ok := strings.Cut(lines.Text(), `"message":"at `); ok {
					text, _, _ = strings.Cut(text, `"`)
					if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
						told.Add(1)
						for took, most := int64(time.Since(at)), slowest.Load(); took > most && !slowest.CompareAndSwap(most, took); most = slowest.Load() {
						}
					}
				}
			}
		}()
	}
	time.Sleep(2 * time.Second) // what is sent once is sent
	before := used(b)
	began := time.Now()
	const each = 10 * time.Millisecond
	tick := time.NewTicker(each)
	defer tick.Stop()
	i := 0
	for range int(time.Duration(b.N) * time.Second / each) {
		<-tick.C
		for range manyConnectors * int(each) / int(reportEvery) {
			st := manyStatus(i%manyConnectors, time.Now())
			if i%100 == 0 {
				st.State, st.Message = schemas.StateFailing, "at "+time.Now().UTC().Format(time.RFC3339Nano)
			}
			say(o.Board, st)
			i++
		}
	}
	took := time.Since(began)
	l := loaded{cores: float64(used(b)-before) / float64(took), slowest: time.Duration(slowest.Load())}
	if pages > 0 && told.Load() == 0 {
		b.Fatal("no page was told of anything")
	}
	return l
}

// used is the processor time of this process.
func used(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
