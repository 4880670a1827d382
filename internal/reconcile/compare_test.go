package reconcile

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"onelogin-kafka/schemas"
	"onelogin-kafka/source"
)

// world is a random past, and what a topic that is not whole has of it.
type world struct {
	api                                  *api
	topic                                *topic
	from, to                             time.Time
	missing, altered, duplicate, unshown int64
}

func newWorld(rnd *rand.Rand, n int) *world {
	w := &world{api: &api{}, topic: &topic{}, from: time.Now().Add(-48 * time.Hour)}
	w.to = w.from.Add(time.Duration(1+rnd.IntN(24)) * time.Hour)
	w.from = w.from.Truncate(time.Millisecond).Add(time.Duration(rnd.IntN(60_000)) * time.Millisecond)
	step := int64(w.to.Sub(w.from)) / int64(n) * 2
	at, id := w.from.Add(-10*time.Minute), int64(1<<53)
	gap := 0
	var records, late []schemas.Event
	for at.Before(w.to.Add(10 * time.Minute)) {
		at = at.Add(time.Duration(rnd.Int64N(step)))
		id += 1 + rnd.Int64N(9)
		ev := event(id, at.Truncate(time.Millisecond))
		in := !ev.CreatedAt.Before(w.from) && ev.CreatedAt.Before(w.to)
		if in && gap == 0 && rnd.IntN(n/3) == 0 {
			gap = 1 + rnd.IntN(n/10)
		}
		if in && rnd.IntN(n) == 0 { // the API has lost it
			w.unshown++
			records = append(records, ev)
			continue
		}
		w.api.add(ev)
		switch {
		case in && gap > 0:
			gap--
			w.missing++
			continue
		case in && rnd.IntN(n/4) == 0:
			w.altered++
			ev.Raw = append(slices.Clone(ev.Raw[:len(ev.Raw)-1]), `,"x":1}`...)
		case rnd.IntN(5) == 0:
			ev.Raw = schemas.Compact(ev.Raw) // by another setting
		}
		if in && rnd.IntN(n/3) == 0 {
			w.duplicate++
			late = append(late, ev)
		}
		if rnd.IntN(20) == 0 {
			late = append(late, ev)
			continue
		}
		records = append(records, ev)
	}
	w.topic.write("acme", records...)
	w.topic.write("globex", records[:len(records)/2]...) // another tenant's, with the same ids
	w.topic.write("acme", late...)
	return w
}

func (w *world) comparison(size int) *Comparison {
	return &Comparison{
		Wish: Wish{Connector: "acme", From: w.from, To: w.to}, Topic: NewTopic(w.topic, 0),
		Reader: &source.Reader{Connector: "acme", Client: w.api, PageSize: size},
	}
}

