package console

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"onelogin-kafka/internal/fleet"
	"onelogin-kafka/schemas"
)

// TestRebalances: what instances say of their connectors tells which shards moved,
// when and why, though records of other partitions are read late.
func TestRebalances(t *testing.T) {
	t.Parallel()
	b := NewBoard(fleet.Topic{}, func() []string { return nil }, zerolog.Nop())
	noon := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	at := func(after time.Duration, name string, shard int, instance string) {
		say(b, schemas.ConnectorStatus{Connector: name, State: schemas.StateActive, Shard: shard, Instance: instance, UpdatedAt: noon.Add(after)})
	}
	at(0, "acme", 1, "one")
	at(0, "globex", 2, "one")
	at(0, "hooli", 3, "one")
	at(time.Minute, "acme", 1, "two")
	at(time.Minute+time.Second, "globex", 2, "two")
	at(time.Second, "initech", 1, "one") // read after what is newer
	at(2*time.Minute, "globex", 2, "one")
	at(3*time.Minute, "acme", 1, "one")
	want := []Rebalance{
		{noon.Add(3 * time.Minute), "two left, or was lost", []ShardMove{{1, "two", "one"}}},
		{noon.Add(2 * time.Minute), "the work was shared anew", []ShardMove{{2, "two", "one"}}},
		{noon.Add(time.Minute), "two came", []ShardMove{{1, "one", "two"}, {2, "one", "two"}}},
	}
	if diff := cmp.Diff(want, b.Rebalances()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	o := open()
	o.Board = b
	if page := ask(Handler(o), "GET", "/fleet", "").Body.String(); !strings.Contains(page, "two left, or was lost") || !strings.Contains(page, "1 from two to one") {
		t.Errorf("the page does not tell: %s", page)
	}
}

// TestLateBuckets: the histogram ends with its last bucket that is not empty.
func TestLateBuckets(t *testing.T) {
	t.Parallel()
	got := lateBuckets(&schemas.Lateness{Bounds: []float64{2, 300, 7200}, Counts: []int64{0, 4, 1, 0}})
	if diff := cmp.Diff([]lateBucket{{"up to 2s", 0, 0}, {"up to 5m", 4, 100}, {"up to 2h", 1, 25}}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := lateBuckets(&schemas.Lateness{Bounds: []float64{2}, Counts: []int64{0, 3}}); len(got) != 2 || got[1].Text != "later" {
		t.Errorf("got %+v", got)
	}
	o := open()
	say(o.Board, schemas.ConnectorStatus{Connector: "acme", State: schemas.StateActive, Instance: "one", VerifiedThrough: time.Now().Add(-26 * time.Hour), Lateness: &schemas.Lateness{Since: time.Now().Add(-3 * time.Hour), Bounds: []float64{2}, Counts: []int64{1, 3}}})
	page := ask(Handler(o), "GET", "/connectors/acme", "").Body.String()
	for _, sign := range []string{"Late events", "3h ago", `width="33"`, `data-at="verified_through"><time`, "1d ago"} {
		if !strings.Contains(page, sign) {
			t.Errorf("%q is not on the page", sign)
		}
	}
	if page := ask(Handler(o), "GET", "/", "").Body.String(); !strings.Contains(page, "1d ago") {
		t.Error("the list does not say through when it is verified")
	}
}
