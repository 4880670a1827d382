package onelogin

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"onelogin-kafka/source"
	"onelogin-kafka/source/onelogin/simulator"
)

// simulated is a client of a simulated account of 100 events, and their truth.
func simulated(t *testing.T, edit func(*simulator.Tenant)) (*Client, *simulator.Server, []simulator.Event) {
	t.Helper()
	tenant := simulator.Tenant{Name: "acme", Backlog: 100}
	edit(&tenant)
	sim, err := simulator.New(simulator.Config{Seed: 1, Tenants: []simulator.Tenant{tenant}, TooLargeBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	id, secret := sim.Credentials("acme")
	c, err := New(Config{Domain: "acme", ClientID: id, Secret: func() (string, error) { return secret, nil }},
		Options{HTTP: sim.Transport(), Limits: Limits{Body: 1 << 19}})
	if err != nil {
		t.Fatal(err)
	}
	events, err := sim.Truth("acme")
	if err != nil {
		t.Fatal(err)
	}
	var all []simulator.Event
	for e := range events {
		e.Raw = bytes.Clone(e.Raw)
		all = append(all, e)
	}
	return c, sim, all
}

// Each event of another form is read as what it is, or is a dead letter where it
// is in doubt; either way as it was sent.
func TestOddEvents(t *testing.T) {
	traffic := map[string]simulator.Traffic{}
	for _, f := range []simulator.TimeForm{
		simulator.TimeMillis, simulator.TimeSeconds, simulator.TimeWebhook, simulator.TimeOffset, simulator.TimeBasic,
		simulator.TimeSpace, simulator.TimeLocal, simulator.TimeEpoch,
	} {
		traffic["time "+string(f)] = simulator.Traffic{CreatedAs: f}
	}
	for _, f := range []simulator.IDForm{simulator.IDText, simulator.IDFloat} {
		traffic["id "+string(f)] = simulator.Traffic{IDAs: f}
	}
	for _, f := range []simulator.BrokenForm{simulator.BrokenControl, simulator.BrokenNaN} {
		traffic["broken "+string(f)] = simulator.Traffic{Broken: 0.2, BrokenAs: f}
	}
	for name, tr := range traffic {
		t.Run(name, func(t *testing.T) {
			c, _, truth := simulated(t, func(tenant *simulator.Tenant) { tenant.Traffic = tr })
			p, err := c.Page(t.Context(), source.Query{Limit: 1000})
			if err != nil || p.Len() != len(truth) {
				t.Fatalf("%d of %d elements, %v", p.Len(), len(truth), err)
			}
			i, j := 0, 0
			for _, want := range truth {
				if want.Odd {
					if !bytes.Equal(p.Malformed[j].Raw, want.Raw) {
						t.Fatalf("dead letter %d is %s, want %s", j, p.Malformed[j].Raw, want.Raw)
					}
					j++
					continue
				}
				got := p.Events[i]
				if got.ID != want.ID || !got.CreatedAt.Equal(want.CreatedAt) || !bytes.Equal(got.Raw, want.Raw) || got.AccountID == 0 {
					t.Fatalf("event %d is %+v, want %+v", i, got, want)
				}
				i++
			}
			if i != len(p.Events) || j != len(p.Malformed) {
				t.Errorf("%d events and %d dead letters", len(p.Events), len(p.Malformed))
			}
		})
	}
}

// An event that spoils its neighbours is narrowed down by smaller pages: nothing
// but the event itself is lost.
func TestSmallerPagesTell(t *testing.T) {
	c, _, truth := simulated(t, func(tenant *simulator.Tenant) {
		tenant.Traffic = simulator.Traffic{Broken: 0.03, BrokenAs: simulator.BrokenQuote}
	})
	odd := 0
	for _, e := range truth {
		if e.Odd {
			odd++
		}
	}
	if odd == 0 {
		t.Fatal("no broken event: no data")
	}
	var got [][]byte
	var read func(from, to time.Time, limit int)
	read = func(from, to time.Time, limit int) {
		q := source.Query{Since: from, Until: to, Limit: limit}
		for {
			p, err := c.Page(t.Context(), q)
			var e *source.APIError
			if errors.As(err, &e) && e.Narrow && errors.Is(err, ErrUnparted) {
				if to.Sub(from) <= time.Millisecond {
					return // the event itself
				}
				middle := from.Add(to.Sub(from) / 2).Truncate(time.Millisecond)
				read(from, middle, max(limit/2, 1))
				read(middle, to, max(limit/2, 1))
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range p.Events {
				got = append(got, e.Raw)
			}
			if q.Cursor = p.Next; p.Next == "" {
				return
			}
		}
	}
	// By time here, so that no cursor has to lead past the broken one.
	day := truth[0].CreatedAt.Truncate(time.Second)
	read(day, truth[99].CreatedAt.Add(time.Second), 1000)
	seen := map[string]bool{}
	for _, raw := range got {
		seen[string(raw)] = true
	}
	for _, e := range truth {
		if seen[string(e.Raw)] == e.Odd {
			t.Errorf("event %d, broken %t, was read: %t", e.ID, e.Odd, seen[string(e.Raw)])
		}
	}
}

// What the simulator's faults leave out is told as what it is.
func TestWhatIsLeftOut(t *testing.T) {
	for name, check := range map[string]func(p source.Page, err error) bool{
		simulator.ByteOrderMark:    func(p source.Page, err error) bool { return err == nil && p.Len() == 50 && p.Next != "" },
		simulator.WrongContentType: func(p source.Page, err error) bool { return err == nil && p.Len() == 50 && p.Next != "" },
		simulator.ErrorText:        func(p source.Page, err error) bool { return err == nil && p.Len() == 50 && p.Next != "" },
		simulator.EmptyPage:        func(p source.Page, err error) bool { return err == nil && p.Len() == 0 && p.Next != "" },
		simulator.EmptyEnd:         func(p source.Page, err error) bool { return err == nil && p.Len() == 0 && p.Next == "" && !p.Unsaid },
		simulator.EmptyUnsaid:      func(p source.Page, err error) bool { return err == nil && p.Len() == 0 && p.Unsaid },
		simulator.NoContent:        func(p source.Page, err error) bool { return err == nil && p.Len() == 0 && p.Unsaid },
		simulator.EarlyEnd:         func(p source.Page, err error) bool { return err == nil && p.Len() == 50 && p.Next == "" && !p.Unsaid },
		simulator.NoPagination:     func(p source.Page, err error) bool { return err == nil && p.Len() == 50 && p.Next == "" && p.Unsaid },
		simulator.BareLink:         func(p source.Page, err error) bool { return err == nil && p.Len() == 50 && p.Next == "" && p.Unsaid },
		simulator.DataNull:         func(p source.Page, err error) bool { return errors.Is(err, errNullData) && p.Len() == 0 },
		simulator.DataMissing:      func(p source.Page, err error) bool { return errors.Is(err, errNoData) && p.Len() == 0 },
		simulator.BodyTooLarge: func(_ source.Page, err error) bool {
			e, ok := errors.AsType[*source.APIError](err)
			return ok && e.Narrow
		},
	} {
		c, sim, _ := simulated(t, func(*simulator.Tenant) {})
		if err := sim.SetFault(simulator.FaultSetting{Name: name, Probability: 1, Times: 1}); err != nil {
			t.Fatal(err)
		}
		p, err := c.Page(t.Context(), source.Query{Limit: 50})
		if !check(p, err) || sim.Hits(name, "acme") != 1 {
			t.Errorf("%s: %d elements, next %q, unsaid %t, %v", name, p.Len(), p.Next, p.Unsaid, err)
		}
	}
}