// TestFindsEachAndNothingElse: in random worlds each missing, altered and repeated
// event is counted, and nothing else, whatever the page size, the splits and the
// habits of the API. SOAK_WORLDS says in how many.
func TestFindsEachAndNothingElse(t *testing.T) {
	t.Parallel()
	var seen schemas.Report
	split, worlds := 0, 300
	if n, err := strconv.Atoi(os.Getenv("SOAK_WORLDS")); err == nil {
		worlds = n
	}
	for seed := range worlds {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(uint64(seed), 3))
			w := newWorld(rnd, 30+rnd.IntN(400))
			c := w.comparison([]int{0, 7, 50}[rnd.IntN(3)])
			if rnd.IntN(3) == 0 {
				c.Topic = NewTopic(w.topic, 2000)
			}
			w.api.noUntil = rnd.IntN(6) == 0
			faults := rnd.IntN(4)
			w.api.fault = func(source.Query) error {
				if faults > 0 && rnd.IntN(20) == 0 {
					return &source.APIError{Kind: []source.Kind{source.Unreachable, source.Throttled, source.Credentials}[rnd.IntN(3)], Stage: "Fetch Logs"}
				}
				return nil
			}
			w.api.after = func(_ source.Query, p *source.Page) {
				if faults > 1 && rnd.IntN(30) == 0 {
					p.Events, p.Next = nil, "" // it ends early
				}
			}
			got, err := c.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got.Missing != w.missing || got.Altered != w.altered || got.Duplicate != w.duplicate || got.Unshown != w.unshown && faults <= 1 {
				t.Errorf("seed %d: got %d missing, %d altered, %d duplicate, %d unshown; want %d, %d, %d, %d", seed,
					got.Missing, got.Altered, got.Duplicate, got.Unshown, w.missing, w.altered, w.duplicate, w.unshown)
			}
			if !got.Through.Equal(w.to) || got.Repaired != 0 {
				t.Errorf("seed %d: through %v of %v, %d repaired", seed, got.Through, w.to, got.Repaired)
			}
			seen.Missing += got.Missing
			seen.Altered += got.Altered
			seen.Duplicate += got.Duplicate
			seen.Unshown += got.Unshown
			if w.topic.scans > 1 {
				split++
			}
		})
	}
	if seen.Missing == 0 || seen.Altered == 0 || seen.Duplicate == 0 || seen.Unshown == 0 || split == 0 {
		t.Errorf("the worlds had too little in them: %+v, %d of them split", seen, split)
	}
}

// TestTheTopicIsReadFewTimes: also where many parts of a range lack something, and an
// event that somebody else has published meanwhile is not missing.
func TestTheTopicIsReadFewTimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(rand.New(rand.NewPCG(1, 1)), 400)
		w.api.events, w.topic.records, w.missing = nil, nil, 0
		const events = 5000
		var late schemas.Event
		for i := range events {
			ev := event(int64(i+1), w.from.Add(w.to.Sub(w.from)*time.Duration(i)/events))
			w.api.add(ev)
			switch {
			case i == 10:
				late = ev
			case i%50 == 49:
				w.missing++
			default:
				w.topic.write("acme", ev)
			}
		}
		w.api.after = func(source.Query, *source.Page) {
			if w.api.calls == 5 {
				w.topic.write("acme", late)
			}
		}
		got, err := w.comparison(2).Run(t.Context())
		if err != nil || got.Missing != w.missing || got.Events != events || !got.Through.Equal(w.to) {
			t.Errorf("%d are missing, and of %d events it says %d are, through %v, %v", w.missing, got.Events, got.Missing, got.Through, err)
		}
		if w.topic.scans < 2 || w.topic.scans > 10 {
			t.Errorf("the topic was read %d times", w.topic.scans)
		}
	})
}

// TestWhatTheTopicDeletedIsNotMissing: the range is cut where the topic begins.
func TestWhatTheTopicDeletedIsNotMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(rand.New(rand.NewPCG(1, 1)), 400)
		w.api.events, w.topic.records = nil, nil
		w.from, w.to = w.from.Truncate(time.Minute), w.from.Truncate(time.Minute).Add(time.Hour)
		for i := range 1000 {
			ev := event(int64(i+1), w.from.Add(w.to.Sub(w.from)*time.Duration(i)/1000))
			w.api.add(ev)
			w.topic.write("acme", ev)
		}
		w.topic.kept = w.from.Add(20*time.Minute + 40*time.Second) // amid a minute
		got, err := w.comparison(0).Run(t.Context())
		if err != nil || !got.Whole() || len(got.Findings) > 0 || got.Kept.Before(w.topic.kept) || got.Kept.After(w.topic.kept.Add(time.Minute)) || got.Events < 600 || got.Events > 700 {
			t.Errorf("got %+v, %v", got, err)
		}
		w.topic.kept = w.to.Add(time.Hour)
		if got, err = w.comparison(0).Run(t.Context()); err != nil || !got.Whole() || got.Events != 0 || got.Kept.IsZero() {
			t.Errorf("with nothing left: got %+v, %v", got, err)
		}
	})
}

