package jobs

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	kafka "github.com/segmentio/kafka-go"

	"onelogin-kafka/internal/proof/wait"
	"onelogin-kafka/schemas"
)

// TestStates: what a job is by its request and its progress, the newest first.
func TestStates(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	b := g.board(t)
	now := time.Now()
	cancelled := func(id string) schemas.JobRequest {
		r := request("acme", id, now)
		r.CancelledBy, r.CancelledAt = "bob", now
		return r
	}
	unreadable := func(topic schemas.Topic, connector, id string) schemas.Record {
		return schemas.Record{Topic: topic, Key: schemas.JobKey(connector, id), Value: []byte(`{"version":9}`), Time: now}
	}
	requested(t, b,
		written(request("acme", "1", now), now), written(request("acme", "2", now), now), written(request("globex", "3", now), now),
		written(cancelled("4"), now), written(cancelled("5"), now), written(cancelled("6"), now),
		unreadable(schemas.Connectors, "acme", "7"), written(request("acme", "8", now), now),
		schemas.Record{Topic: schemas.Connectors, Key: schemas.JobKey("acme", "9"), Value: request("globex", "9", now).Marshal(), Time: now})
	g.owns(t, "acme", progress("acme", "2", schemas.JobRunning, time.Hour), progress("acme", "4", schemas.JobDone, 2*time.Hour),
		progress("acme", "5", schemas.JobRunning, 0), unreadable(schemas.Offsets, "acme", "8"))
	g.owns(t, "globex", progress("globex", "3", schemas.JobFailed, time.Hour))

	said := func(connectors ...string) (all []string) {
		t.Helper()
		list, err := b.List(patient(t), connectors...)
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range list {
			one, err := b.Get(patient(t), j.ID)
			if err != nil || one.State != j.State || one.Connector != j.Connector {
				t.Errorf("listed is %+v, alone it is %+v, %v", j, one, err)
			}
			all = append(all, fmt.Sprintf("%s %s %s %.1f %v", j.Connector, j.ID, j.State, j.Share(), j.Whole()))
			text, err := json.Marshal(j)
			if j.Err != nil && (err != nil || !strings.Contains(string(text), `"error":"parsing job`) && !strings.Contains(string(text), `"error":"the record is that of`)) {
				t.Errorf("job %s is shown as %s, %v", j.ID, text, err)
			}
		}
		return all
	}
	want := []string{
		"acme 9 unreadable 0.0 false", "acme 8 unreadable 0.0 false", "acme 7 unreadable 0.0 false", "acme 6 cancelled 0.0 false",
		"acme 5 cancelled 0.0 false", "acme 4 done 1.0 true", "globex 3 failed 0.5 false", "acme 2 running 0.5 false", "acme 1 waiting 0.0 false",
	}
	if got := said(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := said("globex", "nobody"); !slices.Equal(got, want[6:7]) {
		t.Errorf("of globex: got %q", got)
	}
	for _, id := range []string{"7", "8"} {
		if j, err := b.Get(patient(t), id); err != nil || !errors.Is(j.Err, schemas.ErrVersion) {
			t.Errorf("a job of a later version is %+v, %v", j, err)
		}
	}
	if _, err := b.Get(patient(t), "10"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a job that is not there: %v", err)
	}
	// What changes is seen: a job goes on, ends, and its progress is forgotten.
	for _, step := range []struct {
		record schemas.Record
		want   State
	}{
		{progress("acme", "2", schemas.JobDone, 2*time.Hour), Done},
		{schemas.Record{Topic: schemas.Offsets, Key: schemas.JobKey("acme", "2"), Time: now}, Waiting},
	} {
		g.owns(t, "acme", step.record)
		if j, err := b.Get(patient(t), "2"); err != nil || j.State != step.want {
			t.Errorf("the job is %+v, %v, want %s", j, err, step.want)
		}
	}
}

// TestOffsetsTopicMadeAnew: what was read of the topic that was there before is not
// told of the one that is there now.
func TestOffsetsTopicMadeAnew(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	b := g.board(t)
	now := time.Now()
	requested(t, b, written(request("acme", "1", now), now))
	for range 3 {
		g.owns(t, "acme", progress("acme", "1", schemas.JobDone, 2*time.Hour))
	}
	if j, err := b.Get(patient(t), "1"); err != nil || j.State != Done {
		t.Fatalf("the job is %+v, %v", j, err)
	}
	name := g.topics.Specs[schemas.Offsets].Name
	if _, err := g.admin.DeleteTopic(patient(t), name); err != nil {
		t.Fatal(err)
	}
	g.ensure(t)
	told := false
	wait.For(t, "the board to see the new topic", time.Minute, func() bool {
		j, err := b.Get(patient(t), "1")
		told = told || errors.Is(err, kafka.OffsetOutOfRange)
		if err == nil && j.State == Done {
			t.Errorf("the job is still %+v", j)
		}
		return err == nil && j.State == Waiting
	})
	if !told {
		t.Error("nobody was told that the topic is another")
	}
}
