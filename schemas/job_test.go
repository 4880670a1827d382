package schemas_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/schemas"
)

const (
	jobJSON = `{"version":1,"id":"20261122-070511-k3x9","kind":"backfill","connector":"acme","from":"2026-10-01T00:00:00Z","to":"2026-11-01T00:00:00Z",` +
		`"beyond_retention":true,"asked_by":"ann@desk","asked_at":"2026-11-22T07:05:11Z","reason":"ticket <4711>","cancelled_by":"bob","cancelled_at":"2026-11-22T07:06:00Z"}`
	progressJSON = `{"version":1,"id":"20261122-070511-k3x9","kind":"repair","state":"running","message":"waits","instance":"one",` +
		`"started_at":"2026-11-22T07:05:12Z","updated_at":"2026-11-22T07:05:13Z","from":"2026-10-01T00:00:00Z","to":"2026-11-01T00:00:00Z",` +
		`"through":"2026-10-02T00:00:00Z","topic_begins":"2026-10-01T12:00:00Z","events":9,"missing":4,"repaired":3,"altered":2,"duplicate":1,"unshown":0,` +
		`"findings":[{"kind":"missing","id":7,"events":4,"from":"2026-10-01T13:00:00Z","to":"2026-10-01T14:00:00Z"}]}`
)

func TestJobFormat(t *testing.T) {
	t.Parallel()
	r := schemas.JobRequest{
		Version: 1, ID: "20261122-070511-k3x9", Kind: schemas.JobBackfill, Connector: "acme", From: at("2026-10-01T00:00:00Z"), To: at("2026-11-01T00:00:00Z"),
		Older: true, AskedBy: "ann@desk", AskedAt: at("2026-11-22T07:05:11Z"), Reason: "ticket <4711>", CancelledBy: "bob", CancelledAt: at("2026-11-22T07:06:00Z"),
	}
	if diff := cmp.Diff(jobJSON, string(r.Marshal())); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if got, err := schemas.ParseJobRequest([]byte(jobJSON)); err != nil || !cmp.Equal(r, got) || !got.Cancelled() {
		t.Errorf("got %+v, %v", got, err)
	}
	p := schemas.JobProgress{
		Version: 1, ID: r.ID, Kind: schemas.JobRepair, State: schemas.JobRunning, Message: "waits", Instance: "one",
		StartedAt: at("2026-11-22T07:05:12Z"), UpdatedAt: at("2026-11-22T07:05:13Z"),
		Report: schemas.Report{
			From: r.From, To: r.To, Through: at("2026-10-02T00:00:00Z"), Kept: at("2026-10-01T12:00:00Z"),
			Events: 9, Missing: 4, Repaired: 3, Altered: 2, Duplicate: 1,
			Findings: []schemas.Finding{{Kind: schemas.Missing, ID: 7, Events: 4, From: at("2026-10-01T13:00:00Z"), To: at("2026-10-01T14:00:00Z")}},
		},
	}
	if diff := cmp.Diff(progressJSON, string(p.Marshal())); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	if got, err := schemas.ParseJobProgress([]byte(progressJSON)); err != nil || !cmp.Equal(p, got) {
		t.Errorf("got %+v, %v", got, err)
	}
	for range 40 {
		p.Report.Find(p.Report.Findings[0])
	}
	validate(t, "job-progress", p.Marshal())
}

func TestJobRefuses(t *testing.T) {
	t.Parallel()
	for field, value := range map[string]any{"id": "A", "kind": "wipe", "connector": nil, "from": nil, "asked_by": "", "asked_at": nil, "version": 2} {
		_, err := schemas.ParseJobRequest(mutate(t, jobJSON, field, value))
		if err == nil || errors.Is(err, schemas.ErrVersion) != (field == "version") {
			t.Errorf("request with %s = %v: %v", field, value, err)
		}
	}
	for field, value := range map[string]any{"id": nil, "kind": "", "state": "lost", "from": nil, "to": nil, "through": nil, "started_at": nil, "updated_at": nil, "version": "1"} {
		_, err := schemas.ParseJobProgress(mutate(t, progressJSON, field, value))
		if err == nil || errors.Is(err, schemas.ErrVersion) != (field == "version") {
			t.Errorf("progress with %s = %v: %v", field, value, err)
		}
	}
}

func FuzzJob(f *testing.F) {
	f.Add([]byte(jobJSON))
	f.Add([]byte(progressJSON))
	f.Fuzz(func(t *testing.T, value []byte) {
		if r, err := schemas.ParseJobRequest(value); err == nil {
			again, err := schemas.ParseJobRequest(r.Marshal())
			if err != nil || string(again.Marshal()) != string(r.Marshal()) {
				t.Fatalf("%+v is read again as %+v, %v", r, again, err)
			}
		}
		if p, err := schemas.ParseJobProgress(value); err == nil {
			again, err := schemas.ParseJobProgress(p.Marshal())
			if err != nil || string(again.Marshal()) != string(p.Marshal()) {
				t.Fatalf("%+v is read again as %+v, %v", p, again, err)
			}
		}
	})
}
