package position

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/schemas"
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// at is a time before noon.
func at(before time.Duration) time.Time { return noon.Add(-before) }

// sample is a position of noon with a window of ten minutes.
func sample() State {
	return State{
		Connector: "acme",
		Offset: schemas.Offset{
			Version: 1, Domain: "acme.onelogin.com", AccountID: 7, Through: at(0), LastID: 30, Events: 100,
			WindowStart: at(10 * time.Minute), CompleteThrough: at(5 * time.Minute), UpdatedAt: at(0),
		},
		Minutes: map[time.Time][]int64{at(10 * time.Minute): {1, 2}, at(3 * time.Minute): {10, 20}, at(0): {30}},
	}
}

func TestMove(t *testing.T) {
	later := noon.Add(time.Hour)
	for name, tc := range map[string]struct {
		target                   Target
		through, start, complete time.Time
		again, repeat, skip      Range
		known                    int
	}{
		"back within the window": {
			Target{Back: 4 * time.Minute}, at(4 * time.Minute), at(10 * time.Minute), at(5 * time.Minute),
			Range{at(4 * time.Minute), noon}, Range{}, Range{}, 5,
		},
		"back behind what is complete": {
			Target{Through: at(8 * time.Minute)}, at(8 * time.Minute), at(10 * time.Minute), at(8 * time.Minute),
			Range{at(8 * time.Minute), noon}, Range{}, Range{}, 5,
		},
		"back before the window": {
			Target{Back: time.Hour}, at(time.Hour), at(time.Hour), at(time.Hour),
			Range{at(time.Hour), noon}, Range{at(time.Hour), at(10 * time.Minute)}, Range{}, 5,
		},
		"forward": {
			Target{Through: noon.Add(30 * time.Minute)}, noon.Add(30 * time.Minute), noon.Add(30 * time.Minute), at(5 * time.Minute),
			Range{}, Range{}, Range{at(10 * time.Minute), noon.Add(30 * time.Minute)}, 0,
		},
		"forward within a minute": {
			Target{Through: noon.Add(30 * time.Second)}, noon.Add(30 * time.Second), noon.Add(30 * time.Second), at(5 * time.Minute),
			Range{}, Range{}, Range{at(10 * time.Minute), noon.Add(30 * time.Second)}, 1,
		},
	} {
		s := sample()
		p, err := s.Move(tc.target, later)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		o := p.After.Offset
		got := []any{o.Through, o.WindowStart, o.CompleteThrough, p.Again, p.Repeat, p.Skip, p.After.Known(), o.Events, o.LastID, o.UpdatedAt}
		want := []any{tc.through, tc.start, tc.complete, tc.again, tc.repeat, tc.skip, tc.known, int64(100), int64(30), later}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		if d := cmp.Diff(sample(), p.Before); d != "" {
			t.Errorf("%s: what was there has changed:\n%s", name, d)
		}
	}
	s := sample()
	if p, err := s.Move(Target{Through: noon}, later); err != nil || !p.Nothing() {
		t.Errorf("to where it is: got %+v, %v", p, err)
	}
	for name, target := range map[string]Target{
		"the future":      {Through: later.Add(1)},
		"another account": {Import: func() *State { o := sample(); o.Offset.AccountID = 8; return &o }()},
		"another domain":  {Import: func() *State { o := sample(); o.Offset.Domain = "globex.onelogin.com"; return &o }()},
		"another's":       {Import: &State{Connector: "globex", Offset: sample().Offset}},
	} {
		if _, err := s.Move(target, later); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestImport: what is known stays known, and what the export knows is, too.
func TestImport(t *testing.T) {
	old := sample()
	old.Offset.Through, old.Offset.WindowStart, old.Offset.LastID = at(20*time.Minute), at(40*time.Minute), 99
	old.Minutes = map[time.Time][]int64{at(30 * time.Minute): {3}, at(20 * time.Minute): {4, 5}, at(10 * time.Minute): {2, 6}}
	s := sample()
	p, err := s.Move(Target{Import: &old}, noon)
	if err != nil {
		t.Fatal(err)
	}
	want := map[time.Time][]int64{at(20 * time.Minute): {4, 5}, at(10 * time.Minute): {1, 2, 6}, at(3 * time.Minute): {10, 20}, at(0): {30}}
	if d := cmp.Diff(want, p.After.Minutes); d != "" || p.After.Offset.LastID != 99 || p.Repeat != (Range{at(20 * time.Minute), at(10 * time.Minute)}) {
		t.Errorf("got %+v\n%s", p, d)
	}
	keys := map[string]int{}
	for _, r := range p.Records(noon) {
		keys[string(r.Key)] = len(r.Value)
	}
	if len(keys) != 3 || keys["acme"] == 0 || keys["acme/2026-11-27T11:40Z"] == 0 || keys["acme/2026-11-27T11:50Z"] == 0 {
		t.Errorf("written: %v", keys)
	}

	same := sample()
	if p, err = s.Move(Target{Import: &same}, noon); err != nil || !p.Nothing() {
		t.Errorf("its own export: got %+v, %v", p, err)
	}
	fresh := State{Connector: "acme", Fresh: true, Minutes: map[time.Time][]int64{}}
	elsewhere := sample() // the fifth secret of another deployment's control log
	elsewhere.Offset.SecretGeneration = 5
	p, err = fresh.Move(Target{Import: &elsewhere}, noon)
	if err != nil || p.After.Offset.SecretGeneration != 0 || !p.After.equal(&same) || len(p.Records(noon)) != 4 {
		t.Errorf("into nothing: got %+v, %v", p, err)
	}
}

// TestRenew: the owner may go on between a plan and its application; what means
// more than was said is a conflict.
func TestRenew(t *testing.T) {
	const back, far, ahead = "back", "far", "ahead"
	targets := map[string]Target{back: {Back: 4 * time.Minute}, far: {Back: time.Hour}, ahead: {Through: noon.Add(time.Minute)}}
	for name, tc := range map[string]struct {
		target   string
		change   func(s *State)
		conflict bool
	}{
		"nothing happened":             {back, func(*State) {}, false},
		"the owner went on":            {back, func(s *State) { s.Offset.Through, s.Offset.Events = noon.Add(time.Second), 103 }, false},
		"it was set back":              {back, func(s *State) { s.Offset.Through = at(time.Minute) }, true},
		"its window grew backwards":    {back, func(s *State) { s.Offset.WindowStart = at(time.Hour) }, true},
		"it was reset":                 {back, func(s *State) { *s = State{Connector: "acme", Fresh: true} }, true},
		"another account":              {back, func(s *State) { s.Offset.AccountID = 8 }, true},
		"the window moved on":          {back, func(s *State) { s.Offset.WindowStart = at(9 * time.Minute) }, false},
		"the window passed the target": {back, func(s *State) { s.Offset.WindowStart = at(time.Minute) }, true},
		"more would be repeated":       {far, func(s *State) { s.Offset.WindowStart = at(9 * time.Minute) }, true},
		"far, and nothing more":        {far, func(s *State) { s.Offset.Through = noon.Add(time.Second) }, false},
		"less is skipped":              {ahead, func(s *State) { s.Offset.Through = noon.Add(time.Second) }, false},
		"it is there already":          {ahead, func(s *State) { s.Offset.Through = noon.Add(2 * time.Minute) }, true},
	} {
		s := sample()
		p, err := s.Move(targets[tc.target], noon.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		now := sample()
		tc.change(&now)
		q, err := p.Renew(&now, noon.Add(time.Hour))
		if errors.Is(err, ErrConflict) != tc.conflict || err != nil && !tc.conflict {
			t.Errorf("%s: got %v", name, err)
		}
		if err == nil && !q.After.Offset.Through.Equal(p.After.Offset.Through) {
			t.Errorf("%s: goes to %v, not to %v", name, q.After.Offset.Through, p.After.Offset.Through)
		}
	}
}

// TestRenewWithoutAPosition: what reaches to the present is no conflict for the
// time that has passed since the plan.
func TestRenewWithoutAPosition(t *testing.T) {
	exported, fresh := sample(), State{Connector: "acme", Fresh: true, Minutes: map[time.Time][]int64{}}
	for name, tc := range map[string]struct {
		from   State
		target Target
	}{
		"reset":               {sample(), Target{Reset: true, StartFrom: at(time.Hour)}},
		"imported to nothing": {fresh, Target{Import: &exported}},
	} {
		p, err := tc.from.Move(tc.target, noon)
		if err != nil {
			t.Fatal(err)
		}
		q, err := p.Renew(&tc.from, noon.Add(time.Minute))
		if err != nil || !q.Repeat.To.Equal(noon.Add(time.Minute)) {
			t.Errorf("%s: got %+v, %v", name, q.Repeat, err)
		}
	}
}

// FuzzParse: what is taken is sound, and comes back as it was.
func FuzzParse(f *testing.F) {
	b, err := json.Marshal(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"version":1,"connector":"acme","position":null,"minutes":{}}`))
	f.Add([]byte(`{"version":9}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(b)
		if err != nil || !again.equal(&s) || again.Connector != s.Connector {
			t.Errorf("%s\nbecame %s: %v", text, b, err)
		}
		if s.Fresh || s.Offset.WindowStart.After(s.Offset.Through) {
			t.Errorf("taken: %+v", s)
		}
		for minute, ids := range s.Minutes {
			for i := range ids {
				if i > 0 && ids[i] <= ids[i-1] {
					t.Errorf("%v: %v", minute, ids)
				}
			}
		}
	})
}

// TestMoveVerified: a position that goes back claims to be verified no further than
// where its window begins, one that goes forward no further than it was.
func TestMoveVerified(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	s := State{Connector: "acme", Minutes: map[time.Time][]int64{}, Offset: schemas.Offset{
		Domain: "acme.onelogin.com", AccountID: 1, Through: at, WindowStart: at.Add(-time.Hour), CompleteThrough: at.Add(-time.Hour), VerifiedThrough: at.Add(-2 * time.Hour),
	}}
	edited := State{Connector: "acme", Offset: s.Offset, Minutes: map[time.Time][]int64{}}
	edited.Offset.Through, edited.Offset.WindowStart, edited.Offset.VerifiedThrough = at.Add(-3*time.Hour), at.Add(-3*time.Hour), at
	for name, c := range map[string]struct {
		from   State
		target Target
		want   time.Time
	}{
		"back within the window":  {s, Target{Back: 30 * time.Minute}, at.Add(-2 * time.Hour)},
		"back behind what was":    {s, Target{Back: 5 * time.Hour}, at.Add(-5 * time.Hour)},
		"forward":                 {s, Target{Through: at.Add(time.Hour)}, at.Add(-2 * time.Hour)},
		"import of what was":      {s, Target{Import: &edited}, at.Add(-3 * time.Hour)},
		"import where nothing is": {State{Connector: "acme", Fresh: true}, Target{Import: &edited}, at.Add(-3 * time.Hour)},
		"never verified":          {State{Connector: "acme", Offset: schemas.Offset{Domain: "acme.onelogin.com", Through: at, WindowStart: at}}, Target{Back: time.Hour}, time.Time{}},
		"never verified, forward": {State{Connector: "acme", Offset: schemas.Offset{Domain: "acme.onelogin.com", Through: at, WindowStart: at.Add(-time.Hour)}}, Target{Through: at.Add(time.Hour)}, at.Add(-time.Hour)},
	} {
		p, err := c.from.Move(c.target, at.Add(2*time.Hour))
		if got := p.After.Offset.VerifiedThrough; err != nil || !got.Equal(c.want) || got.After(p.After.Offset.WindowStart) {
			t.Errorf("%s: verified through %v, want %v, %v", name, got, c.want, err)
		}
	}
}
