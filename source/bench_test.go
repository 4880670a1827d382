package source

import (
	"context"
	"fmt"
	"testing"
	"time"

	"onelogin-kafka/schemas"
)

// taken is a sink that takes everything and forgets it.
type taken struct{ events int }

func (s *taken) Offer(_ context.Context, b *schemas.Batch) error {
	s.events += b.Events
	return nil
}

// BenchmarkTake measures the way from a page to a batch, per event: window,
// records with headers, minutes, offset.
func BenchmarkTake(b *testing.B) {
	for _, size := range []int{50, 1000} {
		for _, perSecond := range []int{1, 100} {
			b.Run(fmt.Sprintf("page=%d/rate=%d", size, perSecond), func(b *testing.B) {
				sink := &taken{}
				p := newPoller(nil)
				set := p.prepare()
				start := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
				p.StartFrom = StartFrom{At: start}
				s := newSession(p, set, &State{Fresh: true}, sink)
				s.startAt(start)
				r := s.nextPoll()
				page := Page{Next: "more", Events: make([]schemas.Event, size)}
				ev := happening{id: 45192198208, created: start}.event()
				ev.AccountID, ev.TypeID = 232548, 5
				gap := time.Second / time.Duration(perSecond)
				b.ReportAllocs()
				b.ResetTimer()
				for n := 0; n < b.N; n += size {
					for i := range page.Events {
						ev.ID += 37
						ev.CreatedAt = ev.CreatedAt.Add(gap)
						page.Events[i] = ev
					}
					page.ServerTime = ev.CreatedAt
					r.see(&page, ev.CreatedAt, ev.CreatedAt, s.ledger.frontier)
					s.ledger.enter(r.result(s.p.clock.at(r.began)))
					if err := s.take(b.Context(), r, s.sort(r, &page), false); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkKnown measures an overlapping poll in which nothing is new, per event.
func BenchmarkKnown(b *testing.B) {
	sink := &taken{}
	p := newPoller(nil)
	set := p.prepare()
	start := time.Now().UTC().Add(-10 * time.Minute)
	s := newSession(p, set, &State{Fresh: true}, sink)
	s.startAt(start)
	page := Page{Events: make([]schemas.Event, 100)}
	for i := range page.Events {
		page.Events[i] = happening{id: int64(i + 1), created: start.Add(time.Duration(i) * time.Second)}.event()
	}
	b.ReportAllocs()
	for n := 0; n < b.N; n += len(page.Events) {
		r := s.nextPoll()
		r.see(&page, time.Now(), time.Now(), s.ledger.frontier)
		if err := s.take(b.Context(), r, s.sort(r, &page), false); err != nil {
			b.Fatal(err)
		}
	}
	if sink.events != len(page.Events) {
		b.Fatalf("%d events offered, want %d", sink.events, len(page.Events))
	}
}
