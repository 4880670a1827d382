package schemas_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/schemas"
)

func TestAuditEntry(t *testing.T) {
	t.Parallel()
	want := schemas.AuditEntry{
		Version: 1, At: at("2026-11-22T07:05:11Z"), By: "ann", Via: "command", Action: "connector.pause", Connector: "acme",
		Generation: 8, Before: json.RawMessage(`{"paused":false}`), After: json.RawMessage(`{"paused":true}`), Reason: "quiet",
	}
	if diff := cmp.Diff(auditJSON, string(want.Marshal())); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
	validate(t, "audit", want.Marshal())
	for _, entry := range []schemas.AuditEntry{want, {Version: 1, At: want.At, By: "ann", Via: "api", Action: "secrets.rotate", Shard: -1}} {
		validate(t, "audit", entry.Marshal())
		got, err := schemas.ParseAuditEntry(entry.Record().Value)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(entry, got); diff != "" {
			t.Errorf("read (-want +got):\n%s", diff)
		}
	}
	if r := want.Record(); r.Topic != schemas.Audit || string(r.Key) != "acme" {
		t.Errorf("the record is %+v", r)
	}
	for _, field := range []string{"at", "by", "via", "action"} {
		if _, err := schemas.ParseAuditEntry(mutate(t, auditJSON, field, nil)); err == nil {
			t.Errorf("no error without %s", field)
		}
	}
	if _, err := schemas.ParseAuditEntry(mutate(t, auditJSON, "version", 2)); !errors.Is(err, schemas.ErrVersion) {
		t.Errorf("a later version: got %v, want ErrVersion", err)
	}
}

func FuzzAuditEntry(f *testing.F) {
	f.Add([]byte(auditJSON))
	f.Add([]byte(`{"version":1,"at":"0001-01-01T00:00:00Z","by":"a","via":"b","action":"c","shard":-5,"before":null}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		a, err := schemas.ParseAuditEntry(value)
		if err != nil {
			return
		}
		written := a.Marshal()
		again, err := schemas.ParseAuditEntry(written)
		if err != nil || string(again.Marshal()) != string(written) {
			t.Fatalf("what was read as %+v is written as %s, and read as %+v, %v", a, written, again, err)
		}
	})
}