// TestOneScanServesMany: who waits while the topic is read shares the next reading.
func TestOneScanServesMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &topic{during: func() { time.Sleep(time.Second) }}
		base := time.Now().Add(-time.Hour)
		var names []string
		for i := range 50 {
			names = append(names, fmt.Sprintf("tenant%d", i))
			log.write(names[i], event(int64(i+1), base))
		}
		top := NewTopic(log, 0)
		gone, cancel := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() {
			_, err := top.Index(gone, Wish{"tenant0", base, base.Add(time.Minute)})
			first <- err
		}()
		synctest.Wait()
		done := make(chan int, len(names))
		for _, name := range names {
			go func() {
				x, err := top.Index(t.Context(), Wish{name, base, base.Add(time.Minute)})
				if err != nil {
					t.Error(err)
					done <- 0
					return
				}
				entries, _ := x.load(base, base.Add(time.Minute))
				done <- len(entries)
			}()
		}
		synctest.Wait()
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the first, given up: %v", err)
		}
		n := 0
		for range names {
			n += <-done
		}
		if n != len(names) || log.scans != 2 {
			t.Errorf("%d events found in %d scans", n, log.scans)
		}
	})
}

// TestATroubleThatStays ends a comparison that may not try for ever.
func TestATroubleThatStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(rand.New(rand.NewPCG(1, 1)), 40)
		w.api.fault = func(source.Query) error {
			return &source.APIError{Kind: source.Credentials, Stage: "Authentication", Message: "Credentials error"}
		}
		c := w.comparison(0)
		c.Tries = 3
		_, err := c.Run(t.Context())
		if api, ok := errors.AsType[*source.APIError](err); !ok || api.Kind != source.Credentials || w.api.calls != 3 {
			t.Errorf("got %v after %d calls", err, w.api.calls)
		}
	})
}

// TestAnAPIThatIgnoresUntil: what lies behind a slice is no reason to make it shorter,
// which would cost as much again.
func TestAnAPIThatIgnoresUntil(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		from := time.Now().Add(-48 * time.Hour).Truncate(time.Minute)
		w := &world{api: &api{noUntil: true}, topic: &topic{}, from: from, to: from.Add(2 * time.Hour)}
		for i := range 5000 {
			ev := event(int64(i+1), from.Add(time.Duration(i)*30*time.Second))
			w.api.add(ev)
			w.topic.write("acme", ev)
		}
		got, err := w.comparison(10).Run(t.Context())
		if err != nil || !got.Whole() || got.Events != 240 {
			t.Errorf("got %+v, %v", got, err)
		}
		if all := 5000 / 10; w.api.calls > 3*all {
			t.Errorf("%d calls for all there is in %d pages", w.api.calls, all)
		}
	})
}

// grudging is a publisher that refuses now and then, as one does whose topic takes no
// record so large, and keeps what it takes.
type grudging struct {
	published map[int64]int
	refuses   func() bool
	refused   int
}

func (g *grudging) Publish(_ context.Context, page *source.Page, events []int32, note source.Note) (int, error) {
	if g.refuses() {
		g.refused++
		return 0, &source.APIError{Kind: source.Refused, Stage: "Kafka", Message: source.ErrTooLarge.Error(), Err: source.ErrTooLarge}
	}
	for _, i := range events {
		g.published[page.Events[i].ID]++
	}
	if note.Records != nil {
		note.Records(len(events))
	}
	return 0, nil
}

