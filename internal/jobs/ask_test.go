package jobs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"onelogin-kafka/internal/registry"
	"onelogin-kafka/producer"
	"onelogin-kafka/schemas"
)

// retain gives the events topic a retention.
func (g *rig) retain(t *testing.T, d time.Duration) {
	t.Helper()
	ms := fmt.Sprint(d.Milliseconds())
	res, err := g.admin.AlterTopicConfigsState(patient(t), []kadm.AlterConfig{{Name: "retention.ms", Value: &ms}}, g.topics.Specs[schemas.Events].Name)
	if err == nil {
		_, err = res.On(g.topics.Specs[schemas.Events].Name, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestPlan: what a wish means, and which are refused.
func TestPlan(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.retain(t, 24*time.Hour)
	b := g.board(t)
	window := polled("acme", 10*time.Minute)
	o, err := schemas.ParseOffset(window.Value)
	if err != nil {
		t.Fatal(err)
	}
	g.owns(t, "acme", window)
	g.owns(t, "later", schemas.Record{Topic: schemas.Offsets, Key: schemas.OffsetKey("later"), Value: []byte(`{"version":9}`), Time: time.Now()})
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, tc := range map[string]struct {
		wish Wish
		says string
	}{
		"no kind":            {Wish{Kind: "erase", Connector: "acme", From: ago(time.Hour)}, "is no kind of a job"},
		"no name":            {Wish{Kind: schemas.JobVerify, Connector: "a/b", From: ago(time.Hour)}, "is no name of a connector"},
		"no beginning":       {Wish{Kind: schemas.JobVerify, Connector: "acme"}, "begins in the future, or nowhere"},
		"the future":         {Wish{Kind: schemas.JobVerify, Connector: "acme", From: now.Add(time.Hour)}, "begins in the future, or nowhere"},
		"ends as it begins":  {Wish{Kind: schemas.JobVerify, Connector: "acme", From: ago(time.Hour), To: ago(time.Hour)}, "before it begins at"},
		"ends before":        {Wish{Kind: schemas.JobVerify, Connector: "acme", From: ago(time.Hour), To: ago(2 * time.Hour)}, "before it begins at"},
		"nobody":             {Wish{Kind: schemas.JobVerify, Connector: "nobody", From: ago(time.Hour)}, "connector nobody has no position yet"},
		"within the window":  {Wish{Kind: schemas.JobVerify, Connector: "acme", From: ago(5 * time.Minute)}, "there is nothing to compare"},
		"where it is polled": {Wish{Kind: schemas.JobRepair, Connector: "acme", From: o.WindowStart}, "there is nothing to compare"},
	} {
		if _, err := b.Plan(patient(t), tc.wish); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: got %v, want %q", name, err, tc.says)
		}
		if _, err := b.Ask(patient(t), tc.wish, ann); !errors.Is(err, ErrRefused) {
			t.Errorf("%s is asked for: %v", name, err)
		}
	}
	if _, err := b.Plan(patient(t), Wish{Kind: schemas.JobVerify, Connector: "later", From: ago(time.Hour)}); !errors.Is(err, schemas.ErrVersion) {
		t.Errorf("with a position of a later version: %v", err)
	}
	read(t, b)
	if all := b.Registry.AllJobs(); len(all) != 0 {
		t.Errorf("what was refused is on the control log: %+v", all)
	}

	early := Wish{Kind: schemas.JobBackfill, Connector: "acme", From: ago(48 * time.Hour)}
	p, err := b.Plan(patient(t), early)
	old, ok := errors.AsType[*RetentionError](err)
	if !ok || !old.From.Equal(early.From) || !old.Kept.After(ago(25*time.Hour)) || !old.Kept.Before(now.Add(-23*time.Hour)) ||
		old.Topic != "t.events" || !strings.Contains(err.Error(), "retention.ms, 24h0m0s") || !p.To.Equal(o.WindowStart) {
		t.Errorf("a backfill beyond retention: %+v, %v", p, err)
	}
	if _, err := b.Ask(patient(t), early, ann); err == nil {
		t.Error("it is asked for all the same")
	}
	older := early
	older.Older = true
	repair := early
	repair.Kind = schemas.JobRepair // it is cut at what the topic keeps
	short := early
	short.From, short.To = ago(12*time.Hour), ago(time.Hour)
	beyond := short
	beyond.To = now.Add(time.Hour)
	for name, tc := range map[string]struct {
		wish Wish
		to   time.Time
	}{"older": {older, o.WindowStart}, "a repair": {repair, o.WindowStart}, "a range": {short, short.To}, "to the future": {beyond, o.WindowStart}} {
		p, err := b.Plan(patient(t), tc.wish)
		if err != nil || !p.To.Equal(tc.to) || p.Kept.IsZero() || p.Why == "" {
			t.Errorf("%s: got %+v, %v, want an end at %v", name, p, err, tc.to)
		}
	}
}

// TestAsksAtOnce: many that ask at once each have a job, none is lost, and their ids
// are in the order of the log.
func TestAsksAtOnce(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.owns(t, "acme", polled("acme", time.Minute))
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		ids []string
	)
	for i := range 6 {
		b := g.board(t) // another command each
		wg.Go(func() {
			j, err := b.Ask(patient(t), Wish{Kind: schemas.JobVerify, Connector: "acme", From: time.Now().Add(-time.Hour)}, registry.Who{By: fmt.Sprint("ann", i), Via: "command"})
			if err != nil || j.State != Waiting {
				t.Errorf("got %+v, %v", j, err)
			}
			mu.Lock()
			defer mu.Unlock()
			ids = append(ids, j.ID)
		})
	}
	wg.Wait()
	var log []string
	l := producer.CommittedLog{Cluster: g.cluster(t), Topic: g.topics.Specs[schemas.Connectors].Name}
	if _, err := l.Read(patient(t), func(_ int64, r *schemas.Record) error {
		if k, err := schemas.ParseControlKey(r.Key); err == nil && k.Kind == schemas.ControlJob {
			log = append(log, k.ID)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	sorted := slices.Sorted(slices.Values(ids))
	if len(slices.Compact(slices.Clone(sorted))) != 6 || !slices.Equal(log, sorted) {
		t.Errorf("the ids are %q, and on the log %q", sorted, log)
	}
}

// TestNewID: an id sorts behind those of before also in the same second and where
// another's clock is ahead; one that is far off does not count.
func TestNewID(t *testing.T) {
	now := time.Date(2026, 11, 27, 7, 0, 0, 500, time.UTC)
	for last, want := range map[string]string{
		"": "20261127-070000-", "20261127-065959-zzzzz": "20261127-070000-", "20261127-070000-aaaaa": "20261127-070001-",
		"20261127-073000-zzzzz": "20261127-073001-", "20271127-070000-zzzzz": "20261127-070000-", "by-hand": "20261127-070000-",
	} {
		known := map[string][]byte{}
		if last != "" {
			known[string(schemas.JobKey("acme", last))] = []byte("{}")
		}
		if got := newID(now, known); !strings.HasPrefix(got, want) {
			t.Errorf("after %q: got %s, want %s…", last, got, want)
		}
	}
}

// TestCancel: of a job that nobody has begun, of one at work, twice, and of one that
// has ended.
func TestCancel(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	b := g.board(t)
	now := time.Now()
	requested(t, b, written(request("acme", "1", now), now), written(request("acme", "2", now), now), written(request("acme", "3", now), now), written(request("acme", "4", now), now),
		schemas.Record{Topic: schemas.Connectors, Key: schemas.JobKey("acme", "5"), Value: []byte(`{"version":9}`), Time: now})
	g.owns(t, "acme", progress("acme", "2", schemas.JobRunning, time.Hour), progress("acme", "3", schemas.JobDone, 2*time.Hour), progress("acme", "4", schemas.JobFailed, 0))
	for _, id := range []string{"1", "2"} {
		j, err := b.Cancel(patient(t), id, ann)
		if err != nil || j.State != Cancelled || j.Request.CancelledBy != "ann" || j.Request.CancelledAt.IsZero() {
			t.Errorf("job %s is %+v, %v", id, j, err)
		}
	}
	read(t, b)
	if j, err := b.Cancel(patient(t), "1", registry.Who{By: "bob", Via: "command"}); err != nil || j.State != Cancelled || j.Request.CancelledBy != "ann" {
		t.Errorf("cancelled twice it is %+v, %v", j, err)
	}
	for _, id := range []string{"3", "4"} {
		if j, err := b.Cancel(patient(t), id, ann); !errors.Is(err, ErrEnded) {
			t.Errorf("a job that has ended: %+v, %v", j, err)
		}
	}
	if _, err := b.Cancel(patient(t), "5", ann); !errors.Is(err, schemas.ErrVersion) {
		t.Errorf("a job of a later version: %v", err)
	}
	if _, err := b.Cancel(patient(t), "6", ann); !errors.Is(err, ErrNotFound) {
		t.Errorf("a job that is not there: %v", err)
	}
	// Its request goes while somebody cancels it by what was read before.
	requested(t, g.board(t), schemas.Record{Topic: schemas.Connectors, Key: schemas.JobKey("acme", "2"), Time: now})
	if _, err := b.Cancel(patient(t), "2", ann); !errors.Is(err, ErrNotFound) {
		t.Errorf("a job that has gone meanwhile: %v", err)
	}
	actions := map[string]int{}
	l := producer.CommittedLog{Cluster: g.cluster(t), Topic: g.topics.Specs[schemas.Audit].Name}
	if _, err := l.Read(patient(t), func(_ int64, r *schemas.Record) error {
		a, err := schemas.ParseAuditEntry(r.Value)
		actions[a.Action+" "+a.By]++
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if actions["job.cancel ann"] != 2 || actions["job.cancel bob"] != 0 {
		t.Errorf("the audit topic says %v", actions)
	}
}

// TestPrune: with a new job the requests go that have ended and are beyond the newest
// 100 of their connector, or 30 days old; what has not ended and what cannot be read
// stays, and so does what is another connector's.
func TestPrune(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	b := g.board(t)
	now := time.Now()
	id := func(i int) string { return fmt.Sprintf("20261001-000000-%05d", i) }
	var asked, done []schemas.Record
	ask := func(connector string, i int, at time.Time, state schemas.JobState) schemas.Record {
		if state != "" {
			done = append(done, progress(connector, id(i), state, time.Hour))
		}
		return written(request(connector, id(i), at), now)
	}
	const days = 24 * time.Hour
	asked = append(asked,
		ask("acme", 0, now.Add(-time.Hour), ""), // waits
		ask("acme", 1, now.Add(-time.Hour), schemas.JobRunning),
		ask("acme", 2, now.Add(-time.Hour), schemas.JobDone),
		ask("acme", 3, now.Add(-time.Hour), schemas.JobFailed))
	never := request("acme", id(4), now.Add(-time.Hour))
	never.CancelledBy, never.CancelledAt = "bob", now
	half := request("acme", id(5), now.Add(-time.Hour)) // its owner does not know yet
	half.CancelledBy, half.CancelledAt = "bob", now
	done = append(done, progress("acme", id(5), schemas.JobRunning, time.Hour))
	asked = append(asked, written(never, now), written(half, now),
		schemas.Record{Topic: schemas.Connectors, Key: schemas.JobKey("acme", id(6)), Value: []byte(`{"version":9}`), Time: now})
	for i := 100; i < 199; i++ { // the 99 that stay beside the new one, some for their age only
		at := now.Add(-30*days + time.Hour)
		if i < 103 {
			at = now.Add(-30*days - time.Hour)
		}
		asked = append(asked, ask("acme", i, at, schemas.JobDone))
	}
	requested(t, b, asked...)
	g.owns(t, "acme", append(done, polled("acme", time.Minute))...)
	old := written(request("globex", id(7), now.Add(-90*days)), now)
	requested(t, b, old)
	g.owns(t, "globex", progress("globex", id(7), schemas.JobDone, 2*time.Hour))

	j, err := b.Ask(patient(t), Wish{Kind: schemas.JobVerify, Connector: "acme", From: now.Add(-time.Hour)}, ann)
	if err != nil {
		t.Fatal(err)
	}
	read(t, b)
	left := map[string]bool{}
	for _, j := range b.Registry.AllJobs() {
		left[j.Connector+" "+j.ID] = true
	}
	want := map[string]bool{"acme " + j.ID: true, "globex " + id(7): true}
	for _, i := range []int{0, 1, 5, 6} {
		want["acme "+id(i)] = true
	}
	for i := 103; i < 199; i++ {
		want["acme "+id(i)] = true
	}
	for key := range want {
		if !left[key] {
			t.Errorf("%s is gone", key)
		}
	}
	for key := range left {
		if !want[key] {
			t.Errorf("%s is still there", key)
		}
	}
}
