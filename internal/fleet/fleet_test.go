package fleet

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"onelogin-kafka/schemas"
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// say hands a view a record of the status topic, written age before noon.
func say(v *View, name string, state schemas.State, message string, age time.Duration) {
	at := noon.Add(-age)
	st := schemas.ConnectorStatus{Connector: name, State: state, Message: message, Since: at.Add(-time.Hour), UpdatedAt: at, LagSeconds: 1}
	v.Take(&schemas.Record{Key: []byte(name), Value: st.Marshal(), Time: at})
}

func TestWorstFirst(t *testing.T) {
	v := NewView("configured", "acme")
	say(v, "acme", schemas.StateActive, "", time.Second)
	say(v, "mended-soon", schemas.StateActive, "the last good configuration stays in use", time.Second)
	say(v, "globex", schemas.StateFailing, "Credentials error", 30*time.Second)
	say(v, "dead", schemas.StateActive, "", Stale+time.Second)
	say(v, "alive", schemas.StateActive, "", Stale)
	say(v, "gone", schemas.StateActive, "", time.Second)
	say(v, "slow", schemas.StateCatchingUp, "", time.Second)
	say(v, "off", schemas.StatePaused, "", time.Second)
	v.Take(&schemas.Record{Key: []byte("gone")})
	v.Take(&schemas.Record{Key: []byte("newer"), Value: []byte(`{"version":9}`), Time: noon})
	v.Take(&schemas.Record{Key: []byte("moved"), Value: schemas.ConnectorStatus{Connector: "acme", State: schemas.StateActive, UpdatedAt: noon}.Marshal(), Time: noon})

	list := v.List(noon)
	var got []string
	for i := range list {
		got = append(got, list[i].Connector+" "+string(list[i].State))
	}
	want := []string{
		"globex FAILING", "configured INACTIVE", "dead INACTIVE", "moved INACTIVE", "newer INACTIVE", "slow CATCHING_UP",
		"mended-soon ACTIVE", "off PAUSED", "acme ACTIVE", "alive ACTIVE",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if n := Counts(list); n[schemas.StateInactive] != 4 || n[schemas.StateActive] != 3 || n[schemas.StateFailing] != 1 {
		t.Errorf("got %v", n)
	}
}

// TestStaleIsInactive: whatever a record says, it counts for nothing once its
// owner should have written others.
func TestStaleIsInactive(t *testing.T) {
	for _, state := range schemas.States {
		v := NewView()
		say(v, "acme", state, "Credentials error", 3*time.Hour)
		s := v.List(noon)[0]
		if s.State != schemas.StateInactive || s.Reported != state || s.Age != 3*time.Hour || s.Well() {
			t.Errorf("%s: got %+v", state, s)
		}
		if !strings.Contains(s.Message, "for 3h") || !strings.Contains(s.Message, string(state)+": Credentials error") {
			t.Errorf("%s: got %q", state, s.Message)
		}
		if ahead := v.List(noon.Add(-4 * time.Hour))[0]; ahead.State != state || ahead.Age != 0 {
			t.Errorf("%s, by a clock that is behind: got %+v", state, ahead)
		}
	}
}

func TestAsJSON(t *testing.T) {
	v := NewView("never")
	say(v, "acme", schemas.StateActive, "", 1500*time.Millisecond)
	for _, s := range v.List(noon) {
		b, err := json.Marshal(&s)
		if err != nil {
			t.Fatal(err)
		}
		var o map[string]any
		if err := json.Unmarshal(b, &o); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		age, known := o["age_seconds"]
		switch {
		case s.Connector == "acme" && (age != 1.5 || o["reported"] != "ACTIVE" || o["lag_seconds"] != 1.0):
			t.Errorf("got %s", b)
		case s.Connector == "never" && (known || o["state"] != "INACTIVE" || o["reported"] != ""):
			t.Errorf("got %s", b)
		}
	}
}

func TestAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "now", 999 * time.Millisecond: "now", time.Second: "1s", 59*time.Second + 999*time.Millisecond: "59s", time.Minute: "1m",
		90 * time.Minute: "1h", 49 * time.Hour: "2d", 1 << 62: "9999d",
	} {
		if got := Ago(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

// FuzzTake: no record, whatever it holds, keeps the others from being shown.
func FuzzTake(f *testing.F) {
	f.Add([]byte("acme"), []byte(`{"version":1,"connector":"acme","state":"ACTIVE","updated_at":"2026-11-27T12:00:00Z"}`))
	f.Add([]byte(""), []byte("{"))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		v := NewView("other")
		v.Take(&schemas.Record{Key: key, Value: value, Time: noon})
		list := v.List(noon)
		for i := range list {
			if list[i].Connector == "" && len(key) > 0 {
				t.Errorf("a status without a name: %+v", list[i])
			}
			if b, err := json.Marshal(&list[i]); err != nil {
				t.Errorf("%+v: %v: %s", list[i], err, b)
			}
		}
	})
}

// TestSilent: a fleet is dead once its newest word is stale, and since that word.
func TestSilent(t *testing.T) {
	t.Parallel()
	v := NewView("never")
	if _, silent := Silent(v.List(noon), noon); silent {
		t.Error("nobody has ever said anything: nothing is known of when")
	}
	say(v, "old", schemas.StateActive, "", 3*time.Hour)
	say(v, "newest", schemas.StateActive, "", Stale+time.Minute)
	if since, silent := Silent(v.List(noon), noon); !silent || !since.Equal(noon.Add(-Stale-time.Minute)) {
		t.Errorf("got %v since %v", silent, since)
	}
	say(v, "alive", schemas.StateFailing, "x", time.Second)
	if _, silent := Silent(v.List(noon), noon); silent {
		t.Error("somebody is alive")
	}
}

// TestPutBack: a connector that is configured is shown though the last that the
// topic says of it is that it was taken off.
func TestPutBack(t *testing.T) {
	t.Parallel()
	v := NewView("acme")
	say(v, "acme", schemas.StateActive, "", time.Second)
	v.Take(&schemas.Record{Key: []byte("acme")})
	s, ok := v.Get("acme", noon)
	if !ok || s.State != schemas.StateInactive || s.Age >= 0 {
		t.Errorf("got %+v, %v", s, ok)
	}
}