// TestWhatIsRefusedIsNotRepaired: an event that could not be published does not count
// as there, and is published once that is possible.
func TestWhatIsRefusedIsNotRepaired(t *testing.T) {
	t.Parallel()
	refused := 0
	for seed := range 40 {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(uint64(seed), 31))
			w := newWorld(rnd, 30+rnd.IntN(400))
			for w.missing == 0 {
				w = newWorld(rnd, 100)
			}
			g := &grudging{published: map[int64]int{}, refuses: func() bool { return rnd.IntN(3) == 0 }}
			c := w.comparison(7)
			c.Publisher = g
			c.Records = func(*schemas.Report) []schemas.Record { return nil }
			got, err := c.Run(t.Context())
			if err != nil || got.Missing != w.missing || got.Repaired != w.missing || int64(len(g.published)) != w.missing {
				t.Errorf("seed %d: %d missing, %d published, %d said to be repaired of %d, %v", seed, w.missing, len(g.published), got.Repaired, got.Missing, err)
			}
			for id, n := range g.published {
				if n != 1 {
					t.Errorf("seed %d: event %d was published %d times", seed, id, n)
				}
			}
			var found int64
			for _, f := range got.Findings {
				if f.Kind == schemas.Missing {
					found += f.Events
				}
			}
			if len(got.Findings) < 100 && found != w.missing {
				t.Errorf("seed %d: the findings are of %d missing events, there were %d", seed, found, w.missing)
			}
			refused += g.refused

			g = &grudging{published: map[int64]int{}, refuses: func() bool { return true }}
			c = w.comparison(7)
			c.Publisher, c.Tries = g, 3
			if got, err := c.Run(t.Context()); !errors.Is(err, source.ErrTooLarge) || got.Repaired != 0 || g.refused != 3 {
				t.Errorf("seed %d: with nothing taken %d are said to be repaired after %d tries, %v", seed, got.Repaired, g.refused, err)
			}
		})
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

// TestAnAnswerOfNothing: of a range that the topic has nothing of, as before a backfill,
// an answer of nothing is not believed at once.
func TestAnAnswerOfNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(rand.New(rand.NewPCG(1, 1)), 100)
		w.topic.records = nil
		all := int64(0)
		for _, ev := range w.api.events {
			if !ev.CreatedAt.Before(w.from) && ev.CreatedAt.Before(w.to) {
				all++
			}
		}
		began, hidden := time.Now(), 0
		w.api.after = func(_ source.Query, p *source.Page) {
			if time.Since(began) < 2*time.Second {
				p.Events, p.Next = nil, ""
				hidden++
			}
		}
		got, err := w.comparison(50).Run(t.Context())
		if err != nil || got.Missing != all || hidden == 0 {
			t.Errorf("%d of %d are missing, %d answers were empty, %v", got.Missing, all, hidden, err)
		}
		w.api.events = nil
		if got, err := w.comparison(50).Run(t.Context()); err != nil || !got.Whole() || got.Events != 0 || !got.Through.Equal(w.to) {
			t.Errorf("with nothing there: %+v, %v", got, err)
		}
	})
}

// TestATimeWithoutEvents: where a backfill begins long before the first event, no
// answer of nothing has to be believed: that event is asked for with it.
func TestATimeWithoutEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const events = 5000
		from := time.Now().Add(-48 * time.Hour).Truncate(time.Minute)
		w := &world{api: &api{}, topic: &topic{}, from: from, to: from.Add(20*time.Hour + events*10*time.Second)}
		nothing := 0
		w.api.after = func(_ source.Query, p *source.Page) {
			if len(p.Events) == 0 {
				nothing++
			}
		}
		for i := range events {
			w.api.add(event(int64(i+1), from.Add(20*time.Hour+time.Duration(i)*10*time.Second)))
		}
		g := &grudging{published: map[int64]int{}, refuses: func() bool { return false }}
		c := w.comparison(50)
		c.Publisher = g
		got, err := c.Run(t.Context())
		if err != nil || got.Repaired != events || len(g.published) != events || !got.Through.Equal(w.to) {
			t.Errorf("%d were published, and the report is %+v, %v", len(g.published), got, err)
		}
		if all := events / 50; nothing > 0 || w.api.calls > 3*all {
			t.Errorf("%d answers of nothing, and %d calls for %d pages", nothing, w.api.calls, all)
		}
	})
}
