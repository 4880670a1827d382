package producer

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go/compress"

	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
	"onelogin-kafka/source/onelogin"
	"onelogin-kafka/source/onelogin/simulator"
)

// replay answers with the simulator's pages, each made once.
type replay struct {
	simulator http.RoundTripper
	pages     map[string][]byte // by cursor
}

func (r *replay) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Path != "/api/1/events" {
		return r.simulator.RoundTrip(req)
	}
	cursor := req.URL.Query().Get("after_cursor")
	body, ok := r.pages[cursor]
	if !ok {
		res, err := r.simulator.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		if body, err = io.ReadAll(res.Body); err != nil {
			return nil, err
		}
		r.pages[cursor] = body
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: req,
	}, nil
}

// encoding is a Sink that encodes what it is offered, and ends the poller's run
// after so many pages.
type encoding struct {
	encode bool
	pages  int
	end    context.CancelFunc
	bytes  int64
}

func (s *encoding) Offer(_ context.Context, b *schemas.Batch) error {
	if s.pages--; s.pages == 0 {
		s.end()
	}
	if !s.encode {
		return nil
	}
	topics := map[schemas.Topic][]*schemas.Record{}
	for i := range b.Records {
		r := &b.Records[i]
		topics[r.Topic] = append(topics[r.Topic], r)
	}
	for _, records := range topics {
		batches, err := encodeBatches(records, compress.Zstd, within(defaultLimit))
		if err != nil {
			return err
		}
		for _, e := range batches {
			e.stamp(identity{1, 1}, 0)
			s.bytes += int64(len(e.bytes))
		}
	}
	return nil
}

// BenchmarkPageToBatch is what an event costs from the bytes of an answer to
// the bytes of a record batch, by stage, each with those before it: read (the
// answer validated and split), polled (new events told from known ones, records
// and offset made), encoded (compressed and stamped, a transaction for each
// page). Run it with -cpu 1: the poller fetches ahead, and the sum is wanted.
func BenchmarkPageToBatch(b *testing.B) {
	for _, size := range []int{1000, 50} {
		pages := 20_000 / size
		client := replayed(b, pages*size)
		b.Run("page="+strconv.Itoa(size)+"/read", func(b *testing.B) {
			perEvent(b, pages*size, func() int64 {
				q := source.Query{Limit: size}
				for range pages {
					p, err := client.Page(b.Context(), q)
					if err != nil || len(p.Events) != size {
						b.Fatalf("a page of %d events: %v", len(p.Events), err)
					}
					q.Cursor = p.Next
				}
				return 0
			})
		})
		for _, stage := range []string{"polled", "encoded"} {
			b.Run("page="+strconv.Itoa(size)+"/"+stage, func(b *testing.B) {
				perEvent(b, pages*size, func() int64 {
					ctx, cancel := context.WithCancel(b.Context())
					s := &encoding{encode: stage == "encoded", pages: pages, end: cancel}
					p := &source.Poller{
						Connector: "acme", Client: client, Log: zerolog.Nop(),
						Settings: source.Settings{StartFrom: source.StartFrom{Ago: 48 * time.Hour}, PageSize: size, Domain: "acme.onelogin.com"},
						Encoder:  &schemas.Encoder{Tenant: "acme", Domain: "acme.onelogin.com", Types: schemas.NewTypes()},
						Budget:   source.NewBudget(1),
					}
					if err := p.Run(ctx, &source.State{Fresh: true}, s); ctx.Err() == nil || s.pages != 0 {
						b.Fatalf("%d pages were not offered: %v", s.pages, err)
					}
					return s.bytes
				})
			})
		}
	}
}

// perEvent reports time, allocations and bytes of once, which handles so many
// events.
func perEvent(b *testing.B, events int, once func() int64) {
	b.ReportAllocs()
	once() // fills pools and the replay
	bytes, n := int64(0), 0
	for b.Loop() {
		bytes += once()
		n += events
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/event")
	b.ReportMetric(testing.AllocsPerRun(1, func() { once() })/float64(events), "allocs/event")
	if bytes > 0 {
		b.ReportMetric(float64(bytes)/float64(n), "B-encoded/event")
	}
}

func replayed(b *testing.B, events int) *onelogin.Client {
	b.Helper()
	sim, err := simulator.New(simulator.Config{Seed: 1, Tenants: []simulator.Tenant{{Name: "acme", Backlog: int64(events)}}})
	if err != nil {
		b.Fatal(err)
	}
	id, secret := sim.Credentials("acme")
	c, err := onelogin.New(
		onelogin.Config{Domain: "acme.onelogin.com", ClientID: id, Secret: func() (string, error) { return secret, nil }},
		onelogin.Options{HTTP: &replay{simulator: sim.Transport(), pages: map[string][]byte{}}, Log: zerolog.Nop()})
	if err != nil {
		b.Fatal(err)
	}
	return c
}
